"""Classify any number of images on this machine: decoding in processes, the network in this one."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..classifier import Classifier
from ..parameters import Parameters, read_host_map
from ..resnext.host.schema import ParameterError
from ..resnext.network.inference import CHUNK
from ..runtimes.runtime import core_count
from .answering import Row, batch_of, rows_of
from .decoding import Decoded, Decoding, decoded, decoded_all
from .inputs import VIDEOS, Images, InputError, read_input
from .parts import require_format, write_parts
from .plan import Plan, agreed_plan, identity_of, part_rows_for
from .processes import Processes, Task
from .reduction import CHOICES, NOT_USED, measured
from .video import frames

logger = logging.getLogger(__name__)

CACHE = Path.home() / "Ikomia" / "Data" / "infer_torchvision_resnext"
"""The task's own, so that what one has converted and decided serves the other."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        source: a folder, list, manifest or video; see `read_input`.
        output: a folder, new, empty or of the same job.
        parameters: those of the task.
        form: `parquet` or `csv`.
        column: of a manifest, where the paths are.
        reduced_decoding: `auto` decodes large JPEG files at a reduced scale where that keeps the answers; `off`.
        workers: processes that decode; 0 = as many as `threads` says, by default the machine's cores.
        cache_folder: where converted models are kept; None = nowhere.
        say: called with a sentence for each thing that was loaded.
    """

    source: str
    output: Path
    parameters: Parameters
    form: str = "parquet"
    column: str = "path"
    reduced_decoding: str = "auto"
    workers: int = 0
    cache_folder: Path | None = CACHE
    say: Callable[[str], None] = logger.info

    def __post_init__(self) -> None:
        problems = []
        if self.parameters.region == "objects":
            problems.append("region = 'objects': there is no detector here; set it to auto or image")
        if self.parameters.maps:
            problems.append("maps = True: the table has no column for them; set it to False")
        if self.parameters.track:
            problems.append(f"track = {self.parameters.track:g}: there are no objects to follow here; set it to 0")
        if self.parameters.drift_window:
            problems.append(
                f"drift_window = {self.parameters.drift_window}: rows are no film, and each says if it is unknown; "
                "set it to 0"
            )
        if self.reduced_decoding not in CHOICES:
            problems.append(f"reduced_decoding = {self.reduced_decoding!r}: must be one of {', '.join(CHOICES)}")
        if self.workers < 0:
            problems.append(f"workers = {self.workers}: must be at least 0")
        if problems:
            raise ParameterError(problems)
        require_format(self.form)

    @property
    def process_count(self) -> int:
        """A video is read in order, by one."""
        is_video = self.source.lower().endswith(VIDEOS)
        return 1 if is_video else self.workers or core_count(self.parameters.threads)


@dataclass(frozen=True)
class Job:
    """What is known before the first row; `model` is the SHA-256 of the weights."""

    request: Request
    images: Images
    how: Decoding
    plan: Plan
    model: str

    def missing(self) -> Iterator[tuple[int, int]]:
        """Number and count of rows of each part that is not written yet; endless for a video of unknown length."""
        return self.plan.missing(self.request.output)

    def rows_before(self) -> int:
        """How many rows were written by calls before this one."""
        if self.plan.rows is None:
            return next(self.missing())[0] * self.plan.part_rows
        return self.plan.rows - sum(count for _, count in self.missing())

    def paths(self, number: int, rows: int) -> list[str]:
        """Of a part."""
        begin = number * self.plan.part_rows
        return list(self.images.paths[begin : begin + rows])

    def bar(self) -> "tqdm[Any]":
        """Progress with images/s and time left, where there is a terminal."""
        before = self.rows_before()
        return tqdm(total=self.plan.rows, initial=before, unit=" images", disable=None, mininterval=0.5)


@dataclass
class Summary:
    """What a call has done.

    Attributes:
        rows: of the whole table.
        written: of them, by this call.
        errors: of what this call wrote, rows of images that could not be read.
        seconds: from the first image to the last row.
    """

    output: Path
    rows: int = 0
    written: int = 0
    errors: int = 0
    seconds: float = 0.0
    _start: float = field(default_factory=time.perf_counter)

    def ended(self, before: int) -> "Summary":
        """With what was written before this call."""
        self.rows, self.seconds = before + self.written, time.perf_counter() - self._start
        return self

    def __str__(self) -> str:
        before = f", {self.rows - self.written:,} were there before" if self.rows > self.written else ""
        speed = f", {self.written / self.seconds:.1f} images/s" if self.written else ""
        return (
            f"{self.rows:,} rows in {self.output}: {self.written:,} written now{before}, {self.errors:,} errors{speed}"
        )


def classify_all(
    source: str | Path, output: str | Path, parameters: Mapping[str, object] | None = None, **options: Any
) -> Summary:
    """Write a row for every image of a folder, list, manifest or video.

    A call that was interrupted goes on with the same arguments; every image has one row in the end.

    Args:
        source, output, parameters, options: see `Request`.

    Raises:
        ValueError: INPUT, OUTPUT, parameters or weights cannot be used; says what to do.
        OSError: OUTPUT cannot be written.
    """
    request = Request(str(source), Path(output), read_host_map(parameters or {}), **options)
    return run(request)


def run(request: Request) -> Summary:
    """Do what is asked for. Raises: as `classify_all`."""
    classifier = Classifier(request.cache_folder, request.say, many=True)
    with Processes(request.process_count) as processes:
        job = prepared(request, classifier, processes)
        before, summary = job.rows_before(), Summary(request.output)
        batch = batch_of(classifier, request.parameters.batch_size)
        at_once = -(-batch // CHUNK)
        images = _frames(job, before, processes, at_once) if job.images.video else _decoded(job, processes, at_once)
        with job.bar() as bar:
            rows = _counted(rows_of(classifier, images, batch, job.model), summary, bar)
            summary.written = write_parts(request.output, request.form, rows, job.missing())
    if job.plan.rows is None:
        job.plan.ended(request.output, before + summary.written)
    return summary.ended(before)


def prepared(request: Request, classifier: Classifier, processes: Processes) -> Job:
    """List the images, load the model, and agree with what OUTPUT holds. Raises: as `classify_all`."""
    images = read_input(request.source, request.column)
    classifier.prepare(request.parameters)
    model = classifier.weights_sha256
    how = Decoding(images.base, images.confined, classifier.preprocessing)
    rows = None if images.video else len(images.paths)
    identity = identity_of(
        request.parameters,
        images=images.digest(),
        model=model,
        labels=hashlib.sha256("\n".join(classifier.labels).encode()).hexdigest(),
        trust=hashlib.sha256(json.dumps(classifier.describe()["trust"]).encode()).hexdigest(),
        preprocessing=classifier.preprocessing.to_dict(),
        format=request.form,
        reduced_decoding=request.reduced_decoding,
    )

    def make() -> Plan:
        reduced = NOT_USED
        if request.reduced_decoding == "auto":
            reduced = measured(classifier, request.parameters, images.paths, how, processes)
        return Plan(identity, request.form, rows, part_rows_for(rows), reduced, classifier.describe()["runtime"])

    plan = agreed_plan(request.output, identity, make)
    return Job(request, images, replace(how, reduced=plan.reduced["used"]), plan, model)


def _decoded(job: Job, processes: Processes, at_once: int) -> Iterator[Decoded]:
    """The images of all missing parts, in order, of which the network takes so many chunks at once."""

    def tasks() -> Iterator[Task]:
        for number, rows in job.missing():
            paths = job.paths(number, rows)
            yield from ((paths[begin : begin + CHUNK], job.how) for begin in range(0, rows, CHUNK))

    def one_by_one(task: Task) -> list[Decoded]:
        return [processes.alone(decoded, (path, job.how), _killed) for path in task[0]]

    for chunk in processes.results(decoded_all, tasks(), one_by_one, at_once):
        yield from chunk


def _killed(task: Task) -> Decoded:
    return Decoded(task[0], None, None, "the process that decoded it died, twice: the file may be harmful", 0.0)


def _frames(job: Job, first: int, processes: Processes, at_once: int) -> Iterator[Decoded]:
    """The frames of a video from `first` on; `processes` must be one, that reads them in order."""
    video = job.images.video

    def once_more(task: Task) -> list[Decoded]:
        return processes.alone(frames, task, _video_killed)

    tasks = ((video, begin, CHUNK, job.how) for begin in count(first, CHUNK))
    for chunk in processes.results(frames, tasks, once_more, at_once):
        yield from chunk
        if len(chunk) < CHUNK:
            return


def _video_killed(task: Task) -> list[Decoded]:
    raise InputError(f"INPUT = {task[0]!r}: the process that decoded it died at frame {task[1]}, twice: convert it")


def _counted(rows: Iterator[Row], summary: Summary, bar: "tqdm[Any]") -> Iterator[Row]:
    for row in rows:
        summary.errors += row.error is not None
        bar.update()
        yield row
