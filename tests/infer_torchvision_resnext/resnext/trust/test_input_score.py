import numpy as np
import pytest

from infer_torchvision_resnext.resnext.trust.input_score import STATISTICS, InputReference, measure_crop, measure_crops


def crops(count, seed, side=32):
    """Smooth pictures of different colors and contrasts."""
    random = np.random.default_rng(seed)
    coarse = random.normal(0, 1, (count, 4, 4, 3)) * random.uniform(20, 40, (count, 1, 1, 1))
    fine = random.normal(0, 6, (count, side, side, 3))
    levels = random.uniform(90, 160, (count, 1, 1, 3)) + coarse.repeat(side // 4, 1).repeat(side // 4, 2) + fine
    return np.clip(levels, 0, 255).astype(np.uint8)


def test_statistics_of_a_picture_worked_out_by_hand():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 4:, 0] = 255
    values = dict(zip([name for name, *_ in STATISTICS], measure_crop(picture), strict=True))
    assert [values[name] for name in ("red", "green", "blue", "saturation")] == pytest.approx([0.5, 0, 0, 0.5])
    assert values["spread of red"] == pytest.approx(np.log(0.5 + 1 / 255))
    # One of seven steps of a row is a third of gray; none of a column's.
    assert values["fine horizontal differences"] == pytest.approx(np.log(1 / 21 + 1 / 255))
    assert values["coarse vertical differences"] == pytest.approx(np.log(1 / 255))


@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_the_smallest_crops_have_finite_statistics(side):
    assert np.isfinite(measure_crop(np.full((side, side, 3), 9, np.uint8))).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda picture: picture * 0.3, "darker than 100% of the training images"),
        (lambda picture: 255 - 0.3 * (255 - picture), "brighter than 100% of the training images"),
        (lambda picture: picture + np.random.default_rng(0).normal(0, 60, picture.shape), "rougher at fine scale"),
    ],
)
def test_what_looks_different_is_far_and_described(change, words):
    reference, like = InputReference(measure_crops(crops(200, 0))), crops(50, 1)
    changed = np.clip(change(like.astype(float)), 0, 255).astype(np.uint8)
    assert reference.scores(measure_crops(changed)).max() < np.quantile(reference.scores(measure_crops(like)), 0.02)
    assert words in reference.describe(measure_crop(changed[0]))
