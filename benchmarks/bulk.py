"""Many images: the host's folder mode, the bulk command, Ray, a plain DataLoader loop, the bare network, bare decoding.

`python -m benchmarks bulk` times them in turns on photos of 0.3, 1 and 12 megapixels (20 minutes), `python -m
benchmarks.bulk small` on a few of them. `python -m benchmarks.bulk ray` has the command and Ray, where it is installed,
do a small job and a larger one. `python -m benchmarks.bulk overlap` has a core for the network and one for decoding, by
themselves and in the command. All make their images in a temporary folder.
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
from functools import partial
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
RAY = {1000: (1, 2), 6000: (2,)}
"""Photos of 1 megapixel → how many workers do them."""

OVERLAPPED = {"1": 1000, "12": 500}
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
    classifier = loaded(SETTINGS)
    return {
        "run_on(folder)": lambda: host(folder),
        "bulk": lambda: bulk(folder, scratch),
        "bulk, decoded whole": lambda: bulk(folder, scratch, "--reduced-decoding", "off"),
        "DataLoader": lambda: plain_loop(files, classifier.classify_crops),
        "bare network": lambda: network_only(classifier, len(files)),
        "bare decoding": lambda: decode_only(files, pool),
    }


def loaded(settings: dict[str, str]) -> Any:
    """A classifier of many images."""
    from infer_torchvision_resnext.classifier import Classifier
    from infer_torchvision_resnext.parameters import Parameters

    classifier = Classifier(CACHE, many=True)
    classifier.prepare(Parameters.from_strings(settings))
    return classifier


def host(folder: Path) -> None:
    from ikomia.dataprocess.workflow import Workflow

    # A new one each time: in the second run of a folder, the host hands the folder over instead of its images.
    workflow = Workflow("folder")
    workflow.add_task(name="infer_torchvision_resnext", auto_connect=True).set_parameters(SETTINGS)
    workflow.run_on(folder=str(folder))
    # It keeps what it shows of each image: gigabytes.
    shutil.rmtree(DEMO / "home" / "Ikomia" / "Workflows" / "folder")


def bulk(folder: Path, scratch: Path, *options: str, settings: dict[str, str] = SETTINGS) -> None:
    """The command as it is typed, with all that its start costs."""
    shutil.rmtree(scratch, ignore_errors=True)
    subprocess.run(
        command(folder, scratch, *options, settings=settings), cwd=REPOSITORY, check=True, capture_output=True
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
def decoding_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Started already."""
    with ProcessPoolExecutor(processes, get_context("spawn"), _import_opencv) as pool:
        for future in [pool.submit(time.sleep, 1) for _ in range(processes)]:
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
    with tempfile.TemporaryDirectory() as place, decoding_pool(2) as pool:
        for megapixels, count in counts.items():
            folder = Path(place) / megapixels
            files = photos(folder, megapixels, count)
            speeds = measured(count, ways(folder, files, Path(place) / "table", pool), rounds)
            bare = [speeds["bare network"], speeds["bare decoding"]]
            # Each of them has all cores to itself: one after the other is the most that there can be on these.
            both = 1 / sum(1 / speed for speed in bare)
            beside = {"run_on(folder)": speeds["run_on(folder)"], "the slower bare one": min(bare)}
            rows += compared({"megapixels": megapixels}, speeds, {**beside, "both, one after the other": both})
    return rows


def measured(count: int, found: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Images a second of each way, by the median of its passes over so many images."""
    timings = time_in_turns(found, rounds, warm=0, just_before=False)
    return {name: 1000 * count / timing.median for name, timing in timings.items()}


def compared(where: dict[str, Any], speeds: dict[str, float], beside: dict[str, float]) -> list[dict[str, Any]]:
    """A row for each way. Args: beside: name → the speed that it is compared with."""
    return [
        {
            **where,
            "way": name,
            "images/s": f"{speed:.1f}",
            **{f"of {other}": f"{speed / reached:.2f}" for other, reached in beside.items()},
        }
        for name, speed in speeds.items()
    ]


def on_ray(jobs: dict[int, tuple[int, ...]] = RAY) -> list[dict[str, Any]]:
    """The command by itself and on a cluster of this machine, on jobs of different size."""
    use_own_home()
    model_folder("resnext50_32x4d")
    rows = []
    with tempfile.TemporaryDirectory() as place:
        table = Path(place) / "table"
        for count, workers in jobs.items():
            folder = Path(place) / str(count)
            photos(folder, "1", count)
            found: dict[str, Callable[[], object]] = {"the command": partial(bulk, folder, table)}
            for each in workers:
                options = ("--on", "ray", "--ray-workers", str(each))
                found[f"Ray, {each} workers"] = partial(bulk, folder, table, *options)
            speeds = measured(count, found, ROUNDS)
            rows += compared({"photos": count}, speeds, {"the command": speeds["the command"]})
    return rows


def overlap(counts: dict[str, int] = OVERLAPPED, rounds: int = 3) -> list[dict[str, Any]]:
    """How much of the slower of decoding and network is left where each of them has a core of its own."""
    use_own_home()
    model_folder("resnext50_32x4d")
    alone = {**SETTINGS, "threads": "1"}
    classifier = loaded(alone)
    rows = []
    with tempfile.TemporaryDirectory() as place, decoding_pool(1) as pool:
        for megapixels, count in counts.items():
            folder, table = Path(place) / megapixels, Path(place) / "table"
            files = photos(folder, megapixels, count)
            found: dict[str, Callable[[], object]] = {
                "the command": partial(bulk, folder, table, "--workers", "1", settings=alone),
                "bare network": partial(network_only, classifier, count),
                "bare decoding": partial(decode_only, files, pool),
            }
            speeds = measured(count, found, rounds)
            slower = min(speeds["bare network"], speeds["bare decoding"])
            rows += compared({"megapixels": megapixels}, speeds, {"the slower bare one": slower})
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["small"]:
        print(markdown(main({"12": 16})))
    elif sys.argv[1:2] == ["ray"]:
        print(markdown(on_ray()))
    elif sys.argv[1:2] == ["overlap"]:
        print(markdown(overlap()))
    else:
        print(markdown(main()))
