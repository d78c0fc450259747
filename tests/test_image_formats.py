"""Files that OpenCV or the host reads otherwise than they are meant, or not at all: the same pixels everywhere."""

import struct

import numpy as np
import pytest
from PIL import Image

from infer_torchvision_resnext.bulk.decoding import Decoding, decoded
from infer_torchvision_resnext.resnext.images import heif
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from tests.inference_output import result
from train_torchvision_resnext.data.audit import Cache, examine
from train_torchvision_resnext.resnext.images.files import read_image

COLORS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
GRAY = COLORS[..., 0]
ALPHA = COLORS[..., 1]
OWN_SIZE = Preprocessing(24, 24)


def write_white_is_zero(path, pixels):
    """A TIFF file of gray uint8 or uint16, whose white is 0."""
    height, width = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    bits = pixels.itemsize * 8
    wide = {256: width, 257: height, 273: 8, 278: height, 279: len(data)}
    tags = {**wide, 258: bits, 259: 1, 262: 0, 277: 1}
    rows = [
        struct.pack("<HHII", tag, 4, 1, value) if tag in wide else struct.pack("<HHIHxx", tag, 3, 1, value)
        for tag, value in sorted(tags.items())
    ]
    header = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    path.write_bytes(header + data + struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4))


def write_pages(path):
    Image.fromarray(COLORS).save(path, save_all=True, append_images=[Image.new("RGB", (50, 50))])


FILES = {
    "alpha.tif": (lambda path: Image.fromarray(np.dstack([COLORS, ALPHA])).save(path), COLORS),
    "alpha.png": (lambda path: Image.fromarray(np.dstack([COLORS, ALPHA])).save(path), COLORS),
    "inverted.tif": (lambda path: write_white_is_zero(path, 255 - GRAY), GRAY),
    "inverted16.tif": (lambda path: write_white_is_zero(path, 65535 - GRAY.astype(np.uint16) * 257), GRAY),
    "gray16.tif": (lambda path: Image.fromarray(GRAY.astype(np.uint16) * 257).save(path), GRAY),
    "pages.tif": (write_pages, COLORS),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_means_the_same_in_training_in_the_table_and_in_the_task(name, tiny, tmp_path, monkeypatch):
    write, meant = FILES[name]
    write(tmp_path / name)
    meant = meant if meant.ndim == 3 else np.dstack([meant] * 3)
    np.testing.assert_array_equal(read_image(tmp_path / name), meant)
    of_table = decoded(name, Decoding(str(tmp_path), True, OWN_SIZE))
    assert of_table.error == ""
    np.testing.assert_array_equal(of_table.crop, OWN_SIZE.crop(meant))
    wf, task = tiny
    frames = []
    classify = task._classifier.classify
    monkeypatch.setattr(
        task._classifier, "classify", lambda images, *others: frames.extend(images) or classify(images, *others)
    )
    wf.run_on(path=str(tmp_path / name))
    np.testing.assert_array_equal(frames[0], meant)
    is_corrected = name in ("alpha.tif", "inverted16.tif")
    assert any("the corrected image is classified" in note for note in result(task)["notes"]) == is_corrected


def test_pixels_that_a_task_has_changed_stay_as_they_are(tiny, tmp_path):
    """Only what the host itself has read is corrected."""
    from infer_torchvision_resnext.resnext.images.host_file import pixels_as_in_training

    path = tmp_path / "alpha.tif"
    FILES[path.name][0](path)
    changed = np.flip(COLORS, axis=0)
    seen = pixels_as_in_training(str(path), changed)
    assert seen.pixels is changed
    assert "a task before this one changed it" in seen.note


def test_pages_after_the_first_are_named(tiny, tmp_path):
    write_pages(tmp_path / "pages.tif")
    write_pages(tmp_path / "frames.gif")
    said = "only the first of its 2 pages or frames is read"
    wf, task = tiny
    wf.run_on(path=str(tmp_path / "pages.tif"))
    assert said in result(task)["notes"]
    cache = Cache(tmp_path / "cache.json")
    assert examine(tmp_path / "pages.tif", cache).pages == said
    assert examine(tmp_path / "frames.gif", cache).pages == said
    wf.run_on(array=COLORS)
    assert said not in result(task)["notes"]


@pytest.mark.parametrize("name", ["photo.jfif", "photo.gif", "photo.mpo"])
def test_names_that_the_host_refuses_are_read_elsewhere(name, tmp_path):
    picture = Image.fromarray(COLORS)
    picture.save(tmp_path / name, **({"format": "JPEG"} if name == "photo.jfif" else {}))
    with Image.open(tmp_path / name) as saved:
        np.testing.assert_allclose(read_image(tmp_path / name), np.asarray(saved.convert("RGB")), atol=1)
    assert decoded(name, Decoding(str(tmp_path), True, OWN_SIZE)).error == ""


@pytest.fixture(params=["heic", "avif"])
def phone_photo(request, tmp_path):
    """A file as phones write it, and its pixels by the library that has written it."""
    if request.param == "heic":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(Image.fromarray(COLORS)).save(tmp_path / "photo.heic", quality=90)
        pixels = np.asarray(pillow_heif.open_heif(tmp_path / "photo.heic"))
    else:
        Image.fromarray(COLORS).save(tmp_path / "photo.avif", quality=90)
        with Image.open(tmp_path / "photo.avif") as picture:
            pixels = np.asarray(picture.convert("RGB"))
    return tmp_path / f"photo.{request.param}", pixels


def test_photos_of_phones_are_the_same_everywhere(phone_photo, tiny):
    path, pixels = phone_photo
    np.testing.assert_array_equal(read_image(path), pixels)
    assert examine(path, Cache(path.with_name("cache.json"))).problem == ""
    of_table = decoded(path.name, Decoding(str(path.parent), True, OWN_SIZE))
    np.testing.assert_array_equal(of_table.crop, OWN_SIZE.crop(pixels))
    wf, task = tiny
    wf.run_on(array=pixels)
    expected = result(task)["predictions"]
    # The host opens no such file by its own name, but by one that a messenger gave it.
    renamed = path.rename(path.with_name("photo.jpg"))
    wf.run_on(path=str(renamed))
    assert result(task)["predictions"] == expected


def test_a_photo_of_a_phone_that_is_damaged_is_an_image_error(phone_photo):
    path, _ = phone_photo
    path.write_bytes(path.read_bytes()[:200])
    assert "cannot be decoded" in decoded(path.name, Decoding(str(path.parent), True, OWN_SIZE)).error


def test_the_package_that_is_missing_is_named_and_the_file_looked_at_again(phone_photo, monkeypatch):
    path, _ = phone_photo
    package = {".heic": "pip install pillow-heif", ".avif": "pip install 'pillow>=11.3'"}[path.suffix]
    cache = Cache(path.with_name("cache.json"))
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "pillow_heif", None)
        patch.setattr(heif.features, "check", lambda name: False)
        patch.setattr("train_torchvision_resnext.resnext.images.heif.features.check", lambda name: False)
        assert package in decoded(path.name, Decoding(str(path.parent), True, OWN_SIZE)).error
        assert package in examine(path, cache).problem
    assert examine(path, cache).problem == ""
