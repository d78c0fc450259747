"""Decoded images → rows of the table."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..classifier import Classifier
from ..predictions import Prediction
from .decoding import Decoded

ON_CPU = 32
"""So many that it matters little when some threads have nothing left to do at a batch's end."""


class Row(NamedTuple):
    """What the table holds of an image.

    Attributes:
        path: as INPUT names it; of a folder's images relative to the folder.
        frame: its number in a video, from 0; None for a file.
        answer, probability, reason, labels, probabilities: as of `Prediction`; None or empty where there is an error.
        decode_ms: milliseconds of reading, decoding and resizing, in whichever process.
        forward_ms: milliseconds of the forward pass, an equal share of the batch's.
        model: SHA-256 of the weights.
        error: why the image could not be read; None if it could.
    """

    path: str
    frame: int | None
    answer: str | None
    probability: float | None
    reason: str | None
    labels: list[str]
    probabilities: list[float]
    decode_ms: float
    forward_ms: float | None
    model: str
    error: str | None


def batch_of(classifier: Classifier, batch_size: int) -> int:
    """How many images the runtime likes at once: on a GPU as many as were asked for."""
    return ON_CPU if classifier.describe()["runtime"]["device"] == "cpu" else batch_size


def rows_of(classifier: Classifier, images: Iterable[Decoded], batch: int, model: str) -> Iterator[Row]:
    """A row for each image, in order; what could not be read does not thin out the batches."""
    waiting: list[Decoded] = []
    readable = 0
    for image in images:
        waiting.append(image)
        readable += image.crop is not None
        if readable == batch:
            yield from _answered(classifier, waiting, model)
            waiting, readable = [], 0
    yield from _answered(classifier, waiting, model)


def _answered(classifier: Classifier, images: Sequence[Decoded], model: str) -> Iterator[Row]:
    crops = [image.crop for image in images if image.crop is not None]
    start = time.perf_counter()
    answers = iter(classifier.classify_crops(np.stack(crops)) if crops else ())
    forward_ms = (time.perf_counter() - start) * 1000 / max(1, len(crops))
    for image in images:
        yield _failed(image, model) if image.crop is None else _row(image, next(answers), forward_ms, model)


def _row(image: Decoded, answer: Prediction, forward_ms: float, model: str) -> Row:
    return Row(
        path=_storable(image.path),
        frame=image.frame,
        answer=answer.answer,
        probability=answer.probability,
        reason=answer.reason,
        labels=list(answer.labels),
        probabilities=list(answer.probabilities),
        decode_ms=image.ms,
        forward_ms=forward_ms,
        model=model,
        error=None,
    )


def _failed(image: Decoded, model: str) -> Row:
    error = _storable(image.error)
    return Row(_storable(image.path), image.frame, None, None, None, [], [], image.ms, None, model, error)


def _storable(text: str) -> str:
    """The text with bytes that are not UTF-8, which file names may hold, written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
