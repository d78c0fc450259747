"""What every runtime is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import RGBImage
from ..resnext.machine.devices import OutOfMemoryError
from .forking import require_unforked

Crops = Any
"""uint8 N x S x S x 3, RGB, any N and S: an array, or what the runtime's own `crop` gave. Has a length and slices."""


class Runtime(Protocol):
    """A network that is ready to run."""

    def run(self, crops: Crops) -> NDArray[np.float32]:
        """Crops as `Preprocessing.crop` gives them → N x K float32, the rows that `answering` tells of.

        Raises:
            OutOfMemoryError: a smaller batch may succeed.
            RuntimeError: it fails otherwise.
        """

    def describe(self) -> dict[str, Any]:
        """For output and logs: `name`, `device`, `device_name`, `precision`."""

    def release_memory(self) -> None:
        """Give memory back that is only kept for speed, if there is any."""


@runtime_checkable
class CropsItself(Protocol):
    """A runtime that resizes where it runs, so that images go there as they are."""

    def crop(self, images: Sequence[RGBImage], preprocessing: Preprocessing) -> Crops:
        """Images → N x S x S x 3 uint8, like `Preprocessing.crop` to a tenth of a level on average."""


@dataclass(frozen=True)
class Configuration:
    """A way to run a network: `openvino` in `bf16` on the `cpu`."""

    runtime: str
    precision: str
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}" + ("" if self.device == "cpu" else f" on {self.device}")


REFERENCE = Configuration("torch", "fp32")
"""What every other configuration is measured against."""

QUICK = ("fp16",)
"""What `auto` takes where a GPU computes in it: fp16 has eight times the resolution of bf16."""


def as_array(crops: Crops) -> NDArray[np.uint8]:
    """Crops as an array, wherever they lie: 150 KB each come back from a GPU."""
    return np.asarray(crops if isinstance(crops, np.ndarray) else crops.cpu().numpy())


def run_in_parts(
    runtime: Runtime, crops: Crops, halved: Callable[[int, int], None] = lambda count, half: None
) -> NDArray[np.float32]:
    """Run a batch; where memory does not suffice, run its halves, as often as it takes.

    Args:
        halved: is told how many images were too many, and with how many it goes on.

    Raises:
        ForkedProcessError: the runtime was loaded in the process that this one was forked from.
        RuntimeError: the runtime fails, or a single image does not fit.
    """
    require_unforked()
    try:
        return runtime.run(crops)
    except OutOfMemoryError:
        if len(crops) == 1:
            raise
    # Only here, for the error holds what was computed so far.
    runtime.release_memory()
    half = (len(crops) + 1) // 2
    halved(len(crops), half)
    return np.concatenate([run_in_parts(runtime, part, halved) for part in (crops[:half], crops[half:])])
