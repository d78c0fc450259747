"""The trained network as one file: torch's state dict, or ONNX, kept only if it answers as the network does.

ONNX needs no PyTorch. Its input is `pixels`, float32 N x 3 x S x S: RGB crops of `crop_size` S, scaled to [0, 1] and
normalized, as `Preprocessing.normalize` gives them; any N. Outputs, float32: `logits` N x C; `features` N x F, for
search and clustering; `activations` N x F x h x h, of which the weights of a class make its activation map. The model's
metadata say the rest: `label_names`, a JSON list in index order, and `preprocessing`, a JSON object with `resize_size`,
`crop_size`, `mean` and `std`.
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import Dim
from torchvision.models import ResNet

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.machine.disk import errors_of_the_disk, whole_file
from ..resnext.network.answering import answering
from ..resnext.network.conversion import ConversionError, to_onnx, traced
from ..resnext.network.outputs import OUTPUTS

INPUT = "pixels"

TOLERANCE = 1e-4
"""Largest difference allowed, as a fraction of an output's largest value. Other kernels sum in another order, which
costs a few times 1e-6; a wrong layer or a frozen batch size costs far more."""


def export_pth(network: ResNet, path: Path) -> None:
    """Write the bare state dict. Raises: OSError."""
    with errors_of_the_disk(path):
        torch.save(network.state_dict(), path)


def export_onnx(
    network: ResNet,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    path: Path,
    reference: NDArray[np.uint8],
) -> float:
    """Export, run the file in ONNX Runtime, and keep it if its outputs are the network's.

    Args:
        network: not changed. It is exported in fp32 and in evaluation mode, whatever it is in.
        labels: in index order.
        path: the file to write; one that stands there is replaced once the new one has proved good.
        reference: real crops to compare on, RGB uint8 N x crop_size x crop_size x 3, at least one; as many as fit into
            memory at once.

    Returns:
        The largest absolute difference of any logit.

    Raises:
        ConversionError: the network cannot be exported, or the exported one answers differently; no file was kept.
        ValueError: `reference` has another shape.
        OSError: the file cannot be written.
    """
    side = preprocessing.crop_size
    if reference.ndim != 4 or not len(reference) or reference.shape[1:] != (side, side, 3):
        raise ValueError(f"reference has the shape {reference.shape}: expected N x {side} x {side} x 3, N at least 1")
    exact = answering(copy.deepcopy(network).cpu().float().eval().requires_grad_(False), apart=True)
    # The dynamic batch must be seen with more than one image, by the exporter as by the comparison.
    crops = reference if len(reference) > 1 else np.concatenate([reference, reference])
    # Traced with channels last, the graph would transpose around each convolution, and OpenCV could not read it.
    pixels = preprocessing.normalize(torch.from_numpy(np.ascontiguousarray(crops))).contiguous()
    with torch.inference_mode():
        expected = [told.numpy() for told in exact(pixels)]
    if expected[0].shape != (len(crops), len(labels)):
        raise ConversionError(f"the network gives logits of shape {expected[0].shape} for {len(labels)} labels")
    model = to_onnx(traced(exact, pixels[:2].clone(), {0: Dim("batch")}), INPUT, *OUTPUTS)
    for key, value in {"label_names": list(labels), "preprocessing": preprocessing.to_dict()}.items():
        model.metadata_props.add(key=key, value=json.dumps(value, ensure_ascii=False))
    with whole_file(path) as draft:
        draft.write_bytes(model.SerializeToString())
        return _difference(draft, pixels.numpy(), expected)


def _difference(path: Path, pixels: NDArray[np.float32], expected: Sequence[NDArray[np.float32]]) -> float:
    """Run the file on all images one by one and all at once; how far its logits are from those expected.

    Raises:
        ConversionError: any output differs beyond the tolerance.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        one_by_one = [session.run(OUTPUTS, {INPUT: image[None]}) for image in pixels]
        at_once = session.run(OUTPUTS, {INPUT: pixels})
    except Exception as error:
        # ONNX Runtime raises a dozen classes of its own that share no base but this.
        raise ConversionError(f"ONNX Runtime cannot run the exported network: {error}") from error
    differences = []
    for name, right, single, batched in zip(OUTPUTS, expected, zip(*one_by_one, strict=True), at_once, strict=True):
        difference = float(max(np.abs(found - right).max() for found in (np.concatenate(single), batched)))
        allowed = TOLERANCE * max(1.0, float(np.abs(right).max()))
        # Written so that NaN is refused too.
        if not difference <= allowed:
            raise ConversionError(
                f"the exported network differs from the trained one by {difference:.2g} in its {name}, allowed are "
                f"{allowed:.2g}: no ONNX file was kept"
            )
        differences.append(difference)
    return differences[0]
