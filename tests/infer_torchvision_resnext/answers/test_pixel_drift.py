import numpy as np
import pytest

from infer_torchvision_resnext.answers.drift import Drift
from infer_torchvision_resnext.answers.pixel_drift import PixelDrift

RANDOM = np.random.default_rng(0)
MOMENTS = np.array([np.full(13, 2.0), np.full(13, 3.0)], np.float32)
"""Mean and standard deviation."""


def watched(rows, window=100):
    drift = PixelDrift(window, MOMENTS, 200)
    for row in rows:
        drift.see([row])
    return drift.differences()


def images(count, seed):
    return np.random.default_rng(seed).normal(2, 3, (count, 13)).astype(np.float32)


def test_images_like_those_of_validation_raise_no_alarm():
    for seed in range(30):
        assert watched(images(100, seed)) == []


@pytest.mark.parametrize(("places", "shift", "words"), [([0, 1, 2], -4, "darker"), ([0, 1, 2], 4, "brighter")])
def test_a_shift_of_all_colors_is_brightness(places, shift, words):
    rows = images(100, 1)
    rows[:, places] += shift
    assert watched(rows[:99]) == []
    assert watched(rows) == [words]


def test_a_statistic_that_is_always_the_same_is_noticed_though_no_image_is_unusual_by_itself():
    rows = images(100, 2)
    rows[:, 6] = 2 - 1.2 * 3
    assert watched(rows) == ["less colorful"]


def test_a_film_of_one_object_is_little_evidence():
    film = images(1, 3) + np.random.default_rng(4).normal(0, 0.05, (100, 13))
    assert watched(film.astype(np.float32)) == []


def test_drift_notes_name_what_differs():
    drift = Drift(100, np.random.default_rng(0).normal(0, 1, 200).astype(np.float32), np.zeros(200, bool), MOMENTS)
    rows = images(100, 1)
    rows[:, :3] -= 4
    for row, score in zip(rows, np.random.default_rng(1).normal(0, 1, 100), strict=True):
        drift.see([(float(score), False)], [row])
    assert drift.notes() == [
        "drift: images are darker than the validation images; trust.drift in output 4 tells by how much"
    ]
    assert drift.to_dict()["pixels"] == ["darker"]
    assert drift.to_dict()["alarm"]
