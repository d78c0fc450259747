"""The inference task on images of any kind, and on what is none."""

import numpy as np
import pytest
from PIL import Image

from tests.inference_output import result

UNDECODED = "no input image: the file could not be decoded"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 50), np.uint8),
        np.zeros((40, 50, 2), np.uint8),
        np.zeros((40, 50, 4), np.uint8),
        np.zeros((40, 50, 3), np.uint16),
        np.zeros((40, 50, 3), np.float32),
        np.zeros((40, 50, 3), np.float64),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((1, 4000, 3), np.uint8),
        np.zeros((4000, 1, 3), np.uint8),
        np.zeros((80, 100, 3), np.uint8)[::2, ::2],
        np.zeros((3, 40, 50), np.uint8).transpose(1, 2, 0),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_any_image_is_classified_and_drawn(tiny, image):
    wf, task = tiny
    wf.run_on(array=image)
    assert len(task.get_whole_image_results()) == 3
    assert result(task)["image"] == {"width": image.shape[1], "height": image.shape[0]}
    assert task.get_image_with_graphics().dtype == np.uint8


def test_a_hundred_megapixels_are_classified_and_drawn(tiny):
    wf, task = tiny
    wf.run_on(array=np.zeros((9000, 12000, 3), np.uint8))
    assert result(task)["image"] == {"width": 12000, "height": 9000}
    assert task.get_image_with_graphics().shape == (9000, 12000, 3)


def test_the_same_picture_in_any_type_gets_the_same_answer(tiny, photos):
    wf, task = tiny
    gray = photos[0][..., 1]
    alike = [
        gray,
        gray[..., None],
        np.dstack([gray, gray, gray]),
        np.dstack([gray, gray, gray, 255 - gray]),
        np.dstack([gray, 255 - gray]),
        gray.astype(np.uint16) * 257,
        (gray / 255).astype(np.float32),
    ]
    answers = []
    for image in alike:
        wf.run_on(array=image)
        answers.append(result(task)["predictions"])
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((4, 4, 3), np.nan, np.float32), "48 values that are NaN or infinite"),
        (np.zeros((0, 4, 3), np.uint8), "input image is empty"),
        (np.zeros((4, 4, 3), np.int32), "input image is int32: expected uint8"),
        (np.full((4, 4, 3), 255, np.float32), r"from 255 to 255: floating point images must lie in \[0, 1\]"),
        (np.zeros((3, 4, 5, 3), np.uint8), "expected H x W"),
        (np.zeros((4, 5, 6), np.uint8), "1 to 4 channels last"),
    ],
)
def test_what_cannot_be_classified_fails_the_run_and_leaves_no_results(tiny, photos, image, message):
    wf, task = tiny
    wf.run_on(array=photos[0])
    with pytest.raises(RuntimeError, match=message):
        wf.run_on(array=image)
    assert not task.get_output(4).data
    assert not task.get_output(2).get_items()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n IEND"])
def test_a_file_that_cannot_be_decoded_fails_the_run(tiny, tmp_path, content):
    wf, _ = tiny
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(RuntimeError, match=UNDECODED):
        wf.run_on(path=str(tmp_path / "x.jpg"))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
def test_png_files_of_any_kind_are_classified(tiny, photos, tmp_path, mode):
    wf, task = tiny
    if mode == "I;16":
        picture = Image.fromarray(photos[0][..., 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(photos[0]).convert(mode)
    picture.save(tmp_path / "x.png")
    wf.run_on(path=str(tmp_path / "x.png"))
    assert len(task.get_whole_image_results()) == 3


def test_the_host_turns_photos_upright_before_we_see_them(tiny, photos, tmp_path):
    wf, task = tiny
    wf.run_on(array=photos[0])
    upright = result(task)["predictions"][0]
    turned = Image.fromarray(photos[0]).transpose(Image.Transpose.ROTATE_90)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=orientation)
    wf.run_on(path=str(tmp_path / "turned.png"))
    assert result(task)["image"] == {"width": 640, "height": 427}
    assert result(task)["predictions"][0] == upright
