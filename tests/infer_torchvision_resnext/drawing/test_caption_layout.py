"""Captions of many boxes: where they stand, and that none covers another."""

import itertools

import numpy as np
import pytest

from infer_torchvision_resnext.answers.predictions import Doubt, Prediction
from infer_torchvision_resnext.drawing.annotation import Annotation, caption, draw, placed_captions
from infer_torchvision_resnext.drawing.caption_layout import Layout, Place

LABELS = ("American Staffordshire terrier, Staffordshire terrier", "ants", "German short-haired pointer", "tabby cat")


def crowd(count, width, height, sides=(20, 80)):
    """So many boxes at random, with long and short labels; every fifth object is unknown."""
    random = np.random.default_rng(count)
    annotations = []
    for number in range(count):
        box_width, box_height = random.uniform(*sides, 2)
        box = (random.uniform(0, width - box_width), random.uniform(0, height - box_height), box_width, box_height)
        label = LABELS[number % len(LABELS)]
        prediction = Prediction((number,), (label,), (random.uniform(0.3, 1),), label)
        annotations.append(
            Annotation.of(prediction.judged(Doubt("unlike", "")) if number % 5 == 0 else prediction, box)
        )
    return annotations


def overlapping(rectangles):
    return [
        (one, other)
        for one, other in itertools.combinations(rectangles, 2)
        if one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    ]


@pytest.mark.parametrize(
    ("count", "width", "height", "sides", "all_drawn"),
    [
        (12, 640, 427, (20, 80), True),
        (40, 640, 427, (20, 80), True),
        (40, 1280, 854, (40, 200), True),
        (150, 640, 427, (20, 80), False),
    ],
)
def test_no_caption_covers_another(count, width, height, sides, all_drawn):
    annotations = crowd(count, width, height, sides)
    marks = [(annotation, annotation.box_xywh) for annotation in annotations]
    captions = placed_captions(marks, (width, height))
    rectangles = [rectangle for _, rectangle in captions]
    assert overlapping(rectangles) == []
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in rectangles)
    texts = [annotation.text for annotation, _ in captions]
    omitted = count - len([text for text in texts if "left out" not in text])
    assert (f"{omitted} captions left out" in texts) == (not all_drawn)
    assert (omitted == 0) == all_drawn
    assert placed_captions(marks, (width, height)) == captions


def test_all_captions_of_a_crowd_are_seen_in_the_picture():
    """Each caption's ground has the color of its box, to its corners: nothing was drawn over it."""
    annotations = crowd(40, 640, 427)
    picture = draw(np.full((427, 640, 3), 255, np.uint8), annotations)
    captions = placed_captions([(annotation, annotation.box_xywh) for annotation in annotations], (640, 427))
    assert len(captions) == 40
    for annotation, (_, (x, y, width, height)) in zip(annotations, captions, strict=True):
        drawn = picture[y : y + height, x : x + width]
        for corner in (drawn[0, 0], drawn[0, -1], drawn[-1, 0], drawn[-1, -1]):
            assert tuple(corner) == annotation.color
        assert set(map(tuple, drawn[[0, -1]].reshape(-1, 3))) == {annotation.color}


def place(*boxes, sizes=((40, 10), (20, 10)), picture=(200, 100), taken=()):
    return Layout(boxes, [sizes] * len(boxes), picture).place(taken)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((50, 50, 60, 30), Place(0, 50, 40)),  # above
        ((50, 0, 60, 30), Place(0, 50, 30)),  # at the upper border: below
        ((50, 8, 60, 30), Place(0, 50, 0)),  # a little below it: above all the same
        ((50, 0, 60, 100), Place(0, 110, 0)),  # from border to border: beside
        ((0, 0, 200, 100), Place(0, 0, 0)),  # all of the picture: inside
        ((190, 50, 10, 30), Place(0, 160, 40)),  # at the right border: shifted
    ],
)
def test_a_caption_stands_where_it_hides_least(box, expected):
    assert place(box) == [expected]


def test_captions_are_shortened_together_and_left_out_last():
    box = (0, 50, 40, 10)
    assert [each.text for each in place(box, (45, 50, 40, 10), picture=(90, 100))] == [0, 0]
    # One row of 45 pixels above the boxes and one below: of three long texts two fit.
    three = [(0, 10, 45, 5)] * 3
    assert [each.text for each in place(*three, picture=(45, 25))] == [1, 1, 1]
    assert place(*three, picture=(20, 10)) == [Place(1, 0, 0), None, None]
    assert place(*three, picture=(20, 10), taken=[(0, 0, 1, 1)]) == [None, None, None]


def test_the_shortest_caption_is_the_answer_alone():
    known = Prediction((3,), (LABELS[0],), (0.9312,), LABELS[0])
    unknown = known.judged(Doubt("unlike", ""))
    assert Annotation.of(known).shorter == ("American Staf... 93.1 %", "Ameri... 93.1 %", "Ameri...")
    assert Annotation.of(unknown).shorter == ("unknown: American Staf...? 93 %", "unknown: Ameri...? 93 %", "unknown")
    assert caption(known, 8) == "Ameri... 93.1 %"


def test_without_boxes_there_is_nothing_to_place():
    assert placed_captions([], (10, 10)) == []
