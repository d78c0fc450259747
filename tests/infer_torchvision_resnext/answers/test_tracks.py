import math
from dataclasses import replace

import numpy as np
import pytest

from infer_torchvision_resnext.answers.predictions import Doubt, Prediction, top_k
from infer_torchvision_resnext.answers.regions import Region
from infer_torchvision_resnext.answers.tracks import FORGOTTEN_AFTER, FULL, JUMPED, MOST, NO_ID, Moment, Tracks

TOO_SMALL = Prediction.unreadable("too small to read")


def frame(number, file="film.avi", size=(160, 120)):
    return Moment(file, number, size)


def at(x, object_id=7, **other):
    """An object of 10 x 20 pixels."""
    return Region((x, 50, 10, 20), object_id, **other)


def says(ant, score=None, unlike=False):
    """A frame's prediction: ant or bee."""
    probabilities = np.array([ant, 1 - ant])
    (prediction,) = top_k(probabilities[None], ("ant", "bee"), 2)
    doubt = Doubt("unlike", "unlike what was learned") if unlike else None
    return replace(prediction.judged(doubt, score), distribution=probabilities)


def follow(tracks, *predictions):
    """One object that stands still, from frame 0 on; what is known after the last one."""
    for number, prediction in enumerate(predictions):
        (found,) = tracks.follow(frame(number), [at(0)], [prediction], np.argmax)
    return found


def test_after_one_frame_it_is_what_the_frame_says():
    found = follow(Tracks(10), says(0.8, score=3.5))
    assert np.exp(found.log_probabilities) == pytest.approx([0.8, 0.2])
    assert (found.frames, found.answer, found.known_score) == (1, 0, 3.5)


def test_log_probabilities_are_summed_and_each_frame_counts_half_of_the_next():
    # 0.5 ln 4 + ln 1.5 = ln 3 in all, with a weight of 1.5.
    found = follow(Tracks(2), says(0.8, score=1), says(0.6, score=4))
    ant, bee = found.log_probabilities
    assert ant - bee == pytest.approx(math.log(3) / 1.5)
    assert found.known_score == pytest.approx((0.5 * 1 + 4) / 1.5)
    assert found.frames == 2


def test_the_same_frame_again_and_again_makes_no_surer():
    found = follow(Tracks(10), *[says(0.7)] * 50)
    assert np.exp(found.log_probabilities) == pytest.approx([0.7, 0.3])


def test_an_answer_changes_only_when_another_leads_by_three_to_one():
    tracks = Tracks(2)
    # 0.5 ln 1.5 - ln (7/3) = -0.645: the bee leads, by less than ln 3 = 1.099.
    held = follow(tracks, says(0.6), says(0.3))
    assert held.answer == 0
    assert held.log_probabilities[1] > held.log_probabilities[0]
    # -0.645 / 2 - 0.847 = -1.170
    (changed,) = tracks.follow(frame(2), [at(0)], [says(0.3)], np.argmax)
    assert changed.answer == 1


def test_a_stray_frame_does_not_change_the_answer():
    # 0.9 for ten frames is a lead of 14.3 nats; 0.99 for the bee takes 4.6 off what is left of it.
    assert follow(Tracks(10), *[says(0.9)] * 10, says(0.01)).answer == 0
    assert follow(Tracks(1), *[says(0.9)] * 10, says(0.01)).answer == 1


def test_a_probability_of_zero_rules_nothing_out():
    found = follow(Tracks(1), says(1.0), says(0.0))
    assert np.isfinite(found.log_probabilities).all()
    assert found.answer == 1


def test_frames_unlike_anything_learned_count_for_the_score_and_for_no_class():
    found = follow(Tracks(2), says(0.8, score=6), says(0.01, score=-3, unlike=True))
    assert np.exp(found.log_probabilities) == pytest.approx([0.8, 0.2])
    assert (found.frames, found.answer, found.known_score) == (2, 0, pytest.approx(0))
    nothing_else = follow(Tracks(2), says(0.01, score=-3, unlike=True))
    assert (nothing_else.frames, nothing_else.log_probabilities, nothing_else.known_score) == (1, None, -3)


def test_frames_that_are_too_small_to_read_say_nothing():
    found = follow(Tracks(2), says(0.8), TOO_SMALL, TOO_SMALL)
    assert np.exp(found.log_probabilities) == pytest.approx([0.8, 0.2])
    assert (found.frames, found.answer) == (1, 0)
    assert follow(Tracks(2), TOO_SMALL).log_probabilities is None


