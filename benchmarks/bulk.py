"""Many images: the host's folder mode, the bulk command, a plain DataLoader loop, the bare network, bare decoding.

`python -m benchmarks bulk` times them in turns on photos of 0.3, 1 and 12 megapixels (20 minutes), `python -m
benchmarks.bulk small` on a few of them. The images are made in a temporary folder.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.interleaved import time_in_turns
from benchmarks.speed_models import model_folder
from benchmarks.table import markdown
from examples.ikomia_home import DEMO, REPOSITORY, use_own_home

SIZES = {"0.3": (640, 480), "1": (1200, 900), "12": (4000, 3000)}
"""Megapixels → width and height."""

PHOTOS = {"0.3": 1000, "1": 2000, "12": 500}
DISTINCT = 200
"""Photos that are made; more are further names of the same files."""

ROUNDS = 1
AT_ONCE = 32
"""Images that the bare network gets at once."""

CACHE = DEMO / "home" / "Ikomia" / "Data" / "infer_torchvision_resnext"
SETTINGS = {"weights": str(DEMO / "speed_models" / "resnext50_32x4d"), "device": "cpu"}


def write_photos(folder: Path, count: int, size: tuple[int, int], seed: int = 0) -> list[Path]:
    """JPEG files of smooth colors with some noise, as a camera gives them, no two of a seed alike."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 6, (size[1], size[0], 1))
    files = []
    for number in range(count):
        colors = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(colors.resize(size, Image.Resampling.BICUBIC), np.float32)
        pixels = np.clip(smooth + np.roll(noise, 37 * number, axis=1), 0, 255).astype(np.uint8)
        files.append(folder / f"{number:05}.jpg")
        Image.fromarray(pixels).save(files[-1], quality=90)
    return files


def photos(folder: Path, megapixels: str, count: int) -> list[Path]:
    """So many files, of `DISTINCT` photos."""
    files = write_photos(folder, min(count, DISTINCT), SIZES[megapixels])
    for number in range(DISTINCT, count):
        files.append(folder / f"{number:05}.jpg")
        os.link(files[number % DISTINCT], files[-1])
    return files


def ways(folder: Path, files: list[Path], scratch: Path, pool: ProcessPoolExecutor) -> dict[str, Callable[[], object]]:
    """What is timed: name → a pass over all files. The command starts anew; the bare ones are there already."""
    classifier = load_classifier()
    return {
        "run_on(folder)": lambda: host(folder),
        "bulk": lambda: bulk(folder, scratch),
        "bulk, decoded whole": lambda: bulk(folder, scratch, "--reduced-decoding", "off"),
        "DataLoader": lambda: plain_loop(files, classifier.classify_crops),
        "bare network": lambda: network_only(classifier, len(files)),
        "bare decoding": lambda: decode_only(files, pool),
    }


def load_classifier() -> Any:
    """A classifier of many images."""
    from infer_torchvision_resnext.classifier import Classifier
    from infer_torchvision_resnext.parameters.task import Parameters

    classifier = Classifier(CACHE, many=True)
    classifier.prepare(Parameters.from_strings(SETTINGS))
    return classifier


def host(folder: Path) -> None:
    from ikomia.dataprocess.workflow import Workflow

    # A new one each time: in the second run of a folder, the host hands the folder over instead of its images.
    workflow = Workflow("folder")
    workflow.add_task(name="infer_torchvision_resnext", auto_connect=True).set_parameters(SETTINGS)
    workflow.run_on(folder=str(folder))
    # It keeps what it shows of each image: gigabytes.
    shutil.rmtree(DEMO / "home" / "Ikomia" / "Workflows" / "folder")


def bulk(folder: Path, scratch: Path, *options: str) -> None:
    """The command as it is typed, with all that its start costs."""
    shutil.rmtree(scratch, ignore_errors=True)
    subprocess.run(
        command(folder, scratch, *options, settings=SETTINGS), cwd=REPOSITORY, check=True, capture_output=True
    )


def command(folder: Path, table: Path, *options: str, settings: dict[str, str]) -> list[str]:
    pairs = [f"{key}={value}" for key, value in settings.items()]
    classify = [sys.executable, "-m", "infer_torchvision_resnext", "classify"]
    return [*classify, str(folder), str(table), *options, "--set", *pairs]


def plain_loop(files: list[Path], classify: Callable[[Any], object]) -> None:
    """Torchvision's transforms in two workers of a DataLoader, the same network behind them."""
    import torch

    loader: Any = torch.utils.data.DataLoader(PlainPhotos(files), batch_size=8, num_workers=2)
    for batch in loader:
        classify(batch.numpy())


class PlainPhotos:
    """What most scripts have: PIL and torchvision's resizing."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        from torchvision.transforms import v2

        with Image.open(self.files[index]) as photo:
            cropped = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(photo.convert("RGB"))
        return np.array(cropped)


def network_only(classifier: Any, count: int) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (AT_ONCE, 224, 224, 3), dtype=np.uint8)
    for begin in range(0, count, AT_ONCE):
        classifier.classify_crops(crops[: count - begin])


@contextlib.contextmanager
def decoding_pool() -> Iterator[ProcessPoolExecutor]:
    """Two processes that have started already."""
    with ProcessPoolExecutor(2, get_context("spawn"), _import_opencv) as pool:
        for future in [pool.submit(time.sleep, 1) for _ in range(2)]:
            future.result()
        yield pool


def _import_opencv() -> None:
    from infer_torchvision_resnext.bulk.processes import import_opencv_for_one

    import_opencv_for_one()


def decode_only(files: list[Path], pool: ProcessPoolExecutor) -> None:
    """Decoding and resizing in processes, without a network."""
    from infer_torchvision_resnext.bulk.decoding import Decoding, decoded
    from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing

    how = Decoding(str(files[0].parent), True, Preprocessing(), reduced=True)
    list(pool.map(decoded, [file.name for file in files], [how] * len(files), chunksize=8))


def main(counts: dict[str, int] = PHOTOS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Args: counts: megapixels → photos."""
    use_own_home()
    model_folder("resnext50_32x4d")
    rows = []
    with tempfile.TemporaryDirectory() as place, decoding_pool() as pool:
        for megapixels, count in counts.items():
            folder = Path(place) / megapixels
            files = photos(folder, megapixels, count)
            timings = time_in_turns(ways(folder, files, Path(place) / "table", pool), rounds, warm=0, just_before=False)
            speeds = {name: 1000 * count / timing.median for name, timing in timings.items()}
            bare = [speeds["bare network"], speeds["bare decoding"]]
            # Each of them has all cores to itself: one after the other is the most that there can be on these.
            both = 1 / sum(1 / speed for speed in bare)
            beside = {"run_on(folder)": speeds["run_on(folder)"], "the slower bare one": min(bare)}
            rows += compare(megapixels, speeds, {**beside, "both, one after the other": both})
    return rows


def compare(megapixels: str, speeds: dict[str, float], beside: dict[str, float]) -> list[dict[str, Any]]:
    """A row for each way. Args: speeds, beside: images a second; each way is compared with all of `beside`."""
    return [
        {
            "megapixels": megapixels,
            "way": name,
            "images/s": f"{speed:.1f}",
            **{f"of {other}": f"{speed / reached:.2f}" for other, reached in beside.items()},
        }
        for name, speed in speeds.items()
    ]


if __name__ == "__main__":
    print(markdown(main({"12": 16} if sys.argv[1:] == ["small"] else PHOTOS)))
