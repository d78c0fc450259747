"""Videos that are cut short or damaged: their tables say so."""

import numpy as np
import pytest

from infer_torchvision_resnext.bulk.decoding import Decoding
from infer_torchvision_resnext.bulk.job import classify_all
from infer_torchvision_resnext.bulk.video import Reader
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.images.rgb import ImageError
from tests.bulk_jobs import SETTINGS, rows_of

FRAMES = 60
HOW = Decoding("", False, Preprocessing(24, 24))
CODECS = {".avi": "MJPG", ".mkv": "FFV1", ".mp4": "mp4v", ".webm": "VP80", ".flv": "FLV1"}


def write_video(file):
    """60 frames that turn darker, each with a pattern of its own."""
    import cv2

    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*CODECS[file.suffix]), 25, (160, 120))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {file.suffix}")
    pattern = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    pattern = cv2.resize(pattern, (160, 120), interpolation=cv2.INTER_CUBIC)
    for number in range(FRAMES):
        writer.write(np.roll(pattern, 2 * number, axis=1))
    writer.release()
    return file


def errors_of(file, first=0):
    """Numbers of all frames, and what is said of those that are errors."""
    frames = Reader(str(file)).frames(file.name, first, 1000, HOW)
    return [frame.frame for frame in frames], {frame.frame: frame.error for frame in frames if frame.error}


@pytest.mark.parametrize("suffix", CODECS)
def test_a_whole_video_has_no_errors(suffix, tmp_path):
    assert errors_of(write_video(tmp_path / f"v{suffix}")) == (list(range(FRAMES)), {})


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".webm", ".flv"])
def test_a_video_that_is_cut_short_ends_with_an_error_that_has_the_numbers(suffix, tmp_path):
    file = write_video(tmp_path / f"v{suffix}")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 3])
    numbers, errors = errors_of(file)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) < FRAMES // 2
    last = numbers[-1]
    assert errors == {
        last: f"the video ends after {last} frames, and the file announces {FRAMES}: it is damaged or cut short"
    }
    # It is the same for those that go on in the middle, and behind the end there is nothing.
    assert errors_of(file, first=5) == (numbers[5:], errors)
    assert errors_of(file, first=last + 1) == ([], {})


def test_a_video_without_its_index_cannot_be_opened(tmp_path):
    file = write_video(tmp_path / "v.mp4")
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ImageError, match=r"v\.mp4 cannot be opened: it is not a video, it is cut short"):
        Reader(str(file))


def test_frames_that_cannot_be_decoded_are_errors_and_later_ones_keep_their_numbers(tmp_path):
    file = write_video(tmp_path / "v.mp4")
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    file.write_bytes(content)
    numbers, errors = errors_of(file)
    assert numbers == list(range(FRAMES))
    assert 1 <= len(errors) < 10
    assert set(errors.values()) == {"the frame cannot be decoded: the file is damaged"}


def test_frames_that_are_lost_without_a_word_are_told_from_the_time_stamps(tmp_path):
    file = write_video(tmp_path / "v.mkv")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 20] = np.random.default_rng(0).bytes(len(content) // 20)
    file.write_bytes(content)
    numbers, errors = errors_of(file)
    assert len(numbers) < FRAMES
    ((last, error),) = errors.items()
    assert error.startswith(f"the video ends after {last} frames, and the file announces {FRAMES}: it is damaged")
    assert "; frames are missing after frame " in error


def test_the_table_of_a_cut_video_counts_the_error(tmp_path):
    file = write_video(tmp_path / "v.avi")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 3])
    settings = {**SETTINGS, "unknown_sensitivity": 0}
    summary = classify_all(file, tmp_path / "table", settings, form="csv", cache_folder=None)
    rows = rows_of(tmp_path / "table")
    assert summary.errors == 1
    assert [row["frame"] for row in rows] == [str(number) for number in range(len(rows))]
    assert [row["error"] is None for row in rows] == [True] * (len(rows) - 1) + [False]
    again = classify_all(file, tmp_path / "table", settings, form="csv", cache_folder=None)
    assert (again.written, again.rows) == (0, len(rows))
