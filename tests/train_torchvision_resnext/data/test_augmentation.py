import numpy as np
import pytest
import torch
from PIL import Image

from train_torchvision_resnext.data.augmentation import Augmentation, Blend
from train_torchvision_resnext.data.loading import ShuffledDraws
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing

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


def test_erasing_paints_the_mean_color():
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


def boxes_of(height=160, width=160, flip=False):
    """What `light` shows of an image, 400 times: left, right, top and bottom of the box, in pixels."""
    ramps = np.zeros((height, width, 3), np.uint8)
    ramps[..., 0], ramps[..., 1] = np.arange(width), np.arange(height)[:, None]
    crops = np.stack([augmentation("light", flip=flip).crop(ramps, 0, index) for index in range(400)]).astype(float)
    found = []
    for values in (crops[..., 0].mean(1), crops[..., 1].mean(2)):
        # Between the second of 32 pixels and the last but one lie 29; at the borders the filter is cut off.
        pixel = (values[:, -2] - values[:, 1]) / 29
        found += [values[:, 1] + 0.5 - 1.5 * pixel, values[:, -2] + 0.5 + 1.5 * pixel]
    return found


def test_framing_shows_between_half_and_all_of_the_image_wherever_it_lies():
    left, right, top, bottom = boxes_of()
    shares, aspects = (right - left) * (bottom - top) / 160**2, (right - left) / (bottom - top)
    assert 0.49 < shares.min() < 0.52
    assert 0.97 < shares.max() < 1.02
    assert 0.72 < aspects.min() < 0.77
    assert 1.29 < aspects.max() < 1.37
    # Log-uniform: as many wide boxes as high ones.
    assert 0.45 < (aspects > 1).mean() < 0.55
    for first, last in ((left, right), (top, bottom)):
        assert -2 < first.min() < 2
        assert 158 < last.max() < 162
        room = 160 - (last - first)
        where = first[room > 16] / room[room > 16]
        assert where.mean() == pytest.approx(0.5, abs=0.05)
        assert where.std() == pytest.approx(1 / 12**0.5, abs=0.03)


def test_a_long_image_shows_its_middle_at_the_longest_aspect():
    """Where no box of half the area fits between the two aspects, as torchvision does it."""
    left, right, top, bottom = boxes_of(60, 180)
    assert top == pytest.approx(0, abs=2)
    assert bottom == pytest.approx(60, abs=2)
    assert left == pytest.approx(50, abs=2)
    assert right == pytest.approx(130, abs=2)
    left, right, top, bottom = boxes_of(180, 60)
    assert left == pytest.approx(0, abs=2)
    assert right == pytest.approx(60, abs=2)
    assert top == pytest.approx(50, abs=2)
    assert bottom == pytest.approx(130, abs=2)


def test_framing_mirrors_every_other_image():
    left, right, *_ = boxes_of(flip=True)
    assert (left > right).mean() == pytest.approx(0.5, abs=0.06)


def test_framing_is_exact_where_the_whole_image_is_the_box(monkeypatch):
    """Resized as PIL does it."""
    monkeypatch.setattr("train_torchvision_resnext.data.augmentation.SCALE", (1, 1))
    monkeypatch.setattr("train_torchvision_resnext.data.augmentation.ASPECT", (1, 1))
    square = PHOTO[:, :50]
    expected = np.asarray(Image.fromarray(square).resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(augmentation("light", flip=False).crop(square, 0, 0), expected)


@pytest.mark.parametrize("kind", ["trivial", "rand"])
def test_what_a_policy_moves_away_leaves_the_mean_color(kind):
    white = np.full((64, 64, 3), 255, np.uint8)
    mean = np.rint(255 * np.array(PREPROCESSING.mean))
    seen = [(augmentation(kind).crop(white, 0, index) == mean).all(axis=2).any() for index in range(60)]
    assert sum(seen) > 10


def test_erasing_paints_one_rectangle_of_the_right_size_and_shape():
    mean = np.rint(255 * np.array(PREPROCESSING.mean))
    heights, widths, tops, lefts = [], [], [], []
    for index in range(400):
        erased = (augmentation("none", erasing=1.0).crop(PHOTO, 0, index) == mean).all(axis=2)
        rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
        assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        heights.append(rows[-1] - rows[0] + 1)
        widths.append(columns[-1] - columns[0] + 1)
        tops.append(rows[0])
        lefts.append(columns[0])
    heights, widths = np.array(heights), np.array(widths)
    shares, aspects = heights * widths / 32**2, widths / heights
    inside = (heights < 32) & (widths < 32)
    assert 0.015 < shares.min() < 0.03
    assert 0.3 < shares[inside].max() < 0.35
    # Sides are rounded to whole pixels: of small rectangles by much.
    large = inside & (shares > 0.1)
    assert 0.28 < aspects[large].min() < 0.36
    assert 1 / 0.36 < aspects[large].max() < 1 / 0.28
    assert 0.45 < (aspects > 1).mean() < 0.55
    assert min(tops) == min(lefts) == 0
    assert (np.array(tops) + heights).max() == (np.array(lefts) + widths).max() == 32


@pytest.mark.parametrize("kind", ["none", "light"])
def test_erasing_happens_as_often_as_was_asked_for(kind):
    def crops(erasing):
        return [augmentation(kind, erasing, flip=False).crop(PHOTO, 0, index) for index in range(400)]

    pairs = zip(crops(0.0), crops(0.25), strict=True)
    assert np.mean([(left != right).any() for left, right in pairs]) == pytest.approx(0.25, abs=0.05)


IMAGES = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 32, 48)
"""Each pixel is the number of its image, which is also its class."""


