import os
import shutil
import unicodedata

import pytest
from PIL import Image

from tests.image_folders import write_digits
from train_torchvision_resnext.data.audit import Cache, audit
from train_torchvision_resnext.data.dataset import assemble, images_of
from train_torchvision_resnext.data.folders import DatasetError, find_folders


def load(root, val_fraction=0.2, max_broken=0.1, seed=0):
    folders = find_folders(root)
    findings = audit(images_of(folders), Cache(root.parent / "cache.json"))
    return assemble(folders, findings, val_fraction, max_broken, seed)


def names(samples):
    return [sample.path.name for sample in samples]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_both_parts_by_name(val, tmp_path):
    dataset = load(write_digits(tmp_path / "data", {"train": 4, val: 2}))
    assert dataset.labels == ("0", "1", "2")
    assert (len(dataset.train), len(dataset.val)) == (12, 6)
    assert dataset.counts() == [4, 4, 4]
    assert all(sample.path.parent.name == dataset.labels[sample.target] for sample in dataset.train + dataset.val)


def test_test_images_are_a_part_of_their_own(tmp_path):
    dataset = load(write_digits(tmp_path / "data", {"train": 4, "val": 2, "Test": 3}))
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (12, 6, 9)
    assert "9 images in test/, by which the finished model is judged once" in dataset.notes


def test_test_images_choose_nothing_where_there_is_no_validation(tmp_path):
    dataset = load(write_digits(tmp_path / "data", {"train": 10, "test": 3}))
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (24, 6, 9)
    assert "no validation part: 20% of each class were set aside for it" in dataset.notes
    assert {sample.path.parent.parent.name for sample in dataset.val} == {"train"}
    assert {sample.path.parent.parent.name for sample in dataset.test} == {"test"}


@pytest.mark.parametrize("label", ["unknown", "Unknown"])
def test_no_class_may_have_the_name_of_the_answer_that_is_none(label, tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2})
    for part in ("train", "val"):
        (root / part / "1").rename(root / part / label)
    with pytest.raises(DatasetError, match=f"the class '{label}' has the name of the answer that is no class"):
        load(root)


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_is_left_out_leaks_nothing(part, tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2, "test": 2})
    (root / part / "new").mkdir()
    shutil.copy(sorted((root / "train" / "1").iterdir())[0], root / part / "new" / "copy.png")
    notes = "\n".join(load(root).notes)
    name = {"val": "validation", "test": "test"}[part]
    assert f"only in the {name} part, left out with 1 image: new" in notes
    assert "the same image" not in notes


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [("train", "test", "training and test"), ("val", "test", "validation and test")],
)
def test_what_leaks_into_the_test_images_is_named(first, second, said, tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2, "test": 2})
    shutil.copy(sorted((root / first / "1").iterdir())[0], root / second / "1" / "leak.png")
    assert any(note.startswith(f"the same image in {said}, which") for note in load(root).notes)


@pytest.mark.parametrize(("one", "other"), [("train", "Train"), ("val", "valid"), ("test", "TEST"), ("val", "VAL")])
def test_a_part_that_is_there_twice_is_a_problem(one, other, tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, one: 2, other: 2})
    if len(list(root.iterdir())) == 1:
        pytest.skip("this file system does not tell names apart by case")
    with pytest.raises(DatasetError, match=r"has both \w+/ and \w+/, which mean the same: join or rename them"):
        find_folders(root)


@pytest.mark.parametrize("inside", ["", "train"])
def test_one_folder_too_many_is_answered_with_the_one_that_is_meant(inside, tmp_path):
    write_digits(tmp_path / "data" / "flowers", {inside: 4})
    with pytest.raises(DatasetError, match=rf"holds nothing but flowers/.*: give {tmp_path}/data/flowers as the data"):
        find_folders(tmp_path / "data")


