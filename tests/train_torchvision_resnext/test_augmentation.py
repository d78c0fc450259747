import numpy as np
import pytest
import torch

from train_torchvision_resnext.augmentation import Augmentation, Blend
from train_torchvision_resnext.loading import ShuffledDraws
from train_torchvision_resnext.resnext.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(36, 32)
PHOTO = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)


def augmentation(kind, erasing=0.0, flip=True, seed=0):
    return Augmentation(kind, PREPROCESSING, flip, erasing, seed)


@pytest.mark.parametrize("kind", ["light", "trivial", "rand"])
@pytest.mark.parametrize("erasing", [0.0, 1.0])
def test_a_crop_depends_on_seed_epoch_and_index_alone(kind, erasing):
    crop = augmentation(kind, erasing).crop(PHOTO, 1, 2)
    assert (crop.shape, crop.dtype) == ((32, 32, 3), np.uint8)
    torch.manual_seed(99)
    np.testing.assert_array_equal(augmentation(kind, erasing).crop(PHOTO, 1, 2), crop)
    others = [(kind, 2, 2, 0), (kind, 1, 3, 0), (kind, 1, 2, 1)]
    for same_kind, epoch, index, seed in others:
        other = augmentation(same_kind, erasing, seed=seed).crop(PHOTO, epoch, index)
        assert not np.array_equal(other, crop)


def test_drawing_leaves_torchs_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    augmentation("trivial").crop(PHOTO, 0, 0)
    assert torch.equal(torch.rand(3), expected)


def test_without_augmentation_training_sees_what_inference_sees():
    np.testing.assert_array_equal(augmentation("none").crop(PHOTO, 3, 4), PREPROCESSING.crop(PHOTO))


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_any_shape_can_be_framed(shape):
    image = np.full((*shape, 3), 77, np.uint8)
    for index in range(20):
        assert (augmentation("light").crop(image, 0, index) == 77).all()


def test_mirroring_can_be_switched_off():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 64, 3))

    def directions(flip):
        rows = [augmentation("light", flip=flip).crop(ramp, 0, index)[16, :, 0].astype(int) for index in range(20)]
        return {bool(row[-1] > row[0]) for row in rows}

    assert directions(flip=True) == {True, False}
    assert directions(flip=False) == {True}


def test_erasing_paints_the_mean_colour():
    mean = np.rint(255 * np.array(PREPROCESSING.mean))
    for index in range(20):
        erased = (augmentation("none", erasing=1.0).crop(PHOTO, 0, index) == mean).all(axis=2)
        assert 0.01 <= erased.mean() <= 0.4


def test_mixup_blends_images_and_targets_alike():
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8)
    blended, probabilities = Blend(0.5, 0, 4, 0)(images, torch.arange(4), 0, 0)
    # The pixels are the class index, so that the expected index is the blended pixel.
    torch.testing.assert_close(probabilities @ torch.arange(4.0), blended[:, 0, 0, 0])
    torch.testing.assert_close(probabilities.sum(1), torch.ones(4))


def test_cutmix_weighs_targets_by_area():
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8)
    for batch in range(10):
        patched, probabilities = Blend(0, 1.0, 4, 0)(images, torch.arange(4), 0, batch)
        torch.testing.assert_close(probabilities @ torch.arange(4.0), patched.mean((1, 2, 3)))


def test_every_image_is_drawn_once_an_epoch_in_another_order():
    draws = ShuffledDraws([0] * 7, batch_size=4, balanced=False, seed=0)
    first = list(draws)
    draws.set_epoch(1)
    second = list(draws)
    assert sorted(index for _, index in first) == list(range(7))
    assert {epoch for epoch, _ in second} == {1}
    assert [index for _, index in first] != [index for _, index in second]


def test_a_last_batch_of_one_is_left_out():
    assert len(ShuffledDraws([0] * 9, batch_size=4, balanced=False, seed=0)) == 8
    assert len(ShuffledDraws([0], batch_size=4, balanced=False, seed=0)) == 1


def test_balanced_draws_show_every_class_alike():
    targets = [0] * 900 + [1] * 100
    drawn = [targets[index] for _, index in ShuffledDraws(targets, batch_size=4, balanced=True, seed=0)]
    assert 0.42 < np.mean(drawn) < 0.58
