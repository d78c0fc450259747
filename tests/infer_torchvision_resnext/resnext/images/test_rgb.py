import numpy as np
import pytest

from infer_torchvision_resnext.resnext.images.rgb import ImageError, to_rgb


@pytest.mark.parametrize(
    ("pixel", "dtype", "rgb"),
    [
        ([7], np.uint8, [7, 7, 7]),
        ([7, 99], np.uint8, [7, 7, 7]),
        ([1, 2, 3], np.uint8, [1, 2, 3]),
        ([1, 2, 3, 99], np.uint8, [1, 2, 3]),
        ([0, 65535, 257], np.uint16, [0, 255, 1]),
        ([128, 129, 385], np.uint16, [0, 1, 1]),
        ([0.0, 0.5, 1.0], np.float32, [0, 128, 255]),
        ([0.0, 1 / 255, 1.0005], np.float64, [0, 1, 255]),
        ([0.25], np.float16, [64, 64, 64]),
        ([True], np.bool_, [255, 255, 255]),
    ],
)
def test_a_pixel_means_the_same_in_any_type(pixel, dtype, rgb):
    image = np.tile(np.array(pixel, dtype), (2, 3, 1))
    converted = to_rgb(image)
    assert converted.dtype == np.uint8
    assert converted.tolist() == [[rgb] * 3] * 2


def test_a_gray_image_without_a_channel_axis():
    assert to_rgb(np.full((4, 5), 9, np.uint8)).tolist() == np.full((4, 5, 3), 9).tolist()


def test_rgb_is_not_copied_nor_gray():
    rgb = np.zeros((4, 5, 3), np.uint8)
    assert np.shares_memory(to_rgb(rgb), rgb)
    gray = np.zeros((4, 5), np.uint8)
    assert np.shares_memory(to_rgb(gray), gray)


def test_a_strided_view_reads_its_own_pixels():
    image = np.arange(8 * 10 * 3, dtype=np.uint8).reshape(8, 10, 3)
    assert to_rgb(image[::2, ::-1]).tolist() == image[::2, ::-1].tolist()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "no input image: the file could not be decoded"),
        (np.zeros((0, 5, 3), np.uint8), r"empty: its shape is \(0, 5, 3\)"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\): expected H x W or H x W x C with 1 to 4 channels last"),
        (np.zeros(7, np.uint8), r"shape \(7,\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape \(2, 4, 4, 3\)"),
        (np.zeros((4, 4), np.int32), "is int32: expected uint8, uint16, floating point"),
        (np.zeros((4, 4), np.complex64), "is complex64"),
        (np.full((2, 2, 3), np.nan, np.float32), "holds 12 values that are NaN or infinite"),
        (np.array([[0, np.inf]], np.float32), "holds 1 values that are NaN or infinite"),
        (np.array([[0, 255.0]], np.float32), r"values from 0 to 255: floating point images must lie in \[0, 1\]"),
        (np.array([[-0.5, 1]], np.float32), r"values from -0.5 to 1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(image, message):
    with pytest.raises(ImageError, match=message):
        to_rgb(image)