def test_two_levels_are_not_merged_without_a_word(tmp_path):
    root = write_digits(tmp_path / "data" / "animals", {"": 4}).parent
    write_digits(root / "plants", {"": 4}, labels=(3, 4))
    dataset = load(tmp_path / "data")
    assert dataset.labels == ("animals", "plants")
    told = "images in folders below a class count as that class: animals/0/, animals/1/, animals/2/, plants/3/"
    assert any(told in note for note in dataset.notes)


def test_what_is_no_file_is_a_broken_image_and_nobody_waits_for_it(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 20, "val": 2})
    place = root / "train" / "1"
    os.mkfifo(place / "pipe.png")
    (place / "endless.png").symlink_to("/dev/zero")
    (place / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (place / "linked.png").symlink_to(sorted((root / "train" / "2").iterdir())[0])
    notes = "\n".join(load(root).notes)
    said = "it is not a file but a folder, a device, a pipe or a socket"
    assert f"train/1/pipe.png ({said})" in notes
    assert f"train/1/endless.png ({said})" in notes
    assert "train/1/lost.png (cannot be read: No such file or directory)" in notes
    assert "train/1/linked.png" in notes.partition("different classes: ")[2]


@pytest.mark.parametrize("part", ["", "train"])
def test_a_folder_without_validation_is_split_class_by_class(part, tmp_path):
    root = write_digits(tmp_path / "data", {part: 10})
    dataset = load(root, val_fraction=0.3)
    assert dataset.counts() == [7, 7, 7]
    assert [sum(sample.target == index for sample in dataset.val) for index in range(3)] == [3, 3, 3]
    assert not set(dataset.train) & set(dataset.val)
    assert load(root, val_fraction=0.3).val == dataset.val
    assert load(root, val_fraction=0.3, seed=1).val != dataset.val


def test_another_class_does_not_change_the_split_of_the_others(tmp_path):
    root = write_digits(tmp_path / "data", {"": 10}, labels=(0, 1))
    before = names(load(root).val)
    write_digits(root, {"": 10}, labels=(5,))
    assert set(before) < set(names(load(root).val))


def test_exact_duplicates_stay_on_one_side_of_the_split(tmp_path):
    root = write_digits(tmp_path / "data", {"": 10})
    for path in sorted((root / "0").iterdir()):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    dataset = load(root)
    assert not {name.removeprefix("copy-") for name in names(dataset.train)} & {
        name.removeprefix("copy-") for name in names(dataset.val)
    }


def test_a_class_with_one_image_is_trained_on_and_reported(tmp_path):
    root = write_digits(tmp_path / "data", {"": 10})
    write_digits(root, {"": 1}, labels=(7,))
    dataset = load(root)
    assert dataset.labels == ("0", "1", "2", "7")
    assert dataset.counts()[3] == 1
    assert any("one image only" in note and "7" in note for note in dataset.notes)


def test_an_extra_class_in_validation_shifts_no_index(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2}, labels=(1, 2))
    write_digits(root, {"val": 3}, labels=(0,))
    dataset = load(root)
    assert dataset.labels == ("1", "2")
    assert [sample.path.parent.name for sample in dataset.val] == ["1", "1", "2", "2"]
    assert [sample.target for sample in dataset.val] == [0, 0, 1, 1]
    assert "only in the validation part, left out with 3 images: 0" in dataset.notes


def test_missing_and_empty_classes_are_named(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2})
    shutil.rmtree(root / "val" / "1")
    (root / "train" / "0a").mkdir()
    dataset = load(root)
    assert dataset.labels == ("0", "1", "2")
    assert any("without validation images" in note and note.endswith(": 1") for note in dataset.notes)
    assert "not a class, because no training image is readable: 0a" in dataset.notes


