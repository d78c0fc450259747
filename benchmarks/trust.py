"""What promises are worth, on images that had no part in making them.

Small networks, three seeds. The digits 0 to 7 are known and 8 and 9 unknown; with `--photos`, a folder of `train/` and
`val/`, its classes are known to a second network, the digits unknown to it, and its photos unknown to the first. Of the
images that were not learned from, half are for validation and half for judging; "20 splits" are as many halvings.

Run alone with `python -m benchmarks trust`; it takes some minutes.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_ood.detector import GEN, fDBD
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from examples.digits import Digits, write_class_folders
from examples.ikomia_home import use_own_home
from infer_torchvision_resnext.resnext.folder.model_folder import read_config
from infer_torchvision_resnext.resnext.folder.names import WEIGHTS
from infer_torchvision_resnext.resnext.folder.weight_files import read_state
from infer_torchvision_resnext.resnext.network.answering import answering
from infer_torchvision_resnext.resnext.network.outputs import Outputs
from infer_torchvision_resnext.resnext.trust.calibration import calibrate, calibrated, expected_calibration_error
from infer_torchvision_resnext.resnext.trust.intervals import wilson
from infer_torchvision_resnext.resnext.trust.open_set import KnownFeatures, threshold
from infer_torchvision_resnext.resnext.trust.prediction_sets import fit_prediction_sets
from infer_torchvision_resnext.resnext.trust.promises import fit_precision_thresholds
from train_torchvision_resnext.parameters import Parameters
from train_torchvision_resnext.training import train

SEEDS = (0, 1, 2)
SPLITS = 20
PRECISION, COVERAGE, PASSING = 0.95, 0.9, 0.99
SURE = 0.9
UNKNOWN_DIGITS = 8
MOST_STRANGERS = 300

DIGITS: dict[str, Any] = {
    "layers": "1,1",
    "cardinality": 8,
    "bottleneck_width": 4,
    "input_size": 32,
    "epochs": 8,
    "batch_size": 64,
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "horizontal_flip": False,
}
PHOTOS: dict[str, Any] = {
    **DIGITS,
    "layers": "1,1,1",
    "input_size": 64,
    "epochs": 20,
    "batch_size": 32,
    "horizontal_flip": True,
}


@dataclass(frozen=True)
class Answers:
    """To N images: logits N x C, features N x F, and the true classes."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    targets: NDArray[np.int64]

    def of(self, places: NDArray[np.int64]) -> "Answers":
        return Answers(self.logits[places], self.features[places], self.targets[places])


@dataclass(frozen=True)
class Experiment:
    """Images to learn from, in `train/` and `val/`, how, and kinds of unknown images."""

    name: str
    dataset: Path
    recipe: dict[str, Any]
    unknown: dict[str, Sequence[Path]]


def main(photos: Path | None = None) -> list[dict[str, Any]]:
    """A row for each data set, label smoothing and seed."""
    use_own_home()
    # Training decodes with the host's OpenCV.
    import ikomia  # noqa: F401

    with tempfile.TemporaryDirectory() as scratch:
        digits, others = write_digits(Path(scratch))
        far = sorted(photos.rglob("*.jpg"))[:MOST_STRANGERS] if photos else []
        experiments = [Experiment("digits 0-7", digits, DIGITS, {"digits 8-9": others, "photos": far})]
        if photos:
            unlike = sorted((digits / "val").rglob("*.png"))[:MOST_STRANGERS]
            experiments.append(Experiment(photos.name, photos, PHOTOS, {"digits": unlike}))
        return [judge(one, smoothing, seed) for one in experiments for seed in SEEDS for smoothing in (0.1, 0.0)]


def write_digits(folder: Path) -> tuple[Path, list[Path]]:
    """`train/` and `val/` of the known digits; files of the unknown ones."""
    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    known = order[data.target[order] < UNKNOWN_DIGITS]
    others = order[data.target[order] >= UNKNOWN_DIGITS]
    half = len(known) // 2
    for name, places in (("known/train", known[:half]), ("known/val", known[half:]), ("unknown", others)):
        write_class_folders(Digits(images[places], data.target[places]), folder / name, places=4)
    return folder / "known", sorted((folder / "unknown").rglob("*.png"))


