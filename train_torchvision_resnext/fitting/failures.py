"""What breaks a training off, in sentences: what happened, the likely cause, what to do."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ..data.samples import ReadError
from ..parameters.task import Parameters
from ..resnext.machine.devices import OutOfMemoryError, cannot_compile

LARGEST_LOSS, LARGEST_LEARNED_LOSS = 10_000.0, 104.0
"""Nats, of any loss that tells something, and of training after its first epoch. With a mean cross-entropy of 104, the
true class's probability is 0 in fp32, whose least number is e^-103.3. A few hundred can occur on the way: in the first
epoch, where a random classifier meets large features; in validation, while the statistics of batch normalization
settle. After the first epoch, which may be a single step, these can make validation's loss anything."""


class NotFiniteError(ArithmeticError):
    """Training diverged: the loss or the network's answers are NaN or infinite."""


def diverged(what: str, parameters: Parameters, precision: str) -> NotFiniteError:
    """What came of which numbers, with the likelier cause in this precision."""
    cause = f"learning_rate {parameters.learning_rate:g} is too high; try a tenth of it"
    if precision == "fp16":
        cause = "fp16 overflows; set precision to bf16 or fp32, or lower learning_rate"
    return NotFiniteError(f"{what}: training has diverged. Likely cause: {cause}")


def divergence(rows: Sequence[Mapping[str, float]], parameters: Parameters) -> str:
    """What a training came to whose numbers stayed finite without meaning anything; empty if they do mean something."""
    for row in rows:
        first = row["epoch"] == 1
        limits = {"train": LARGEST_LOSS} if first else {"train": LARGEST_LEARNED_LOSS, "val": LARGEST_LOSS}
        for part, limit in limits.items():
            if row[f"{part}_loss"] > limit:
                what = f"{part}_loss of epoch {row['epoch']:.0f} is {row[f'{part}_loss']:.3g}"
                # What overflows in fp16 is not finite, and seen before.
                return str(diverged(what, parameters, "fp32"))
    return ""


def failure_of(error: Exception, parameters: Parameters, run: Path, rank: str) -> str:
    """What befell the loop.

    Args:
        run: the run's folder.
        rank: what a sentence on this process begins with; empty where it is alone.

    Raises:
        Exception: the error itself, where it is a fault of the program.
    """
    if isinstance(error, NotFiniteError):
        return str(error)
    if isinstance(error, ReadError):
        back = "Put the file back and set resume to auto, or go on without it with"
        return f"{rank}{error}. {back} resume = {str(run)!r}"
    if isinstance(error, OutOfMemoryError):
        half, twice = max(2, parameters.batch_size // 2), 2 * parameters.gradient_accumulation
        return (
            f"{rank}out of memory with batch_size = {parameters.batch_size} and input_size = {parameters.input_size}: "
            f"set batch_size to {half}, with gradient_accumulation = {twice} for the same effect"
        )
    if parameters.torch_compile and isinstance(error, torch._dynamo.exc.TorchDynamoException):
        return f"{rank}torch_compile = True: {cannot_compile(error)}, or set torch_compile to False"
    if rank and isinstance(error, RuntimeError):
        # Another process has ended, most likely: gloo and NCCL have no class of their own for that.
        return f"{rank}{error}"
    raise error
