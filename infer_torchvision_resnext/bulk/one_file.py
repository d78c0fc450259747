"""OUTPUT as one CSV file for people, made of the parts when all of them are there."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from .new_file import new_file
from .parts import Table, spreadsheet_cell
from .plan import PLAN, PlanError
from .table import Row

SUFFIX = ".csv"
COLUMNS = ("path", "frame", "answer", "probability (%)", "best class", "reason", "error")
"""`frame` is there for videos only. The probability is that of the best class, also where the answer is `unknown`."""


def is_one_file(output: Path) -> bool:
    """Whether OUTPUT is a file and not a folder of parts."""
    return output.suffix.lower() == SUFFIX


def work_folder(output: Path) -> Path:
    """Where the parts lie until the file is complete."""
    return output.with_name(f".{output.name}.parts")


def require_free(output: Path) -> None:
    """Refuse a file that is there already, unless a job that was interrupted may have written it. Raises: PlanError."""
    if output.is_dir():
        raise PlanError(
            f"OUTPUT = {str(output)!r} is a folder, and a name that ends in {SUFFIX} stands for one file: name another "
            "OUTPUT"
        )
    if (output.exists() or output.is_symlink()) and not (work_folder(output) / PLAN).is_file():
        raise PlanError(f"OUTPUT = {str(output)!r} is there already: move it elsewhere, or name another OUTPUT")


def require_own(output: Path, missing_parts: bool) -> None:
    """Refuse a file that cannot be this job's, which has parts to do yet. Raises: PlanError."""
    if missing_parts and output.exists():
        raise PlanError(f"OUTPUT = {str(output)!r} was written by something else: move it elsewhere to go on")


def write_one_file(output: Path, table: Table, parts: int, is_video: bool) -> None:
    """Write the file, complete or not at all, and remove the parts.

    UTF-8 with a byte order mark, by which Excel knows it.

    Raises:
        PlanError: another file was put there meanwhile; it stays, and so do the parts.
        OSError: the disk refuses.
    """
    names = [name for name in COLUMNS if is_video or name != "frame"]
    try:
        with new_file(output) as draft:
            with draft.open("w", encoding="utf-8-sig", newline="") as text:
                lines = csv.DictWriter(text, names, extrasaction="ignore")
                lines.writeheader()
                for number in range(parts):
                    lines.writerows(dict(zip(COLUMNS, _cells(row), strict=True)) for row in table.read(number))
            if output.is_file() and output.read_bytes() == draft.read_bytes():
                output.unlink()  # this job's own, which it was killed behind
    except FileExistsError as error:
        raise PlanError(
            f"OUTPUT = {str(output)!r} was written by something else meanwhile: move it elsewhere, and start this job "
            "again"
        ) from error
    # Without a plan nothing goes on here, whatever is left of the rest.
    (table.folder / PLAN).unlink(missing_ok=True)
    remove_leftovers(output)


def remove_leftovers(output: Path) -> None:
    """Remove the work folder of a file that is finished; while another job has a plan there, it stays."""
    folder = work_folder(output)
    if output.exists() and not (folder / PLAN).exists():
        shutil.rmtree(folder, ignore_errors=True)


def _cells(row: Row) -> Sequence[object]:
    """In the order of `COLUMNS`."""
    percent = None if row.probability is None else f"{100 * row.probability:.1f}"
    best = row.labels[0] if row.labels else ""
    texts = [spreadsheet_cell(text or "") for text in (row.path, row.answer, best, row.reason, row.error)]
    return (texts[0], row.frame, texts[1], percent, *texts[2:])
