"""The loop's parts on a classifier of one feature: where a loss that is not finite is found, and what is normalized."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from train_torchvision_resnext.data.augmentation import Blend
from train_torchvision_resnext.data.loading import Features, Loading, ShuffledDraws
from train_torchvision_resnext.fitting.failures import NotFiniteError
from train_torchvision_resnext.fitting.loop import LOOK_EVERY, Loop, is_over
from train_torchvision_resnext.fitting.subject import Subject
from train_torchvision_resnext.parameters import Parameters
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from train_torchvision_resnext.resnext.network.normalization import Normalize
from train_torchvision_resnext.run.progress import Listener

CPU = torch.device("cpu")
IMAGES = 300
EPOCH = 4


def loop_over(features, precision="fp32"):
    """One image a step, of two classes in turn."""
    targets = torch.arange(IMAGES) % 2
    draws = ShuffledDraws(targets.tolist(), 1, balanced=False, seed=0)
    images, one, many = Features((features, targets)), Loading(1, 0, CPU), Loading(64, 0, CPU)
    subject = Subject(
        nn.Linear(1, 2), nn.Identity(), one.training(images, draws), draws, many.evaluation(images), begins=0.0
    )
    plan = SimpleNamespace(
        parameters=Parameters(batch_size=1, epochs=5),
        device=CPU,
        precision="fp32",
        dataset=SimpleNamespace(counts=lambda: (150, 150)),
        blend=Blend(0, 0, 2, 0),
    )
    loop = Loop.of(plan, subject, Listener())
    plan.precision = precision
    return loop, draws


def step_of(draws, image):
    """The step of the epoch that shows this image, counted from 1."""
    draws.set_epoch(EPOCH)
    return draws.order().tolist().index(image) + 1


@pytest.mark.parametrize("image", [0, 7, IMAGES - 1])
def test_the_first_loss_that_is_not_finite_is_named(image):
    features = torch.zeros(IMAGES, 1)
    features[image] = torch.inf
    loop, draws = loop_over(features)
    step, seen = step_of(draws, image), []
    message = (
        rf"the loss is nan in epoch {EPOCH + 1}, step {step}: training has diverged\. .*learning_rate 0\.01 is too"
    )
    with pytest.raises(NotFiniteError, match=message):
        loop.train(EPOCH, lambda: seen.append(1))
    # It ends at the next look, not at the end of the epoch.
    assert step <= len(seen) + 1 <= step + LOOK_EVERY


def test_answers_that_are_not_finite_are_named_and_fp16_is_the_likelier_cause():
    features = torch.zeros(IMAGES, 1)
    features[5] = torch.nan
    loop, _ = loop_over(features)
    message = r"answers on the validation images are not finite after epoch 1: .*learning_rate 0\.01 is too high"
    with pytest.raises(NotFiniteError, match=message):
        loop.validate(0)
    with pytest.raises(NotFiniteError, match=r"fp16 overflows; set precision to bf16 or fp32"):
        loop_over(features, "fp16")[0].validate(0)


def test_the_mean_loss_is_that_of_the_images():
    # With weights of 0 and without learning each image costs the logarithm of 2.
    loop, _ = loop_over(torch.ones(IMAGES, 1))
    nn.init.zeros_(loop.learner.network.weight)
    nn.init.zeros_(loop.learner.network.bias)
    for group in loop.learner.optimizer.param_groups:
        group["params"] = []
    assert loop.train(0, lambda: None) == pytest.approx(0.6931472, abs=1e-6)


def row(epoch, top1, loss):
    return {"epoch": epoch, "val_top1": top1, "val_loss": loss}


def test_patience_counts_from_the_best_epoch_and_holds_when_a_run_goes_on():
    history = [row(1, 0.5, 1.0), row(2, 0.6, 1.0), row(3, 0.6, 1.0), row(4, 0.4, 0.1)]
    two = Parameters(epochs=10, early_stopping_patience=2)
    assert [is_over(history[:count], two) for count in range(5)] == [False, False, False, False, True]
    assert not is_over(history, Parameters(epochs=10))
    assert not is_over(history, two.updated({"best_epoch_by": "loss"}))
    assert is_over(history, Parameters(epochs=4))


def test_normalizing_is_bit_for_bit_what_inference_does():
    preprocessing = Preprocessing(8, 8)
    crops = torch.randint(256, (5, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = Normalize(preprocessing)(crops)
    assert torch.equal(found, preprocessing.normalize(crops))
    assert found.is_contiguous(memory_format=torch.channels_last)
