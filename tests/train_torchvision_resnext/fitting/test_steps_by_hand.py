"""Whole trainings, step by step in plain torch, beside the task's own: the same weights and the same figures.

The loop of `by_hand` is what the recipe means. Of the package it uses the network and the draws of light augmentation,
mixup and CutMix, which have tests of their own; everything else is written out, learning rates as numbers.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms._presets import ImageClassification

from train_torchvision_resnext.data.augmentation import Augmentation, Blend
from train_torchvision_resnext.parameters import Parameters
from train_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.training import train

pytestmark = pytest.mark.usefixtures("no_report")

NETWORK = Architecture((1, 1), 4, 4, "cifar")
LABELS = ("ant", "bee", "cat")
PREPROCESSING = Preprocessing(18, 16)
EPOCHS = 2

COUNTS = {"train": (5, 4, 2), "val": (3, 2, 1)}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks as small as these gain nothing from more, and on a busy machine lose much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Eleven images to train on and six to validate with, in a folder."""
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(3)
    for part, counts in COUNTS.items():
        for target, (label, count) in enumerate(zip(LABELS, counts, strict=True)):
            (folder / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 160, (20, 22, 3)) + 40 * target
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / label / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def start(images, tmp_path_factory):
    """A model folder whose classifier knows the labels and whose batch norms know the images.

    Batch norms shift what they normalize so far that no rectifier is near its kink, where differences in the last bit
    would grow: two ways to add up a sum stay as near to each other as they begin.
    """
    torch.manual_seed(4)
    network = NETWORK.build(len(LABELS))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 0.025)
            torch.nn.init.constant_(module.bias, 0.1)
    with torch.no_grad():
        for _ in range(50):
            network.train()(as_seen(samples(images, "train")[0]))
    folder = tmp_path_factory.mktemp("start") / "model"
    write_model_folder(folder, ModelConfig.of(NETWORK, LABELS, PREPROCESSING), network.state_dict())
    return folder


def samples(folder, part):
    """Pixels and targets: classes by name, then files by name."""
    paths = [
        (path, target) for target, label in enumerate(LABELS) for path in sorted((folder / part / label).iterdir())
    ]
    return [np.asarray(Image.open(path)) for path, _ in paths], torch.tensor([target for _, target in paths])


def as_seen(pixels):
    """torchvision's own preset."""
    preset = ImageClassification(crop_size=PREPROCESSING.crop_size, resize_size=PREPROCESSING.resize_size)
    images = torch.stack([preset(Image.fromarray(each)) for each in pixels])
    # With channels last, sums round as they do in the task's networks.
    return images.contiguous(memory_format=torch.channels_last)


def order(targets, recipe, epoch):
    """The batches of an epoch: the seed and the epoch decide; a last batch of one is left out."""
    draw, count = np.random.default_rng((recipe.seed, epoch)), len(targets)
    shown = count - 1 if count % recipe.batch_size == 1 else count
    if recipe.class_balance == "sampler":
        shares = 1 / (len(LABELS) * np.bincount(targets)[targets])
        drawn = draw.choice(count, shown, p=shares)
    else:
        drawn = draw.permutation(count)[:shown]
    return torch.from_numpy(drawn).split(recipe.batch_size)


def probabilities_of(targets):
    return torch.eye(len(LABELS))[targets]


def cross_entropy(logits, probabilities, recipe, weights, hard):
    """Every class's share of the smoothed target, times its weight; over the weight of the targets."""
    smoothed = (1 - recipe.label_smoothing) * probabilities + recipe.label_smoothing / len(LABELS)
    surprise = -(logits - logits.exp().sum(1, keepdim=True).log())
    divisor = (probabilities * weights).sum() if hard else len(logits)
    return (weights * smoothed * surprise).sum() / divisor


class SGD:
    """Nesterov, Sutskever et al. 2013, as torch writes it; decay of weights, not of biases and batch norms."""

    def __init__(self, recipe):
        self.recipe, self.velocity = recipe, {}

    def change(self, weight, gradient, rate):
        gradient = gradient + (self.recipe.weight_decay if weight.ndim > 1 else 0) * weight
        momentum = self.recipe.momentum
        self.velocity[weight] = momentum * self.velocity.get(weight, 0) + gradient
        weight -= rate * (gradient + momentum * self.velocity[weight])


class AdamW:
    """Loshchilov and Hutter 2019."""

    def __init__(self, recipe):
        self.recipe, self.means, self.squares, self.count = recipe, {}, {}, {}

    def change(self, weight, gradient, rate):
        weight *= 1 - rate * (self.recipe.weight_decay if weight.ndim > 1 else 0)
        count = self.count[weight] = self.count.get(weight, 0) + 1
        mean = self.means[weight] = 0.9 * self.means.get(weight, 0) + 0.1 * gradient
        square = self.squares[weight] = 0.999 * self.squares.get(weight, 0) + 0.001 * gradient**2
        weight -= rate * (mean / (1 - 0.9**count)) / ((square / (1 - 0.999**count)).sqrt() + 1e-8)


