"""Where the first image of a JPEG or PNG file ends."""

import io

import numpy as np
import pytest
from PIL import Image

from infer_torchvision_resnext.resnext.images.truncation import cut_short

FORMS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 1},
    "progressive with restart markers": {"progressive": True, "restart_marker_rows": 1},
    "a comment that looks like markers": {"comment": b"\xff\xda\xff\xd8\xff\xd9" * 9},
}
MOVIE = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(400) + b"\xff\xda" + bytes(400)
"""As phones append it, with what looks like the beginning of a scan."""


def jpeg(photo, **options):
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


@pytest.fixture(params=FORMS)
def whole(request, photos):
    return jpeg(photos[0], **FORMS[request.param])


def test_a_jpeg_file_is_whole_up_to_its_end_and_nowhere_before(whole):
    assert not cut_short(whole)
    assert not [length for length in range(4, len(whole) - 1, 211) if not cut_short(whole[:length])]


@pytest.mark.parametrize("trailer", [MOVIE, b"\0" * 5000, b"\xff\xda\xff\xd8\xff\xc4", b"MotionPhoto_Data" + MOVIE])
def test_what_follows_the_first_image_counts_for_nothing(whole, trailer):
    assert not cut_short(whole + trailer)
    assert cut_short(whole[: len(whole) * 2 // 3] + MOVIE)


def test_a_second_image_does_not_make_up_for_a_cut_in_the_first(whole, photos):
    """As MPF lays them one behind the other: two eyes of a 3D photo, or a depth map."""
    second = jpeg(photos[1])
    assert not cut_short(whole + second)
    assert not cut_short(whole + second[: len(second) // 2])
    assert cut_short(whole[: len(whole) * 2 // 3] + second)


def test_a_preview_inside_does_not_count(photos):
    preview = jpeg(photos[1][::4, ::4])
    whole = jpeg(photos[0], exif=b"Exif\0\0" + preview[:60000])
    assert preview[-500:] in whole
    assert not cut_short(whole)
    assert cut_short(whole[: len(whole) * 2 // 3])


def test_a_damaged_byte_is_no_missing_end(photos):
    content = bytearray(jpeg(photos[0]))
    middle = len(content) // 2
    content[middle : middle + 2] = b"\xff\xb0"
    assert not cut_short(bytes(content))
    assert cut_short(bytes(content[:-2]))


def test_a_png_file_is_whole_up_to_its_last_chunk(photos):
    stream = io.BytesIO()
    Image.fromarray(photos[0][::4, ::4]).save(stream, "PNG")
    content = stream.getvalue()
    assert not cut_short(content)
    assert not cut_short(content + np.random.default_rng(0).bytes(9000))
    assert not [length for length in range(8, len(content) - 8, 211) if not cut_short(content[:length])]
    # Its name in a text that is shown nowhere does not end it.
    named = content[:33] + b"\0\0\0\x04tEXtIEND\0\0\0\0" + content[33:]
    assert not cut_short(named)
    assert cut_short(named[: len(named) * 2 // 3])


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"GIF89a", b"RIFF....WEBP"])
def test_other_formats_are_left_to_the_decoder(content):
    assert cut_short(content) == (content == b"\xff\xd8")