def test_hidden_folders_and_stray_files_are_named_and_left_out(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2})
    for place in (root, root / "train", root / "train" / "1"):
        (place / ".ipynb_checkpoints").mkdir()
        shutil.copy(next((root / "train" / "2").glob("*.png")), place / ".ipynb_checkpoints" / "x.png")
    (root / "train" / "1" / "Thumbs.db").write_text("")
    (root / "train" / "labels.csv").write_text("")
    dataset = load(root)
    assert dataset.labels == ("0", "1", "2")
    assert dataset.counts() == [4, 4, 4]
    notes = "\n".join(dataset.notes)
    assert ".ipynb_checkpoints" in notes
    assert "1/Thumbs.db" in notes
    assert "labels.csv" in notes


def test_images_in_folders_below_belong_to_the_class(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2})
    (root / "train" / "1").rename(root / "train" / "one")
    (root / "train" / "1").mkdir()
    (root / "train" / "one").rename(root / "train" / "1" / "scanned")
    assert load(root).counts() == [4, 4, 4]


def test_accents_are_one_name_however_they_are_spelled(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2})
    (root / "train" / "1").rename(root / "train" / unicodedata.normalize("NFD", "café"))
    (root / "val" / "1").rename(root / "val" / unicodedata.normalize("NFC", "café"))
    dataset = load(root)
    assert dataset.labels == ("0", "2", unicodedata.normalize("NFC", "café"))
    assert sum(sample.target == 2 for sample in dataset.val) == 2


def test_broken_images_are_listed_and_left_out(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 10, "val": 2})
    (root / "train" / "1" / "broken.png").write_text("no image")
    dataset = load(root)
    assert dataset.counts() == [10, 10, 10]
    assert any(
        note.startswith("1 of 37 images are broken: train/1/broken.png (the file cannot") for note in dataset.notes
    )


def test_too_many_broken_images_are_a_problem_with_the_list(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 2, "val": 2})
    for number in range(3):
        (root / "train" / "1" / f"broken{number}.png").write_text(f"no image {number}")
    with pytest.raises(DatasetError, match=r"3 of 15 .*broken0.*broken1.*broken2.*At most 10% may be.*max_broken"):
        load(root)
    assert len(load(root, max_broken=0.2).train) == 6


def test_duplicates_between_the_parts_and_between_classes_are_named(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2})
    first = sorted((root / "train" / "1").iterdir())[0]
    shutil.copy(first, root / "val" / "1" / "leak.png")
    shutil.copy(first, root / "train" / "2" / "wrong.png")
    notes = "\n".join(load(root).notes)
    assert "the same image in training and validation" in notes
    assert f"train/1/{first.name} = train/2/wrong.png = val/1/leak.png" in notes
    assert "the same image in different classes" in notes


def test_the_summary_tells_counts_imbalance_and_sizes(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 2, "val": 2})
    write_digits(root, {"train": 9}, labels=(3,))
    Image.new("RGB", (50, 40)).save(root / "train" / "0" / "large.png")
    notes = load(root).notes
    assert notes[0] == "4 classes, 16 training and 6 validation images"
    assert notes[1].startswith("imbalance: '3' has 9 images, '1' has 2")
    assert notes[2] == "training images are of 2 sizes, their short sides from 16 to 40 pixels, median 16"


@pytest.mark.parametrize(
    ("parts", "labels", "problem"),
    [
        ({"train": 4}, (1,), "only '1' has, of 1 class folders"),
        ({"val": 4}, (0, 1), "has val/, but no train/"),
    ],
)
def test_what_cannot_be_trained_on(parts, labels, problem, tmp_path):
    with pytest.raises(DatasetError, match=problem):
        load(write_digits(tmp_path / "data", parts, labels))


def test_a_missing_and_an_empty_folder(tmp_path):
    with pytest.raises(DatasetError, match="is not a folder"):
        find_folders(tmp_path / "missing")
    with pytest.raises(DatasetError, match="holds no class folders"):
        find_folders(tmp_path)


def test_the_fingerprint_follows_content_class_and_part(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4, "val": 2})
    before = load(root).fingerprint
    assert load(root).fingerprint == before
    path = next((root / "train" / "1").iterdir())
    path.rename(root / "val" / "1" / path.name)
    assert load(root).fingerprint != before
