import numpy as np
import pytest
from PIL import Image

from train_torchvision_resnext.data import audit as module
from train_torchvision_resnext.data.audit import Cache, audit


@pytest.fixture
def files(tmp_path):
    whole, same, broken, half = (tmp_path / name for name in ("a.png", "b.png", "c.png", "d.jpg"))
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(noise).save(whole)
    same.write_bytes(whole.read_bytes())
    broken.write_text("no image")
    Image.fromarray(noise).save(half)
    half.write_bytes(half.read_bytes()[:-200])
    return [whole, same, broken, half, tmp_path / "missing.png"]


def test_findings(files, tmp_path):
    seen = []
    findings = audit(files, Cache(tmp_path / "cache.json"), lambda: seen.append(1))
    whole, same, broken, half, missing = (findings[path] for path in files)
    assert (whole.width, whole.height, whole.problem) == (30, 20, "")
    assert same.content_hash == whole.content_hash
    assert "cannot be decoded" in broken.problem
    assert "cut short" in half.problem
    assert "cannot be read" in missing.problem
    assert len(seen) == len(files)


def test_a_second_run_decodes_only_what_is_new(files, tmp_path, monkeypatch):
    cache = Cache(tmp_path / "cache.json")
    first = audit(files, cache)
    cache.save()
    decoded = []
    decode = module.decode
    monkeypatch.setattr(module, "decode", lambda content: decoded.append(1) or decode(content))
    renamed = files[0].rename(tmp_path / "renamed.png")
    Image.new("RGB", (5, 6)).save(files[0])
    again = audit([*files, renamed], Cache(tmp_path / "cache.json"))
    assert len(decoded) == 1
    assert again[renamed] == first[files[0]]
    assert (again[files[0]].width, again[files[0]].height) == (5, 6)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1, "findings": [{"width": 1}]}', '{"version": 99}'])
def test_a_damaged_cache_is_an_empty_one(content, files, tmp_path):
    path = tmp_path / "cache.json"
    path.write_text(content)
    cache = Cache(path)
    assert len(cache.findings) == 0
    audit(files, cache)
    cache.save()
    assert len(Cache(path).findings) == 3


def test_a_cache_that_cannot_be_written_costs_nothing_but_a_warning(files, tmp_path, caplog):
    cache = Cache(tmp_path / "no such folder" / "cache.json")
    audit(files, cache)
    cache.save()
    assert "could not be kept" in caplog.text