def averaged(mean, state, count, decay):
    """The running average after one more step; `count` came before."""
    if count == 0:
        return {key: tensor.clone() for key, tensor in state.items()}
    kept = min(decay, (1 + count) / (10 + count))
    return {key: kept * mean[key] + (1 - kept) * tensor for key, tensor in state.items()}


def by_hand(folder, start, recipe, factors):
    """Train for two epochs.

    Args:
        factors: of the learning rate, at each step and after the last.

    Returns:
        Of each epoch the state dict and the figures.
    """
    network = NETWORK.build(len(LABELS)).to(memory_format=torch.channels_last)
    network.load_state_dict(load_file(start / "model.safetensors"))
    (pixels, targets), (val_pixels, val_targets) = samples(folder, "train"), samples(folder, "val")
    augmentation = Augmentation("light", PREPROCESSING, recipe.horizontal_flip, 0, recipe.seed)
    blend = Blend(recipe.mixup, recipe.cutmix, len(LABELS), recipe.seed)
    weights = torch.ones(len(LABELS))
    if recipe.class_balance == "weighted":
        weights = torch.tensor([11 / (3 * 5), 11 / (3 * 4), 11 / (3 * 2)])
    optimizer = {"sgd": SGD, "adamw": AdamW}[recipe.optimizer](recipe)
    learning = [parameter for name, parameter in network.named_parameters()]
    if recipe.feature_extract:
        learning = [network.fc.weight, network.fc.bias]
    steps, mean, epochs = 0, None, []
    for epoch in range(EPOCHS):
        network.train(not recipe.feature_extract)
        losses, gradients, waiting = [], [0] * len(learning), 0
        batches = order(targets, recipe, epoch)
        for number, rows in enumerate(batches):
            if recipe.augmentation == "none":
                inputs = as_seen([pixels[row] for row in rows])
            else:
                crops = np.stack([augmentation.crop(pixels[row], epoch, int(row)) for row in rows])
                inputs = PREPROCESSING.normalize(torch.from_numpy(crops))
            probabilities = probabilities_of(targets[rows])
            if blend:
                inputs, probabilities = blend(inputs, targets[rows], epoch, number)
            loss = cross_entropy(network(inputs), probabilities, recipe, weights, hard=not blend)
            losses += [loss.item()] * len(rows)
            accumulated = zip(gradients, torch.autograd.grad(loss, learning), strict=True)
            # Of several batches the mean, each counting alike.
            gradients = [total + each / recipe.gradient_accumulation for total, each in accumulated]
            waiting += 1
            if waiting == recipe.gradient_accumulation or number == len(batches) - 1:
                with torch.no_grad():
                    for parameter, gradient in zip(learning, gradients, strict=True):
                        optimizer.change(parameter, gradient, recipe.learning_rate * factors[steps])
                    if recipe.ema_decay:
                        mean = averaged(mean, network.state_dict(), steps, recipe.ema_decay)
                gradients, waiting, steps = [0] * len(learning), 0, steps + 1
        state = mean or {key: tensor.clone() for key, tensor in network.state_dict().items()}
        answers = NETWORK.load(state)
        with torch.no_grad():
            logits = answers(as_seen(val_pixels))
        figures = {
            "train_loss": np.mean(losses),
            "val_loss": torch.nn.functional.cross_entropy(logits, val_targets).item(),
            "val_top1": (logits.argmax(1) == val_targets).float().mean().item(),
            "learning_rate": recipe.learning_rate * factors[steps],
        }
        epochs.append((state, figures))
    assert steps == len(factors) - 1
    return epochs


# (1 + cos(0, 30, 60, 90, 120, 150, 180 degrees)) / 2, and four steps of 45 degrees.
SIX = [1, 0.9330127, 0.75, 0.5, 0.25, 0.0669873, 0]
FOUR = [1, 0.8535534, 0.5, 0.1464466, 0]
TWO = [1, 0.5, 0]

BARE = {
    "augmentation": "none",
    "batch_size": 4,
    "learning_rate": 0.02,
    "label_smoothing": 0,
    "momentum": 0,
    "weight_decay": 0,
    "scheduler": "none",
    "warmup_epochs": 0,
}
"""Plain gradient descent. Eleven images are batches of 4, 4 and 3."""

