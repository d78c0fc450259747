"""One job in this process: what its rows say."""

import csv
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_torchvision_resnext.bulk import processes
from infer_torchvision_resnext.bulk.inputs import InputError
from infer_torchvision_resnext.bulk.job import classify_all
from infer_torchvision_resnext.bulk.output_lock import is_lock
from infer_torchvision_resnext.bulk.plan import PlanError, part_rows_for, read_plan
from infer_torchvision_resnext.bulk.table import Row
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.resnext.host.schema import ParameterError
from infer_torchvision_resnext.resnext.machine.disk import sha256_of
from tests.bulk_jobs import DIGITS, REPOSITORY, SETTINGS, assert_each_once, rows_of, write_digits, write_photo
from tests.inference_output import result


def classify(source, output, cache_folder, settings=None, **options):
    return classify_all(
        source, output, {**SETTINGS, **(settings or {})}, workers=1, cache_folder=cache_folder, **options
    )


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_row_says_what_the_task_says(form, tmp_path, cache_folder, workflow):
    pytest.importorskip("pyarrow")
    source = write_digits(tmp_path / "digits", 6)
    classify(source, tmp_path / "table", cache_folder, form=form)
    wf, task = workflow
    task.set_parameters(SETTINGS)
    rows = rows_of(tmp_path / "table")
    assert [row["path"] for row in rows] == [f"{folder}/{number:04}.png" for folder in "ab" for number in range(3)]
    for row in rows:
        wf.run_on(path=str(source / row["path"]))
        (expected,) = result(task)["predictions"]
        assert (row["answer"], row["reason"] or "") == (expected["answer"], expected["reason"])
        assert row["labels"] == [each["label"] for each in expected["top_k"]]
        probabilities = [each["probability"] for each in expected["top_k"]]
        assert row["probabilities"] == pytest.approx(probabilities, abs=1e-5)
        assert float(row["probability"]) == pytest.approx(probabilities[0], abs=1e-5)
        assert row["model"] == sha256_of(DIGITS / "model.safetensors")
        assert (row["frame"], row["error"]) == (None, None)


