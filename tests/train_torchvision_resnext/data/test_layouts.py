"""What datasets as they are published give: parts and classes, or a refusal that names the remedy."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.train_torchvision_resnext.data.test_dataset import load
from train_torchvision_resnext.data.folders import DatasetError

TWO = ("cat", "dog")
COUNTER = iter(range(10**6))


def images(*folders, count=4, suffix="png"):
    """`count` images, all different, in each of the folders."""

    def write(root):
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                pixels = np.random.default_rng(next(COUNTER)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
                form = {"jfif": "JPEG"}.get(suffix)
                Image.fromarray(pixels).save(root / folder / f"{index}.{suffix}", format=form)

    return write


def classes(*parts, labels=TWO, **options):
    return images(*(f"{part}/{label}".lstrip("/") for part in parts for label in labels), **options)


def files(*names, content=b"\0\5\x16\7"):
    def write(root):
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)

    return write


def link(place, target):
    """A link at `place` to a folder beside the dataset, with four images in it, or to one within."""

    def write(root):
        if target.startswith("../"):
            images(target)(root)
        (root / place).symlink_to(os.path.relpath(root / target, (root / place).parent), target_is_directory=True)

    return write


ACCEPTED = {
    # name: what lies there; labels; training, validation and test images; what the notes say
    "train and val": ([classes("train", "val")], TWO, (8, 8, 0), ""),
    "train, valid and test": ([classes("train", "valid", "test")], TWO, (8, 8, 8), ""),
    "class folders alone": ([classes("")], TWO, (6, 2, 0), "no validation part"),
    "Training and Testing": ([classes("Training", "Testing")], TWO, (6, 2, 8), "8 images in test/"),
    "training_set and test_set": ([classes("training_set", "test_set")], TWO, (6, 2, 8), "no validation part"),
    "each in a folder of its own name": (
        [classes("training_set/training_set", "test_set/test_set")],
        TWO,
        (6, 2, 8),
        "training_set/: its classes are those of training_set/training_set/",
    ),
    "train, dev and test": ([classes("train", "dev", "test")], TWO, (8, 8, 8), ""),
    "train2017 and val2017": ([classes("train2017", "val2017")], TWO, (8, 8, 0), ""),
    "TRAIN and VALIDATION": ([classes("TRAIN", "VALIDATION")], TWO, (8, 8, 0), ""),
    "classes that begin as parts do": (
        [images("trainers", "testudo", "valley")],
        ("testudo", "trainers", "valley"),
        (9, 3, 0),
        "",
    ),
    "one folder within a class": ([images("train/cat/scans", "train/dog")], TWO, (6, 2, 0), "cat/scans/"),
    "a test part without labels": (
        [classes("train"), images("test")],
        TWO,
        (6, 2, 0),
        "test/: 4 files in no class folder",
    ),
    "folders beside the parts": ([classes("train", "val"), images("docs")], TWO, (8, 8, 0), "not used: docs/"),
    "case differs in val": (
        [classes("train"), classes("val", labels=("Cat", "DOG"))],
        TWO,
        (8, 8, 0),
        "classes of the validation part whose names differ only in case from training's: Cat is cat, DOG is dog",
    ),
    "case differs within train": (
        [images("train/cat", "train/Cat", "train/dog")],
        ("Cat", *TWO),
        (9, 3, 0),
        "classes whose names differ only in case; join them if they mean the same: Cat = cat",
    ),
    "a disk of a Mac": (
        [classes("train"), files("train/cat/._0.png", "__MACOSX/train/cat/._0.png", ".DS_Store", "train/.DS_Store")],
        TWO,
        (6, 2, 0),
        "skipped 1, hidden or of the system: cat/._0.png",
    ),
    "thumbnails and trash": (
        [classes("train"), images("train/cat/@eaDir", "train/.Trash-1000/files", "train/cat/.Trash-1000", count=2)],
        TWO,
        (6, 2, 0),
        "train/: skipped 2, hidden or of the system: cat/.Trash-1000/, cat/@eaDir/",
    ),
    "a linked folder in a class": ([classes("train"), link("train/cat/more", "../else")], TWO, (9, 3, 0), "cat/more/"),
    "a class that is a link": ([images("train/cat"), link("train/dog", "../else")], TWO, (6, 2, 0), ""),
    "a link around the class": (
        [classes("train"), link("train/cat/loop", "train")],
        TWO,
        (6, 2, 0),
        "skipped 1, linked folder that is listed elsewhere: cat/loop/",
    ),
    "files of other kinds": (
        [classes("train"), files("train/cat/a.txt", "train/cat/b.txt", "train/dog/c.svg", "train/labels.csv")],
        TWO,
        (6, 2, 0),
        "skipped 3, not an image by its name (.txt 2, .svg 1): cat/a.txt, cat/b.txt, dog/c.svg",
    ),
    "names that Ikomia refuses": ([classes("train", suffix="jfif")], TWO, (6, 2, 0), ""),
    "animated pictures": ([classes("train", suffix="gif")], TWO, (6, 2, 0), ""),
    "an empty class": ([classes("train"), lambda root: (root / "train/owl").mkdir()], TWO, (6, 2, 0), "not a class"),
}
REFUSED = {
    "a folder around it": ([classes("pets")], r"holds nothing but pets/, .*: give \S+/pets as the dataset"),
    "two folders around it": ([classes("a/b/train")], r"holds nothing but a/, .*: give \S+/a/b as the dataset"),
    "an archive of a Mac": (
        [classes("pets"), files("__MACOSX/pets/cat/._0.png")],
        r"holds nothing but pets/, .*: give \S+/pets as the dataset",
    ),
    "parts of other names": (
        [classes("seg_train/seg_train", "seg_test/seg_test")],
        r"seg_test/ and seg_train/, which hold the same folders \(cat, dog\): .* Rename the part to train on to train",
    ),
    "folds": ([classes("fold1", "fold2", "fold3")], r"fold1/ and fold2/ and 1 more, which hold the same folders"),
    "folds within train": ([classes("train/1", "train/2")], r"train holds 1/ and 2/, which hold the same folders"),
    "folds with parts": (
        [classes("fold1/train", "fold1/val", "fold2/train", "fold2/val")],
        r"holds several datasets, fold1/ and fold2/: give one of them as the dataset, such as \S+/fold1",
    ),
    "parts within classes": (
        [images("cat/train", "cat/val", "dog/train", "dog/val")],
        r"cat/ and dog/, each with parts of its own: put the parts outermost, as train/<class>/<images>",
    ),
    "images without class folders": ([images("train")], r"train holds images but no class folders: move each image to"),
    "validation alone": ([classes("Validation")], r"has Validation/, but no train/"),
    "two training parts": ([classes("train", "training")], r"has both train/ and training/, which mean the same"),
    "one class": ([images("train/cat")], r"only 'cat' has, of 1 class folders"),
    "one image of each class": (
        [classes("", count=1)],
        r"no class has two different images: add images, .* or a folder val/<class>/",
    ),
    "no image by its name": (
        [files("cat/1.dng", "cat/2.dng", "dog/3.dng")],
        r"none has, .*\nnote: data/: skipped 3, not an image by its name \(\.dng 3\)",
    ),
    "damaged photos of a phone": (
        [files("cat/IMG_1.HEIC", "dog/IMG_2.HEIC", content=b"\0\0\0\x18ftypheic" + bytes(100))],
        r"2 of 2 images are broken: cat/IMG_1.HEIC \(the file cannot be decoded",
    ),
}


def describe(root):
    """What comes of a dataset, in a line."""
    try:
        dataset = load(root)
    except DatasetError as error:
        return f"refused: {error}"
    return f"{', '.join(dataset.labels)}: {len(dataset.train)} + {len(dataset.val)} + {len(dataset.test)} images"


@pytest.fixture
def make(tmp_path):
    def written(steps):
        for step in steps:
            step(tmp_path / "data")
        return tmp_path / "data"

    return written


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_layout_that_is_read(name, make):
    steps, labels, counts, note = ACCEPTED[name]
    dataset = load(make(steps))
    assert dataset.labels == tuple(labels)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == counts
    assert note in "\n".join(dataset.notes)


@pytest.mark.parametrize("name", REFUSED)
def test_a_layout_that_is_refused(name, make):
    steps, message = REFUSED[name]
    with pytest.raises(DatasetError, match=message):
        load(make(steps), max_broken=0.1)
