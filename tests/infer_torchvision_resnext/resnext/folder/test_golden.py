import numpy as np
import pytest

from infer_torchvision_resnext.resnext.folder.golden import Golden, GoldenError, read_golden, write_golden
from infer_torchvision_resnext.resnext.folder.names import GOLDEN

IMAGES = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
LOGITS = np.array([[1, 2, 3], [-1, 0, 0.5]], np.float32)


def test_what_is_written_is_read(tmp_path):
    assert read_golden(tmp_path) is None
    write_golden(tmp_path, Golden(IMAGES, LOGITS))
    golden = read_golden(tmp_path)
    assert np.array_equal(golden.images, IMAGES)
    assert np.array_equal(golden.logits, LOGITS)


@pytest.mark.parametrize(
    ("images", "logits", "message"),
    [
        (IMAGES.astype(np.float32), LOGITS, r"images: float32 \(2, 4, 4, 3\), expected uint8 N x S x S x 3"),
        (IMAGES[:, :3], LOGITS, r"images: uint8 \(2, 3, 4, 3\)"),
        (IMAGES, LOGITS[:1], r"logits: float32 \(1, 3\) for 2 images"),
        (IMAGES, LOGITS.astype(np.float64), "logits: float64"),
        (IMAGES[:0], LOGITS[:0], "for 0 images"),
        (IMAGES, LOGITS * np.nan, "NaN or infinity"),
    ],
)
def test_wrong_arrays_are_refused(images, logits, message):
    with pytest.raises(GoldenError, match=message):
        Golden(images, logits)


def test_a_damaged_file_is_refused_with_the_remedy(tmp_path):
    write_golden(tmp_path, Golden(IMAGES, LOGITS))
    content = (tmp_path / GOLDEN).read_bytes()
    (tmp_path / GOLDEN).write_bytes(content[:-5])
    with pytest.raises(GoldenError, match=r"golden\.safetensors is damaged or no golden set .*train the model again"):
        read_golden(tmp_path)


def test_what_the_configuration_says_otherwise_is_named(tmp_path):
    write_golden(tmp_path, Golden(IMAGES, LOGITS, {"resize_size": 37, "mean": (0.5, 0.5), "temperature": None}))
    golden = read_golden(tmp_path)
    assert golden.contradictions({"resize_size": 37, "mean": (0.5, 0.5), "temperature": None, "new": 1}) == []
    assert golden.contradictions({"resize_size": 64, "mean": (0.5, 0.5), "temperature": 2.0}) == [
        "resize_size is 64 in the folder's config.json, but was 37 when golden.safetensors was made",
        "temperature is 2.0 in the folder's config.json, but was None when golden.safetensors was made",
    ]


@pytest.mark.parametrize(
    ("known", "now", "told"),
    [
        ("a1", "b2", "trust.safetensors is not what it was when golden.safetensors was made"),
        ("a1", None, "trust.safetensors is missing, but was there when golden.safetensors was made"),
        (None, "b2", "trust.safetensors is in the folder, but was not when golden.safetensors was made"),
    ],
)
def test_evidence_that_is_not_the_folders_own_is_named(known, now, told):
    golden = Golden(IMAGES, LOGITS, {"trust.safetensors": known})
    assert golden.contradictions({"trust.safetensors": known}) == []
    assert golden.contradictions({"trust.safetensors": now}) == [told]


def test_a_golden_set_of_before_contradicts_nothing(tmp_path):
    from safetensors.numpy import save_file

    save_file({"images": IMAGES, "logits": LOGITS}, tmp_path / GOLDEN)
    assert read_golden(tmp_path).contradictions({"resize_size": 37, "trust.safetensors": "a1"}) == []