def test_what_cannot_be_read_is_a_row_with_the_reason(tmp_path, cache_folder, digits):
    photo = write_photo(tmp_path / "photo.jpg").read_bytes()
    (digits / "a" / "cut.jpg").write_bytes(photo[: len(photo) // 2])
    (digits / "a" / "empty.png").write_bytes(b"")
    (digits / "b" / "text.jpg").write_text("no image")
    (tmp_path / "secret.png").write_bytes((digits / "a" / "0000.png").read_bytes())
    (digits / "b" / "out.png").symlink_to(tmp_path / "secret.png")
    (digits / "b" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (digits / "b" / "around").symlink_to(digits, target_is_directory=True)
    os.mkfifo(digits / "b" / "pipe.png")
    summary = classify(digits, tmp_path / "table", cache_folder, form="csv")
    reasons = {row["path"]: row["error"] for row in rows_of(tmp_path / "table") if row["error"]}
    assert (summary.rows, summary.errors, len(rows_of(tmp_path / "table"))) == (86, 6, 86)
    assert reasons.keys() == {"a/cut.jpg", "a/empty.png", "b/text.jpg", "b/out.png", "b/lost.png", "b/pipe.png"}
    assert "cut short" in reasons["a/cut.jpg"]
    assert "a link that leads out" in reasons["b/out.png"]
    assert all(row["answer"] is None for row in rows_of(tmp_path / "table") if row["error"])


def test_no_image_ends_the_job_whatever_is_wrong_with_it(tmp_path, cache_folder, digits):
    (digits / "a" / "loop.png").symlink_to(digits / "a" / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    bad = [
        "a/0\0.png",
        "digits/a/loop.png",
        f"file://{tmp_path}/pipe.png",
        "file:///dev/zero",
        "local:///dev/zero",
        "x" * 9999,
    ]
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    pq.write_table(pa.table({"path": [*bad, "digits/a/0000.png"]}), tmp_path / "list.parquet")
    summary = classify(tmp_path / "list.parquet", tmp_path / "table", cache_folder)
    rows = rows_of(tmp_path / "table")
    assert [row["error"] is not None for row in rows] == [True] * len(bad) + [False]
    assert (summary.errors, summary.all_failed, summary.first_error.partition(":")[0]) == (len(bad), False, bad[0])
    assert "a pipe or a socket" in rows[2]["error"]


def test_an_output_that_is_not_finite_costs_one_image_its_answer(tmp_path, cache_folder, digits, monkeypatch):
    classify_crops = Classifier.classify_crops
    first = []

    def fails(self, crops):
        first[:] = first or [crops[0].copy()]
        if any(np.array_equal(crop, first[0]) for crop in crops):
            raise ValueError("the network's output is not finite")
        return classify_crops(self, crops)

    monkeypatch.setattr(Classifier, "classify_crops", fails)
    assert classify(digits, tmp_path / "table", cache_folder, form="csv", reduced_decoding="off").errors == 1
    assert [row["error"] for row in rows_of(tmp_path / "table")][:2] == ["the network's output is not finite", None]
    monkeypatch.setattr(Classifier, "classify_crops", lambda self, crops: fails(self, crops * 0 + first[0]))
    with pytest.raises(ValueError, match="not finite"):
        classify(digits, tmp_path / "other", cache_folder, form="csv", reduced_decoding="off")


def test_the_columns_are_declared_once(tmp_path, cache_folder, workflow):
    parquet = pytest.importorskip("pyarrow.parquet")
    source = write_digits(tmp_path / "digits", 3)
    (source / "a" / "bad.png").write_bytes(b"")
    settings = {"coverage": 0.9, "unknown_sensitivity": 0.1}
    classify(source, tmp_path / "csv", cache_folder, settings, form="csv")
    classify(source, tmp_path / "parquet", cache_folder, {**settings, "embeddings": True})
    with (tmp_path / "csv" / "part-000000.csv").open(encoding="utf-8", newline="") as text:
        header = next(csv.reader(text))
    schema = parquet.read_schema(tmp_path / "parquet" / "part-000000.parquet")
    assert schema.names == list(Row._fields)
    assert header == [name for name in schema.names if name != "embedding"]
    assert str(schema.field("embedding").type) == "list<element: float>"
    manual = (REPOSITORY / "docs" / "many-images.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| ", manual.split("| column |")[1].split("\n\n")[0], re.MULTILINE) == schema.names
    wf, task = workflow
    task.set_parameters({**SETTINGS, **settings, "embeddings": True})
    for row in rows_of(tmp_path / "parquet"):
        if row["error"]:
            assert (row["set"], row["known_score"], row["embedding"]) == (None, None, None)
            continue
        wf.run_on(path=str(source / row["path"]))
        (expected,) = result(task)["predictions"]
        assert row["set"] == expected["set"]
        assert row["known_score"] == pytest.approx(expected["known_score"], rel=1e-3)
        assert row["embedding"] == pytest.approx(expected["embedding"], rel=1e-3, abs=1e-4)
    with pytest.raises(PlanError, match=r"columns is .*coverage is '0', and was '0.9'.*embeddings is"):
        classify(source, tmp_path / "parquet", cache_folder)


def test_a_table_of_another_version_is_not_continued(tmp_path, cache_folder, digits, monkeypatch):
    classify(digits, tmp_path / "table", cache_folder, form="csv")
    monkeypatch.setattr("infer_torchvision_resnext.bulk.plan.__version__", "9.9.9")
    with pytest.raises(PlanError, match=r"plugin is '9\.9\.9', and was '2"):
        classify(digits, tmp_path / "table", cache_folder, form="csv")


def test_the_home_is_written_as_a_tilde(tmp_path, cache_folder, monkeypatch):
    source = write_digits(tmp_path / "digits", 3)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert classify(source, "~/table", cache_folder, form="csv").output == tmp_path / "table"
    assert len(rows_of(tmp_path / "table")) == 3


def test_a_list_and_manifests_name_images_relative_to_themselves(tmp_path, cache_folder, digits):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    paths = ["digits/a/0000.png", str(digits / "b" / "0000.png"), f"file://{digits}/a/0001.png", "missing.png"]
    (tmp_path / "list.txt").write_text("\n".join(paths) + "\n\n")
    (tmp_path / "list.csv").write_text("id,file\n" + "".join(f"{i},{path}\n" for i, path in enumerate(paths)))
    parquet.write_table(pa.table({"path": paths}), tmp_path / "list.parquet")
    answers = []
    for name, column in (("list.txt", "path"), ("list.csv", "file"), ("list.parquet", "path")):
        classify(tmp_path / name, tmp_path / f"{name}-table", cache_folder, column=column)
        rows = rows_of(tmp_path / f"{name}-table")
        assert [row["path"] for row in rows] == paths
        assert [row["error"] is None for row in rows] == [True, True, True, False]
        answers.append([row["answer"] for row in rows])
    assert answers[0] == answers[1] == answers[2]
    with pytest.raises(InputError, match="no column 'path': its columns are id, file"):
        classify(tmp_path / "list.csv", tmp_path / "table", cache_folder)


def test_a_folder_may_be_an_url(tmp_path, cache_folder, digits):
    classify(f"file://{digits}", tmp_path / "table", cache_folder, form="csv")
    assert_each_once(tmp_path / "table", [f"{folder}/{number:04}.png" for folder in "ab" for number in range(40)])
    assert not any(row["error"] for row in rows_of(tmp_path / "table"))
    with pytest.raises(InputError, match=r"nosuch:// cannot be read"):
        classify("nosuch://bucket", tmp_path / "other", cache_folder)


def test_every_frame_of_a_video_is_a_row(tmp_path, cache_folder, monkeypatch):
    import cv2

    monkeypatch.setattr("infer_torchvision_resnext.bulk.plan.MOST", 7)
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    shades = np.linspace(0, 255, 20).astype(np.uint8)
    for shade in shades:
        writer.write(np.full((48, 64, 3), (shade, 0, 255 - shade), np.uint8))
    writer.release()
    summary = classify(tmp_path / "v.avi", tmp_path / "table", cache_folder, form="csv")
    whole = rows_of(tmp_path / "table")
    assert summary.rows == 20
    assert [(row["path"], row["frame"]) for row in whole] == [("v.avi", str(number)) for number in range(20)]
    # It goes on in the middle, at the right frame; a gap is filled with its own frames, also where the length is known.
    for missing, is_ended, written in (((1, 2), False, 13), ((0,), False, 13), ((0,), True, 7), ((0, 2), True, 13)):
        for part in missing:
            (tmp_path / "table" / f"part-{part:06}.csv").unlink()
        if not is_ended:
            read_plan(tmp_path / "table").end(tmp_path / "table", None)
        summary = classify(tmp_path / "v.avi", tmp_path / "table", cache_folder, form="csv")
        assert (summary.rows, summary.written, summary.damaged) == (20, written, 0)
        again = rows_of(tmp_path / "table")
        assert [row["frame"] for row in again] == [row["frame"] for row in whole]
        for row, before in zip(again, whole, strict=True):
            assert [float(value) for value in row["probabilities"]] == pytest.approx(before["probabilities"], abs=1e-6)


def test_a_finished_job_has_nothing_left_to_do(tmp_path, cache_folder, digits):
    assert classify(digits, tmp_path / "table", cache_folder, form="csv").written == 80

    def stamps():
        files = [file for file in (tmp_path / "table").iterdir() if not is_lock(file)]
        return {file.name: file.stat().st_mtime_ns for file in files}

    before = stamps()
    again = classify(digits, tmp_path / "table", cache_folder, {"threads": 2, "batch_size": 4}, form="csv")
    assert (again.rows, again.written) == (80, 0)
    assert stamps() == before


def test_another_job_is_refused_with_what_differs(tmp_path, cache_folder, digits):
    classify(digits, tmp_path / "table", cache_folder, form="csv")
    with pytest.raises(PlanError, match=r"top_k is '3', and was '2'.*name another OUTPUT"):
        classify(digits, tmp_path / "table", cache_folder, {"top_k": 3}, form="csv")
    (digits / "a" / "0000.png").rename(digits / "a" / "renamed.png")
    with pytest.raises(PlanError, match="images is "):
        classify(digits, tmp_path / "table", cache_folder, form="csv")
    with pytest.raises(PlanError, match=r"holds a but no _plan\.json"):
        classify(digits, digits, cache_folder, form="csv")
    unfit = {"region": "objects", "maps": True, "track": 5, "drift_window": 100}
    reasons = r"no detector here.*\n.*no column for them.*\ntrack = 5: .*set it to 0\ndrift_window = 100: .*set it to 0"
    with pytest.raises(ParameterError, match=reasons) as refused:
        classify(digits, tmp_path / "table", cache_folder, unfit, reduced_decoding="yes")
    assert len(refused.value.problems) == 5
    with pytest.raises(InputError, match="holds no images"):
        classify(tmp_path / "table", tmp_path / "new", cache_folder)


def test_the_answers_of_least_cost_are_the_tasks_and_other_costs_are_another_job(tmp_path, cache_folder, workflow):
    source, folder = write_digits(tmp_path / "digits", 40), shutil.copytree(DIGITS, tmp_path / "model")
    # Whose facts speak of no costs.
    (folder / "golden.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    # To miss a 3 costs a million times what other mistakes do.
    config["resnext"]["costs"] = [
        [0 if true == answer else 1e6 ** (true == 3) for answer in range(10)] for true in range(10)
    ]
    (folder / "config.json").write_text(json.dumps(config))
    settings = {"weights": str(folder), "unknown_sensitivity": 0}
    classify(source, tmp_path / "table", cache_folder, settings, form="csv")
    rows = rows_of(tmp_path / "table")
    wf, task = workflow
    task.set_parameters({**SETTINGS, **settings})
    for row in rows[:10]:
        wf.run_on(path=str(source / row["path"]))
        data = result(task)
        (expected,) = data["predictions"]
        assert data["trust"]["decided_by"] == "cost"
        assert row["labels"] == [each["label"] for each in expected["top_k"]]
        assert row["answer"] == expected["answer"] == row["labels"][0] == task.get_whole_image_results()[0][0]
    # Where the first is not the most probable one, it is because of its cost.
    assert all(json.loads(row["expected_cost"]) == sorted(json.loads(row["expected_cost"])) for row in rows)
    moved = [row["answer"] for row in rows if row["probabilities"][0] < row["probabilities"][1]]
    assert moved
    assert set(moved) == {"3"}
    config["resnext"]["costs"] = None
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PlanError, match="trust is "):
        classify(source, tmp_path / "table", cache_folder, settings, form="csv")


def test_large_photos_are_decoded_smaller_where_the_answers_stay(tmp_path, cache_folder):
    for seed in range(4):
        write_photo(tmp_path / "photos" / f"{seed}.jpg", seed)
    tables = {}
    for name, settings, options in (
        ("auto", {"guard_tolerance": 1}, {}),
        ("off", {}, {"reduced_decoding": "off"}),
        ("refused", {"guard_tolerance": 0}, {}),
    ):
        settings |= {"runtime": "torch"}
        classify(tmp_path / "photos", tmp_path / name, cache_folder, settings, form="csv", **options)
        tables[name] = [row["probabilities"] for row in rows_of(tmp_path / name)]
    plans = {name: json.loads((tmp_path / name / "_plan.json").read_text())["reduced"] for name in tables}
    assert (plans["auto"]["used"], plans["auto"]["files"], plans["auto"]["top1"]) == (True, 4, 1)
    assert plans["off"] == {"used": False, "files": 0}
    assert not plans["refused"]["used"]
    assert plans["refused"]["largest_change"] > 0
    assert tables["off"] == tables["refused"] != tables["auto"]
    change = np.abs(np.subtract(tables["auto"], tables["off"])).max()
    assert 0 < change <= plans["auto"]["largest_change"] + 1e-6


def test_a_killed_decoder_is_replaced(tmp_path, cache_folder, digits, monkeypatch):
    """The first process dies with its first result; in the end no row is missing."""
    results = processes.Processes.results

    def with_a_kill(self, *arguments):
        found = results(self, *arguments)
        yield next(found)
        for pid in list(self._pool._processes):
            os.kill(pid, signal.SIGKILL)
        yield from found

    monkeypatch.setattr(processes.Processes, "results", with_a_kill)
    summary = classify(digits, tmp_path / "table", cache_folder, form="csv", reduced_decoding="off")
    assert (summary.rows, summary.errors) == (80, 0)
    assert_each_once(tmp_path / "table", [f"{folder}/{number:04}.png" for folder in "ab" for number in range(40)])


def _die(path, how):
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_image_that_kills_its_process_is_told_by_its_row():
    with processes.Processes(1) as pool:
        told = list(pool.results(_die, [("bad.png", None), ("worse.png", None)], lambda task: f"{task[0]} is lost"))
    assert told == ["bad.png is lost", "worse.png is lost"]


def test_formulas_and_bytes_that_are_no_text_are_written_out(tmp_path, cache_folder, digits):
    image = (digits / "a" / "0000.png").read_bytes()
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "=1+1.png").write_bytes(image)
    Path(os.fsdecode(os.fsencode(tmp_path / "names") + b"/\xff.png")).write_bytes(image)
    Image.open(digits / "a" / "0001.png").save(tmp_path / "names" / "ü\n.png")
    classify(tmp_path / "names", tmp_path / "table", cache_folder, form="csv")
    assert [row["path"] for row in rows_of(tmp_path / "table")] == ["'=1+1.png", "ü\n.png", "\\udcff.png"]
    assert all(row["answer"] for row in rows_of(tmp_path / "table"))


@pytest.mark.parametrize(("rows", "part_rows"), [(1, 32), (1200, 32), (6400, 100), (10_000_000, 1000), (None, 1000)])
def test_small_jobs_have_parts_for_many_workers(rows, part_rows):
    assert part_rows_for(rows) == part_rows
