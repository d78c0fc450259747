import numpy as np
import pytest
import torch
from PIL import Image

from train_torchvision_resnext.data.augmentation import Augmentation
from train_torchvision_resnext.data.loading import (
    Features,
    Images,
    Loading,
    Part,
    ShuffledDraws,
    TrainingImages,
    worker_count,
)
from train_torchvision_resnext.data.samples import Reader, ReadError, Sample
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing

CPU = torch.device("cpu")
SAME = Preprocessing(8, 8)
"""Images of 8 x 8 pass through it as they are."""


@pytest.fixture
def samples(tmp_path):
    """Five images, each of its number's level; the classes are 0, 1, 0, 1, 0."""
    for level in range(5):
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(tmp_path / f"{level}.png")
    return [Sample(tmp_path / f"{level}.png", level % 2) for level in range(5)]


def levels(batches):
    """Of each batch the images' levels, after a look at their form."""
    found = []
    for crops, targets in batches:
        assert (crops.dtype, crops.shape[1:], targets.dtype) == (torch.uint8, (8, 8, 3), torch.int64)
        found.append(crops[:, 0, 0, 0].tolist())
        assert targets.tolist() == [level % 2 for level in found[-1]]
    return found


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_sees_every_image_in_order(samples, workers):
    assert levels(Loading(2, workers, CPU).evaluation(Images(samples, Reader(SAME)))) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("workers", [0, 1])
def test_training_sees_the_drawn_images_in_the_drawn_order(samples, workers):
    draws = ShuffledDraws([sample.target for sample in samples], 3, balanced=False, seed=4)
    images = TrainingImages(samples, Reader(SAME), Augmentation("none", SAME, True, 0, 0))
    loader = Loading(3, workers, CPU).training(images, draws)
    for epoch in (0, 1):
        draws.set_epoch(epoch)
        order = np.random.default_rng((4, epoch)).permutation(5).tolist()
        assert levels(loader) == [order[:3], order[3:]]


def test_training_sees_another_crop_in_every_epoch(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    augmentation = Augmentation("light", SAME, True, 0, 7)
    images = TrainingImages([Sample(tmp_path / "noise.png", 3)] * 2, Reader(SAME), augmentation)
    for epoch, index in ((0, 0), (0, 1), (1, 0)):
        crop, target = images[epoch, index]
        assert target == 3
        np.testing.assert_array_equal(crop, augmentation.crop(pixels, epoch, index))


def test_an_image_that_is_gone_is_named(samples):
    samples[1].path.unlink()
    with pytest.raises(ReadError, match=r"1\.png could be read when training began, and now cannot: .*") as caught:
        list(Loading(2, 0, CPU).evaluation(Images(samples, Reader(SAME))))
    assert str(caught.value).startswith(str(samples[1].path))


FEATURES = torch.arange(10.0).view(5, 2)
TARGETS = torch.tensor([3, 1, 4, 1, 5])


def test_features_come_in_order():
    batches = Loading(2, 0, CPU).evaluation(Features((FEATURES, TARGETS)))
    assert [(features.tolist(), targets.tolist()) for features, targets in batches] == [
        ([[0, 1], [2, 3]], [3, 1]),
        ([[4, 5], [6, 7]], [4, 1]),
        ([[8, 9]], [5]),
    ]
    assert len(batches) == 3
    assert [len(Loading(size, 0, CPU).evaluation(Features((FEATURES, TARGETS)))) for size in (1, 4, 5, 6)] == [
        5,
        2,
        1,
        1,
    ]


def test_features_come_as_drawn():
    draws = ShuffledDraws(TARGETS.tolist(), 2, balanced=False, seed=4)
    batches = Loading(2, 0, CPU).training(Features((FEATURES, TARGETS)), draws)
    draws.set_epoch(3)
    order = np.random.default_rng((4, 3)).permutation(5)[:4]
    features, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert torch.equal(features, FEATURES[order])
    assert torch.equal(targets, TARGETS[order])
    # The last of five would be a batch of its own.
    assert len(batches) == len(list(batches)) == 2


@pytest.mark.parametrize(
    ("wanted", "device", "cores", "workers"),
    [
        (0, "cuda", 8, 0),
        (3, "cpu", 2, 3),
        (-1, "cpu", 64, 0),
        (-1, "cuda", 1, 1),
        (-1, "cuda", 2, 1),
        (-1, "cuda", 5, 4),
        (-1, "cuda", 64, 8),
    ],
)
def test_how_many_workers_on_linux(wanted, device, cores, workers, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert worker_count(wanted, torch.device(device), cores) == workers


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_elsewhere_workers_have_to_be_asked_for(platform, monkeypatch):
    monkeypatch.setattr("sys.platform", platform)
    assert [worker_count(wanted, torch.device("cuda"), 64) for wanted in (-1, 0, 2)] == [0, 0, 2]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_parts_make_up_the_batch(count):
    for total in range(1, 12):
        batch = list(range(total))
        parts = [Part(rank, count) for rank in range(count)]
        own = [part.of(batch)[: part.size(total)] for part in parts]
        assert [place for part in own for place in part] == batch
        for part in parts:
            # Two images at least, so that batch normalization has something to learn from.
            assert len(part.of(batch)) >= min(2, total)
            assert part.size(total) in (0, len(part.of(batch)))


def test_parts_that_are_blended_are_led_by_the_image_before():
    assert [Part(rank, 2, after_another=True).of("abcde") for rank in (0, 1)] == [list("eab"), list("bcde")]
    assert Part(0, 1, after_another=True).of("abcde") == "abcde"
