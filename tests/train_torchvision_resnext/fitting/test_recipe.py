"""Learning rates, optimizers, the running average and class weights: numbers worked out by hand."""

import pytest
import torch
from torch import nn

from train_torchvision_resnext.fitting.recipe import RunningAverage, Schedule, class_weights, make_optimizer
from train_torchvision_resnext.parameters import Parameters


def constant(**values):
    return {"scheduler": "none", **values}


def cosine(**values):
    return {"scheduler": "cosine", **values}


@pytest.mark.parametrize(
    ("steps", "recipe", "factors"),
    [
        (4, constant(epochs=2, warmup_epochs=0), [1, 1, 1, 1, 1]),
        # Warm-up of one epoch, 4 steps: fifths, and the whole from then on.
        (8, constant(epochs=2, warmup_epochs=1), [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1]),
        # Five epochs of warm-up, but two of training: half of its 6 steps.
        (6, constant(epochs=2, warmup_epochs=5), [0.25, 0.5, 0.75, 1, 1, 1]),
        # The half of 5 steps is 2.5.
        (5, constant(epochs=5, warmup_epochs=5), [1 / 3.5, 2 / 3.5, 3 / 3.5, 1, 1]),
        # (1 + cos(0, 45, 90, 135, 180 degrees)) / 2, and nothing beyond the end.
        (4, cosine(epochs=4, warmup_epochs=0), [1, 0.8535534, 0.5, 0.1464466, 0, 0, 0]),
        # The same after a warm-up of one epoch of two steps.
        (6, cosine(epochs=3, warmup_epochs=1), [1 / 3, 2 / 3, 1, 0.8535534, 0.5, 0.1464466, 0]),
        # Half an epoch of three steps: 1.5. Then (1 + cos(20, 60, 100, 140 degrees)) / 2.
        (6, cosine(epochs=2, warmup_epochs=0.5), [0.4, 0.8, 0.9698463, 0.75, 0.4131759, 0.1169778, 0]),
        # Half of 4 steps, however long the warm-up was to be: then 90 degrees at each step.
        (4, cosine(epochs=1, warmup_epochs=1000), [1 / 3, 2 / 3, 1, 0.5, 0]),
        (1, cosine(epochs=1, warmup_epochs=0), [1, 0]),
        # Half a step of warm-up.
        (1, cosine(epochs=1, warmup_epochs=0.5), [2 / 3, 0]),
    ],
)
def test_the_learning_rate_of_every_step(steps, recipe, factors):
    schedule = Schedule(steps, Parameters(**recipe))
    assert [schedule(step) for step in range(len(factors))] == pytest.approx(factors, abs=1e-7)
    # Of the step alone, wherever training goes on.
    assert [schedule(step) for step in reversed(range(len(factors)))] == pytest.approx(factors[::-1], abs=1e-7)


class Small(nn.Module):
    """A bias and a batch norm beside weights of two and of four dimensions."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 3)


def decays(network, recipe):
    """The weight decay of each parameter that the optimizer holds, by name; each must be held once."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = make_optimizer(network, recipe).param_groups
    held = [(names[parameter], group["weight_decay"]) for group in groups for parameter in group["params"]]
    assert len(held) == len(dict(held))
    return dict(held)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_biases_and_batch_norms_are_not_decayed(optimizer):
    recipe = Parameters(optimizer=optimizer, weight_decay=0.25)
    assert decays(Small(), recipe) == {
        "stem.weight": 0.25,
        "stem.bias": 0,
        "norm.weight": 0,
        "norm.bias": 0,
        "fc.weight": 0.25,
        "fc.bias": 0,
    }


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_frozen_is_not_handed_to_the_optimizer(optimizer):
    network = Small().requires_grad_(False)
    network.fc.requires_grad_(True)
    recipe = Parameters(optimizer=optimizer, weight_decay=0.5)
    assert decays(network, recipe) == {"fc.weight": 0.5, "fc.bias": 0}


@pytest.mark.parametrize(
    ("recipe", "weights", "biases"),
    [
        # g = 2 + 0.01 w, v = 0.9 v + g, w -= 0.1 (g + 0.9 v): v = 2.01, then 3.815181.
        ({"optimizer": "sgd", "momentum": 0.9}, [0.6181, 0.07411561], [0.62, 0.078]),
        # w -= 0.1 g
        ({"optimizer": "sgd", "momentum": 0}, [0.799, 0.598201], [0.8, 0.6]),
        # w = 0.999 w - 0.1: of equal gradients, the mean by the root of the mean square is 1.
        ({"optimizer": "adamw", "momentum": 0.9}, [0.899, 0.798101], [0.9, 0.8]),
    ],
    ids=["nesterov", "plain", "adamw"],
)
def test_two_steps_of_each_optimizer(recipe, weights, biases):
    network = nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    nn.init.ones_(network.bias)
    optimizer = make_optimizer(network, Parameters(learning_rate=0.1, weight_decay=0.01, **recipe))
    for weight, bias in zip(weights, biases, strict=True):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, 2)
        optimizer.step()
        assert network.weight.item() == pytest.approx(weight, abs=1e-6)
        assert network.bias.item() == pytest.approx(bias, abs=1e-6)


@pytest.mark.parametrize(
    ("decay", "means"),
    [
        # At first 2/11 and 3/12 of the past are kept, however much it is to be later.
        (0.9, [1, 20 / 11, 5 / 11 + 3]),
        # A short memory is what it is from the beginning.
        (0.1, [1, 1.9, 3.79]),
    ],
)
def test_the_running_average_of_three_steps(decay, means):
    network = nn.BatchNorm1d(1)
    nn.init.constant_(network.weight, 100)  # random beginnings leave no trace
    mean = RunningAverage(network, decay)
    for value, expected in zip((1, 2, 4), means, strict=True):
        for tensor in (network.weight.data, network.bias.data, network.running_mean, network.running_var):
            tensor.fill_(value)
        mean.update()
        kept = mean.module
        for tensor in (kept.weight, kept.bias, kept.running_mean, kept.running_var):
            assert tensor.item() == pytest.approx(expected, abs=1e-6)
        assert network.weight.item() == value


def test_the_running_average_comes_to_its_decay():
    network = nn.Linear(1, 1)
    mean = RunningAverage(network, 0.9)
    nn.init.ones_(network.weight)
    for _ in range(100):
        mean.update()
    nn.init.constant_(network.weight, 2)
    mean.update()
    # From 81 on, (1 + n) / (10 + n) is above 0.9.
    assert mean.module.weight.item() == pytest.approx(0.9 * 1 + 0.1 * 2, abs=1e-6)


@pytest.mark.parametrize(
    ("counts", "weights"), [((1, 3), [2, 2 / 3]), ((5, 5), [1, 1]), ((6, 3, 1), [10 / 18, 10 / 9, 10 / 3])]
)
def test_class_weights_are_1_on_average_over_the_images(counts, weights):
    found = class_weights(counts, "weighted").tolist()
    assert found == pytest.approx(weights)
    mean = sum(weight * count for weight, count in zip(found, counts, strict=True)) / sum(counts)
    assert mean == pytest.approx(1)


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_without_a_weighted_loss_there_are_no_class_weights(balance):
    assert class_weights((1, 3), balance) is None