def test_each_object_has_frames_of_its_own_in_whatever_order_they_come():
    tracks = Tracks(10)
    tracks.follow(frame(0), [at(0, 3), at(50, 5)], [says(0.9), says(0.2)], np.argmax)
    five, three = tracks.follow(frame(1), [at(50, 5), at(0, 3)], [says(0.2), says(0.9)], np.argmax)
    assert np.exp(five.log_probabilities) == pytest.approx([0.2, 0.8])
    assert np.exp(three.log_probabilities) == pytest.approx([0.9, 0.1])
    assert tracks.notes == []


@pytest.mark.parametrize(
    ("regions", "followed"),
    [
        ([at(0, 0), at(50, 0)], [False, False]),
        ([at(0, 0, has_id=False), at(50, 1, has_id=False)], [False, False]),
        ([at(0, 0), at(50, 0), at(90, 4)], [False, False, True]),
        ([at(0, 0), at(50, 1, has_id=False)], [True, False]),
    ],
)
def test_objects_that_no_id_tells_apart_are_not_merged(regions, followed):
    tracks = Tracks(10)
    for number in range(2):
        found = tracks.follow(frame(number), regions, [says(0.9)] * len(regions), np.argmax)
        assert [each is not None for each in found] == followed
        assert tracks.notes == [NO_ID]
    tracks.follow(frame(2), [at(0, 0)], [says(0.9)], np.argmax)
    assert tracks.notes == []


@pytest.mark.parametrize(
    ("way", "frames", "same"), [(10, 1, True), (11, 1, False), (30, 3, True), (31, 3, False), (-10, 1, True)]
)
def test_an_object_moves_by_at_most_its_size_a_frame(way, frames, same):
    tracks = Tracks(10)
    tracks.follow(frame(0), [at(100)], [says(0.9)], np.argmax)
    for number in range(1, frames):
        tracks.follow(frame(number), [], [], np.argmax)
    (found,) = tracks.follow(frame(frames), [at(100 + way)], [says(0.2)], np.argmax)
    assert found.frames == (2 if same else 1)
    assert tracks.notes == ([] if same else [JUMPED])


def test_the_way_is_that_of_the_middle_and_the_size_the_larger_one():
    tracks = Tracks(10)
    tracks.follow(frame(0), [Region((0, 0, 10, 10), 7)], [says(0.9)], np.argmax)
    # Its middle went from 5, 5 to 40, 5.
    (grown,) = tracks.follow(frame(1), [Region((5, 0, 70, 10), 7)], [says(0.9)], np.argmax)
    assert grown.frames == 2


def test_an_object_that_was_long_away_starts_again():
    for away, frames in ((FORGOTTEN_AFTER - 1, 2), (FORGOTTEN_AFTER, 1)):
        tracks = Tracks(10)
        tracks.follow(frame(0), [at(0)], [says(0.9)], np.argmax)
        for number in range(away):
            tracks.follow(frame(number), [], [], np.argmax)
        (found,) = tracks.follow(frame(away), [at(0)], [says(0.9)], np.argmax)
        assert found.frames == frames


def test_all_objects_of_a_frame_are_kept_however_many_they_are():
    tracks = Tracks(10)
    crowd = [at(0, object_id) for object_id in range(3 * MOST)]
    for number in range(2):
        pooled = tracks.follow(frame(number), crowd, [says(0.9)] * len(crowd), np.argmax)
        assert {each.frames for each in pooled} == {number + 1}
        assert tracks.notes == []


def test_objects_that_left_are_forgotten_early_when_there_are_too_many_and_a_note_says_so():
    tracks = Tracks(10)
    crowd = [at(0, object_id) for object_id in range(MOST)]
    tracks.follow(frame(0), crowd, [says(0.9)] * len(crowd), np.argmax)
    newcomers = [at(0, MOST), at(0, MOST + 1)]
    tracks.follow(frame(1), newcomers, [says(0.9)] * 2, np.argmax)
    assert tracks.notes == [FULL]
    back = [crowd[1], crowd[2], newcomers[0]]
    forgotten, kept, newcomer = tracks.follow(frame(2), back, [says(0.9)] * 3, np.argmax)
    assert (forgotten.frames, kept.frames, newcomer.frames) == (1, 2, 2)


@pytest.mark.parametrize(
    ("moment", "same"),
    [
        (frame(6), True),
        (frame(5), True),  # once more
        (frame(9), True),  # frames were left out
        (frame(4), False),
        (frame(0), False),
        (frame(6, file="other.avi"), False),
        (frame(6, size=(120, 160)), False),
    ],
)
def test_another_film_starts_again(moment, same):
    tracks = Tracks(10)
    tracks.follow(frame(5), [at(0)], [says(0.9)], np.argmax)
    (found,) = tracks.follow(moment, [at(0)], [says(0.9)], np.argmax)
    assert found.frames == (2 if same else 1)
