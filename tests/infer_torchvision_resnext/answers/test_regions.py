import numpy as np
import pytest

from infer_torchvision_resnext.answers.regions import GraphicsItem, Region, regions_of, view


def rectangle(*box):
    return GraphicsItem("RECTANGLE", box)


def polygon(*box):
    return GraphicsItem("POLYGON", box)


def text(words):
    return GraphicsItem("TEXT", (0, 0, 0, 0), words)


def test_a_detectors_boxes_keep_label_and_id():
    items = [rectangle(1, 2, 30, 40), text("cat #7: 0.500000"), rectangle(5, 6, 7, 8), text("a #3 b: c #-1: 1.000000")]
    assert regions_of(items) == [Region((1, 2, 30, 40), 7, "cat"), Region((5, 6, 7, 8), -1, "a #3 b: c")]


def test_an_instance_with_box_and_outlines_is_one_object():
    items = [rectangle(20, 10, 30, 35), polygon(20, 40, 5, 5), polygon(20, 10, 30, 20), text("cat #3: 0.750000")]
    assert regions_of(items) == [Region((20, 10, 30, 35), 3, "cat")]


def test_an_instance_with_outlines_only_is_what_encloses_them():
    items = [polygon(20, 40, 5, 5), GraphicsItem("COMPLEX_POLYGON", (22, 10, 30, 20)), text("cat #4: 0.750000")]
    assert regions_of(items) == [Region((20, 10, 32, 35), 4, "cat")]


def test_items_without_a_detectors_text_are_an_object_each():
    items = [rectangle(0, 0, 5, 5), text("a remark"), polygon(1, 1, 9, 9), GraphicsItem("ELLIPSE", (2, 2, 4, 4))]
    assert [(region.box_xywh, region.object_id) for region in regions_of(items)] == [
        ((0, 0, 5, 5), 0),
        ((1, 1, 9, 9), 1),
        ((2, 2, 4, 4), 2),
    ]


def test_hand_drawn_items_after_detections_get_ids_of_their_own():
    items = [rectangle(0, 0, 5, 5), text("cat #8: 0.5"), rectangle(1, 1, 9, 9)]
    assert [region.object_id for region in regions_of(items)] == [8, 9]


@pytest.mark.parametrize("box", [(float("nan"), 0, 5, 5), (0, 0, float("inf"), 5)])
def test_a_box_that_is_not_finite_has_no_extent(box):
    assert regions_of([rectangle(*box)]) == [Region((0, 0, 0, 0), 0, has_id=False)]
    assert regions_of([rectangle(*box), text("cat #2: 0.5")]) == [Region((0, 0, 0, 0), 2, "cat")]


def test_points_lines_and_texts_are_no_objects():
    assert (
        regions_of([GraphicsItem("POINT", (1, 1, 0, 0)), GraphicsItem("POLYLINE", (0, 0, 9, 9)), text("x #1: 0.5")])
        == []
    )
    assert regions_of([]) == []


@pytest.mark.parametrize(
    ("box", "margin", "pixels"),
    [
        ((10, 20, 30, 40), 0, (10, 20, 30, 40)),
        ((0, 0, 100, 80), 0, (0, 0, 100, 80)),
        ((90, 70, 10, 10), 0, (90, 70, 10, 10)),
        ((90, 70, 50, 50), 0, (90, 70, 10, 10)),
        ((-5, -6, 15, 16), 0, (0, 0, 10, 10)),
        ((10.6, 20.4, 5.1, 5.1), 0, (10, 20, 6, 6)),
        ((40, 40, 20, 10), 0.5, (30, 35, 40, 20)),
        ((0, 0, 20, 10), 1, (0, 0, 40, 20)),
        ((98, 0, 2, 2), 0, (98, 0, 2, 2)),
        ((99, 0, 1, 50), 0, None),
        ((10, 10, 1, 1), 0, None),
        ((10, 10, 0, 0), 0, None),
        ((10, 10, -5, 5), 0, None),
        ((200, 10, 50, 50), 0, None),
        ((-50, 10, 50, 50), 0, None),
    ],
)
def test_a_box_is_cut_to_a_frame_of_100_by_80(box, margin, pixels):
    assert Region(box, 0).pixels(100, 80, margin) == pixels


def test_a_view_shares_the_frames_memory():
    frame = np.arange(80 * 100 * 3, dtype=np.uint8).reshape(80, 100, 3)
    seen = view(frame, (90, 70, 10, 10))
    assert np.shares_memory(seen, frame)
    assert np.array_equal(seen, frame[70:80, 90:100])


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (
            [rectangle(0, 0, 5, 5), rectangle(9, 9, 4, 4), text("cat #3: 0.75")],
            [Region((9, 9, 4, 4), 3, "cat"), Region((0, 0, 5, 5), 4, has_id=False)],
        ),
        (
            [rectangle(0, 0, 5, 5), polygon(1, 1, 2, 2), rectangle(9, 9, 4, 4), polygon(9, 9, 2, 2), text("a #1: 0.5")],
            [Region((9, 9, 4, 4), 1, "a"), Region((0, 0, 5, 5), 2, has_id=False)],
        ),
        (
            [rectangle(0, 0, 5, 5), text("a #1: 0.5"), rectangle(1, 0, 5, 5), rectangle(2, 0, 5, 5), text("b #2: 0.5")],
            [Region((0, 0, 5, 5), 1, "a"), Region((2, 0, 5, 5), 2, "b"), Region((1, 0, 5, 5), 3, has_id=False)],
        ),
        (
            [polygon(1, 1, 9, 9), rectangle(0, 0, 20, 20), text("cat #3: 0.75")],
            [Region((0, 0, 20, 20), 3, "cat")],
        ),
    ],
)
def test_two_boxes_before_one_caption_are_two_objects(items, expected):
    """The caption is that of the last; the first was drawn without one."""
    assert regions_of(items) == expected
