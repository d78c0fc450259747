"""Comparing architectures: what is trained is trained once, and the figures are those of the trainings."""

import base64
import csv
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import comparison
from benchmarks.interleaved import Timing
from examples.cardinality import Experiment, compare
from examples.cardinality.accuracy import Cell, cell_file, read_cells, train_cells
from examples.cardinality.cost import at_constant_cost, cost
from examples.cardinality.page import PAGE, sentences
from examples.cardinality.plots import CARDINALITY_PLOT, COST_PLOT
from examples.cardinality.presets import PRESETS
from examples.cardinality.speed import BATCHES, RUNTIMES, measure, read_timings
from examples.cardinality.summary import Row, families, rows_of, table
from tests.image_folders import write_digits
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.results import outcome
from train_torchvision_resnext.run.progress import TrainingError
from train_torchvision_resnext.run.run_folder import RunFolder

REPOSITORY = Path(__file__).parents[3]
SMALL = (Architecture((1, 1), 1, 4, "cifar"), Architecture((1, 1), 2, 3, "cifar"))
SETTINGS = {"input_size": 16, "epochs": 2, "batch_size": 8, "precision": "fp32", "device": "cpu", "num_workers": 0}


@pytest.fixture(autouse=True, scope="module")
def no_reports():
    """Of the single trainings, whose folders do not stay."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome, "write_report", lambda folder, *others: folder.mkdir())
        yield


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 16, "val": 5})


def experiment_of(dataset, architectures=SMALL, seeds=2, **settings):
    return Experiment.of(architectures, dataset, seeds, **{**SETTINGS, **settings})


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def finished(digits, tmp_path_factory):
    """A whole comparison, and its folder."""
    folder = tmp_path_factory.mktemp("finished")
    experiment = experiment_of(digits)
    compare(experiment, folder)
    return experiment, folder


def test_exactly_these_files_are_left(finished):
    experiment, folder = finished
    cells = sorted(cell_file(experiment, folder, one, seed).name for one in SMALL for seed in (0, 1))
    assert files_in(folder / "cells") == cells
    assert list((folder / "runs").iterdir()) == []
    others = {path.name for path in folder.iterdir() if path.is_file()}
    speed = {name for name in others if re.fullmatch(r"speed_[0-9a-f]{12}\.json", name)}
    assert len(speed) == 1
    assert others - speed == {
        PAGE,
        CARDINALITY_PLOT,
        COST_PLOT,
        "comparison.csv",
        "comparison.md",
        "trainings.csv",
    }


def test_every_figure_is_that_of_the_trainings(finished):
    experiment, folder = finished
    for one, cells in read_cells(experiment, folder).items():
        assert [(cell.architecture, cell.seed, cell.images) for cell in cells] == [(str(one), 0, 15), (str(one), 1, 15)]
        for cell in cells:
            assert len(cell.epoch_seconds) == len(cell.epoch_processor_seconds) == 2
            assert min(cell.epoch_seconds) > 0
            assert cell.top1 <= cell.best_top1
            # Of 15 images.
            assert cell.top1 * 15 == pytest.approx(round(cell.top1 * 15))
    with (folder / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    for row, line in zip(rows_of(experiment, folder), lines, strict=True):
        assert float(line["top1_mean"]) == pytest.approx(statistics.fmean(row.accuracies))
        assert int(line["multiply_adds"]) == cost(row.architecture, 16, 3).multiply_adds
        assert float(line["torch_batch1_ms_low"]) <= float(line["torch_batch1_ms_median"])
    with (folder / "trainings.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4


def test_what_is_finished_is_not_trained_or_timed_again(finished):
    experiment, folder = finished
    before = {path: path.stat().st_mtime_ns for path in [*(folder / "cells").iterdir(), *folder.glob("speed_*")]}
    compare(experiment, folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    more = experiment_of(experiment.dataset, seeds=3)
    assert [len(cells) for cells in read_cells(more, folder).values()] == [2, 2]


@pytest.mark.parametrize("change", [{"epochs": 3}, {"batch_size": 4}, {"learning_rate": 0.1}, {"input_size": 20}])
def test_other_settings_are_another_cell(finished, change):
    experiment, folder = finished
    other = experiment_of(experiment.dataset, **change)
    assert not any(read_cells(other, folder).values())


def test_another_dataset_is_another_cell_and_another_place_to_export_is_not(finished, tmp_path):
    experiment, folder = finished
    others = write_digits(tmp_path / "digits", {"train": 17, "val": 5})
    assert not any(read_cells(experiment_of(others), folder).values())
    assert all(read_cells(experiment_of(experiment.dataset, export_onnx=True), folder).values())


def test_what_was_stopped_goes_on_to_the_same_result(finished, tmp_path):
    experiment, folder = finished

    def within_the_second_epoch_of_the_second_cell():
        return bool(files_in(tmp_path / "cells")) and any((tmp_path / "runs").rglob("last.ckpt"))

    assert not train_cells(experiment, tmp_path, within_the_second_epoch_of_the_second_cell)
    stopped = [len(cells) for cells in read_cells(experiment, tmp_path).values()]
    assert stopped == [1, 0]
    assert len(list((tmp_path / "runs").rglob("last.ckpt"))) == 1
    assert train_cells(experiment, tmp_path, lambda: False)
    whole, parts = read_cells(experiment, folder), read_cells(experiment, tmp_path)
    for one in SMALL:
        assert [(cell.top1, cell.loss) for cell in parts[one]] == [(cell.top1, cell.loss) for cell in whole[one]]
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_cell_that_another_process_is_at_is_left_to_it(digits, tmp_path):
    experiment = experiment_of(digits, seeds=1)
    taken = tmp_path / "runs" / cell_file(experiment, tmp_path, SMALL[0], 0).stem
    taken.mkdir(parents=True)
    with RunFolder(taken).locked():
        assert not train_cells(experiment, tmp_path, lambda: False)
    assert [len(cells) for cells in read_cells(experiment, tmp_path).values()] == [0, 1]
    assert train_cells(experiment, tmp_path, lambda: False)


def start(dataset, folder, **settings):
    """The command line, on one network."""
    command = [
        sys.executable,
        "-m",
        "examples.cardinality",
        str(dataset),
        "--architectures",
        "resnet11_1x2d",
        "--seeds",
        "1",
    ]
    command += ["--without", "speed", "--output", str(folder), "--set"]
    command += [f"{key}={value}" for key, value in {**SETTINGS, **settings}.items()]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=REPOSITORY, env=os.environ.copy(), **pipes)


def wait_for_an_epoch(process, folder):
    deadline = time.monotonic() + 120
    while not list(folder.rglob("last.ckpt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_polite_kill_reports_what_is_there(digits, tmp_path):
    process = start(digits, tmp_path, epochs=9999)
    wait_for_an_epoch(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "the same command goes on" in told
    assert "Not finished: resnet11_1x2d" in told
    assert (tmp_path / PAGE).is_file()


def test_a_killed_training_goes_on_where_it_stood(digits, tmp_path):
    process = start(digits, tmp_path, epochs=12)
    wait_for_an_epoch(process, tmp_path)
    process.kill()
    _, errors = process.communicate()
    experiment = experiment_of(digits, [Architecture.from_name("resnet11_1x2d")], seeds=1, epochs=12)
    assert list(read_cells(experiment, tmp_path).values()) == [[]], errors
    assert train_cells(experiment, tmp_path, lambda: False)
    ((cell,),) = read_cells(experiment, tmp_path).values()
    # Only what was left was trained now.
    assert len(cell.epoch_seconds) == 12
    assert 0 < len(cell.epoch_processor_seconds) < 12


def test_rounds_are_kept_and_gone_on_with(tmp_path):
    experiment = experiment_of(None)
    asked = []
    # Three rounds to warm up, then two that count.
    assert not measure(experiment, tmp_path, lambda: len(asked) >= 5 or asked.append(1) is not None, rounds=4)
    (file,) = tmp_path.glob("speed_*.json")
    stopped = file.read_text()
    assert measure(experiment, tmp_path, lambda: False, rounds=4)
    timings = read_timings(experiment, tmp_path)
    assert {(way.architecture, way.runtime, way.batch) for way in timings} == {
        (str(one), runtime, batch) for one in SMALL for runtime in RUNTIMES for batch in BATCHES
    }
    assert all(0 < timing.low <= timing.median <= timing.high for timing in timings.values())
    # The first two rounds are those of before.
    assert file.read_text().startswith(stopped.partition("]")[0])


def test_the_number_of_rounds_is_chosen_and_reported(tmp_path):
    command = [sys.executable, "-m", "examples.cardinality", "--architectures", "resnet11_1x2d", "--rounds"]
    options = ["--output", str(tmp_path), "--set", "input_size=16"]
    pipes = {"cwd": REPOSITORY, "capture_output": True, "text": True}
    refused = subprocess.run([*command, "0", *options], check=False, **pipes)
    assert refused.returncode != 0
    assert "rounds = 0: must be an integer from 1" in refused.stderr
    finished = subprocess.run([*command, "2", *options], check=False, **pipes)
    assert finished.returncode == 0, finished.stderr
    assert "Timed rounds: 2;" in finished.stdout
    (file,) = tmp_path.glob("speed_*.json")
    assert {len(times) for times in json.loads(file.read_text()).values()} == {2}


def test_costs_alone_need_no_dataset(tmp_path):
    page = compare(Experiment.of(["resnet50", "resnext50_32x4d"], None), tmp_path, parts=())
    assert page.is_file()
    assert files_in(tmp_path) == ["comparison.csv", PAGE, "comparison.md", "trainings.csv"]
    assert "| resnext50_32x4d | 25.03 | 4,230 | 14.40 | 112.2 |" in (tmp_path / "comparison.md").read_text()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Experiment.of([], None), "at least one architecture and one seed"),
        (lambda: Experiment.of(["resnet50"], None, seeds=0), "at least one architecture and one seed"),
        (lambda: Experiment.of(["resnet18"], None), "'resnet18' is not a member of the family"),
        (lambda: Experiment.of(["resnet50"], None, layers="1,1"), "layers: set by the comparison itself"),
        (lambda: Experiment.of(["resnet50"], None, epochs=0), "epochs = '0': must be an integer from 1"),
        (lambda: Experiment.of(["resnet50"], None, epoch=1), "'epoch' is not a parameter: did you mean 'epochs'"),
        (lambda: Experiment.of(["resnet29"], None, weights="DEFAULT"), "none are published for resnet29"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_former_package_name_still_works():
    assert comparison.compare is compare
    assert comparison.Experiment is Experiment


def test_one_named_twice_is_compared_once():
    experiment = Experiment.of(["resnext50", "resnext50_32x4d", Architecture.from_name("resnet50")], None)
    assert [str(one) for one in experiment.architectures] == ["resnext50_32x4d", "resnet50"]


def test_a_folder_that_cannot_be_trained_on_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"no image|no class"):
        compare(experiment_of(tmp_path / "empty"), tmp_path / "out", parts=["accuracy"])


def row_of(architecture, accuracies, millisecond=None):
    cells = tuple(
        Cell(str(architecture), seed, top1, top1, 0.5, 200, (2.0, 4.0, 3.0), (1.0, 1.5))
        for seed, top1 in enumerate(accuracies)
    )
    ways = [(runtime, batch) for runtime in RUNTIMES for batch in BATCHES]
    timings = {way: Timing((millisecond, millisecond * way[1], 100.0)) for way in ways} if millisecond else {}
    return Row(architecture, cost(architecture, 32, 10), cells, timings)


def test_a_row_says_mean_spread_and_speed():
    row = row_of(Architecture.from_name("resnet11"), [0.9, 0.94], 2.0)
    (line,) = table([row])
    assert (line["parameters, M"], line["multiply-adds, M"]) == ("1.98", "321")
    # A standard deviation of a sample of two is the difference by the root of two.
    assert line["top-1, mean ± s.d."] == "92.0 % ± 2.8"
    assert line["training, processor s/epoch"] == "1.2"
    assert line["eager, ms (quartiles)"] == "2.0 (2.0 to 51.0)"
    assert line["OpenVINO, images/s"] == "500"
    assert row.epoch_seconds == 3.0
    alone = row_of(Architecture.from_name("resnet11"), [0.9])
    assert table([alone])[0]["top-1, mean ± s.d."] == "90.0 %"


def test_families_are_of_one_depth_and_one_cost():
    base = Architecture.from_name("resnet11")
    family = at_constant_cost(base, input_size=32)
    others = [Architecture.from_name(name) for name in ("resnet11_1x24d", "resnext20_32x4d")]
    rows = [row_of(one, [0.9]) for one in [*reversed(family), *others]]
    (found,) = families(rows)
    assert tuple(row.architecture for row in found) == family


def test_a_reader_is_told_how_far_to_trust_it(digits):
    experiment = Experiment.of(["resnet11"], digits, seeds=2)
    told = " ".join(sentences(experiment, [row_of(Architecture.from_name("resnet11"), [0.9])]))
    # sqrt(0.9 * 0.1 / 200) = 0.0212
    assert "One image is 0.5 %" in told
    assert "gives such an accuracy a standard error of 2.1 %" in told
    assert "Not finished: resnet11. Run the same command again" in told


def test_the_page_stands_alone_and_shows_both_plots(finished):
    _, folder = finished
    page = (folder / PAGE).read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    pictures = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    assert pictures == [(folder / name).read_bytes() for name in (COST_PLOT, CARDINALITY_PLOT)]
    for name in (COST_PLOT, CARDINALITY_PLOT):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 500
            assert np.asarray(picture.convert("L")).std() > 5


def test_what_comes_from_outside_is_escaped(digits, tmp_path):
    strange = tmp_path / "<b>digits"
    digits_again = write_digits(strange, {"train": 4, "val": 2})
    page = compare(experiment_of(digits_again), tmp_path / "out", parts=())
    assert "&lt;b&gt;digits" in page.read_text(encoding="utf-8")
    assert "<b>" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "train", "val"), [("digits", 1437, 360), ("few-digits", 360, 1437)])
def test_presets_make_their_images_and_can_be_trained(name, train, val, tmp_path):
    preset = PRESETS[name]
    folder = preset.write_images(tmp_path / name)
    assert [len(list((folder / part).rglob("*.png"))) for part in ("train", "val")] == [train, val]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    preset.write_images(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    bases = [Architecture.from_name(base) for base in preset.constant_cost]
    family = [one for base in bases for one in at_constant_cost(base, input_size=16)]
    experiment = Experiment.of([*family, *preset.architectures], folder, **preset.settings)
    assert {one.cardinality for one in experiment.architectures} == {1, 2, 4, 8, 16, 32}
