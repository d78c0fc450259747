import numpy as np
import pytest

from infer_torchvision_resnext.answers.activation_map import ActivationMap, Mapper, heat_of, seen_of
from infer_torchvision_resnext.resnext.host.schema import ParameterError
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing

LABELS = ("ant", "bee", "cat")
WEIGHT = np.array([[1, 0], [0, 2], [-1, 1]], np.float32)
BIAS = np.array([0.5, 0, -1], np.float32)
ACTIVATIONS = np.array([[[1, 2], [3, 4]], [[0, 1], [0, 5]]], np.float32)


@pytest.mark.parametrize(
    ("map_class", "best", "label", "bias", "values"),
    [
        ("", 0, "ant", 0.5, [[1, 2], [3, 4]]),
        ("", 1, "bee", 0.0, [[0, 2], [0, 10]]),
        ("cat", 0, "cat", -1.0, [[-1, -1], [-3, 1]]),
    ],
)
def test_a_map_is_of_the_best_class_or_of_the_chosen_one(map_class, best, label, bias, values):
    found = Mapper(LABELS, WEIGHT, BIAS, map_class).of(ACTIVATIONS, best)
    assert found.to_dict() == {"label": label, "index": LABELS.index(label), "bias": bias, "values": values}
    logit = WEIGHT[found.index] @ ACTIVATIONS.mean((1, 2)) + bias
    assert found.values.mean() + found.bias == pytest.approx(logit)


def test_a_class_that_the_model_does_not_know_is_refused_and_some_are_named():
    with pytest.raises(ParameterError, match=r"map_class = 'dog': must be one of .* \(ant, bee, cat\), or empty"):
        Mapper(LABELS, WEIGHT, BIAS, "dog")
    many = tuple(f"class {index}" for index in range(1000))
    with pytest.raises(ParameterError, match=r"\(class 0, .*, class 9 and 990 more\)"):
        Mapper(many, WEIGHT, BIAS, "dog")


def map_of(values):
    return ActivationMap("ant", 0, 0.0, np.array(values, np.float32))


def test_a_spot_lies_where_its_cell_is_centered():
    # The square shows rows 8 to 56 and columns 40 to 88 of 64 x 128 pixels; every 8th pixel of it has a cell.
    values = np.zeros((6, 6))
    values[1, 4] = 3
    values[5, 0] = -7
    heat = heat_of([(map_of(values), (0, 0, 128, 64))], Preprocessing(64, 48), 128, 64)
    assert (heat.shape, heat.dtype) == ((64, 128), np.uint8)
    assert np.argwhere(heat == 255).tolist() == [[8 + 8, 40 + 4 * 8]]
    # It reaches to the next cells, and what speaks against the class is not shown.
    rows, columns = np.nonzero(heat)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (9, 23, 65, 79)


@pytest.mark.parametrize(("side", "cells"), [(224, 7), (225, 8), (100, 4), (32, 4), (36, 5), (36, 9)])
def test_between_the_pixels_that_cells_are_centered_on_it_is_linear(side, cells):
    values = np.random.default_rng(0).uniform(0, 9, (cells, cells)).astype(np.float32)
    heat = heat_of([(map_of(values), (0, 0, side, side))], Preprocessing(side, side), side, side)
    stride = next(2**power for power in range(9) if -(-side // 2**power) == cells)
    centers, pixels = np.arange(cells) * stride, np.arange(side)
    across = np.array([np.interp(pixels, centers, row) for row in values])
    exact = np.array([np.interp(pixels, centers, column) for column in across.T]).T
    assert np.abs(heat - exact * 255 / values.max()).max() < 1.5


def test_what_is_seen_ends_with_the_view():
    # Multiplied and divided, 29 rows come to a hair more.
    for height in range(1, 300):
        left, top, width, seen_height = seen_of((3, 5, 4000, height), Preprocessing(224, 224))
        assert (top, seen_height) == (5, height)
        assert 3 < left < left + width < 4003


@pytest.mark.parametrize("size", [(100, 300), (300, 100), (37, 37), (5, 900), (4000, 1), (2, 2), (1, 1)])
def test_a_map_covers_what_the_square_shows_of_any_frame(size):
    width, height = size
    preprocessing = Preprocessing(256, 224)
    heat = heat_of([(map_of(np.ones((7, 7))), (0, 0, width, height))], preprocessing, width, height)
    x, y, *extent = seen_of((0, 0, width, height), preprocessing)
    for axis, (shown, first, count) in enumerate(
        zip(preprocessing.shown(height, width), (y, x), extent[::-1], strict=True)
    ):
        (hot,) = np.nonzero(heat.any(axis=1 - axis))
        assert (hot.min(), hot.max() + 1) == (np.floor(shown.start), np.ceil(shown.stop))
        assert (first, first + count) == (hot.min(), hot.max() + 1)
    assert np.unique(heat[heat > 0]).tolist() == [255]


def test_each_object_has_its_own_scale_and_where_they_overlap_the_larger_value_stands():
    square = Preprocessing(32, 32)
    strong, weak = map_of([[100.0]]), map_of([[0.0, 1.0]] * 2)
    heat = heat_of([(strong, (0, 0, 10, 10)), (weak, (5, 0, 20, 20))], square, 40, 30)
    assert (heat[:10, :10] == 255).all()
    assert heat[5, 10:25].tolist() == sorted(heat[5, 10:25])
    # The larger cell is centered on the middle of its object, the smaller one on its first pixel.
    assert heat[15, 5] < 10
    assert (heat[15, 16:25] == 255).all()
    assert not heat[20:].any()
    assert not heat[:, 25:].any()


def test_a_map_without_anything_that_speaks_for_the_class_is_dark():
    assert not heat_of([(map_of([[-1.0, 0], [-3, -2]]), (0, 0, 9, 9))], Preprocessing(32, 32), 9, 9).any()
    assert not heat_of([], Preprocessing(32, 32), 9, 9).any()
