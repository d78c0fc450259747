"""One answer for each object of a film: what its frames say together.

The evidence for a class is the sum of its log-probabilities, of which each frame's counts less with every new one. An
answer changes only when another class leads by three to one: from there on evidence is called positive by Kass and
Raftery, "Bayes Factors", JASA 1995. How sure it is follows from the mean, not from the sum, for the frames of an object
are much alike: one that is shown ten times makes no surer than once. (A logarithmic opinion pool; Genest and Zidek,
"Combining Probability Distributions", Statistical Science 1986.)
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .predictions import Prediction
from .regions import Box, Region

MARGIN = math.log(3)
"""Nats of evidence on the side of the present answer."""

FORGOTTEN_AFTER = 30
"""Frames without the object."""

MOST = 1000
"""Tracks at a time, or as many as the frame has objects, where these are more. Those that were not seen for longest are
forgotten first.
"""

NO_ID = (
    "track: objects that bring no id, or the id of another one, have the answer of this frame alone: put a tracker "
    "between the detector and this task"
)
JUMPED = (
    "track: an object has moved by more than its size in a frame, so that its answer starts again; ids must be a "
    "tracker's, for a detector numbers its objects again in each frame"
)
FULL = (
    f"track: there are more than {MOST:,} objects; those that have been out of the frame for longest are forgotten "
    "early and start again when they come back"
)


Decide = Callable[[NDArray[np.float64]], int]
"""Log-probabilities of C classes → which of them is the answer."""


@dataclass(frozen=True)
class Moment:
    """Which image it is: of what file, if any, at which frame, with what width and height in pixels."""

    file: str
    frame: int
    size: tuple[int, int]

    def follows(self, before: "Moment") -> bool:
        """Whether it can be of the same film. A file that starts again is another."""
        return (self.file, self.size) == (before.file, before.size) and self.frame >= before.frame


@dataclass(frozen=True)
class Pooled:
    """What the frames of an object say together.

    Attributes:
        frames: those that could be read.
        log_probabilities: C, their weighted mean; None where there is none, or all were unlike anything learned.
        known_score: their weighted mean; None where there is none.
        answer: class index; -1 without `log_probabilities`.
    """

    frames: int
    log_probabilities: NDArray[np.float64] | None
    known_score: float | None
    answer: int


@dataclass
class _Mean:
    """Of values that count less with each new one."""

    total: Any = 0.0
    weight: float = 0.0

    def add(self, value: Any, memory: float) -> None:
        self.total = memory * self.total + value
        self.weight = memory * self.weight + 1

    @property
    def value(self) -> Any:
        return self.total / self.weight if self.weight else None


@dataclass
class _Track:
    box_xywh: Box = (0, 0, 0, 0)
    last_seen: int = 0
    frames: int = 0
    answer: int = -1
    evidence: _Mean = field(default_factory=_Mean)
    known_score: _Mean = field(default_factory=_Mean)

    def reaches(self, box_xywh: Box, now: int) -> bool:
        """Whether an object that moves by at most its own size a frame can have come so far."""
        way = np.abs(_middle(box_xywh) - _middle(self.box_xywh))
        size = np.maximum(box_xywh[2:], self.box_xywh[2:])
        return bool((way <= (now - self.last_seen) * size).all())

    def add(self, prediction: Prediction, memory: float, decide: Decide) -> None:
        """Take in what a frame says; one that is too small to read says nothing."""
        if prediction.distribution is None:
            return
        self.frames += 1
        if prediction.known_score is not None:
            self.known_score.add(prediction.known_score, memory)
        # What a network says of strangers means nothing.
        if prediction.doubt and prediction.doubt.kind == "unlike":
            return
        self.evidence.add(np.log(prediction.distribution.clip(min=np.finfo(np.float64).tiny)), memory)
        favored = self.evidence.value.copy()
        if self.answer >= 0:
            favored[self.answer] += MARGIN / self.evidence.weight
        self.answer = decide(favored)


def _middle(box_xywh: Box) -> NDArray[np.float64]:
    x, y, width, height = box_xywh
    return np.array([x + width / 2, y + height / 2])


class Tracks:
    """Objects that are followed by their ids.

    Args:
        frames: over how many an answer is spread: a frame counts 1 - 1 / `frames` of the next one.
    """

    def __init__(self, frames: int) -> None:
        self._memory = 1 - 1 / frames
        self._tracks: dict[int, _Track] = {}
        self._moment: Moment | None = None
        self._now = 0
        self._jumped = False
        self.notes: list[str] = []
        """What the last frame lacked to be followed."""

    def follow(
        self, moment: Moment, regions: Sequence[Region], predictions: Sequence[Prediction], decide: Decide
    ) -> list[Pooled | None]:
        """What is known of each object after this frame; None for those that no id tells from others.

        Args:
            predictions: of this frame alone, one for each region.
            decide: which class is the answer.
        """
        if self._moment and not moment.follows(self._moment):
            self._tracks = {}
        self._moment = moment
        self._now += 1
        self._jumped = False
        ids = Counter(region.object_id for region in regions if region.has_id)
        found = [
            self._seen(region, prediction, decide) if region.has_id and ids[region.object_id] == 1 else None
            for region, prediction in zip(regions, predictions, strict=True)
        ]
        lacking = {NO_ID: any(each is None for each in found), JUMPED: self._jumped, FULL: self._forget()}
        self.notes = [note for note, so in lacking.items() if so]
        return found

    def _forget(self) -> bool:
        """Drop tracks that were not seen for long; True if others had to go too, for lack of room."""
        recent = {key: track for key, track in self._tracks.items() if self._now - track.last_seen < FORGOTTEN_AFTER}
        in_frame = sum(track.last_seen == self._now for track in recent.values())
        room = max(MOST, in_frame)
        self._tracks = dict(list(recent.items())[-room:])
        return len(recent) > room

    def _seen(self, region: Region, prediction: Prediction, decide: Decide) -> Pooled:
        # Taken out and put in again, so that the one seen last stands last.
        track = self._tracks.pop(region.object_id, None)
        if track and not track.reaches(region.box_xywh, self._now):
            self._jumped, track = True, None
        track = track or _Track()
        track.box_xywh, track.last_seen = region.box_xywh, self._now
        track.add(prediction, self._memory, decide)
        self._tracks[region.object_id] = track
        return Pooled(track.frames, track.evidence.value, track.known_score.value, track.answer)
