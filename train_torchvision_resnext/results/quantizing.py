"""The trained network in int8, calibrated on its training images, kept if it keeps what the model promises."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ..data.dataset import Sample
from ..data.loading import Batch, Images, evaluation_loader
from ..data.picks import pick
from ..planning import TRAINED, Plan
from ..progress import Listener, StopRequestedError
from ..resnext.network.inference import Outputs
from ..resnext.network.quantization import CALIBRATION, Quantized, Validation, quantize

logger = logging.getLogger(__name__)

CALIBRATED = (TRAINED + 1) / 2
"""Share of the progress bar at which the calibration is over and the int8 network is measured."""

LATER = "python -m infer_torchvision_resnext.quantize, in Ikomia's folder Plugins/Python, makes one later"


def quantize_trained(
    draft: Path, plan: Plan, exact: Outputs | None, listener: Listener
) -> tuple[Quantized | None, str]:
    """Quantize the draft of the model folder. Nothing that goes wrong here costs the model.

    Args:
        exact: the network's answers in fp32 to the validation images; None = not known, and computed here.
        listener: may stop it at every image of the calibration and every batch of the validation.

    Returns:
        What it cost, None where it failed or was stopped; and a note of it.
    """
    dataset, parameters = plan.dataset, plan.parameters
    calibration = _Crops(pick(dataset.train, CALIBRATION, parameters.seed), 1, plan, listener, (TRAINED, CALIBRATED))
    validation = _Crops(dataset.val, parameters.batch_size, plan, listener, (CALIBRATED, 1.0))
    targets = [sample.target for sample in dataset.val]
    try:
        cost = quantize(draft, calibration, Validation(validation, targets, exact), parameters.quantize_max_drop)
    except StopRequestedError:
        return None, f"stopped while quantizing, so that there is no int8 network; {LATER}"
    except Exception as error:
        # NNCF raises errors of many kinds, and none of them is worth a trained model.
        logger.exception("quantizing failed")
        return None, f"there is no int8 network, for quantizing failed: {error}; {LATER}"
    return cost, f"int8: {cost}"


class _Crops:
    """Batches of crops without augmentation, read again each time they are gone through.

    Args:
        share: of the progress bar, from the first to the last batch.
    """

    def __init__(
        self, samples: tuple[Sample, ...], size: int, plan: Plan, listener: Listener, share: tuple[float, float]
    ) -> None:
        images = Images(samples, plan.start.preprocessing)
        self._loader: DataLoader[Batch] = evaluation_loader(images, size, plan.workers, plan.device)
        self._listener = listener
        self._share = share
        self._furthest = 0

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for seen, (crops, _) in enumerate(self._loader, start=1):
            self._tell(seen)
            yield crops.numpy()

    def _tell(self, seen: int) -> None:
        self._furthest = max(self._furthest, seen)
        first, last = self._share
        self._listener.progress(first + (last - first) * self._furthest / len(self))
        self._listener.check()
