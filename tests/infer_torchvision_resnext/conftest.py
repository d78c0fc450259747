import pytest

from infer_torchvision_resnext.cache import Cache


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")
