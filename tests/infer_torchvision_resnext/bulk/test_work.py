"""What is left to do, read from part files that are there, missing, damaged or another job's."""

import json
import os

import pytest

from infer_torchvision_resnext.bulk.parts import DamagedPartError, Table
from infer_torchvision_resnext.bulk.plan import PLAN, Plan, PlanError, agreed_plan, read_plan
from infer_torchvision_resnext.bulk.shards import Shard
from infer_torchvision_resnext.bulk.table import Row, columns_for
from infer_torchvision_resnext.bulk.work import MixedPartError, Part, list_work, write_part

ROWS, PART_ROWS = 10, 4


def row(number, error=None, **values):
    blank = dict.fromkeys(Row._fields)
    labels = [] if error else ["=a", 'b"\n']
    filled = {"path": f"{number}.png", "labels": labels, "probabilities": [0.1 + 0.2] * len(labels)}
    return Row(**{**blank, **filled, "decode_ms": 1.5, "model": "m", "error": error, **values})


@pytest.fixture(params=["parquet", "csv"])
def table(request, tmp_path):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return Table(tmp_path, request.param, columns_for())


def write(table, number, begin, rows, errors=()):
    table.write(number, [row(place, "cut" if place in errors else None) for place in range(begin, begin + rows)])


def plan(rows=ROWS):
    return Plan(identity={}, form="csv", rows=rows, part_rows=PART_ROWS, reduced={}, runtime={})


@pytest.fixture
def full(table):
    for number in range(3):
        write(table, number, number * PART_ROWS, min(PART_ROWS, ROWS - number * PART_ROWS), errors=(5, 9))
    return table


def test_nothing_is_left_of_a_whole_table(full):
    work = list_work(full, plan())
    assert (work.parts, work.tail, work.rows_before, work.errors_before, work.damaged) == ((), None, 10, 2, 0)


def test_missing_parts_are_listed_once_and_stay_the_same_while_they_are_written(full):
    full.file(1).unlink()
    full.file(2).unlink()
    work = list_work(full, plan())
    parts = work.all_parts()
    assert next(parts) == Part(1, 4, 4)
    write(full, 2, 8, 2)
    assert list(parts) == [Part(2, 8, 2)]
    assert list(work.all_parts()) == [Part(1, 4, 4), Part(2, 8, 2)]


def cut(file, size):
    os.truncate(file, size)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda file: cut(file, 0), id="empty"),
        pytest.param(lambda file: cut(file, file.stat().st_size - 3), id="cut"),
        pytest.param(lambda file: cut(file, file.stat().st_size // 2), id="half"),
        pytest.param(lambda file: file.write_bytes(bytes(file.stat().st_size)), id="zeros"),
        pytest.param(lambda file: file.write_text("no table\n"), id="text"),
        pytest.param(
            lambda file: file.write_bytes(file.with_name(f"part-000002{file.suffix}").read_bytes()), id="rows"
        ),
    ],
)
def test_damaged_parts_are_removed_and_listed(full, damage):
    damage(full.file(1))
    work = list_work(full, plan())
    assert (work.parts, work.damaged, work.rows_before) == ((Part(1, 4, 4),), 1, 6)
    assert not full.file(1).exists()


def test_a_part_of_other_columns_is_damaged(table):
    table.write(0, [row(0)])
    with pytest.raises(DamagedPartError):
        Table(table.folder, table.form, columns_for()[1:]).inspect(0)


def test_a_part_that_the_job_does_not_have_is_refused_by_name(full):
    write(full, 3, 12, 4)
    with pytest.raises(PlanError, match=r"part-000003\.\w+ is not a part of this job, which has 3"):
        list_work(full, plan())


def test_a_file_that_cannot_be_read_is_not_damaged(full, monkeypatch):
    full.file(1).unlink()
    full.file(1).mkdir()
    with pytest.raises(IsADirectoryError):
        list_work(full, plan())


def test_shards_divide_the_parts(table):
    shards = [list_work(table, plan(), Shard(index, 2)).parts for index in range(2)]
    assert shards == [(Part(0, 0, 4), Part(2, 8, 2)), (Part(1, 4, 4),)]


