"""Classify any number of images on this machine: decoding in processes, the network in this one."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..classifier import Classifier
from ..parameters.task import read_host_map
from ..resnext.machine.durability import make_folder
from ..resnext.network.outputs import CHUNK
from .answering import batch_of, rows_of
from .decoding import Decoded, Decoding, decoded, decoded_all
from .inputs import Images, InputError, read_input
from .one_file import is_one_file, remove_leftovers, require_free, require_own, write_one_file
from .output_lock import locked
from .parts import Table
from .plan import Plan, agreed_plan, identity_of, part_rows_for, require_usable
from .processes import Processes, Task
from .reduction import NOT_USED, measured
from .request import CACHE, Request
from .shards import EVERYTHING, Shard
from .summary import Summary
from .table import Row, columns_for
from .video import frames
from .work import Part, Work, list_work, write_part

__all__ = ["CACHE", "Job", "Request", "Summary", "classify_all", "open_job", "run"]


@dataclass(frozen=True)
class Job:
    """What is known before the first row; `model` is the SHA-256 of the weights."""

    request: Request
    images: Images
    how: Decoding
    plan: Plan
    model: str
    table: Table
    work: Work

    def paths(self, part: Part) -> list[str]:
        """Of all rows of a part."""
        return list(self.images.paths[part.begin : part.begin + part.rows])

    def keys(self, part: Part, rows: int) -> list[tuple[str, int | None]]:
        """Path and frame of so many rows of a part, from its first one on."""
        if self.images.video:
            return [(Path(self.images.video).name, part.begin + place) for place in range(rows)]
        return [(path, None) for path in self.paths(part)[:rows]]

    def bar(self) -> "tqdm[Any]":
        """Progress with images/s and time left, where there is a terminal."""
        total = None if self.work.tail else self.work.rows_before + self.work.rows
        return tqdm(total=total, initial=self.work.rows_before, unit=" images", disable=None, mininterval=0.5)


def classify_all(
    source: str | Path,
    output: str | Path,
    parameters: Mapping[str, object] | None = None,
    shard: str | Shard = EVERYTHING,
    **options: Any,
) -> Summary:
    """Write a row for every image of a folder, list, manifest or video.

    A call that was interrupted goes on with the same arguments; every image has one row in the end.

    Args:
        source, output, parameters, options: see `Request`.
        shard: `I/N`, where N calls on one or more machines share one OUTPUT.

    Raises:
        ValueError: INPUT, OUTPUT, parameters or weights cannot be used, or another process writes the same rows; says
            what to do.
        OSError: OUTPUT cannot be written.
    """
    share = Shard.from_text(shard) if isinstance(shard, str) else shard
    return run(Request(str(source), Path(output), read_host_map(parameters or {}), shard=share, **options))


def run(request: Request) -> Summary:
    """Do what is asked for. Raises: as `classify_all`."""
    classifier = Classifier(request.cache_folder, request.say, many=True)
    with (
        Processes(request.process_count) as processes,
        open_job(request, classifier, processes) as job,
    ):
        summary = Summary(request.output)
        batch = batch_of(classifier, request.parameters.batch_size)
        at_once = -(-batch // CHUNK)
        images = _frames(job, processes, at_once) if job.images.video else _decoded(job, processes, at_once)
        with job.bar() as bar:
            end = _write(job, _counted(rows_of(classifier, images, batch, job.model), summary, bar), summary)
        finish(job, end)
        return summary.ended(job.work)


def finish(job: Job, rows: int) -> None:
    """When all parts are there: note the length of a video, and write the file for people if OUTPUT is one."""
    request = job.request
    if job.plan.rows is None:
        job.plan.end(request.folder, rows)
    if is_one_file(request.output):
        write_one_file(request.output, job.table, -(-rows // job.plan.part_rows), bool(job.images.video))


@contextmanager
def open_job(request: Request, classifier: Classifier, processes: Processes) -> Iterator[Job]:
    """List the images, load the model, lock OUTPUT, and agree with what it holds. Raises: as `classify_all`."""
    images = read_input(request.source, request.column)
    if images.video and not request.shard.is_everything:
        raise InputError(f"INPUT = {request.source!r}: a video is read in order, by one process; leave out --shard")
    for note in images.notes:
        request.say(f"INPUT: {note}")
    _require_usable(request)
    classifier.prepare(request.parameters)
    model = classifier.weights_sha256
    how = Decoding(images.base, images.confined, classifier.preprocessing, embedded=images.embedded)
    rows = None if images.video else len(images.paths)
    columns = columns_for(classifier.embedding_size if request.parameters.embeddings else 0)
    identity = identity_of(
        request.parameters,
        columns,
        images=images.digest(),
        model=model,
        labels=hashlib.sha256("\n".join(classifier.labels).encode()).hexdigest(),
        trust=hashlib.sha256(json.dumps(classifier.describe()["trust"]).encode()).hexdigest(),
        preprocessing=classifier.preprocessing.to_dict(),
        format=request.part_form,
        reduced_decoding=request.reduced_decoding,
    )

    def make() -> Plan:
        reduced = NOT_USED
        if request.reduced_decoding == "auto":
            reduced = measured(classifier, request.parameters, images.paths, how, processes)
        return Plan(
            identity=identity,
            form=request.part_form,
            rows=rows,
            part_rows=part_rows_for(rows),
            reduced=dict(reduced),
            runtime=classifier.describe()["runtime"],
        )

    with ExitStack() as stack:
        make_folder(request.folder)
        if is_one_file(request.output):
            stack.callback(remove_leftovers, request.output)
        stack.enter_context(locked(request.folder, request.shard, request.say))
        _require_usable(request)  # another job may have ended meanwhile
        plan = agreed_plan(request.folder, identity, rows, make)
        table = Table(request.folder, request.part_form, columns)
        work = list_work(table, plan, request.shard, request.retry_errors)
        if is_one_file(request.output):
            require_own(request.output, missing_parts=bool(work.parts or work.tail))
        yield Job(request, images, replace(how, reduced=plan.reduced["used"]), plan, model, table, work)


def _require_usable(request: Request) -> None:
    if is_one_file(request.output):
        require_free(request.output)
    require_usable(request.folder)


def _write(job: Job, rows: Iterator[Row], summary: Summary) -> int:
    """Write the rows of all parts, in order; fewer of them are the end of a video. Returns: rows of the table."""
    for part in job.work.all_parts():
        rows_of_part = list(islice(rows, len(part.places)))
        is_complete = len(rows_of_part) == len(part.places)
        if not is_complete and part in job.work.parts:
            raise InputError(
                f"INPUT = {job.request.source!r} ended at row {part.begin + len(rows_of_part)}, and an earlier call "
                "read more of it: name another OUTPUT"
            )
        if rows_of_part:
            keys = job.keys(part, part.rows if is_complete else len(rows_of_part))
            write_part(job.table, part, rows_of_part, keys)
        summary.written += len(rows_of_part)
        if not is_complete:
            return part.begin + len(rows_of_part)
    return job.plan.rows or 0


def _decoded(job: Job, processes: Processes, at_once: int) -> Iterator[Decoded]:
    """The images of all parts, in order, of which the network takes so many chunks at once."""

    def tasks() -> Iterator[Task]:
        for part in job.work.all_parts():
            paths = job.paths(part)
            places = part.places
            for begin in range(0, len(places), CHUNK):
                yield [paths[place] for place in places[begin : begin + CHUNK]], job.how

    def one_by_one(task: Task) -> list[Decoded]:
        return [processes.alone(decoded, (path, job.how), _killed) for path in task[0]]

    for chunk in processes.results(decoded_all, tasks(), one_by_one, at_once):
        yield from chunk


def _killed(task: Task) -> Decoded:
    error = "decoding crashed the worker process twice: the file may be corrupt or malicious"
    return Decoded(task[0], None, None, error, 0.0)


def _frames(job: Job, processes: Processes, at_once: int) -> Iterator[Decoded]:
    """The frames of a video that belong to a part; `processes` must be one, that reads them in order."""
    video = job.images.video

    def tasks() -> Iterator[Task]:
        for part in job.work.all_parts():
            places = part.places
            size = CHUNK if part.again is None else 1
            for begin in range(0, len(places), size):
                yield video, part.begin + places[begin], min(size, len(places) - begin), job.how

    def once_more(task: Task) -> list[Decoded]:
        return processes.alone(frames, task, _video_killed)

    for task, chunk in zip(tasks(), processes.results(frames, tasks(), once_more, at_once), strict=False):
        yield from chunk
        if len(chunk) < task[2]:
            return


def _video_killed(task: Task) -> list[Decoded]:
    raise InputError(f"INPUT = {task[0]!r}: the process that decoded it died at frame {task[1]}, twice: convert it")


def _counted(rows: Iterator[Row], summary: Summary, bar: "tqdm[Any]") -> Iterator[Row]:
    for row in rows:
        if row.error is not None:
            summary.errors += 1
            summary.first_error = summary.first_error or f"{row.path}: {row.error}"
        bar.update()
        yield row
