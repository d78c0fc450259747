"""What a job is, written before its first row, so that only the same job goes on in the same OUTPUT."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from ..parameters import Parameters
from ..resnext.folder.durability import make_folder
from ..resnext.folder.whole import is_draft, remove_drafts, whole_file
from .parts import part_file

PLAN = "_plan.json"
"""Readers of Parquet data sets pass over names that begin so."""
FORMAT_VERSION = 1
ABANDONED_S = 3600
"""A draft this old was left by a process that was killed."""

FEWEST, MOST, PARTS = 32, 1000, 64
"""Rows of a part, at least and at most, and parts that a small job is cut into, so that many workers share it."""

NO_ANSWER_DEPENDS_ON = {"weights", "model_name", "class_file", "batch_size", "threads", "region", "object_margin"}
"""Parameters that may change when a job goes on. Weights and labels are compared by content."""


class PlanError(ValueError):
    """OUTPUT belongs to another job; the message says in what it differs and what to do."""


@dataclass(frozen=True)
class Plan:
    """A job.

    Attributes:
        identity: everything that an answer depends on, and the list of images.
        form: of the parts, `parquet` or `csv`.
        rows: how many there will be; None for a video that was not read to its end yet.
        part_rows: rows of each part but the last.
        reduced: what was measured of decoding large files at a reduced scale; `used` says whether it is done.
        runtime: where the network ran when the job began.
    """

    identity: Mapping[str, Any]
    form: str
    rows: int | None
    part_rows: int
    reduced: Mapping[str, Any]
    runtime: Mapping[str, Any]

    def missing(self, output: Path) -> Iterator[tuple[int, int]]:
        """Number and count of rows of each part that is not written yet; endless for a video of unknown length."""
        for number in count() if self.rows is None else range(-(-self.rows // self.part_rows)):
            if not part_file(output, number, self.form).is_file():
                begin = number * self.part_rows
                yield number, self.part_rows if self.rows is None else min(self.part_rows, self.rows - begin)

    def ended(self, output: Path, rows: int) -> None:
        """Note how many rows a video turned out to have."""
        write_plan(output, replace(self, rows=rows))


def part_rows_for(rows: int | None) -> int:
    """How many rows a part gets."""
    return MOST if rows is None else min(MOST, max(FEWEST, -(-rows // PARTS)))


def identity_of(parameters: Parameters, **facts: Any) -> dict[str, Any]:
    """What must be the same for a job to go on."""
    return {
        **facts,
        **{key: value for key, value in parameters.to_strings().items() if key not in NO_ANSWER_DEPENDS_ON},
    }


def agreed_plan(output: Path, identity: Mapping[str, Any], make: Callable[[], Plan]) -> Plan:
    """The plan in OUTPUT, if it is of the same job; where OUTPUT is new or empty, a new one.

    Raises:
        PlanError: OUTPUT holds another job, or something else.
        OSError: it cannot be written.
    """
    make_folder(output)
    remove_drafts(output, ABANDONED_S)
    if not (output / PLAN).is_file():
        if others := sorted(each.name for each in output.iterdir() if not is_draft(each)):
            raise PlanError(f"OUTPUT = {str(output)!r} holds {others[0]} but no {PLAN}: name a new or an empty folder")
        plan = make()
        write_plan(output, plan)
        return plan
    plan = _read_plan(output)
    differences = [
        f"{key} is {identity.get(key)!r}, and was {plan.identity.get(key)!r}"
        for key in sorted({*identity, *plan.identity})
        if identity.get(key) != plan.identity.get(key)
    ]
    if differences:
        raise PlanError(
            f"OUTPUT = {str(output)!r} was begun by another job: {'; '.join(differences)}. Give the same INPUT and "
            "parameters to go on, or name another OUTPUT"
        )
    return plan


def write_plan(output: Path, plan: Plan) -> None:
    with whole_file(output / PLAN) as draft:
        content = {"format_version": FORMAT_VERSION, **asdict(plan)}
        draft.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _read_plan(output: Path) -> Plan:
    try:
        content = json.loads((output / PLAN).read_text(encoding="utf-8"))
        version = content.pop("format_version")
        if version > FORMAT_VERSION:
            raise PlanError(f"{output / PLAN} has format_version {version}: update the plugin to go on with this job")
        return Plan(**content)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise PlanError(f"{output / PLAN} is damaged ({error}): name another OUTPUT") from error
