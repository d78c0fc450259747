"""What a network says → how sure it is."""

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """N x C logits → N x C probabilities, computed in double precision. Raises: ValueError for NaN or infinity."""
    if not np.isfinite(logits).all():
        raise ValueError(
            "the network's output is not finite: the weights are broken, or the precision is too low for them; "
            "set precision to fp32"
        )
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
