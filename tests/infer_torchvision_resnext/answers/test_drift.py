import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from infer_torchvision_resnext.answers.drift import Drift

Z = 2.5758293
"""99 % of a normal distribution lie within so many deviations."""

KNOWN_SCORES = np.repeat(np.float32([8, 12]), 50)
"""Mean 10, deviation 2, so that validation's mean is known to 0.2 * Z."""

UNKNOWN = np.arange(100) == 0
RANDOM = np.random.default_rng(0)


def after(*frames, window=None):
    drift = Drift(window or len(frames), KNOWN_SCORES, UNKNOWN)
    for score, unknown in frames:
        drift.see([(score, unknown)])
    return drift


def alternately(first, second, count):
    return [(first, False), (second, False)] * (count // 2)


def test_the_mean_known_score_lies_within_validations_spread():
    found = after(*alternately(9, 11, 100))
    figure = found.to_dict()["known_score"]
    assert figure["value"] == 10
    assert figure["expected"] == pytest.approx([10 - 0.2 * Z, 10 + 0.2 * Z])
    assert figure["interval"] == pytest.approx([10 - 0.2 * Z, 10 + 0.2 * Z])
    assert found.to_dict()["independent_images"] == 100
    assert (found.notes(), found.to_dict()["alarm"]) == ([], False)


def test_images_that_are_like_their_neighbors_count_less():
    # Off validation's mean by -3, -1, -3, -1: 9 + 1 + 9 + 1 = 20 and 3 * 3 = 9, a likeness of 0.45.
    found = after(*alternately(7, 9, 4)).to_dict()
    independent = 4 * 0.55 / 1.45
    assert found["independent_images"] == pytest.approx(independent)
    reach = Z * 2 / math.sqrt(independent)
    assert found["known_score"]["interval"] == pytest.approx([8 - reach, 8 + reach])


def test_the_share_of_unknown_has_wilsons_interval():
    frames = [(score, place % 4 == 0) for place, (score, _) in enumerate(alternately(9, 11, 40))]
    figure = after(*frames).to_dict()["unknown"]
    assert figure["value"] == 0.25
    assert figure["interval"] == pytest.approx(list(binomtest(10, 40).proportion_ci(0.99, "wilson")))
    assert figure["expected"] == pytest.approx(list(binomtest(1, 100).proportion_ci(0.99, "wilson")))


def test_more_unknown_images_than_validation_had_are_an_alarm():
    frames = [(score, place % 4 == 0) for place, (score, _) in enumerate(alternately(9, 11, 100))]
    found = after(*frames)
    assert found.to_dict()["alarm"] is True
    (note,) = found.notes()
    assert note.startswith("drift: more are unknown than of validation's")


@pytest.mark.parametrize(("mean", "word"), [(8.5, "less"), (11.5, "more")])
def test_images_that_are_otherwise_like_what_was_learned_are_an_alarm(mean, word):
    found = after(*[(score, False) for score in RANDOM.normal(mean, 2, 200)])
    (note,) = found.notes()
    assert note.startswith(f"drift: images are {word} like what was learned than validation's")


def test_images_like_validations_are_none():
    drift = Drift(100, KNOWN_SCORES, UNKNOWN)
    for score, unknown in zip(RANDOM.normal(10, 2, 3000), RANDOM.random(3000) < 0.01, strict=True):
        drift.see([(score, bool(unknown))])
        assert drift.notes() == []


@pytest.mark.parametrize(("score", "alarms"), [(6.0, 0), (14.0, 0), (4.0, 1)])
def test_a_film_of_one_object_is_one_image(score, alarms):
    """Two deviations off the mean some known objects are, three hardly any."""
    found = after(*[(score, False)] * 500)
    assert found.to_dict()["independent_images"] == 1
    assert len(found.notes()) == alarms


def test_a_frame_counts_once_by_the_means_of_its_objects():
    drift = Drift(2, KNOWN_SCORES, UNKNOWN)
    drift.see([(6, True), (10, False), (11, False), (13, False)])
    drift.see([])
    drift.see([(8, False)])
    found = drift.to_dict()
    assert (found["images"], found["known_score"]["value"], found["unknown"]["value"]) == (2, 9, 0.125)


def test_nothing_is_said_before_the_window_is_full_and_the_oldest_leave_it():
    drift = after(*[(-50.0, True)] * 3, window=4)
    assert drift.notes() == []
    assert json.loads(json.dumps(drift.to_dict())) == {
        "window": 4,
        "images": 3,
        "independent_images": 1,
        "known_score": None,
        "unknown": None,
        "alarm": False,
    }
    drift.see([(-50.0, True)])
    assert len(drift.notes()) == 2
    for score, _ in alternately(9, 11, 4):
        drift.see([(score, False)])
    assert drift.notes() == []
