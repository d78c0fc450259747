"""OUTPUT as one CSV file for people."""

import csv

import pytest

from infer_torchvision_resnext.bulk.job import classify_all
from infer_torchvision_resnext.bulk.one_file import work_folder, write_one_file
from infer_torchvision_resnext.bulk.parts import Table
from infer_torchvision_resnext.bulk.plan import PLAN, PlanError
from infer_torchvision_resnext.bulk.request import Request
from infer_torchvision_resnext.bulk.shards import Shard
from infer_torchvision_resnext.bulk.table import Row, columns_for
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.host.schema import ParameterError
from tests.bulk_jobs import SETTINGS

ANSWER = {"answer": "unknown", "probability": 0.8249, "labels": ["-bee", "ant"], "probabilities": [0.8249, 0.1751]}


def row(path, **values):
    blank = {**dict.fromkeys(Row._fields), "labels": [], "probabilities": [], "decode_ms": 1.0, "model": "m"}
    return Row(**{**blank, "path": path, **values})


@pytest.fixture
def table(tmp_path):
    folder = work_folder(tmp_path / "answers.csv")
    folder.mkdir()
    (folder / PLAN).write_text("a plan")
    table = Table(folder, "csv", columns_for())
    table.write(0, [row("ü 猫.png", **ANSWER, reason="unlike", frame=0), row("=1+1", error="cut\nshort", frame=1)])
    table.write(1, [row("@x", **{**ANSWER, "answer": "ant"}, reason="", frame=2)])
    return table


def test_it_holds_what_a_person_asks_for_and_nothing_that_a_spreadsheet_computes(table, tmp_path):
    write_one_file(tmp_path / "answers.csv", table, parts=2, is_video=False)
    assert (tmp_path / "answers.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,")
    with (tmp_path / "answers.csv").open(encoding="utf-8-sig", newline="") as text:
        assert list(csv.reader(text)) == [
            ["path", "answer", "probability (%)", "best class", "reason", "error"],
            ["ü 猫.png", "unknown", "82.5", "'-bee", "unlike", ""],
            ["'=1+1", "", "", "", "", "cut\nshort"],
            ["'@x", "ant", "82.5", "'-bee", "", ""],
        ]
    # The parts are gone.
    assert [file.name for file in tmp_path.iterdir()] == ["answers.csv"]


def test_of_a_video_it_names_the_frames(table, tmp_path):
    write_one_file(tmp_path / "answers.csv", table, parts=2, is_video=True)
    with (tmp_path / "answers.csv").open(encoding="utf-8-sig", newline="") as text:
        assert [line["frame"] for line in csv.DictReader(text)] == ["0", "1", "2"]


def test_after_a_kill_between_the_file_and_the_removal_of_the_parts_it_is_finished(table, tmp_path):
    plan, parts = table.file(0).with_name(PLAN).read_bytes(), [table.read(0), table.read(1)]
    write_one_file(tmp_path / "answers.csv", table, parts=2, is_video=False)
    content = (tmp_path / "answers.csv").read_bytes()
    table.folder.mkdir()
    (table.folder / PLAN).write_bytes(plan)
    for number, rows in enumerate(parts):
        table.write(number, rows)
    write_one_file(tmp_path / "answers.csv", table, parts=2, is_video=False)
    assert (tmp_path / "answers.csv").read_bytes() == content
    assert not table.folder.exists()


def test_a_file_of_somebody_else_stays_and_so_do_the_parts(table, tmp_path):
    (tmp_path / "answers.csv").write_text("mine")
    with pytest.raises(PlanError, match="written by something else meanwhile"):
        write_one_file(tmp_path / "answers.csv", table, parts=2, is_video=False)
    assert (tmp_path / "answers.csv").read_text() == "mine"
    assert len(table.read(0)) == 2


def test_the_command_goes_on_where_it_stood_and_leaves_one_file(tmp_path, cache_folder, digits, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    output = tmp_path / "answers.CSV"
    options = {"workers": 1, "cache_folder": cache_folder}
    with monkeypatch.context() as patch:
        patch.setattr("infer_torchvision_resnext.bulk.job.finish", fail)
        with pytest.raises(KeyboardInterrupt):
            classify_all(digits, output, SETTINGS, **options)
    assert not output.exists()
    work = work_folder(output)
    (work / "part-000001.csv").unlink()
    summary = classify_all(digits, output, SETTINGS, **options)
    assert (summary.rows, summary.written) == (80, 32)
    with output.open(encoding="utf-8-sig", newline="") as text:
        paths = [line["path"] for line in csv.DictReader(text)]
    assert paths == [f"{folder}/{number:04}.png" for folder in "ab" for number in range(40)]
    assert not work.exists()
    with pytest.raises(PlanError, match="is there already"):
        classify_all(digits, output, SETTINGS, **options)


def test_of_two_commands_with_one_file_the_slower_one_leaves_nothing(tmp_path, cache_folder, digits, monkeypatch):
    output = tmp_path / "answers.csv"
    prepare = Classifier.prepare

    def prepare_while_another_job_ends(self, parameters):
        output.write_text("of the other job")
        prepare(self, parameters)

    monkeypatch.setattr(Classifier, "prepare", prepare_while_another_job_ends)
    with pytest.raises(PlanError, match="is there already"):
        classify_all(digits, output, SETTINGS, workers=1, cache_folder=cache_folder)
    assert (output.read_text(), work_folder(output).exists()) == ("of the other job", False)


def test_what_one_file_cannot_be_is_refused(tmp_path):
    output = tmp_path / "answers.csv"
    with pytest.raises(ParameterError) as refused:
        Request("x", output, Parameters(embeddings=True), form="parquet", shard=Shard(0, 2))
    assert len(refused.value.problems) == 2
    with pytest.raises(ParameterError, match="embeddings = True: CSV has no column for them"):
        Request("x", output, Parameters(embeddings=True))
    (tmp_path / "old.csv").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(PlanError, match=r"is a folder, and a name that ends in \.csv stands for one file"):
        classify_all(tmp_path / "a.png", tmp_path / "old.csv", SETTINGS, workers=1)
