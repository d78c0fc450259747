"""Images → predictions. Loads what changed, nothing else."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answers.activation_map import Mapper
from .answers.judging import UNLIKE_OBJECTS, Judge, unlike_objects_note
from .answers.predictions import Prediction
from .answers.regions import Region
from .answers.tracks import Moment, Tracks
from .model.cache import Cache
from .model.model import Model, with_distinct_labels
from .model.weights import fingerprint, load_model
from .parameters.task import Parameters
from .resnext.images.preprocessing import Preprocessing
from .resnext.images.rgb import AUTO, RGBImage, ValueRange
from .resnext.machine.devices import OutOfMemoryError
from .resnext.machine.printable import shown
from .resnext.network.outputs import Outputs
from .resnext.trust.input_score import measure_crops
from .resnext.trust.unknown import distinct_labels
from .runtimes.guard import Choice
from .runtimes.runtime import Crops, CropsItself, Runtime, as_array, run_in_parts
from .runtimes.selection import choose

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """What is ready to answer.

    Attributes:
        model: without what only loading needs.
        choice: by which the runtime was chosen.
        notes: what the user should know of all this, a sentence each.
    """

    model: Model
    runtime: Runtime
    choice: Choice
    notes: tuple[str, ...]


class Classifier:
    """A network that is ready to answer.

    `prepare` brings it in line with the parameters; `classify` answers with what was prepared. Constructing it costs
    nothing; what computes is imported by the first `prepare`.

    Args:
        cache_folder: where converted models and decisions are kept; None = nowhere beyond this object's life.
        say: is told, in a sentence each, what was loaded and what the user should know; the same only once.
        many: whether images come in such numbers that all of them count, and not how soon a single one is answered.
    """

    def __init__(
        self, cache_folder: Path | None = None, say: Callable[[str], None] = logger.info, many: bool = False
    ) -> None:
        self._say, self._many = say, many
        self._said: set[str] = set()
        self.notes: list[str] = []
        """What the user should know about the last call of `classify`, for example a batch that was halved."""
        self.timings_ms = {"load": 0.0, "preprocess": 0.0, "forward": 0.0}
        """Milliseconds of the last `classify`, `preprocess` and `forward`, and of what was loaded for it, `load`."""
        self._parameters = Parameters()
        self._wanted: tuple[object, ...] = ()
        self._loaded: Loaded | None = None
        self._cache = Cache(cache_folder)
        self._preprocessing = Preprocessing()
        self._judge: Judge | None = None
        self._mapper: Mapper | None = None
        self._tracks: Tracks | None = None
        self._load_ms = 0.0

    def prepare(self, parameters: Parameters) -> None:
        """Load the weights if they, their files or where they run changed; take over the rest as it is.

        Raises:
            WeightsError: the weights cannot be used.
            ParameterError: something is to be promised without evidence for it, or a class to be mapped that the model
                does not know.
            DeviceError: the device, runtime or precision cannot be used here.
            ForkedProcessError: this process was forked from one that has loaded a network.
        """
        where = (parameters.device, parameters.runtime, parameters.precision, parameters.threads)
        wanted = (fingerprint(parameters), parameters.guard_tolerance, parameters.maps, *where)
        if self._loaded is None or wanted != self._wanted:
            # Nothing of the old model is kept, so that a failure cannot leave half of each.
            self._loaded, self._judge, self._tracks, self._wanted = None, None, None, ()
            self._loaded = self._load(parameters)
            self._wanted = wanted
        model = self._loaded.model
        if self._tracks is None or parameters.track != self._parameters.track:
            self._tracks = Tracks(parameters.track) if parameters.track else None
        if self._judge is None or parameters != self._parameters:
            (map_class,) = distinct_labels([parameters.map_class])
            self._mapper = Mapper(model.labels, *model.classifier, map_class) if parameters.maps else None
            evidence = model.evidence or model.no_evidence
            self._judge = Judge(model.labels, parameters, model.calibration, evidence, model.costs)
        self._parameters = parameters
        preprocessing = model.preprocessing.scaled_to(parameters.input_size)
        given = ValueRange.parse(parameters.value_range)
        self._preprocessing = preprocessing if given == AUTO else replace(preprocessing, value_range=given)

    def _load(self, parameters: Parameters) -> Loaded:
        start = time.perf_counter()
        model = with_distinct_labels(load_model(parameters, self._cache))
        model = replace(model, activations=parameters.maps, many=self._many)
        runtime, choice = choose(model, parameters, self._cache)
        notes = (*model.notes, *choice.notes(parameters), *self._cache.notes)
        self._load_ms = _since(start)
        runs = runtime.describe()
        self._say(
            f"{model.architecture} with {shown(model.source)}, {len(model.labels)} classes, in {runs['name']} "
            f"on {runs['device_name']} in {runs['precision']}"
        )
        for note in notes:
            self._tell(note)
        # A copy: the tensors stay with the model that has read them, and go with it.
        return Loaded(replace(model, golden=None), runtime, choice, notes)

    @property
    def labels(self) -> tuple[str, ...]:
        """In index order; none before `prepare`."""
        return self._loaded.model.labels if self._loaded else ()

    @property
    def weights_sha256(self) -> str:
        """Of the file of weights that answers."""
        return self._ready().model.weights.digest

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self._ready().model.architecture.features

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become what the network sees; they are to be converted by its `value_range`."""
        return self._preprocessing

    def warm_up(self) -> None:
        """Run once on a black square, so that the first real image does not pay for what is set up lazily."""
        side = self._preprocessing.crop_size
        run_in_parts(self._ready().runtime, np.zeros((1, side, side, 3), np.uint8))

    def classify(self, images: Sequence[RGBImage], batch_done: Callable[[], None] = lambda: None) -> list[Prediction]:
        """Answer for each image, in order.

        Args:
            images: RGB, uint8, H x W x 3, of any sizes; views of a larger frame are fine.
            batch_done: called after each batch; what it raises ends the work.

        Raises:
            ValueError: the network's output is not finite.
            ForkedProcessError: this process was forked from the one that has loaded the network.
        """
        loaded = self._ready()
        self.notes = [*loaded.notes, *self._of_another_size(loaded.model), *self._judging().notes]
        self.timings_ms = {"load": self._load_ms, "preprocess": 0.0, "forward": 0.0}
        self._load_ms = 0.0
        predictions: list[Prediction] = []
        while len(predictions) < len(images):
            done = len(predictions)
            try:
                outputs = self._outputs(loaded.runtime, images[done : done + self._parameters.batch_size])
            except RuntimeError:
                # The next run decides again: a GPU that has failed leaves the work to the CPU, where that may be.
                self._wanted = ()
                raise
            predictions += self._judged(outputs)
            batch_done()
        for note in self._judging().watch(predictions):
            self._note(note)
        return predictions

    def follow(self, moment: Moment, regions: Sequence[Region], predictions: Sequence[Prediction]) -> list[Prediction]:
        """The answers for the objects of a frame: with `track` over their frames, without it those of the frame.

        Args:
            predictions: what this frame alone says, one for each region.
        """
        answers = (
            [*predictions] if self._tracks is None else self._over_frames(self._tracks, moment, regions, predictions)
        )
        if note := unlike_objects_note(answers):
            # In a film its numbers change with each frame.
            self._note(note, once=UNLIKE_OBJECTS)
        return answers

    def _over_frames(
        self, tracks: Tracks, moment: Moment, regions: Sequence[Region], predictions: Sequence[Prediction]
    ) -> list[Prediction]:
        judge = self._judging()
        pooled = tracks.follow(moment, regions, predictions, judge.decide)
        for note in tracks.notes:
            self._note(note)
        return [judge.pooled(over, alone) if over else alone for over, alone in zip(pooled, predictions, strict=True)]

    def classify_crops(self, crops: NDArray[np.uint8]) -> list[Prediction]:
        """Answer for each of a batch of crops, N x S x S x 3, made by `preprocessing`. Raises: as `classify`."""
        return self._judged(self._measured(self._run(self._ready().runtime, crops), crops))

    def describe(self) -> dict[str, Any]:
        """What answered: model, preprocessing and runtime, JSON-ready."""
        loaded = self._ready()
        model, agreement = loaded.model, loaded.choice.agreement
        return {
            "model": {
                "architecture": model.architecture.name,
                "weights": model.source,
                "num_classes": len(model.labels),
                **self._preprocessing.to_dict(),
            },
            "trust": self._judging().describe(),
            "runtime": {**loaded.runtime.describe(), "agreement": agreement.to_dict() if agreement else None},
        }

    def _outputs(self, runtime: Runtime, images: Sequence[RGBImage]) -> Outputs:
        start = time.perf_counter()
        crops = self._crops(runtime, images)
        self.timings_ms["preprocess"] += _since(start)
        start = time.perf_counter()
        outputs = self._run(runtime, crops)
        self.timings_ms["forward"] += _since(start)
        return self._measured(outputs, crops)

    def _measured(self, outputs: Outputs, crops: Crops) -> Outputs:
        """The same with statistics of the crops, where they are compared with those of the training images."""
        return replace(outputs, pixels=measure_crops(as_array(crops))) if self._judging().measures_pixels else outputs

    def _judged(self, outputs: Outputs) -> list[Prediction]:
        """With maps, where they are asked for: of the class that stands first, also where the answer is `unknown`."""
        predictions = self._judging().predictions(outputs)
        if self._mapper is None or outputs.activations is None:
            return predictions
        return [
            replace(each, activation_map=self._mapper.of(activations, each.indices[0]))
            for each, activations in zip(predictions, outputs.activations, strict=True)
        ]

    def _crops(self, runtime: Runtime, images: Sequence[RGBImage]) -> Crops:
        """N x S x S x 3, resized where the network runs, or else here, one after another."""
        if isinstance(runtime, CropsItself):
            try:
                return runtime.crop(images, self._preprocessing)
            except OutOfMemoryError:
                self._note("out of memory on the GPU while resizing: resized on the CPU")
            # Only here, for the error holds what was sent.
            runtime.release_memory()
        return np.stack([self._preprocessing.crop(image) for image in images])

    def _run(self, runtime: Runtime, crops: Crops) -> Outputs:
        """Run a batch, or its halves where memory does not suffice."""

        def halved(count: int, half: int) -> None:
            self._note(f"out of memory with {count} images at once: went on with {half}; set batch_size to {half}")

        rows, model = run_in_parts(runtime, crops, halved), self._ready().model
        return Outputs.of(rows, len(model.labels), model.architecture.features if model.activations else None)

    def _note(self, note: str, once: str = "") -> None:
        if note not in self.notes:
            self.notes.append(note)
            self._tell(note, once)

    def _tell(self, note: str, once: str = "") -> None:
        """A note goes with every result, and is told once: of a video it would be a line a frame.

        Args:
            once: what notes of this kind have in common; empty = all of the note.
        """
        if (once or note) not in self._said:
            self._said.add(once or note)
            self._say(note)

    def _of_another_size(self, model: Model) -> list[str]:
        own, asked = model.preprocessing.crop_size, self._preprocessing.crop_size
        if own == asked:
            return []
        return [f"input_size = {asked}: the model was made for {own}, and what it promises was measured at that"]

    def _judging(self) -> Judge:
        if self._judge is None:
            raise RuntimeError("prepare the classifier before asking it")
        return self._judge

    def _ready(self) -> Loaded:
        if self._loaded is None:
            raise RuntimeError("prepare the classifier before asking it")
        return self._loaded


def _since(start: float) -> float:
    """Milliseconds from `start`, a reading of `time.perf_counter`."""
    return (time.perf_counter() - start) * 1000
