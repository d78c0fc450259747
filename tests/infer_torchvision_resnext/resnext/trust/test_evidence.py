import numpy as np
import pytest

from infer_torchvision_resnext.resnext.trust.evidence import (
    EVIDENCE,
    Evidence,
    EvidenceError,
    read_evidence,
    write_evidence,
)


def content(**other):
    floats = np.array([0.5, 0.75, 1.0], np.float32)
    indices = np.array([0, 1, 1], np.int32)
    return {
        "probability": floats,
        "true_probability": floats[::-1],
        "predicted": indices,
        "target": indices[::-1],
        "known_score": floats - 3,
        "feature_mean": np.ones(4, np.float32),
        "feature_axes": np.eye(2, 4, dtype=np.float32),
        "feature_scale": np.array([2], np.float32),
    } | other


def test_what_was_written_is_read(tmp_path):
    write_evidence(tmp_path, Evidence(**content()))
    found = read_evidence(tmp_path)
    for name, values in content().items():
        assert np.array_equal(getattr(found, name), values)
        assert getattr(found, name).dtype == values.dtype
    assert [file.name for file in tmp_path.iterdir()] == [EVIDENCE]


@pytest.mark.parametrize("name", content())
def test_each_number_changes_the_digest(name, tmp_path):
    write_evidence(tmp_path, Evidence(**content()))
    digest = read_evidence(tmp_path).digest
    assert digest == Evidence(**content()).digest
    values = content()[name].copy()
    values.flat[-1] = 0.25 if values.dtype == np.float32 else 1 - values.flat[-1]
    assert Evidence(**content(**{name: values})).digest != digest


def test_a_folder_of_before_has_none(tmp_path):
    assert read_evidence(tmp_path) is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"predicted": np.zeros(2, np.int32)}, r"predicted: int32 \(2,\), expected int32 \(3,\)"),
        ({"target": np.zeros(3, np.int64)}, "target: int64"),
        ({"known_score": np.array([0, np.nan, 1], np.float32)}, "known_score holds NaN"),
        ({"feature_axes": np.eye(3, dtype=np.float32)}, r"shapes \(\(4,\), \(3, 3\), \(1,\)\), expected \(F,\)"),
        ({"feature_mean": np.ones(4)}, "feature_scale: expected finite float32"),
        ({"probability": np.array([0, 0, 1.5], np.float32)}, "probability: values from 0 to 1.5"),
    ],
)
def test_what_no_training_writes_is_refused_by_name(other, message):
    with pytest.raises(EvidenceError, match=message):
        Evidence(**content(**other))


def test_no_images_are_no_evidence():
    nothing = np.empty(0, np.float32)
    with pytest.raises(EvidenceError, match=r"probability: float32 \(0,\)"):
        Evidence(**content(probability=nothing))


def test_evidence_of_another_network_is_told():
    Evidence(**content()).fits(2, 4)
    with pytest.raises(EvidenceError, match="class indices from 0 to 1, but there are 1 classes"):
        Evidence(**content()).fits(1, 4)
    with pytest.raises(EvidenceError, match="feature_mean has 4 values, but the network has 5 features"):
        Evidence(**content()).fits(2, 5)


def test_a_damaged_file_is_named_with_the_remedy(tmp_path):
    (tmp_path / EVIDENCE).write_bytes(b"no safetensors")
    with pytest.raises(
        EvidenceError, match=r"trust\.safetensors is damaged .* put back the file that training wrote, or train"
    ):
        read_evidence(tmp_path)


def test_a_file_that_lacks_a_part_is_named(tmp_path):
    from safetensors.numpy import save_file

    save_file({"probability": np.ones(3, np.float32)}, tmp_path / EVIDENCE)
    with pytest.raises(EvidenceError, match="true_probability"):
        read_evidence(tmp_path)
