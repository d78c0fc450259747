"""Everything that could stand in the way is looked at before the first step of training, and told at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..data.audit import Cache, audit
from ..data.dataset import Dataset, assemble, images_of
from ..data.folders import DatasetError, find_folders
from ..data.loading import worker_count
from ..parameters.task import Parameters
from ..resnext.folder.quantization import QuantizationError, require_packages
from ..resnext.machine.devices import DeviceError, quick_formats, resolve_device, resolve_precision
from ..resnext.machine.threads import core_count
from ..resnext.network.conversion import ConversionError, require_onnx
from ..resnext.trust.costs import CostError, read_costs
from .initial_weights import StartError, start_network
from .output_folder import output_folder_of
from .plan import Plan
from .progress import AUDITED, Listener, TrainingError
from .run_folder import RunFolderError, room_for, writable

QUICK = ("bf16", "fp16")
"""What training takes under `auto`: bf16 needs no loss scaling."""


def make_plan(folder: Path, parameters: Parameters, listener: Listener, started: int = 1) -> Plan:
    """Look at the images, the weights, the device and the disk.

    Args:
        started: processes that torchrun has started to train together, this one included.

    Raises:
        TrainingError: with all problems at once.
        StopRequestedError: the listener wants to stop.
    """
    problems = list(parameters.contradictions())
    device, precision, processes = torch.device("cpu"), "fp32", 1
    dataset, start, costs = None, None, None
    output_folder, moved = output_folder_of(parameters.output_folder)
    with _collected(problems):
        device = resolve_device(parameters.device)
        precision = resolve_precision(parameters.precision, device, QUICK)
        processes = _process_count(parameters, device, started)
    if parameters.quantize:
        with _collected(problems):
            require_packages()
    if parameters.export_onnx:
        with _collected(problems):
            require_onnx()
    with _collected(problems):
        writable(output_folder, folder)
    with _collected(problems):
        dataset = _look_at(folder, output_folder, parameters, listener)
    if parameters.cost_matrix:
        with _collected(problems, f"cost_matrix = {parameters.cost_matrix!r}: "):
            costs = read_costs(Path(parameters.cost_matrix).expanduser(), dataset.labels if dataset else None)
    with _collected(problems):
        # Without a dataset two labels are enough to try the weights.
        if not parameters.architecture_problems():
            start = start_network(parameters, dataset.labels if dataset else ("0", "1"))
        if start and output_folder.is_dir():
            room_for(start.network, output_folder)
    if problems or dataset is None or start is None:
        raise TrainingError(problems)
    workers = worker_count(parameters.num_workers, device, core_count())
    notes = (*moved, *dataset.notes, *start.notes)
    plan = Plan(parameters, dataset, start, device, precision, workers, output_folder, notes, processes, costs)
    return plan.noted(*_on_the_device(plan))


def _on_the_device(plan: Plan) -> Iterator[str]:
    """What the user should know of where it is trained, a sentence each."""
    device, precision, parameters = plan.device, plan.precision, plan.parameters
    yield f"on {_named(device)} in {precision}"
    if precision == "bf16" and precision not in quick_formats(device):
        yield f"precision = 'bf16' is emulated by {_named(device)}, slower than fp32: set precision to auto"
    if plan.processes > 1:
        yield f"{plan.processes} processes share each batch of {parameters.batch_size}"
        if device.type == "cpu" and not parameters.feature_extract:
            yield "batch normalization learns from each process's part alone: torch joins them on GPUs only"


def _process_count(parameters: Parameters, device: torch.device, started: int) -> int:
    """How many processes are to train. Raises: DeviceError, there are not so many devices, or it makes no sense."""
    wanted, available = parameters.devices, torch.cuda.device_count() if device.type == "cuda" else 1
    count = available if wanted == "all" else int(wanted)
    if started > 1:
        # torchrun knows how many devices each machine has.
        count = available = started
    if count == 1:
        return count
    if device.type == "cuda" and ":" in parameters.device:
        raise DeviceError(f"devices = {wanted!r}: device = {parameters.device!r} is one GPU; set device to cuda")
    if device.type == "cuda" and count > available:
        raise DeviceError(f"devices = {wanted!r}: this machine has {available} GPUs; set it to that, or to all")
    if parameters.batch_size < 2 * count:
        raise DeviceError(
            f"devices = {wanted!r}: batch_size = {parameters.batch_size} is shared by {count} devices, two images each "
            f"at least: set batch_size to {2 * count} or more, or devices to {max(1, parameters.batch_size // 2)}"
        )
    return count


def _named(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else f"the {device.type.upper()}"


def _look_at(folder: Path, output_folder: Path, parameters: Parameters, listener: Listener) -> Dataset:
    folders = find_folders(folder)
    paths = images_of(folders)
    cache = Cache(output_folder / ".images.json", parameters.range_of_values)
    try:
        findings = audit(paths, cache, listener.counting(0.0, AUDITED, len(paths)))
    finally:
        cache.save()
    return assemble(folders, findings, parameters.val_fraction, parameters.max_broken, parameters.seed)


@contextmanager
def _collected(problems: list[str], what: str = "") -> Iterator[None]:
    """Turn the errors of one look into sentences, so that the next one is made too.

    Args:
        what: they begin with, where the error does not say it.
    """
    try:
        yield
    except DatasetError as error:
        problems += [*error.problems, *(f"note: {note}" for note in error.notes)]
    except ConversionError as error:
        problems.append(f"export_onnx = True: {error}; or set export_onnx to False")
    except QuantizationError as error:
        problems.append(f"quantize = True: {error}, or set quantize to False")
    except (DeviceError, StartError, RunFolderError, CostError) as error:
        problems.append(f"{what}{error}")
