"""Two and three processes beside one: the same weights and the same figures, whatever the recipe."""

import multiprocessing
import os
import re

import numpy as np
import pytest
import torch
from PIL import Image

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.data.loading import WHOLE
from train_torchvision_resnext.fitting.loop import fit
from train_torchvision_resnext.fitting.rank_process import fit_as_rank
from train_torchvision_resnext.fitting.ranks import Ranks, joined
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from train_torchvision_resnext.resnext.machine.threads import fixed_threads
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.run.planning import make_plan
from train_torchvision_resnext.run.progress import Listener
from train_torchvision_resnext.run.resuming import open_run
from train_torchvision_resnext.run.run_folder import Job

NETWORK = Architecture((1, 1), 4, 4)

# Batches of 8, 8 and 3: parts of 4 and 4, then 3 and none of their own.
COUNTS = {"train": (9, 6, 4), "val": (4, 3, 2)}

FROZEN = {
    "plain": {"augmentation": "light"},
    "features": {"augmentation": "none"},
    "blended": {"mixup": "0.4", "cutmix": "0.8"},
    "weighted": {"class_balance": "weighted"},
    "weighted_blended": {"class_balance": "weighted", "mixup": "0.4"},
    "sampled": {"class_balance": "sampler", "ema_decay": "0.9"},
    "accumulated": {"gradient_accumulation": "2", "optimizer": "adamw", "learning_rate": "0.001"},
    # No epoch is better than the first: all end after the third.
    "patient": {"learning_rate": "0", "scheduler": "none", "early_stopping_patience": "2", "epochs": "5000"},
}
"""Recipes for a classifier upon a backbone that stays: no statistics of batch normalization are learned."""

LEARNING = {"everything": {"ema_decay": "0.9", "learning_rate": "0.001"}}

# Decay alone multiplies weights by -999 a step: they leave fp32's range in the middle of the first epoch.
DIVERGING = {
    "optimizer": "adamw",
    "learning_rate": "100",
    "weight_decay": "10",
    "warmup_epochs": "0",
    "batch_size": "4",
}


def plan_of(recipe, folder):
    own = {**FROZEN, **LEARNING, "diverging": DIVERGING}[recipe]
    frozen = {"feature_extract": str(recipe in FROZEN), "weights": str(folder / "start")}
    output = folder / f"{recipe} {os.environ.get('WORLD_SIZE', '1')}"
    parameters = read_host_map({**TINY, "epochs": "2", **frozen, **own, "threads": "1", "output_folder": str(output)})
    images = folder / ("many images" if recipe == "diverging" else "images")
    plan = make_plan(images, parameters, Listener())
    output.mkdir(exist_ok=True)
    return plan, open_run(output, Job(parameters, plan.dataset.fingerprint, plan.dataset.labels))[0]


def rank_main(folder, rank):
    """What each of three processes does: all recipes, one after the other; then the first two once more, alone."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), GLOO_SOCKET_IFNAME="lo")
    for count in (3, 2) if rank < 2 else (3,):
        os.environ.update(WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count))
        with joined("cpu", (folder / f"peers {count}").as_uri()) as ranks:
            for recipe in {**FROZEN, **LEARNING}:
                plan, run = ranks.from_first(plan_of(recipe, folder) if ranks.is_first else None)
                fitted = fit_as_rank(plan, run, Listener(), ranks)
                assert not fitted.failure, fitted.failure
            assert ranks.those(ranks.rank > 0) == ("rank 1, rank 2: " if ranks.count == 3 else "rank 1: ")
            plan, run = ranks.from_first(plan_of("diverging", folder) if ranks.is_first else None)
            failure = fit_as_rank(plan, run, Listener(), ranks).failure
            whose = r"(rank \d, )*rank \d: the loss is \w+ in epoch 1, step \d+: .*learning_rate 100 is too high"
            assert re.match(whose, failure), failure


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The last states of all recipes: of one process, of two, of three."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.manual_seed(4)
    config = ModelConfig.of(NETWORK, ("0", "1", "2"), Preprocessing(18, 16))
    write_model_folder(folder / "start", config, NETWORK.build(3).state_dict())
    write_digits(folder / "many images", {"train": 20, "val": 2})
    draw = np.random.default_rng(3)
    for part, counts in COUNTS.items():
        for target, count in enumerate(counts):
            place = folder / "images" / part / str(target)
            place.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 160, (20, 22, 3)) + 40 * target
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    processes = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    # One process imports all that they need, and they are copies of it.
    processes.set_forkserver_preload(["ikomia", __name__])
    ranks = [processes.Process(target=rank_main, args=(folder, rank)) for rank in range(3)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join(300)
    assert [each.exitcode for each in ranks] == [0] * 3
    with fixed_threads():
        for recipe in {**FROZEN, **LEARNING}:
            plan, run = plan_of(recipe, folder)
            assert len(fit(plan, run, Listener()).history) == (3 if recipe == "patient" else 2)

    def state(recipe, count):
        (path,) = (folder / f"{recipe} {count}").glob("*/checkpoints/last.ckpt")
        return torch.load(path, weights_only=True)

    return state


def largest_difference(one, other, part, but="nothing"):
    compared = [key for key in one[part] if but not in key]
    return max(float((one[part][key].double() - other[part][key].double()).abs().max()) for key in compared)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("recipe", FROZEN)
def test_the_number_of_processes_does_not_change_what_is_learned(recipe, count, trained):
    alone, together = trained(recipe, 1), trained(recipe, count)
    assert largest_difference(alone, together, "network") < 1e-5
    if alone["average"]:
        assert largest_difference(alone, together, "average") < 1e-5
    for one, other in zip(alone["history"], together["history"], strict=True):
        for key in one.keys() - {"seconds"}:
            assert other[key] == pytest.approx(one[key], abs=1e-5), key


@pytest.mark.parametrize("count", [2, 3])
def test_with_batch_normalization_it_stays_near(count, trained):
    alone, together = trained("everything", 1), trained("everything", count)
    for part in ("network", "average"):
        # Statistics of batches come from 2 to 4 images of 16 pixels here instead of 8.
        assert 0 < largest_difference(alone, together, part, but="running") < 0.02
    assert together["history"][-1]["val_loss"] == pytest.approx(alone["history"][-1]["val_loss"], abs=0.05)


def test_alone_a_process_takes_whole_batches():
    assert Ranks().part(after_another=True) == WHOLE
