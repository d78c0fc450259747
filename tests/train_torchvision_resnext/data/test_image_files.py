import numpy as np
import pytest
from ikomia.dataprocess.workflow import Workflow
from PIL import Image

from train_torchvision_resnext.resnext.images.files import decode, read_image
from train_torchvision_resnext.resnext.images.rgb import ImageError, to_rgb
from train_torchvision_resnext.resnext.images.truncation import cut_short

GRADIENT = np.linspace(0, 255, 40 * 30 * 3).reshape(40, 30, 3).astype(np.uint8)


def _rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GRADIENT).save(path, exif=exif)


WRITERS = {
    "color.png": lambda path: Image.fromarray(GRADIENT).save(path),
    "gray.png": lambda path: Image.fromarray(GRADIENT[..., 0]).save(path),
    "palette.png": lambda path: Image.fromarray(GRADIENT).quantize(16).save(path),
    "alpha.png": lambda path: Image.fromarray(np.dstack([GRADIENT, GRADIENT[..., 0]])).save(path),
    "sixteen.png": lambda path: Image.fromarray(GRADIENT[..., 0].astype(np.uint16) * 257).save(path),
    "cmyk.jpg": lambda path: Image.fromarray(GRADIENT).convert("CMYK").save(path),
    "rotated.jpg": _rotated,
    "picture.bmp": lambda path: Image.fromarray(GRADIENT).save(path),
    "picture.tif": lambda path: Image.fromarray(GRADIENT).save(path),
    "picture.webp": lambda path: Image.fromarray(GRADIENT).save(path, lossless=True),
    "picture.ppm": lambda path: Image.fromarray(GRADIENT).save(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_gives_the_pixels_that_the_host_gives(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    workflow = Workflow()
    workflow.set_image_input(path=str(path))
    hosts = to_rgb(workflow.get_input(0).get_image())
    ours = read_image(path)
    assert (ours.dtype, ours.shape) == (np.uint8, (30, 40, 3) if name == "rotated.jpg" else (40, 30, 3))
    np.testing.assert_array_equal(ours, hosts)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(ImageError, match=r"the file (is empty|cannot be decoded)"):
        decode(content)


@pytest.mark.parametrize("name", ["color.png", "rotated.jpg"])
def test_a_file_that_breaks_off_is_told_from_a_whole_one(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    assert not cut_short(content)
    assert not cut_short(content + b"appended by a camera")
    assert cut_short(content[: len(content) * 2 // 3])
