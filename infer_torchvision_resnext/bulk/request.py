"""What a bulk job is asked to do, checked before anything is read."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..parameters.task import Parameters
from ..resnext.host.schema import ParameterError
from ..resnext.machine.threads import core_count
from .inputs import VIDEOS
from .one_file import is_one_file, work_folder
from .parts import Form, require_format
from .reduction import CHOICES
from .shards import EVERYTHING, Shard

logger = logging.getLogger(__name__)

CACHE = Path.home() / "Ikomia" / "Data" / "infer_torchvision_resnext"
"""The task's own, so that what one has converted and decided serves the other."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        source: a folder, list, manifest or video; see `read_input`.
        output: a folder, new, empty or of the same job; or a new file ending in `.csv`, for people. `~` is the home.
        parameters: those of the task.
        form: `parquet` or `csv`; None = `parquet`, but where `output` is one file.
        column: of a manifest, where the paths are.
        reduced_decoding: `auto` decodes large JPEG files at a reduced scale where that keeps the answers; `off`.
        workers: processes that decode; 0 = as many as `threads` says, by default the machine's cores.
        cache_folder: where converted models are kept; None = nowhere.
        say: called with a sentence for each thing that was loaded.
        shard: the parts that this call does, where several share one OUTPUT.
        retry_errors: whether rows that are errors are classified again.
    """

    source: str
    output: Path
    parameters: Parameters
    form: Form | None = None
    column: str = "path"
    reduced_decoding: str = "auto"
    workers: int = 0
    cache_folder: Path | None = CACHE
    say: Callable[[str], None] = logger.info
    shard: Shard = EVERYTHING
    retry_errors: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", self.output.expanduser())
        problems = [*self._unfit_parameters(), *self._unfit_output()]
        if self.reduced_decoding not in CHOICES:
            problems.append(f"reduced_decoding = {self.reduced_decoding!r}: must be one of {', '.join(CHOICES)}")
        if self.workers < 0:
            problems.append(f"workers = {self.workers}: must be at least 0")
        if problems:
            raise ParameterError(problems)
        require_format(self.part_form)

    def _unfit_parameters(self) -> list[str]:
        problems = []
        if self.parameters.region == "objects":
            problems.append("region = 'objects': there is no detector here; set it to auto or image")
        if self.parameters.maps:
            problems.append("maps = True: the table has no column for them; set it to False")
        if self.parameters.track:
            problems.append(f"track = {self.parameters.track:g}: there are no objects to follow here; set it to 0")
        if self.parameters.drift_window:
            problems.append(
                f"drift_window = {self.parameters.drift_window}: not available in bulk jobs, whose rows are unordered; "
                "set it to 0"
            )
        return problems

    def _unfit_output(self) -> list[str]:
        problems = []
        if self.parameters.embeddings and self.part_form == "csv":
            problems.append("embeddings = True: CSV has no column for them; set it to False, or write Parquet files")
        if not is_one_file(self.output):
            return problems
        if self.form == "parquet":
            problems.append(f"format = 'parquet': OUTPUT = {str(self.output)!r} is one CSV file; name a folder")
        if not self.shard.is_everything:
            problems.append(f"shard = {self.shard}: OUTPUT = {str(self.output)!r} is one file; name a folder")
        return problems

    @property
    def folder(self) -> Path:
        """Where the parts lie."""
        return work_folder(self.output) if is_one_file(self.output) else self.output

    @property
    def part_form(self) -> Form:
        """Of the parts."""
        return self.form or ("csv" if is_one_file(self.output) else "parquet")

    @property
    def process_count(self) -> int:
        """A video is read in order, by one."""
        is_video = self.source.lower().endswith(VIDEOS)
        return 1 if is_video else self.workers or core_count(self.parameters.threads)
