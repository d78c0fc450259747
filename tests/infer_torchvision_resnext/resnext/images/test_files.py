"""Decoded files, which OpenCV has written."""

import numpy as np
import pytest

from infer_torchvision_resnext.resnext.images.files import decode
from infer_torchvision_resnext.resnext.images.opencv import opencv


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        (".png", np.uint8),
        (".png", np.uint16),
        (".tiff", np.uint8),
        (".tiff", np.uint16),
        (".tiff", np.float32),
        (".tiff", np.float64),
    ],
)
def test_colors_of_any_depth_are_rgb_without_alpha_and_lie_in_order(suffix, dtype, channels):
    pixels = np.random.default_rng(0).integers(0, 200, (5, 7, channels)).astype(dtype)
    cv2 = opencv()
    # What it would choose for float32 is lossy.
    there, content = cv2.imencode(suffix, pixels, [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix == ".tiff" else [])
    assert there
    found = decode(content.tobytes())
    assert found.dtype == dtype
    assert np.array_equal(found, np.stack([pixels[..., 2], pixels[..., 1], pixels[..., 0]], axis=2))
    # Resizing copies whatever does not.
    assert found.flags.c_contiguous
