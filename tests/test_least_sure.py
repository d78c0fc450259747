"""The example that reads a table of answers."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from examples.least_sure import COLUMNS, SIDE, least_sure
from infer_torchvision_resnext.bulk.job import classify_all
from tests.bulk_jobs import REPOSITORY, SETTINGS, rows_of, write_digits


def test_the_least_sure_are_shown_and_errors_are_not(tmp_path):
    pytest.importorskip("pyarrow")
    folder = write_digits(tmp_path / "digits", 70)
    (folder / "a" / "broken.png").write_bytes(b"")
    classify_all(folder, tmp_path / "table", SETTINGS, workers=1, cache_folder=tmp_path / "cache")
    expected = sorted(row["probability"] for row in rows_of(tmp_path / "table") if row["error"] is None)[:50]
    assert [row["probability"] for row in least_sure(tmp_path / "table")] == expected
    # A process of its own, for this one has imported Ikomia, and with it OpenCV.
    arguments = [str(tmp_path / "table"), str(folder), str(tmp_path / "sheet.png")]
    command = [sys.executable, "-m", "examples.least_sure", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120)
    assert len(done.stdout.splitlines()) == 50
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (5 * SIDE, COLUMNS * SIDE, 3)
    tiles = sheet.reshape(5, SIDE, COLUMNS, SIDE, 3).swapaxes(1, 2).reshape(50, -1)
    assert len({tile.tobytes() for tile in tiles}) == 50
