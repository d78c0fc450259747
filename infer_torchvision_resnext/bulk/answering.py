"""Decoded images → rows of the table."""

import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..answers.predictions import Prediction
from ..classifier import Classifier
from .decoding import Decoded
from .table import Row, storable

ON_CPU = 32
"""So many that it matters little when some threads have nothing left to do at a batch's end."""


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
    readable = [image for image in images if image.crop is not None]
    start = time.perf_counter()
    answers = iter(_classify(classifier, readable))
    forward_ms = (time.perf_counter() - start) * 1000 / max(1, len(readable))
    for image in images:
        answer = image.error if image.crop is None else next(answers)
        yield _failed(image, answer, model) if isinstance(answer, str) else _row(image, answer, forward_ms, model)


def _classify(classifier: Classifier, images: Sequence[Decoded]) -> Sequence[Prediction | str]:
    """The answer to each image, or why the network gives none."""
    if not images:
        return ()
    try:
        return classifier.classify_crops(np.stack([image.crop for image in images if image.crop is not None]))
    except ValueError as error:
        # One image's output that is not finite must not cost the others their answers.
        if len(images) == 1:
            return [str(error)]
        answers = [answer for image in images for answer in _classify(classifier, [image])]
        if all(isinstance(answer, str) for answer in answers):
            raise  # it is the network's fault
        return answers


def _row(image: Decoded, answer: Prediction, forward_ms: float, model: str) -> Row:
    return Row(
        path=storable(image.path),
        frame=image.frame,
        answer=answer.answer,
        probability=answer.probability,
        reason=answer.reason,
        labels=list(answer.labels),
        probabilities=list(answer.probabilities),
        expected_cost=None if answer.costs is None else list(answer.costs),
        set=None if answer.possible is None else list(answer.possible),
        known_score=answer.known_score,
        embedding=answer.embedding,
        decode_ms=image.ms,
        forward_ms=forward_ms,
        model=model,
        error=None,
    )


def _failed(image: Decoded, error: str, model: str) -> Row:
    return Row(
        path=storable(image.path),
        frame=image.frame,
        answer=None,
        probability=None,
        reason=None,
        labels=[],
        probabilities=[],
        expected_cost=None,
        set=None,
        known_score=None,
        embedding=None,
        decode_ms=image.ms,
        forward_ms=None,
        model=model,
        error=storable(error) or "unknown error",
    )