def judge(experiment: Experiment, smoothing: float, seed: int) -> dict[str, Any]:
    """Train, and judge on halves of `val/`."""
    dataset = experiment.dataset
    with tempfile.TemporaryDirectory() as runs:
        asked = {**experiment.recipe, "label_smoothing": smoothing, "seed": seed, "output_folder": runs}
        fixed = {"weights": "none", "export_pth": False, "num_workers": 0}
        ask = Network(train(dataset, Parameters.from_strings({**fixed, **asked})).model_folder)
    known, training = answers_of(ask, dataset / "val"), answers_of(ask, dataset / "train")
    features = KnownFeatures.of(training.logits, training.features)
    first, second = halves(len(known.targets), seed)
    validation, judged = known.of(first), known.of(second)
    fitted = calibrate(validation.logits, validation.targets)
    after = calibrated(judged.logits, fitted.temperature)
    row = {
        "known": experiment.name,
        "label smoothing": smoothing,
        "seed": seed,
        "top-1": f"{(judged.logits.argmax(axis=1) == judged.targets).mean():.1%} of {len(judged.targets)}",
        "temperature": f"{fitted.temperature:.2f}",
        "ECE before": f"{expected_calibration_error(calibrated(judged.logits, 1), judged.targets):.3f}",
        "ECE after": f"{expected_calibration_error(after, judged.targets):.3f}",
    }
    scores = features.scores(judged.logits, judged.features)
    least = threshold(features.scores(validation.logits, validation.features), PASSING)
    row["known that pass"] = f"{(scores >= least).mean():.1%}"
    for kind, files in experiment.unknown.items():
        if files:
            strange = ask(files)
            strange_scores = features.scores(strange.logits, strange.features)
            softmax = (calibrated(each.logits, 1).max(axis=1) for each in (judged, strange))
            row[f"{kind}: AUROC softmax, ViM"] = f"{auroc(*softmax):.3f}, {auroc(scores, strange_scores):.3f}"
            row[f"{kind}: AUROC GEN, fDBD"] = others_of(training, judged, strange, ask.head)
            sure = calibrated(strange.logits, fitted.temperature).max(axis=1) >= SURE
            row[f"{kind}: sure answers, with unknown"] = (
                f"{sure.mean():.1%}, {(sure & (strange_scores >= least)).mean():.1%}"
            )
    return row | promised(known, seed)


def others_of(training: Answers, known: Answers, strange: Answers, head: torch.nn.Linear) -> str:
    """Two other scores, as pytorch-ood computes them."""
    borders = fDBD(None, head).fit_features(torch.from_numpy(training.features))
    entropies, distances = (
        auroc(*(-of(torch.from_numpy(each)).numpy() for each in pair))
        for of, pair in (
            (lambda logits: GEN.score(logits, M=100), (known.logits, strange.logits)),
            (borders.predict_features, (known.features, strange.features)),
        )
    )
    return f"{entropies:.3f}, {distances:.3f}"


def promised(known: Answers, seed: int) -> dict[str, str]:
    """Promise and sets over many halvings of the images that were not learned from."""
    kept, precisions, answered, covered, sizes = [], [], [], [], []
    classes = known.logits.shape[1]
    for split in range(SPLITS):
        first, second = halves(len(known.targets), 1000 * (seed + 1) + split)
        validation, judged = known.of(first), known.of(second)
        temperature = calibrate(validation.logits, validation.targets).temperature
        before, after = (calibrated(each.logits, temperature) for each in (validation, judged))
        promises = fit_precision_thresholds(
            before.max(axis=1), before.argmax(axis=1), validation.targets, classes, PRECISION
        )
        given = np.array([promises.keeps(int(row.argmax()), row.max()) for row in after])
        right = (after.argmax(axis=1) == judged.targets)[given]
        answered.append(given.mean())
        if given.any():
            precisions.append(right.mean())
            # Whether the images judged speak against the promise, by their own interval.
            kept.append(wilson(int(right.sum()), len(right))[1] >= PRECISION)
        true = np.take_along_axis(before, validation.targets[:, None], 1)[:, 0]
        sets = fit_prediction_sets(true, validation.targets, classes, COVERAGE)
        found = [sets.of(row) for row in after]
        covered.append(np.mean([target in each for target, each in zip(judged.targets, found, strict=True)]))
        sizes.append(np.mean([len(each) for each in found]))
    reached = sum(each >= PRECISION for each in precisions)
    told = (
        f"reached in {reached} of {len(precisions)} splits with answers, not refuted in {sum(kept)}; "
        f"mean {np.mean(precisions):.1%}, least {min(precisions):.1%}; answered {np.mean(answered):.0%}"
        if precisions
        else f"nothing is answered in {SPLITS} splits"
    )
    return {
        f"precision {PRECISION:.0%} promised": told,
        f"sets of {COVERAGE:.0%}": f"cover {np.mean(covered):.1%}, {np.mean(sizes):.2f} classes",
    }


class Network:
    """A model folder's network."""

    def __init__(self, folder: Path) -> None:
        config = read_config(folder)
        self._preprocessing = config.preprocessing
        network = config.network.load(read_state(folder / WEIGHTS, config.network)).eval()
        self.head = network.fc
        self._network = answering(network)

    def __call__(self, files: Sequence[Path]) -> Answers:
        """The answers to some images, whose classes do not matter."""
        with torch.inference_mode():
            rows = [self._network(self._preprocessing.normalize(self._crop(file)[None])) for file in files]
        outputs = Outputs.of(torch.cat(rows).numpy(), self.head.out_features)
        return Answers(outputs.logits, outputs.features, np.zeros(len(files), np.int64))

    def _crop(self, file: Path) -> torch.Tensor:
        return torch.from_numpy(self._preprocessing.crop(np.asarray(Image.open(file).convert("RGB"))).copy())


def answers_of(ask: Network, folder: Path) -> Answers:
    """To all images in a folder of class folders."""
    files = [(file, index) for index, kind in enumerate(sorted(folder.iterdir())) for file in sorted(kind.iterdir())]
    found = ask([file for file, _ in files])
    return Answers(found.logits, found.features, np.array([index for _, index in files]))


def halves(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]


def auroc(known: NDArray[np.float64], unknown: NDArray[np.float64]) -> float:
    return float(roc_auc_score([1] * len(known) + [0] * len(unknown), np.concatenate([known, unknown])))