def blends(mixup, cutmix, seed=0, epoch=0, count=200):
    """Of each batch the share of its own that an image keeps, and the share of its pixels that another one changes.

    Every image has two parents, itself and the one before it, and all images of a batch are blended alike.
    """
    partners, own = IMAGES.roll(1, 0), torch.eye(6)[:5]
    for batch in range(count):
        images, probabilities = Blend(mixup, cutmix, 6, seed)(IMAGES, torch.arange(5), epoch, batch)
        assert (images.dtype, probabilities.dtype) == (torch.float32, torch.float32)
        share = float(probabilities[0, 0])
        torch.testing.assert_close(probabilities, share * own + (1 - share) * own.roll(1, 0))
        inside = (images != IMAGES).any(0).any(0)
        if inside.all():
            torch.testing.assert_close(images, share * IMAGES + (1 - share) * partners)
        else:
            assert torch.equal(inside, inside.any(1)[:, None] & inside.any(0)), "no rectangle"
            assert torch.equal(images, torch.where(inside, partners, IMAGES))
            assert share == pytest.approx(1 - float(inside.float().mean()), abs=1e-6)
        yield share, float(inside.float().mean())


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_mixup_takes_its_share_from_a_beta_distribution(alpha):
    shares = np.array([share for share, _ in blends(alpha, 0)])
    assert shares.mean() == pytest.approx(0.5, abs=0.06)
    assert shares.var() == pytest.approx(1 / (8 * alpha + 4), rel=0.25)


def test_cutmix_takes_its_patch_from_anywhere():
    shares = np.array([share for share, _ in blends(0, 1.0)])
    # Patches of every size up to the whole, cut off at the borders: more is kept than half.
    assert shares.min() < 0.2
    assert shares.max() > 0.95
    assert 0.55 < shares.mean() < 0.8


def test_with_mixup_and_cutmix_each_batch_gets_one_of_them():
    whole = [patch == 1 for _, patch in blends(2.0, 2.0)]
    assert np.mean(whole) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.5, 0), (0, 1.0), (0.2, 2.0)])
def test_blends_depend_on_seed_epoch_and_batch_alone(mixup, cutmix):
    def shares(seed, epoch):
        return [share for share, _ in blends(mixup, cutmix, seed, epoch, count=6)]

    torch.manual_seed(5)
    first, following = shares(3, 2), torch.rand(3)
    assert shares(3, 2) == first
    assert len(set(first)) > 1
    assert first not in (shares(4, 2), shares(3, 1))
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), following)


def test_without_mixup_and_cutmix_there_is_no_blend():
    assert [bool(Blend(mixup, cutmix, 3, 0)) for mixup, cutmix in ((0, 0), (0.1, 0), (0, 0.1), (1, 1))] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("count", "batch_size", "drawn"), [(9, 4, 8), (8, 4, 8), (10, 4, 10), (1, 4, 1), (2, 4, 2), (5, 1, 5), (3, 2, 2)]
)
@pytest.mark.parametrize("balanced", [False, True])
def test_batches_of_an_epoch(count, batch_size, drawn, balanced):
    draws = ShuffledDraws([0] * count, batch_size, balanced=balanced, seed=0)
    assert len(draws) == len(list(draws)) == drawn
    assert all(0 <= index < count for _, index in draws)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_order_depends_on_seed_and_epoch_alone(balanced):
    def order(seed, epoch):
        draws = ShuffledDraws([0, 1] * 10, 4, balanced, seed)
        draws.set_epoch(epoch)
        torch.manual_seed(epoch)
        return draws.order().tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
