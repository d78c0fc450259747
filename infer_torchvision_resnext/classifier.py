"""Images → predictions. Loads what changed, nothing else."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activation_map import Mapper
from .cache import Cache
from .judging import Judge
from .parameters import Parameters
from .predictions import Prediction
from .resnext.folder.weight_files import read_classifier
from .resnext.host.shown_text import shown
from .resnext.images.preprocessing import Preprocessing
from .resnext.images.rgb import AUTO, RGBImage, ValueRange
from .resnext.network.answering import Outputs
from .resnext.network.architecture import Architecture
from .resnext.trust.calibration import Calibration
from .resnext.trust.evidence import Evidence
from .runtimes.guard import Choice
from .runtimes.runtime import Crops, CropsItself, Runtime, run_in_parts
from .runtimes.selection import choose
from .weights import fingerprint, load_model

logger = logging.getLogger(__name__)


class Classifier:
    """A network that is ready to answer.

    `prepare` brings it in line with the parameters; `classify` answers with what was prepared. Constructing it costs
    nothing; what computes is imported by the first `prepare`.

    Args:
        cache_folder: where converted models and decisions are kept; None = nowhere beyond this object's life.
        say: is told, in a sentence each, what was loaded and what the user should know; the same only once.
    """

    def __init__(self, cache_folder: Path | None = None, say: Callable[[str], None] = logger.info) -> None:
        self._say = say
        self._said: set[str] = set()
        self.labels: tuple[str, ...] = ()
        self.notes: list[str] = []
        """What the user should know about the last call of `classify`, for example a batch that was halved."""
        self.timings_ms = {"load": 0.0, "preprocess": 0.0, "forward": 0.0}
        """Milliseconds of the last `classify`, `preprocess` and `forward`, and of what was loaded for it, `load`."""
        self._parameters = Parameters()
        self._loaded: tuple[object, ...] = ()
        self._runtime: Runtime | None = None
        self._choice: Choice | None = None
        self._cache = Cache(cache_folder)
        self._source = ""
        self._architecture: Architecture | None = None
        self._own_preprocessing = self._preprocessing = Preprocessing()
        self._calibration: Calibration | None = None
        self._evidence: Evidence | None = None
        self._judge: Judge | None = None
        self._head: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._mapper: Mapper | None = None
        self._load_ms = 0.0
        self._lasting_notes: tuple[str, ...] = ()

    def prepare(self, parameters: Parameters) -> None:
        """Load the weights if they, their files or where they run changed; take over the rest as it is.

        Raises:
            WeightsError: the weights cannot be used.
            ParameterError: something is to be promised without evidence for it, or a class to be mapped that the model
                does not know.
            DeviceError: the device, runtime or precision cannot be used here.
        """
        where = (parameters.device, parameters.runtime, parameters.precision, parameters.threads)
        wanted = (fingerprint(parameters), parameters.guard_tolerance, parameters.maps, *where)
        if self._runtime is None or wanted != self._loaded:
            start = time.perf_counter()
            # Nothing of the old model is kept, so that a failure cannot leave half of each.
            self._runtime, self._loaded = None, ()
            model = replace(load_model(parameters, self._cache), activations=parameters.maps)
            self._runtime, self._choice = choose(model, parameters, self._cache)
            self.labels = model.labels
            self._source, self._architecture = model.source, model.architecture
            self._own_preprocessing = model.preprocessing
            self._calibration, self._evidence = model.calibration, model.evidence()
            self._head = read_classifier(model.file) if parameters.maps else None
            self._judge = None
            self._loaded = wanted
            self._lasting_notes = (*model.notes, *self._choice.notes(parameters), *self._cache.notes)
            self._load_ms = _since(start)
            runs = self._runtime.describe()
            self._say(
                f"{model.architecture} with {shown(model.source)}, {len(model.labels)} classes, in {runs['name']} "
                f"on {runs['device_name']} in {runs['precision']}"
            )
            for note in self._lasting_notes:
                self._tell(note)
        if self._judge is None or parameters != self._parameters:
            self._mapper = Mapper(self.labels, *self._head, parameters.map_class) if self._head else None
            self._judge = Judge(self.labels, parameters, self._calibration, self._evidence)
        self._parameters = parameters
        preprocessing = self._own_preprocessing.scaled_to(parameters.input_size)
        given = ValueRange.parse(parameters.value_range)
        self._preprocessing = preprocessing if given == AUTO else replace(preprocessing, value_range=given)

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become what the network sees."""
        return self._preprocessing

    @property
    def value_range(self) -> ValueRange:
        """By which images are to be converted before they are classified."""
        return self._preprocessing.value_range

    def warm_up(self) -> None:
        """Run once on a black square, so that the first real image does not pay for what is set up lazily."""
        runtime = self._prepared()
        side = self._preprocessing.crop_size
        runtime.run(np.zeros((1, side, side, 3), np.uint8))

    def classify(self, images: Sequence[RGBImage], batch_done: Callable[[], None] = lambda: None) -> list[Prediction]:
        """Answer for each image, in order.

        Args:
            images: RGB, uint8, H x W x 3, of any sizes; views of a larger frame are fine.
            batch_done: called after each batch; what it raises ends the work.

        Raises:
            ValueError: the network's output is not finite.
        """
        runtime = self._prepared()
        self.notes = [*self._lasting_notes, *self._of_another_size()]
        self.timings_ms = {"load": self._load_ms, "preprocess": 0.0, "forward": 0.0}
        self._load_ms = 0.0
        predictions: list[Prediction] = []
        while len(predictions) < len(images):
            done = len(predictions)
            try:
                outputs = self._outputs(runtime, images[done : done + self._parameters.batch_size])
            except RuntimeError:
                # The next run decides anew: a GPU that has failed leaves the work to the CPU, where that may be.
                self._loaded = ()
                raise
            predictions += self._judged(outputs)
            batch_done()
        return predictions

    def classify_crops(self, crops: NDArray[np.uint8]) -> list[Prediction]:
        """Answer for each of a batch of crops, N x S x S x 3, made by `preprocessing`. Raises: as `classify`."""
        return self._judged(self._run(self._prepared(), crops))

    def describe(self) -> dict[str, Any]:
        """What answered: model, preprocessing and runtime, JSON-ready."""
        runtime = self._prepared()
        architecture = self._architecture
        agreement = self._choice.agreement if self._choice else None
        return {
            "model": {
                "architecture": architecture.name if architecture else "",
                "weights": self._source,
                "num_classes": len(self.labels),
                **self._preprocessing.to_dict(),
            },
            "trust": self._judging().describe(),
            "runtime": {**runtime.describe(), "agreement": agreement.to_dict() if agreement else None},
        }

    def _outputs(self, runtime: Runtime, images: Sequence[RGBImage]) -> Outputs:
        start = time.perf_counter()
        crops = self._crops(runtime, images)
        self.timings_ms["preprocess"] += _since(start)
        start = time.perf_counter()
        outputs = self._run(runtime, crops)
        self.timings_ms["forward"] += _since(start)
        return outputs

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
            except RuntimeError as error:
                if not runtime.is_out_of_memory(error):
                    raise
            # Only here, for the error holds what was sent.
            runtime.release_memory()
            self._note("out of memory on the GPU while resizing: resized on the CPU")
        return np.stack([self._preprocessing.crop(image) for image in images])

    def _run(self, runtime: Runtime, crops: Crops) -> Outputs:
        """Run a batch, or its halves where memory does not suffice."""

        def halved(count: int, half: int) -> None:
            self._note(f"out of memory with {count} images at once: went on with {half}; set batch_size to {half}")

        rows = run_in_parts(runtime, crops, halved)
        return Outputs.of(rows, len(self.labels), self._head[0].shape[1] if self._head else None)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
            self._tell(note)

    def _tell(self, note: str) -> None:
        """A note goes with every result, and is told once: of a video it would be a line a frame."""
        if note not in self._said:
            self._said.add(note)
            self._say(note)

    def _of_another_size(self) -> list[str]:
        own, asked = self._own_preprocessing.crop_size, self._preprocessing.crop_size
        if own == asked:
            return []
        return [f"input_size = {asked}: the model was made for {own}, and what it promises was measured at that"]

    def _judging(self) -> Judge:
        if self._judge is None:
            raise RuntimeError("prepare the classifier before asking it")
        return self._judge

    def _prepared(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("prepare the classifier before asking it")
        return self._runtime


def _since(start: float) -> float:
    """Milliseconds from `start`, a reading of `time.perf_counter`."""
    return (time.perf_counter() - start) * 1000
