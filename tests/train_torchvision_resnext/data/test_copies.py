import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from train_torchvision_resnext.data.audit import Cache, examine
from train_torchvision_resnext.data.augmentation import Augmentation
from train_torchvision_resnext.data.copies import Copies
from train_torchvision_resnext.data.loading import Images, Loading, ShuffledDraws, TrainingImages
from train_torchvision_resnext.data.samples import Reader, ReadError, Sample
from train_torchvision_resnext.resnext.images.files import read_image
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(18, 16)
"""A copy has at least 2 * 16 / sqrt(0.5 * 0.75) = 52.3 pixels on its short side."""


@pytest.fixture
def photos(tmp_path):
    """Three photos of 320 x 240, which are divided by 4, as smooth as photos are."""
    samples = []
    for number in range(3):
        small = np.random.default_rng(number).integers(0, 256, (24, 32, 3)).astype(np.uint8)
        Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.png")
        samples.append(sample_of(tmp_path / f"{number}.png", number))
    return samples


def sample_of(path, target):
    """As checking the images finds it."""
    finding = examine(path, Cache(path.parent / ".images.json"))
    return Sample(path, target, finding.content_hash, min(finding.width, finding.height))


def kept_in(folder):
    return sorted(folder.glob("*.png"))


def test_a_large_photo_is_read_from_its_copy_with_the_same_pixels(photos, tmp_path):
    copies = Copies(PREPROCESSING, tmp_path / "copies")
    first = copies.read(photos[0])
    means = read_image(photos[0].path).reshape(60, 4, 80, 4, 3).mean(axis=(1, 3))
    assert np.abs(first - means).max() <= 0.5
    photos[0].path.unlink()
    np.testing.assert_array_equal(copies.read(photos[0]), first)
    assert len(kept_in(tmp_path / "copies")) == 1


def test_crops_keep_their_pixels_within_a_level_on_average(photos, tmp_path):
    augmentation = Augmentation("light", PREPROCESSING, True, 0, 0)
    exact = TrainingImages(photos, Reader(PREPROCESSING), augmentation)
    smaller = TrainingImages(photos, Copies(PREPROCESSING, tmp_path / "copies"), augmentation)
    draws = [(epoch, index) for epoch in range(20) for index in range(3)]
    differences = [np.abs(exact[draw][0].astype(int) - smaller[draw][0].astype(int)).mean() for draw in draws]
    assert 0 < np.mean(differences) < 1


def test_small_images_are_trained_on_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (104, 104, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    copies = Copies(PREPROCESSING, tmp_path / "copies")
    np.testing.assert_array_equal(copies.read(sample_of(tmp_path / "small.png", 0)), pixels)
    assert not (tmp_path / "copies").exists()


def test_what_validation_sees_is_the_same_from_its_copy(photos, tmp_path):
    seen = [Images(photos, Reader(PREPROCESSING))[index][0] for index in range(3)]
    kept = Images(photos, Copies(PREPROCESSING, tmp_path / "copies"))
    for index in range(3):
        np.testing.assert_array_equal(kept[index][0], seen[index])
    for sample in photos:
        sample.path.unlink()
    for index in range(3):
        np.testing.assert_array_equal(kept[index][0], seen[index])
    other = Preprocessing(24, 20)
    with pytest.raises(ReadError, match="could be read when training began"):
        Images(photos, Copies(other, tmp_path / "copies"))[0]


def harm_copies(folder, harm):
    """Do something to the copies of a folder; nothing of it may be seen in what is read."""
    first, second, third = kept_in(folder)
    if harm == "deleted":
        shutil.rmtree(folder)
    elif harm == "of another photo":
        for copy, other in ((first, second), (second, third)):
            copy.write_bytes(other.read_bytes())
    elif harm == "a pipe":
        for copy in (first, second, third):
            copy.unlink()
            os.mkfifo(copy)
    elif harm == "of another size":
        Image.fromarray(np.zeros((300, 400, 3), np.uint8)).save(first)
        Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(second)
    else:
        for copy in (first, second, third):
            copy.write_bytes(copy.read_bytes()[:30] if harm == "cut short" else b"no picture")


@pytest.mark.parametrize(
    "harm", ["deleted", "cut short", "overwritten", "of another photo", "of another size", "a pipe"]
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_what_is_trained_on_does_not_depend_on_the_folder(harm, photos, tmp_path):
    folder = tmp_path / "copies"
    images = TrainingImages(photos, Copies(PREPROCESSING, folder), Augmentation("light", PREPROCESSING, True, 0, 0))
    before = [images[0, index][0] for index in range(3)]
    harm_copies(folder, harm)
    for index in range(3):
        np.testing.assert_array_equal(images[0, index][0], before[index])
    assert len(kept_in(folder)) == 3
    # And what was put in order is used from now on.
    for photo in photos:
        photo.path.unlink()
    for index in range(3):
        np.testing.assert_array_equal(images[0, index][0], before[index])


@pytest.mark.parametrize("size", [(320, 240), (40, 3)])
def test_a_photo_that_is_replaced_after_the_check_is_not_kept_as_the_one_before(size, photos, tmp_path, caplog):
    original, before = photos[0].path.read_bytes(), Copies(PREPROCESSING, tmp_path / "before").read(photos[0])
    copies = Copies(PREPROCESSING, tmp_path / "copies")
    Image.fromarray(np.full((*size[::-1], 3), 200, np.uint8)).save(photos[0].path)
    assert (copies.read(photos[0]) == 200).all()
    assert (copies.crop(photos[0]) == 200).all()
    assert kept_in(tmp_path / "copies") == []
    assert "was replaced since the images were checked" in caplog.text
    photos[0].path.write_bytes(original)
    np.testing.assert_array_equal(copies.read(photos[0]), before)


def test_a_folder_that_cannot_be_written_costs_only_time(photos, tmp_path):
    (tmp_path / "copies").write_text("in the way")
    there = Copies(PREPROCESSING, tmp_path / "elsewhere").read(photos[0])
    np.testing.assert_array_equal(Copies(PREPROCESSING, tmp_path / "copies").read(photos[0]), there)


def test_the_folder_is_bounded_and_what_others_used_goes_first(photos, tmp_path):
    folder = tmp_path / "copies"
    Copies(PREPROCESSING, folder).read(photos[0])
    (old,) = kept_in(folder)
    os.utime(old, (0, 0))
    bound = int(1.5 * old.stat().st_size)
    copies = Copies(PREPROCESSING, folder, max_bytes=bound)
    copies.read(photos[1])
    (new,) = kept_in(folder)
    assert new != old
    # What this training uses itself stays: each epoch would need it again.
    copies.read(photos[2])
    assert kept_in(folder) == [new]
    assert new.stat().st_size <= bound


def test_processes_share_the_folder(photos, tmp_path):
    def crops(folder, workers):
        copies = Copies(PREPROCESSING, tmp_path / folder)
        images = TrainingImages(photos * 4, copies, Augmentation("light", PREPROCESSING, True, 0, 0))
        draws = ShuffledDraws([0] * 12, 2, balanced=False, seed=0)
        loader = Loading(2, workers, torch.device("cpu")).training(images, draws)
        return torch.cat([crops for crops, _ in loader])

    assert torch.equal(crops("shared", workers=2), crops("alone", workers=0))
    assert len(kept_in(tmp_path / "shared")) == 3
