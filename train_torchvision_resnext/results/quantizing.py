"""The trained network in int8, calibrated on its training images, kept if it keeps what the model promises."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.loading import Images
from ..data.samples import Sample, pick
from ..resnext.folder.quantization import CALIBRATION, Quantized, Validation, quantize
from ..resnext.network.outputs import Outputs
from ..run.plan import Plan
from ..run.progress import TRAINED, Listener, StopRequestedError

logger = logging.getLogger(__name__)

CALIBRATED = (TRAINED + 1) / 2
"""Share of the progress bar at which the calibration is over and the int8 network is measured."""

LATER = "python -m infer_torchvision_resnext quantize, in Ikomia's folder Plugins/Python, makes one later"


def quantize_trained(
    draft: Path, plan: Plan, exact: Outputs | None, listener: Listener, interrupted: bool
) -> tuple[Quantized | None, list[str]]:
    """Quantize the draft of the model folder where that was asked for. Nothing that goes wrong here costs the model.

    Args:
        exact: the network's answers in fp32 to the validation images; None = not known, and computed here.
        listener: may stop it at every image of the calibration and every batch of the validation.
        interrupted: training did not come to its end, and quantizing is not waited for.

    Returns:
        What it cost, None where there is no int8 network; and a note of it.
    """
    if not plan.parameters.quantize:
        return None, []
    if interrupted:
        return None, [f"stopped, and therefore not quantized; {LATER}"]
    dataset, parameters = plan.dataset, plan.parameters
    calibration = _Crops(pick(dataset.train, CALIBRATION, parameters.seed), 1, plan, listener, (TRAINED, CALIBRATED))
    validation = _Crops(dataset.val, parameters.batch_size, plan, listener, (CALIBRATED, 1.0))
    targets = [sample.target for sample in dataset.val]
    try:
        cost = quantize(draft, calibration, Validation(validation, targets, exact), parameters.quantize_max_drop)
    except StopRequestedError:
        return None, [f"stopped while quantizing, so that there is no int8 network; {LATER}"]
    except Exception as error:
        # NNCF raises errors of many kinds, and none of them is worth a trained model.
        logger.exception("quantizing failed")
        return None, [f"there is no int8 network, for quantizing failed: {error}; {LATER}"]
    return cost, [f"int8: {cost}"]


class _Crops:
    """Batches of crops without augmentation, read again each time they are gone through.

    Args:
        share: of the progress bar, from the first to the last batch.
    """

    def __init__(
        self, samples: tuple[Sample, ...], size: int, plan: Plan, listener: Listener, share: tuple[float, float]
    ) -> None:
        self._loader = replace(plan.loading(), batch_size=size).evaluation(Images(samples, plan.reader))
        self._on_batch = listener.counting(*share, len(self._loader))

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for crops, _ in self._loader:
            self._on_batch()
            yield crops.numpy()
