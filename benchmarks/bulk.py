"""Many images: the host's folder mode, the bulk command, Ray, a plain DataLoader loop, the bare network, bare decoding.

`python -m benchmarks bulk` times them in turns on photos of 0.3, 1 and 12 megapixels (20 minutes), `python -m
benchmarks.bulk small` on a few of them. `python -m benchmarks.bulk ray` has the command and Ray, where it is installed,
do a small job and a larger one. `python -m benchmarks.bulk overlap` has a core for the network and one for decoding, by
themselves and in the command. `python -m benchmarks.bulk rows [COUNT] [KILLS]` classifies 100,000 small images, kills
the command three times at random, and draws its memory. All make their images in a temporary folder.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
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

PHOTOS = {"0.3": 1000, "1": 2000, "12": 500}
DISTINCT = 200
"""Photos that are made; more are further names of the same files."""

ROUNDS = 1
RAY = {1000: (1, 2), 6000: (2,)}
"""Photos of 1 megapixel → how many workers do them."""

OVERLAPPED = {"1": 1000, "12": 500}
AT_ONCE = 32
"""Images that the bare network gets at once."""

ROWS, KILLS = 100_000, 3
PLOTS = REPOSITORY / "bench"
EACH_S = 0.5
"""Between two looks at the memory."""

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


def photos(folder: Path, megapixels: str, count: int) -> list[Path]:
    """So many files, of `DISTINCT` photos."""
    files = write_photos(folder, min(count, DISTINCT), SIZES[megapixels])
    for number in range(DISTINCT, count):
        files.append(folder / f"{number:05}.jpg")
        os.link(files[number % DISTINCT], files[-1])
    return files


def ways(folder: Path, files: list[Path], scratch: Path, pool: ProcessPoolExecutor) -> dict[str, Callable[[], object]]:
    """What is timed: name → a pass over all files. The command starts anew; the bare ones are there already."""
    from infer_torchvision_resnext.classifier import Classifier
    from infer_torchvision_resnext.parameters import Parameters

    classifier = Classifier(CACHE, many=True)
    classifier.prepare(Parameters.from_strings(SETTINGS))
    return {
        "run_on(folder)": lambda: host(folder),
        "bulk": lambda: bulk(folder, scratch),
        "bulk, decoded whole": lambda: bulk(folder, scratch, "--reduced-decoding", "off"),
        "DataLoader": lambda: plain_loop(files, classifier.classify_crops),
        "bare network": lambda: network_only(classifier, len(files)),
        "bare decoding": lambda: decode_only(files, pool),
    }


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
            timings = timed(ways(folder, files, Path(place) / "table", pool), rounds)
            bare = [speed_of(count, timings[name]) for name in ("bare network", "bare decoding")]
            # Each of them has all cores to itself: one after the other is the most that there can be on these.
            both = 1 / sum(1 / speed for speed in bare)
            rows += [
                {
                    "megapixels": megapixels,
                    "way": name,
                    "images/s": f"{speed_of(count, timing):.1f}",
                    "of run_on(folder)": f"{timings['run_on(folder)'].over(timing):.2f}",
                    "of the slower bare one": f"{speed_of(count, timing) / min(bare):.2f}",
                    "of both, one after the other": f"{speed_of(count, timing) / both:.2f}",
                }
                for name, timing in timings.items()
            ]
    return rows


def speed_of(count: int, timing: Timing) -> float:
    """Images a second."""
    return 1000 * count / timing.median


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
            timings = timed(found, ROUNDS)
            rows += [
                {
                    "photos": count,
                    "way": name,
                    "images/s": f"{speed_of(count, timing):.1f}",
                    "of the command": f"{timings['the command'].over(timing):.2f}",
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


def overlap(counts: dict[str, int] = OVERLAPPED, rounds: int = 3) -> list[dict[str, Any]]:
    """How much of the slower of decoding and network is left where each of them has a core of its own."""
    use_own_home()

    from infer_torchvision_resnext.classifier import Classifier
    from infer_torchvision_resnext.parameters import Parameters

    model_folder("resnext50_32x4d")
    alone = {**SETTINGS, "threads": "1"}
    classifier = Classifier(CACHE, many=True)
    classifier.prepare(Parameters.from_strings(alone))
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
            timings = timed(found, rounds)
            slower = max(timings["bare network"].median, timings["bare decoding"].median)
            rows += [
                {
                    "megapixels": megapixels,
                    "way": name,
                    "images/s": f"{speed_of(count, timing):.1f}",
                    "of the slower bare one": f"{slower / timing.median:.2f}",
                }
                for name, timing in timings.items()
            ]
    return rows


def rows_and_kills(count: int = ROWS, kills: int = KILLS, plots: Path = PLOTS) -> list[dict[str, Any]]:
    """Small images through the command, killed at random; memory of the process while it runs to the end.

    The curve is drawn in `plots`.
    """
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
    plots.mkdir(exist_ok=True)
    plot(memory, sum(paths.values()), plots / "bulk_memory.png")
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
    return subprocess.Popen(
        command(folder, table, *options, settings=DIGITS),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _memory_of(process: "subprocess.Popen[str]") -> list[float]:
    """Resident memory in MiB of the process and its children, each half second until it ends."""
    import psutil

    parent, curve = psutil.Process(process.pid), []
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            curve.append(sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True))) / 2**20)
        time.sleep(EACH_S)
    return curve


def plot(curve: list[float], rows: int, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(len(curve)) * EACH_S, curve, linewidth=1.2)
    axes.set(
        xlabel="seconds since the last start",
        ylabel="memory of all processes, MiB",
        ylim=(0, 1.15 * max(curve)),
        title=f"{rows:,} rows",
    )
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


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
        print(markdown(on_ray()))
    elif sys.argv[1:2] == ["overlap"]:
        print(markdown(overlap()))
    else:
        print(markdown(main()))
