"""Many images: the host's folder mode, the bulk command, Ray, a plain DataLoader loop, the bare network, bare decoding.

`python -m benchmarks bulk` times them in turns on 2,000 photos of 0.3, 1 and 12 megapixels (a quarter of an hour),
`python -m benchmarks.bulk small` on a few of them, `python -m benchmarks.bulk ray` only the command and Ray on those of
1 megapixel. `python -m benchmarks.bulk overlap` has a core for the network and
one for decoding, by themselves and in the command. `python -m benchmarks.bulk rows [COUNT] [KILLS]` classifies 100,000
small images, kills the command three times at random, and gives its memory. All make their images in a temporary
folder; Ray is left out where it is not installed.
"""

import contextlib
import functools
import importlib.util
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.interleaved import Timing
from benchmarks.speed_models import model_folder
from benchmarks.table import markdown
from examples.ikomia_home import DEMO, REPOSITORY, use_own_home

SIZES = {"0.3": (640, 480), "1": (1200, 900), "12": (4000, 3000)}
"""Megapixels → width and height."""

PHOTOS = {"0.3": 800, "1": 1000, "12": 200}
ROUNDS = 1
AT_ONCE = 32
"""Images that the bare network gets at once."""

ROWS, KILLS = 100_000, 3
CACHE = DEMO / "home" / "Ikomia" / "Data" / "infer_torchvision_resnext"
SETTINGS = {"weights": str(DEMO / "speed_models" / "resnext50_32x4d"), "device": "cpu"}
DIGITS = {"weights": str(REPOSITORY / "examples" / "models" / "digits"), "device": "cpu", "top_k": "1"}


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


def ways(folder: Path, files: list[Path], scratch: Path) -> dict[str, Callable[[], object]]:
    """What is timed: name → a pass over all files. All but the bare ones and the plain loop load the model."""
    from infer_torchvision_resnext.classifier import Classifier
    from infer_torchvision_resnext.parameters import Parameters

    classifier = Classifier(CACHE, many=True)
    classifier.prepare(Parameters.from_strings(SETTINGS))

    found: dict[str, Callable[[], object]] = {
        "run_on(folder)": lambda: host(folder),
        "bulk": lambda: bulk(folder, scratch),
        "bulk, decoded whole": lambda: bulk(folder, scratch, reduced_decoding="off"),
        "DataLoader": lambda: plain_loop(files, classifier.classify_crops),
        "bare network": lambda: network_only(classifier, len(files)),
        "bare decoding": lambda: decode_only(files),
    }
    if importlib.util.find_spec("ray"):
        found |= {f"Ray, {count} workers": functools.partial(on_ray, folder, scratch, count) for count in (1, 2)}
    return found


def host(folder: Path) -> None:
    from ikomia.dataprocess.workflow import Workflow

    # A new one each time: in the second run of a folder, the host hands the folder over instead of its images.
    workflow = Workflow("folder")
    workflow.add_task(name="infer_torchvision_resnext", auto_connect=True).set_parameters(SETTINGS)
    workflow.run_on(folder=str(folder))


def bulk(folder: Path, scratch: Path, settings: dict[str, str] = SETTINGS, **options: Any) -> None:
    from infer_torchvision_resnext.bulk.job import classify_all

    shutil.rmtree(scratch, ignore_errors=True)
    classify_all(folder, scratch, settings, **options)


def on_ray(folder: Path, scratch: Path, workers: int) -> None:
    from infer_torchvision_resnext.bulk.job import Request
    from infer_torchvision_resnext.bulk.on_ray import Cluster, run_on_ray
    from infer_torchvision_resnext.parameters import Parameters

    shutil.rmtree(scratch, ignore_errors=True)
    run_on_ray(Request(str(folder), scratch, Parameters.from_strings(SETTINGS)), Cluster(workers=workers))


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


def decode_only(files: list[Path], processes: int = 2) -> None:
    """Decoding and resizing in processes, without a network."""
    from infer_torchvision_resnext.bulk.decoding import Decoding, decoded
    from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing

    how = Decoding(str(files[0].parent), True, Preprocessing(), reduced=True)
    with ProcessPoolExecutor(processes, get_context("spawn"), _import_opencv) as pool:
        list(pool.map(decoded, [file.name for file in files], [how] * len(files), chunksize=8))


def _import_opencv() -> None:
    from infer_torchvision_resnext.bulk.processes import import_opencv_for_one

    import_opencv_for_one()


