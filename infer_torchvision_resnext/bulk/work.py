"""What is left to do of a job: found out once, and the same for those who decode and those who write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from .parts import Contents, DamagedPartError, Table
from .plan import Plan, PlanError
from .shards import EVERYTHING, Shard
from .table import Row, storable


class MixedPartError(RuntimeError):
    """Rows were about to be written into a part that they do not belong to; nothing was written."""


@dataclass(frozen=True)
class Part:
    """A range of rows that is written at once.

    Attributes:
        begin: number of its first row in the table.
        rows: how many it has.
        again: places of the rows, from 0, that are classified again; the others stay. None = all are classified.
    """

    number: int
    begin: int
    rows: int
    again: tuple[int, ...] | None = None

    @property
    def places(self) -> Sequence[int]:
        """Of the rows that are to be classified, from 0."""
        return range(self.rows) if self.again is None else self.again


@dataclass(frozen=True)
class Work:
    """The parts that are to be written.

    Attributes:
        parts: in order.
        tail: the first of the parts that follow them in a video of unknown length; None = there are no more.
        rows_before, errors_before: rows that earlier calls have written and that stay, and errors among them.
        damaged: parts that were there and did not hold what was written into them.
    """

    parts: tuple[Part, ...] = ()
    tail: Part | None = None
    rows_before: int = 0
    errors_before: int = 0
    damaged: int = 0

    @property
    def rows(self) -> int:
        """How many are to be classified, as far as that is known."""
        return sum(len(part.places) for part in self.parts)

    def all_parts(self) -> Iterator[Part]:
        """All, in order; endless where there is a tail. Reads nothing from the disk, so that it is always the same."""
        yield from self.parts
        if self.tail:
            number, begin, rows = self.tail.number, self.tail.begin, self.tail.rows
            yield from (Part(number + step, begin + step * rows, rows) for step in count())


def list_work(table: Table, plan: Plan, shard: Shard = EVERYTHING, retry_errors: bool = False) -> Work:
    """Find out which parts are missing, damaged or, with `retry_errors`, hold errors; damaged files are removed.

    Raises:
        PlanError: OUTPUT holds a part that the job does not have.
        OSError: a file cannot be read.
    """
    numbers = table.numbers()
    last = max(numbers, default=-1)
    part_count = last + 1 if plan.rows is None else -(-plan.rows // plan.part_rows)
    if last >= part_count:
        raise PlanError(f"{table.file(last)} is not a part of this job, which has {part_count}: move it elsewhere")
    parts: list[Part] = []
    rows_before = errors_before = damaged = 0
    for number in range(shard.index, part_count, shard.count):
        begin = number * plan.part_rows
        part = Part(number, begin, plan.part_rows if plan.rows is None else min(plan.part_rows, plan.rows - begin))
        try:
            contents = table.inspect(number)
            if contents and contents.rows != part.rows:
                if plan.rows is None and number == last and contents.rows < part.rows:
                    contents = None  # the end of a video, whose length could not be noted any more
                else:
                    raise DamagedPartError(f"{table.file(number)} has {contents.rows} rows instead of {part.rows}")
            again = _places_again(table, part, contents) if contents and contents.errors and retry_errors else ()
        except DamagedPartError:
            table.file(number).unlink()
            contents, damaged = None, damaged + 1
        if contents is None:
            parts.append(part)
        else:
            rows_before += contents.rows - len(again)
            errors_before += contents.errors - len(again)
            if again:
                parts.append(Part(number, begin, part.rows, again))
    tail = None
    if plan.rows is None:
        tail = (
            parts.pop()
            if parts and parts[-1].number == last
            else Part(last + 1, (last + 1) * plan.part_rows, plan.part_rows)
        )
    return Work(tuple(parts), tail, rows_before, errors_before, damaged)


def _places_again(table: Table, part: Part, contents: Contents) -> tuple[int, ...]:
    """Of the rows of a part that are errors."""
    return tuple(place for place, row in enumerate(table.read(part.number)) if row.error is not None)


def write_part(table: Table, part: Part, rows: Sequence[Row], keys: Sequence[tuple[str, int | None]]) -> None:
    """Write a part, complete or not at all.

    Args:
        rows: those at `part.places`.
        keys: path and frame of every row that the part has.

    Raises:
        MixedPartError: the rows are not those of this part.
        OSError: the disk refuses.
    """
    if part.again is not None:
        fresh = dict(zip(part.again, rows, strict=True))
        rows = [fresh.get(place, row) for place, row in enumerate(table.read(part.number))]
    if [(row.path, row.frame) for row in rows] != [(storable(path), frame) for path, frame in keys]:
        raise MixedPartError(f"the rows for {table.file(part.number)} are those of other images: it was not written")
    table.write(part.number, rows)
