"""What is compared: architectures, a dataset, and one budget for all of them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from train_torchvision_resnext.data.folders import find_folders
from train_torchvision_resnext.parameters import Parameters, read_host_map
from train_torchvision_resnext.resnext.network.architecture import Architecture

FIXED = {"weights": "none", "export_pth": "False", "resume": "auto"}
"""What every training is told, unless the settings say otherwise; an interrupted one goes on by itself."""

OWN_KEYS = ("model_name", "layers", "cardinality", "bottleneck_width", "stem", "seed", "output_folder", "resume")
"""Parameters of training that the comparison itself sets."""


@dataclass(frozen=True)
class Experiment:
    """Architectures that are trained alike.

    Attributes:
        dataset: `train/` and `val/` of class folders, or class folders alone; None = nothing is trained.
        settings: parameters of the training task, the same for all: `epochs`, `input_size`, `optimizer` and so on.
        seeds: trainings of each architecture, with the seeds 0, 1, 2 ...
    """

    architectures: tuple[Architecture, ...]
    dataset: Path | None
    settings: Mapping[str, str]
    seeds: int = 3

    def __post_init__(self) -> None:
        if not self.architectures or self.seeds < 1:
            raise ValueError("a comparison needs at least one architecture and one seed")
        if taken := [key for key in self.settings if key in OWN_KEYS]:
            raise ValueError(f"{', '.join(taken)}: set by the comparison itself; leave it out of the settings")
        # Refuses whatever training would refuse, before anything is trained.
        for architecture in self.architectures:
            self.parameters(architecture, 0, Path())

    @classmethod
    def of(
        cls, architectures: Iterable[str | Architecture], dataset: str | Path | None, seeds: int = 3, **settings: object
    ) -> "Experiment":
        """From names and keyword arguments. One named twice is compared once.

        Raises:
            ValueError: nothing to compare, an architecture or a setting that training refuses.
        """
        parsed = [one if isinstance(one, Architecture) else Architecture.from_name(one) for one in architectures]
        return cls(
            tuple(dict.fromkeys(parsed)),
            Path(dataset).expanduser() if dataset else None,
            {key: str(value) for key, value in settings.items()},
            seeds,
        )

    @property
    def input_size(self) -> int:
        """Side of the square, in pixels."""
        return self.parameters(self.architectures[0], 0, Path()).input_size

    @property
    def classes(self) -> int:
        """Of the dataset; ImageNet's thousand without one."""
        if self.dataset is None:
            return 1000
        return len(find_folders(self.dataset).train)

    def parameters(self, architecture: Architecture, seed: int, output_folder: Path) -> Parameters:
        """What the training task is told. Raises: ParameterError."""
        own = {
            "layers": ",".join(map(str, architecture.layers)),
            "cardinality": architecture.cardinality,
            "bottleneck_width": architecture.bottleneck_width,
            "stem": architecture.stem,
            "seed": seed,
            "output_folder": output_folder,
        }
        return read_host_map({**FIXED, **self.settings, **own})

    @cached_property
    def dataset_key(self) -> str:
        """Changes when files of the dataset come, go, or change their size."""
        if self.dataset is None:
            return ""
        files = sorted(path for path in self.dataset.rglob("*") if path.is_file())
        listed = [f"{path.relative_to(self.dataset).as_posix()} {path.stat().st_size}" for path in files]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()