def main(photos: dict[str, int] = PHOTOS, rounds: int = ROUNDS, only: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Args: only: the ways' names; none = all."""
    use_own_home()

    model_folder("resnext50_32x4d")
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for megapixels, count in photos.items():
            folder = Path(place) / megapixels
            files = write_photos(folder, count, SIZES[megapixels])
            found = ways(folder, files, Path(place) / "table")
            timings = timed({name: found[name] for name in only or found}, rounds)
            first = next(iter(timings))
            rows += [
                {
                    "megapixels": megapixels,
                    "way": name,
                    "images/s": f"{1000 * count / timing.median:.1f}",
                    f"of {first}": f"{timings[first].over(timing):.2f}",
                }
                for name, timing in timings.items()
            ]
    return rows


def timed(found: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Each way once a round: in a pass this long nothing is left of the way before."""
    taken: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, way in found.items():
            start = time.perf_counter()
            way()
            taken[name].append((time.perf_counter() - start) * 1000)
    return {name: Timing(tuple(values)) for name, values in taken.items()}


def overlap(count: int = 600, rounds: int = 3) -> list[dict[str, Any]]:
    """How much of the slower of decoding and network is left where each of them has a core of its own."""
    use_own_home()

    from infer_torchvision_resnext.classifier import Classifier
    from infer_torchvision_resnext.parameters import Parameters

    model_folder("resnext50_32x4d")
    alone = {**SETTINGS, "threads": "1"}
    classifier = Classifier(CACHE, many=True)
    classifier.prepare(Parameters.from_strings(alone))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        files = write_photos(folder, count, SIZES["1"])
        timings = timed(
            {
                "the command": lambda: bulk(folder, Path(place) / "table", alone, workers=1),
                "bare network": lambda: network_only(classifier, count),
                "bare decoding": lambda: decode_only(files, 1),
            },
            rounds,
        )
    slower = max(timings["bare network"].median, timings["bare decoding"].median)
    return [
        {
            "way": name,
            "images/s": f"{1000 * count / timing.median:.1f}",
            "of the slower bare one": f"{slower / timing.median:.2f}",
        }
        for name, timing in timings.items()
    ]


def rows_and_kills(count: int = ROWS, kills: int = KILLS) -> list[dict[str, Any]]:
    """Small images through the command, killed at random; memory of the process while it runs to the end."""
    use_own_home()
    with tempfile.TemporaryDirectory() as place:
        folder, table = Path(place) / "digits", Path(place) / "table"
        write_small(folder, count)
        seed = random.Random(0)
        for _ in range(kills):
            before = len(list(table.glob("part-*")))
            process = started(folder, table)
            wanted = before + seed.randint(1, max(1, count // 1000 // (kills + 2)))
            while len(list(table.glob("part-*"))) < wanted and process.poll() is None:
                time.sleep(0.01)
            process.kill()
            process.wait()
            print(f"killed with {len(list(table.glob('part-*')))} parts written")
        memory = _memory_of(started(folder, table))
        paths = Counter(paths_in(table))
    third = max(1, len(memory) // 3)
    return [
        {
            "rows": sum(paths.values()),
            "images": len(paths),
            "rows too many": sum(each - 1 for each in paths.values()),
            "kills": kills,
            "MiB, second third": f"{np.median(memory[third : 2 * third]):.0f}",
            "MiB, last third": f"{np.median(memory[2 * third :]):.0f}",
        }
    ]


def write_small(folder: Path, count: int) -> None:
    """PNG files of handwritten digits, a thousand in each folder."""
    from examples.digits import training_and_held_out

    digits = training_and_held_out()[1].images
    for number in range(count):
        place = folder / f"{number // 1000:04}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[number % len(digits)]).save(place / f"{number:07}.png")


def started(folder: Path, table: Path, *options: str) -> "subprocess.Popen[str]":
    """The command on a folder, with the digits model; what it says is in `stderr`."""
    settings = [f"{key}={value}" for key, value in DIGITS.items()]
    command = [
        sys.executable,
        "-m",
        "infer_torchvision_resnext",
        "classify",
        str(folder),
        str(table),
        *options,
        "--set",
        *settings,
    ]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _memory_of(process: "subprocess.Popen[str]") -> list[float]:
    """Resident memory in MiB of the process and its children, each half second until it ends."""
    import psutil

    parent, curve = psutil.Process(process.pid), []
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            curve.append(sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True))) / 2**20)
        time.sleep(0.5)
    return curve


def paths_in(table: Path) -> list[str]:
    """Of all rows."""
    from pyarrow import dataset

    paths: list[str] = dataset.dataset(table, format="parquet").to_table(columns=["path"])["path"].to_pylist()
    return paths


if __name__ == "__main__":
    if sys.argv[1:2] == ["rows"]:
        print(markdown(rows_and_kills(*map(int, sys.argv[2:]))))
    elif sys.argv[1:2] == ["small"]:
        print(markdown(main({"12": 16})))
    elif sys.argv[1:2] == ["ray"]:
        print(markdown(main({"1": PHOTOS["1"]}, only=("bulk", "Ray, 1 workers", "Ray, 2 workers"))))
    elif sys.argv[1:2] == ["overlap"]:
        print(markdown(overlap()))
    else:
        print(markdown(main()))
