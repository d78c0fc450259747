import numpy as np
import pytest

from infer_torchvision_resnext.answers.predictions import Doubt, Prediction
from infer_torchvision_resnext.drawing.annotation import (
    GREY,
    SMALLEST_PICTURE,
    Annotation,
    caption,
    color_of,
    colors_of,
    draw,
    host_font_size,
)


def prediction(label="tabby cat", probability=0.9312, index=3):
    return Prediction((index,), (label,), (probability,), label)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (prediction(), "tabby cat 93.1 %"),
        (prediction(probability=1.0), "tabby cat 100.0 %"),
        (prediction(label="a" * 50), "a" * 29 + "... 93.1 %"),
        (prediction(label="Käfer"), "Käfer 93.1 %"),
        (prediction().judged(Doubt("unlike", "its score is 1")), "unknown: tabby cat? 93 %"),
        (prediction().judged(Doubt("imprecise", "below 0.95")), "unknown: tabby cat? 93 %"),
        (prediction(label="a" * 50).judged(Doubt("unsure", "")), "unknown: " + "a" * 29 + "...? 93 %"),
        (Prediction.unreadable("less than 2 pixels"), "unknown (too small)"),
    ],
)
def test_captions_are_short_and_readable(what, text):
    assert caption(what) == text


def test_colors_are_stable_apart_and_dark_enough_for_white_text():
    assert colors_of("abc") == [list(color_of(index)) for index in range(3)]
    assert color_of(None) == GREY
    assert len({color_of(index) for index in range(100)}) > 95
    for index in range(1000):
        neighbors = np.subtract(color_of(index), color_of(index + 1))
        assert np.abs(neighbors).max() > 60
        assert max(color_of(index)) < 200


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (32, 32), (1, 4000), (4000, 1), (200, 300), (3000, 4000)])
def test_a_caption_is_drawn_whole_on_any_image(shape):
    image = np.full((*shape, 3), 128, np.uint8)
    annotation = Annotation.of(prediction())
    picture = draw(image, [annotation])
    assert picture.dtype == np.uint8
    assert max(picture.shape) >= SMALLEST_PICTURE
    rows, columns = np.nonzero((picture == annotation.color).all(axis=2))
    label = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert label.shape[0] >= 18
    assert label.shape[1] >= 100
    # Letters are there, and the label's own border is not cut off at any side.
    assert (label == 255).all(axis=2).sum() > 50
    for side in (label[0], label[-1], label[:, 0], label[:, -1]):
        assert (side == annotation.color).all()
    # The image itself is still there, too.
    assert (picture == 128).all(axis=2).any()


@pytest.mark.parametrize(
    "box", [(0, 0, 40, 30), (260, 170, 40, 30), (-20, -20, 60, 60), (299, 199, 1, 1), (0, 0, 300, 200)]
)
def test_a_box_and_its_caption_stay_in_the_picture(box):
    image = np.full((200, 300, 3), 128, np.uint8)
    annotation = Annotation.of(prediction(), box)
    picture = draw(image, [annotation])
    scale = picture.shape[0] // 200
    assert picture.shape == (200 * scale, 300 * scale, 3)
    assert (picture == 255).all(axis=2).sum() > 50
    assert (image == 128).all()


@pytest.mark.parametrize(
    "image",
    [
        np.full((400, 400), 9, np.uint8),
        np.full((400, 400, 4), 9, np.uint8),
        np.full((400, 400, 3), 9 * 257, np.uint16),
        np.full((400, 400, 3), 9 / 255, np.float32),
    ],
)
def test_any_image_becomes_a_picture(image):
    picture = draw(image, [])
    assert picture.shape == (400, 400, 3)
    assert (picture == 9).all()


@pytest.mark.parametrize(("width", "height"), [(32, 32), (640, 480), (12000, 9000), (4000, 20)])
def test_the_hosts_text_fits_the_width(width, height):
    import cv2

    text = "tabby cat 93.1 %"
    size = host_font_size(text, width, height)
    (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size / 30, 1)
    assert size >= 1
    assert text_width <= width


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("scale", [1, 8])
def test_what_was_seen_has_an_outline_on_any_ground(level, scale):
    # Enlarged 8 times, or not.
    image = np.full((320 // scale, 240 // scale, 3), level, np.uint8)
    x, y, width, height = seen = (40 // scale, 80 // scale, 160 // scale, 160 // scale)
    picture = draw(image, [], seen=[seen])
    assert picture.shape == (320, 240, 3)
    (rows, columns) = np.nonzero((picture != level).any(axis=2))
    left, top, right, bottom = (scale * each for each in (x, y, x + width, y + height))
    # On a side as black or as white as the ground, the other line is what shows.
    for found, ends in ((columns, (left, right - 1)), (rows, (top, bottom - 1))):
        assert np.abs(np.array([found.min(), found.max()]) - ends).max() <= 1
    assert (picture[top + 3 : bottom - 3, left + 3 : right - 3] == level).all()
    middle = picture[(top + bottom) // 2, left : left + 2, 0]
    assert middle.tolist() == [0, 255]


@pytest.mark.parametrize("side", [40, 400])
def test_a_map_covers_the_image_the_more_the_larger_it_is(side):
    heat = np.zeros((side, side), np.uint8)
    heat[:, : side // 2] = np.linspace(255, 0, side // 2)
    black, white = (draw(np.full((side, side, 3), level, np.uint8), [], heat).astype(int) for level in (0, 255))
    row = len(black) // 2
    seen = (white - black)[row]
    assert np.abs(seen[0] - 0.3 * 255).max() <= 2
    assert (np.diff(seen, axis=0) >= -1).all()
    assert (seen[-len(seen) // 3 :] == 255).all()
    assert np.abs(black[row, 0] - 0.7 * np.array([255, 40, 60])).max() <= 2