RECIPES = {
    "nothing": ({}, [1] * 7),
    "nesterov": ({"momentum": 0.9}, [1] * 7),
    "decay": ({"weight_decay": 1}, [1] * 7),
    "cosine": ({"scheduler": "cosine"}, SIX),
    # One epoch is three steps: quarters, and the whole from then on.
    "warm-up": ({"warmup_epochs": 1}, [0.25, 0.5, 0.75, 1, 1, 1, 1]),
    "too long a warm-up": ({"warmup_epochs": 7}, [0.25, 0.5, 0.75, 1, 1, 1, 1]),
    "smoothing": ({"label_smoothing": 0.2}, [1] * 7),
    # Two steps an epoch: of two batches, and of the one that is left.
    "accumulation": ({"gradient_accumulation": 2, "scheduler": "cosine"}, FOUR),
    "accumulation beyond the epoch": ({"gradient_accumulation": 5, "scheduler": "cosine"}, TWO),
    "accumulation beside momentum and average": (
        {"gradient_accumulation": 2, "momentum": 0.9, "ema_decay": 0.3},
        [1] * 5,
    ),
    "weighted": ({"class_balance": "weighted"}, [1] * 7),
    "weighted and smoothed": ({"class_balance": "weighted", "label_smoothing": 0.3}, [1] * 7),
    "drawn alike": ({"class_balance": "sampler"}, [1] * 7),
    "mixup": ({"mixup": 0.4}, [1] * 7),
    "cutmix": ({"cutmix": 1}, [1] * 7),
    "both blends, weighted and smoothed": (
        {"mixup": 0.4, "cutmix": 1, "class_balance": "weighted", "label_smoothing": 0.1},
        [1] * 7,
    ),
    # The 11th image would be a batch of its own: two steps an epoch.
    "a last batch of one": ({"batch_size": 5, "scheduler": "cosine"}, FOUR),
    "a last batch of two": ({"batch_size": 3}, [1] * 9),
    "average": ({"ema_decay": 0.9}, [1] * 7),
    "short average": ({"ema_decay": 0.1, "learning_rate": 0.05}, [1] * 7),
    "light": ({"augmentation": "light"}, [1] * 7),
    "not mirrored": ({"augmentation": "light", "horizontal_flip": False}, [1] * 7),
    "another seed": ({"augmentation": "light", "seed": 5}, [1] * 7),
    "the classifier, from features": ({"feature_extract": True, "momentum": 0.9, "weight_decay": 0.1}, [1] * 7),
    # AdamW divides by the gradient's size: where that is 0 but for rounding, as before a batch norm, it learns noise.
    "the classifier, by adamw": (
        {
            "feature_extract": True,
            "optimizer": "adamw",
            "learning_rate": 0.001,
            "weight_decay": 5,
            "scheduler": "cosine",
        },
        SIX,
    ),
    "the classifier, augmented": ({"feature_extract": True, "augmentation": "light"}, [1] * 7),
    "the classifier, blended": ({"feature_extract": True, "mixup": 1}, [1] * 7),
    "the classifier, from features, a last batch of one": ({"feature_extract": True, "batch_size": 5}, [1] * 5),
    "the classifier, drawn alike": ({"feature_extract": True, "class_balance": "sampler"}, [1] * 7),
    "the classifier, averaged and accumulated": (
        {"feature_extract": True, "ema_decay": 0.5, "gradient_accumulation": 2},
        [1] * 5,
    ),
    # Half an epoch of 3 steps: 1.5; then (1 + cos(20, 60, 100, 140, 180 degrees)) / 2.
    "everything": (
        {
            "momentum": 0.9,
            "weight_decay": 0.01,
            "scheduler": "cosine",
            "warmup_epochs": 0.5,
            "label_smoothing": 0.1,
            "augmentation": "light",
            "mixup": 0.2,
            "cutmix": 1,
            "class_balance": "weighted",
            "ema_decay": 0.5,
        },
        [0.4, 0.8, 0.9698463, 0.75, 0.4131759, 0.1169778, 0],
    ),
}


@pytest.mark.parametrize(("changes", "factors"), RECIPES.values(), ids=RECIPES)
def test_two_epochs_are_what_plain_torch_makes_of_them(changes, factors, images, start, tmp_path):
    own = {
        "weights": str(start),
        "layers": "1,1",
        "cardinality": 4,
        "bottleneck_width": 4,
        "stem": "cifar",
        "input_size": 16,
    }
    own |= {"epochs": EPOCHS, "precision": "fp32", "device": "cpu", "output_folder": str(tmp_path)}
    recipe = Parameters(**{**own, **BARE, **changes})
    expected = by_hand(images, start, recipe, factors)
    result = train(images, recipe)
    for row, (_, figures) in zip(result.history, expected, strict=True):
        assert {key: row[key] for key in figures} == pytest.approx(figures, abs=1e-6)
    ranks = [(figures["val_top1"], -figures["val_loss"]) for _, figures in expected]
    assert result.best_epoch == ranks.index(max(ranks)) + 1
    state, _ = expected[result.best_epoch - 1]
    found = load_file(Path(result.model_folder) / "model.safetensors")
    before = load_file(start / "model.safetensors")
    assert found.keys() == before.keys()
    compared = [key for key in found if "num_batches" not in key]
    for key in compared:
        torch.testing.assert_close(
            found[key], state[key], atol=1e-6, rtol=1e-6, msg=lambda text, key=key: f"{key}: {text}"
        )
    unlike = {key for key in compared if not torch.equal(found[key], before[key])}
    if recipe.feature_extract:
        assert unlike == {"fc.weight", "fc.bias"}
    else:
        assert unlike >= {key for key in compared if found[key].ndim > 1 or "running" in key}