def test_of_a_video_of_unknown_length_gaps_are_parts_and_the_end_is_open(table):
    write(table, 1, 4, 4)
    write(table, 3, 12, 2)
    work = list_work(table, plan(None))
    # The last part is short: the video's end, or a part that is to be written again.
    assert (work.parts, work.tail) == ((Part(0, 0, 4), Part(2, 8, 4)), Part(3, 12, 4))
    assert (work.rows_before, work.damaged) == (4, 0)
    parts = work.all_parts()
    assert [next(parts).number for _ in range(5)] == [0, 2, 3, 4, 5]


def test_errors_are_listed_again_row_by_row_and_the_other_rows_stay(full):
    work = list_work(full, plan(), retry_errors=True)
    assert work.parts == (Part(1, 4, 4, (1,)), Part(2, 8, 2, (1,)))
    assert (work.rows, work.rows_before, work.errors_before) == (2, 8, 0)
    keys = [(f"{number}.png", None) for number in range(4, 8)]
    before = full.read(1)
    write_part(full, work.parts[0], [row(5, answer="now")], keys)
    assert full.read(1) == [before[0], row(5, answer="now"), *before[2:]]


def test_rows_of_another_part_are_not_written(table):
    keys = [(f"{number}.png", None) for number in range(4, 8)]
    with pytest.raises(MixedPartError, match="other images"):
        write_part(table, Part(1, 4, 4), [row(number) for number in range(4)], keys)
    assert not table.file(1).exists()


def test_what_is_read_back_and_written_again_is_the_same_file(table):
    rows = [
        row(0, path="=1+1", set=["a"], expected_cost=[1e-17], known_score=-2.5, frame=3, probability=1 / 3, reason=""),
        row(1, "failed", path="'=x"),
        row(2, path="'"),
    ]
    table.write(0, rows)
    content = table.file(0).read_bytes()
    table.write(0, table.read(0))
    assert table.file(0).read_bytes() == content
    assert table.read(0)[0].set == ["a"]
    assert table.read(0)[0].probability == 1 / 3


def test_cells_may_be_larger_than_pythons_limit(table):
    table.write(0, [row(0, labels=["x" * 200_000])])
    assert table.inspect(0).rows == 1
    assert table.read(0)[0].labels == ["x" * 200_000]


def test_of_two_jobs_that_begin_at_once_one_gets_the_output(tmp_path):
    def rival():
        """Between the look at OUTPUT and the writing of the plan, another job writes its own."""
        agreed_plan(tmp_path, {"top_k": "3"}, ROWS, lambda: plan().model_copy(update={"identity": {"top_k": "3"}}))
        return plan().model_copy(update={"identity": {"top_k": "2"}})

    with pytest.raises(PlanError, match="top_k is '2', and was '3'"):
        agreed_plan(tmp_path, {"top_k": "2"}, ROWS, rival)
    assert read_plan(tmp_path).identity == {"top_k": "3"}
    assert [file.name for file in tmp_path.iterdir()] == [PLAN]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"part_rows": 5}, "was changed after it was written"),
        ({"rows": None}, "was changed after it was written"),
        ({"rows": -1}, "is damaged"),
        ({"part_rows": 0}, "is damaged"),
        ({"part_rows": "4"}, "is damaged"),
        ({"form": "xml"}, "is damaged"),
        ({"checksum": ""}, "was changed after it was written"),
        ({"format_version": 1}, "written by version 2.1 .*name another OUTPUT"),
        ({"format_version": 3}, "update the plugin"),
    ],
)
def test_a_plan_that_was_changed_is_refused(tmp_path, change, reason):
    agreed_plan(tmp_path, {}, ROWS, plan)
    content = json.loads((tmp_path / PLAN).read_text())
    (tmp_path / PLAN).write_text(json.dumps({**content, **change}))
    with pytest.raises(PlanError, match=reason):
        agreed_plan(tmp_path, {}, ROWS, plan)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"\0" * 100])
def test_a_plan_that_is_no_plan_is_refused(tmp_path, content):
    (tmp_path / PLAN).write_bytes(content)
    with pytest.raises(PlanError, match="is damaged"):
        agreed_plan(tmp_path, {}, ROWS, plan)


def test_a_plan_of_another_number_of_rows_is_refused(tmp_path):
    agreed_plan(tmp_path, {}, ROWS, plan)
    with pytest.raises(PlanError, match="it says 10 rows for 9 images"):
        agreed_plan(tmp_path, {}, 9, plan)
