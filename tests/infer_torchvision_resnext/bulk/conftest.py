import pytest

from tests.bulk_jobs import write_digits


@pytest.fixture
def digits(tmp_path):
    return write_digits(tmp_path / "digits", 80)
