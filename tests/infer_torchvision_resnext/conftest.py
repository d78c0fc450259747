import pytest

from infer_torchvision_resnext.model.cache import Cache


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")
