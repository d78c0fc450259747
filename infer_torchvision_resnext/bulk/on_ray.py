"""Classify any number of images on many machines, with Ray Data: a part of the table is a unit of work.

Parts are written by whichever worker has classified them, whole or not at all, so that a dead worker's are done again
by another, and a dead driver's by the next call. Ray's own checkpoints are not used: they need processors to find out
what is left, which here is told by the files that are there.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..classifier import Classifier
from ..model.model import WeightsError
from ..resnext.host.schema import ParameterError
from .answering import batch_of, rows_of
from .decoding import Decoded, decoded
from .inputs import InputError, require_package
from .job import Job, finish, open_job
from .processes import Processes, import_opencv_for_one
from .ray_token import protect_token
from .request import Request
from .summary import Summary
from .work import Part, Work, write_part

logger = logging.getLogger(__name__)

PART_FIELDS = ("number", "begin", "again", "paths")
"""What a worker is handed of a part; no places in `again` = all rows."""


@dataclass(frozen=True)
class Cluster:
    """Where it runs.

    Attributes:
        address: of a running cluster; empty = one is started on this machine, and ends with the job.
        workers: classifiers at most; 0 = as many as the cluster has room for.
        cpus_per_worker, gpus_per_worker: what each of them reserves; fractions share a processor or GPU.
    """

    address: str = ""
    workers: int = 0
    cpus_per_worker: float = 1
    gpus_per_worker: float = 0

    def __post_init__(self) -> None:
        problems = [
            f"{name} = {value:g}: must be {allowed}"
            for name, value, allowed, fits in (
                ("workers", self.workers, "at least 0", self.workers >= 0),
                ("cpus_per_worker", self.cpus_per_worker, "above 0", self.cpus_per_worker > 0),
                ("gpus_per_worker", self.gpus_per_worker, "at least 0", self.gpus_per_worker >= 0),
            )
            if not fits
        ]
        if problems:
            raise ParameterError(problems)

    def worker_count(self, cpus: float, gpus: float, parts: int) -> int:
        """How many workers a cluster with so many processors and GPUs gets for so many parts."""
        room = cpus / self.cpus_per_worker
        if self.gpus_per_worker:
            room = min(room, gpus / self.gpus_per_worker)
        if room < 1:
            raise InputError(
                f"the cluster has {cpus:g} processors and {gpus:g} GPUs, too few for one worker with "
                f"cpus_per_worker = {self.cpus_per_worker:g} and gpus_per_worker = {self.gpus_per_worker:g}"
            )
        return max(1, min(int(room), parts, self.workers or parts))


class PartWorker:
    """One classifier, in a process of Ray's. Raises: WeightsError, where this machine's weights are others."""

    def __init__(self, job: Job, threads: int) -> None:
        import_opencv_for_one()
        asked = job.request.parameters
        self._job, self._threads = job, threads
        self._classifier = Classifier(job.request.cache_folder, many=True)
        self._classifier.prepare(asked.updated({"threads": threads}))
        if self._classifier.weights_sha256 != job.model:
            raise WeightsError(f"weights = {asked.weights!r} differ here from those that the job began with")
        self._batch = batch_of(self._classifier, asked.batch_size)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the parts of a batch; gives the rows, errors and first error of each."""
        done = [
            self._part(Part(int(number), int(begin), len(paths), tuple(map(int, again)) or None), list(paths))
            for number, begin, again, paths in zip(*(batch[key] for key in PART_FIELDS), strict=True)
        ]
        rows, errors, first_errors = zip(*done, strict=True)
        return {"rows": np.array(rows), "errors": np.array(errors), "first_error": np.array(first_errors)}

    def _part(self, part: Part, paths: list[str]) -> tuple[int, int, str]:
        """Args: paths: of all rows of the part."""
        chosen = [paths[place] for place in part.places]
        with ThreadPoolExecutor(self._threads) as pool:
            images: Iterator[Decoded] = pool.map(decoded, chosen, [self._job.how] * len(chosen))
            rows = list(rows_of(self._classifier, images, self._batch, self._job.model))
        write_part(self._job.table, part, rows, [(path, None) for path in paths])
        errors = [f"{row.path}: {row.error}" for row in rows if row.error is not None]
        return len(rows), len(errors), next(iter(errors), "")


def run_on_ray(request: Request, cluster: Cluster) -> Summary:
    """Do what is asked for on a cluster. OUTPUT, and a folder in INPUT, must be reached by all machines alike.

    Raises:
        InputError: Ray is not installed, INPUT is a video, or the cluster is too small.
        ValueError, OSError: as `classify_all`.
    """
    ray = require_package("ray", "--on ray")
    require_package("ray.data", "--on ray")
    classifier = Classifier(request.cache_folder, request.say)
    with ExitStack() as stack:
        # The lock on OUTPUT stays with this process, that hands out the parts; the workers take none.
        with Processes(request.process_count) as processes:
            job = stack.enter_context(open_job(request, classifier, processes))
        if job.images.video:
            raise InputError(
                f"INPUT = {request.source!r}: a video is read in order, by one process; leave out --on ray"
            )
        summary = Summary(request.output)
        parts = [
            dict(zip(PART_FIELDS, (part.number, part.begin, part.again or (), job.paths(part)), strict=True))
            for part in job.work.parts
        ]
        if parts:
            with _connected(ray, cluster, request.say), job.bar() as bar:
                for done in _done(ray, parts, job, cluster):
                    summary.written += int(done["rows"])
                    summary.errors += int(done["errors"])
                    summary.first_error = summary.first_error or str(done["first_error"])
                    bar.update(int(done["rows"]))
        finish(job, job.plan.rows or 0)
        return summary.ended(job.work)


@contextmanager
def _connected(ray: Any, cluster: Cluster, say: Callable[[str], None]) -> Iterator[None]:
    """With a cluster: the one at the address, or one of this machine's own."""
    plugin = Path(__file__).parents[1]
    environment = {"py_modules": [str(plugin)], "excludes": ["__pycache__"]}
    if not cluster.address:
        say("Ray listens on all network interfaces while this runs; who connects needs the token in ~/.ray/auth_token")
    protect_token(create=not cluster.address, say=say)
    ray.init(
        address=cluster.address or "local",
        runtime_env=environment,
        log_to_driver=False,
        logging_level=logging.ERROR,
        **({} if cluster.address else {"include_dashboard": False}),
    )
    try:
        yield
    finally:
        ray.shutdown()


def _done(ray: Any, parts: list[dict[str, Any]], job: Job, cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Hand the parts out; gives number, rows and errors of each that is done."""
    has = ray.cluster_resources()
    workers = cluster.worker_count(has.get("CPU", 0), has.get("GPU", 0), len(parts))
    job.request.say(f"{len(parts)} parts for {workers} workers")
    threads = max(1, int(cluster.cpus_per_worker))
    ray.data.DataContext.get_current().enable_progress_bars = False
    # What each worker gets, without the lists, of which it is handed its parts.
    sent = replace(
        job,
        request=replace(job.request, output=job.request.output.absolute(), say=logger.info),
        images=replace(job.images, paths=()),
        table=replace(job.table, folder=job.table.folder.absolute()),
        work=Work(),
    )
    # A block for each part: rows of a few paths would all end up in one block, and so with one worker. The blocks are
    # there already, so that nothing but the workers waits for a processor.
    return iter(
        ray.data.from_items(parts, override_num_blocks=len(parts))
        .map_batches(
            PartWorker,
            fn_constructor_args=(sent, threads),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=cluster.cpus_per_worker,
            num_gpus=cluster.gpus_per_worker,
        )
        .iter_rows()
    )
