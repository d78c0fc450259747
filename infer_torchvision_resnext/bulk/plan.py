"""What a job is, written before its first row, so that only the same job goes on in the same OUTPUT."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import __version__
from ..parameters.task import Parameters
from ..resnext.machine.disk import is_draft, remove_drafts, whole_file
from .new_file import new_file
from .output_lock import is_lock
from .parts import Form
from .table import Column

PLAN = "_plan.json"
"""Readers of Parquet data sets pass over names that begin so."""
FORMAT_VERSION = 2
ABANDONED_S = 3600
"""A draft this old was left by a process that was killed."""

FEWEST, MOST, PARTS = 32, 1000, 64
"""Rows of a part, at least and at most, and parts that a small job is cut into, so that many workers share it."""

NO_ANSWER_DEPENDS_ON = {"weights", "model_name", "class_file", "batch_size", "threads", "region", "object_margin"}
"""Parameters that may change when a job goes on. Weights and labels are compared by content."""


class PlanError(ValueError):
    """OUTPUT belongs to another job; the message says in what it differs and what to do."""


class Plan(BaseModel):
    """A job.

    Attributes:
        identity: everything that an answer depends on, the columns, and the list of images.
        form: of the parts, `parquet` or `csv`.
        rows: how many there will be; None for a video that was not read to its end yet.
        part_rows: rows of each part but the last.
        reduced: what was measured of decoding large files at a reduced scale; `used` says whether it is done.
        runtime: where the network ran when the job began.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    identity: dict[str, Any]
    form: Form
    rows: int | None = Field(ge=0)
    part_rows: int = Field(ge=1, le=1_000_000)
    reduced: dict[str, Any]
    runtime: dict[str, Any]

    def end(self, output: Path, rows: int) -> None:
        """Note how many rows a video turned out to have."""
        with whole_file(output / PLAN) as draft:
            _write(draft, self.model_copy(update={"rows": rows}))


def part_rows_for(rows: int | None) -> int:
    """How many rows a part gets."""
    return MOST if rows is None else min(MOST, max(FEWEST, -(-rows // PARTS)))


def identity_of(parameters: Parameters, columns: tuple[Column, ...], **facts: Any) -> dict[str, Any]:
    """What must be the same for a job to go on, JSON-ready."""
    identity = {
        "plugin": __version__,
        "columns": {column.name: column.kind for column in columns},
        **facts,
        **{key: value for key, value in parameters.to_strings().items() if key not in NO_ANSWER_DEPENDS_ON},
    }
    return dict(json.loads(json.dumps(identity)))


def require_usable(output: Path) -> None:
    """Refuse an OUTPUT that holds something else, before anything is written. Raises: PlanError, OSError."""
    if not output.exists() or (output / PLAN).exists():
        return
    if others := sorted(entry.name for entry in output.iterdir() if not is_draft(entry) and not is_lock(entry)):
        raise PlanError(f"OUTPUT = {str(output)!r} holds {others[0]} but no {PLAN}: name a new or an empty folder")


def agreed_plan(output: Path, identity: Mapping[str, Any], rows: int | None, make: Callable[[], Plan]) -> Plan:
    """The plan in OUTPUT, if it is of the same job; where there is none yet, a new one.

    Of several processes that begin at once, the plan of one becomes that of all.

    Args:
        rows: how many the table will have; None for a video.

    Raises:
        PlanError: OUTPUT holds another job, or something else.
        OSError: it cannot be written.
    """
    remove_drafts(output, ABANDONED_S)
    require_usable(output)
    if not (output / PLAN).exists():
        plan = make()
        try:
            with new_file(output / PLAN) as draft:
                _write(draft, plan)
            return plan
        except FileExistsError:
            pass  # another process was faster
    plan = read_plan(output)
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
    if rows is not None and plan.rows != rows:
        raise PlanError(f"{output / PLAN} is damaged: it says {plan.rows} rows for {rows} images. Name another OUTPUT")
    return plan


def read_plan(output: Path) -> Plan:
    """Read the plan in OUTPUT. Raises: PlanError, if it is damaged or of another version; OSError."""
    file = output / PLAN
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version = content.pop("format_version")
        if version > FORMAT_VERSION:
            raise PlanError(f"{file} has format_version {version}: update the plugin to go on with this job")
        if version < FORMAT_VERSION:
            raise PlanError(
                f"{file} was written by version 2.1 of the plugin, whose tables have other columns: go on with that "
                "version, or name another OUTPUT"
            )
        checksum = content.pop("checksum")
        plan = Plan(**content)
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError, ValidationError) as error:
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise PlanError(f"{file} is damaged ({reason}): name another OUTPUT") from error
    if checksum != _checksum(plan):
        raise PlanError(f"{file} was changed after it was written: restore it, or name another OUTPUT")
    return plan


def _write(file: Path, plan: Plan) -> None:
    content = {"format_version": FORMAT_VERSION, **plan.model_dump(), "checksum": _checksum(plan)}
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _checksum(plan: Plan) -> str:
    return hashlib.sha256(json.dumps(plan.model_dump(), sort_keys=True).encode()).hexdigest()
