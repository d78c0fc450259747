"""Whether large JPEG files may be decoded at a reduced scale: only if the answers to the job's own files stay."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..answers.predictions import by_class
from ..classifier import Classifier
from ..parameters.task import Parameters
from .decoding import Decoding, both_ways
from .processes import Processes

LOOKED_AT = 256
"""Files, the first of the job, among which large ones are looked for."""

COMPARED = 16
"""Large files whose answers are compared."""

CHOICES = ("auto", "off")
NOT_USED: Mapping[str, Any] = {"used": False, "files": 0}


def measured(
    classifier: Classifier,
    parameters: Parameters,
    paths: Sequence[str],
    how: Decoding,
    processes: Processes,
) -> Mapping[str, Any]:
    """Compare the answers to the first large files, decoded whole and at a reduced scale.

    Reduced decoding is used if no probability of any class changes by more than `guard_tolerance`, and no best class.

    Returns:
        JSON-ready: `used`, `files`, and if there were any `top1` (share of files whose best class stays),
        `largest_change` of a probability, and medians of the milliseconds, `whole_ms` and `reduced_ms`.
    """
    tasks = ((path, how) for path in paths[:LOOKED_AT])
    pairs = processes.results(both_ways, tasks, after_death=lambda _: None)
    found = list(islice((pair for pair in pairs if pair is not None), COMPARED))
    if not found:
        return NOT_USED
    crops, reduced_crops, whole_ms, reduced_ms = zip(*found, strict=True)
    # All classes count, whatever is listed of them in the end.
    classifier.prepare(parameters.updated({"top_k": 0}))
    whole = by_class(classifier.classify_crops(np.stack(crops)))
    reduced = by_class(classifier.classify_crops(np.stack(reduced_crops)))
    classifier.prepare(parameters)
    top1 = float((whole.argmax(axis=1) == reduced.argmax(axis=1)).mean())
    largest_change = float(np.abs(whole - reduced).max())
    return {
        "used": top1 == 1 and largest_change <= parameters.guard_tolerance,
        "files": len(found),
        "top1": top1,
        "largest_change": largest_change,
        "whole_ms": float(np.median(whole_ms)),
        "reduced_ms": float(np.median(reduced_ms)),
    }
