import pytest

from tests.bulk_jobs import write_digits


@pytest.fixture
def digits(tmp_path):
    return write_digits(tmp_path / "digits", 80)


@pytest.fixture
def cache_folder(tmp_path_factory):
    """Shared by all tests, so that the model is converted once."""
    return tmp_path_factory.getbasetemp() / "bulk-cache"
