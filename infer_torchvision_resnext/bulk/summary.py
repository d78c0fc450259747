"""What a call of a bulk job has done."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from .work import Work


@dataclass
class Summary:
    """What a call has done.

    Attributes:
        rows: of the whole table; with a shard, of its parts.
        written: of them, by this call.
        errors: rows without an answer, whichever call wrote them.
        damaged: parts that did not hold what an earlier call had written into them, and were written again.
        seconds: from the first image to the last row.
        first_error: of those that this call wrote.
    """

    output: Path
    rows: int = 0
    written: int = 0
    errors: int = 0
    damaged: int = 0
    seconds: float = 0.0
    first_error: str = ""
    _start: float = field(default_factory=time.perf_counter)

    def ended(self, work: Work) -> "Summary":
        """With what was written before this call."""
        self.rows = work.rows_before + self.written
        self.errors += work.errors_before
        self.damaged = work.damaged
        self.seconds = time.perf_counter() - self._start
        return self

    @property
    def all_failed(self) -> bool:
        """Whether the table holds no answer at all."""
        return 0 < self.rows == self.errors

    def __str__(self) -> str:
        before = f", {self.rows - self.written:,} were there before" if self.rows > self.written else ""
        speed = f", {self.written / self.seconds:.1f} images/s" if self.written else ""
        again = f", {_counted(self.damaged, 'damaged part')} written again" if self.damaged else ""
        return (
            f"{_counted(self.rows, 'row')} in {self.output}: {self.written:,} written now{before}, "
            f"{_counted(self.errors, 'error')}{again}{speed}"
        )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
