import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.folder.golden import read_golden
from train_torchvision_resnext.resnext.folder.model_folder import (
    ModelConfig,
    read_config,
    timm_opens,
    write_model_folder,
)
from train_torchvision_resnext.resnext.images.files import read_image
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.resnext.network.normalization import Normalize
from train_torchvision_resnext.results import outcome
from train_torchvision_resnext.run import planning
from train_torchvision_resnext.run.plan import Plan
from train_torchvision_resnext.run.progress import Listener, TrainingError
from train_torchvision_resnext.training import train

REPOSITORY = Path(__file__).parents[2]
ALWAYS = {
    "classes.txt",
    "config.json",
    "golden.safetensors",
    "metrics.json",
    "model.safetensors",
    "trust.safetensors",
}


# The run of `trained` has its report nevertheless: it is older than what is set for a single test.
pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 20, "val": 5})


def settings(folder, **values):
    return read_host_map({**TINY, "output_folder": str(folder), **{key: str(value) for key, value in values.items()}})


def weights(model_folder):
    return load_file(model_folder / "model.safetensors")


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def files_in(folder):
    """Without the report, which has its own test."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith("report/")}


def logits_of(model_folder, paths):
    """What inference computes: the folder alone, fp32, one image at a time."""
    config = read_config(model_folder)
    network = config.network.load(weights(model_folder))
    crops = [torch.from_numpy(config.preprocessing.crop(read_image(path)).copy())[None] for path in paths]
    with torch.inference_mode():
        return torch.cat([network(config.preprocessing.normalize(crop)) for crop in crops]).numpy()


def stop_after(batches):
    """A listener that wants to stop after so many batches."""
    seen = []
    return Listener(stop_requested=lambda: len(seen) >= batches or seen.append(1))


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A run to the end, its progress and its rows."""
    progress, rows = [], []
    output = tmp_path_factory.mktemp("trained")
    parameters = settings(output, epochs=8, export_onnx=True, horizontal_flip=False)
    result = train(digits, parameters, Listener(progress=progress.append, epoch=rows.append))
    return result, progress, rows, output


def test_it_learns(trained):
    result, *_ = trained
    assert result.evaluation.top1 > 0.8
    assert result.evaluation.top1 == max(row["val_top1"] for row in result.history)


def test_exactly_these_files_are_left(trained):
    result, *_, output = trained
    run = result.model_folder.parent
    assert run.parent == output
    assert files_in(result.model_folder) == ALWAYS | {"resnext8_4x4d.pth", "model.onnx"}
    assert (result.model_folder / "report" / "report.html").is_file()
    assert {path.name for path in run.iterdir()} == {"epochs", "model", "run.json"}


def test_progress_only_rises_and_ends_at_the_end(trained):
    _, progress, *_ = trained
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    # Every image that was checked, every batch of 8 epochs: 8 of training and 2 of validation.
    assert len(progress) >= 75 + 8 * 10


def test_a_row_an_epoch(trained):
    result, _, rows, _ = trained
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert rows == list(result.history)
    assert {"train_loss", "val_loss", "val_top1", "val_top5", "val_macro_f1", "learning_rate", "seconds"} <= set(
        rows[0]
    )


def test_every_epoch_keeps_its_figures_by_class_and_its_confusion_matrix(trained):
    result, _, rows, _ = trained
    files = sorted((result.model_folder.parent / "epochs").iterdir())
    assert [file.name for file in files] == [f"{number:04}.json" for number in range(1, 9)]
    for file, row in zip(files, rows, strict=True):
        figures = json.loads(file.read_text(encoding="utf-8"))
        assert {key: figures[key] for key in row} == row
        validation = figures["validation"]
        confusion = np.array(validation["confusion"])
        assert confusion.sum() == validation["count"] == result.evaluation.count
        assert np.trace(confusion) / confusion.sum() == pytest.approx(row["val_top1"])
        recalls = np.diag(confusion) / confusion.sum(axis=1)
        assert [of_class["recall"] for of_class in validation["per_class"]] == pytest.approx(recalls)


def test_the_folder_answers_as_the_evaluation_says(trained, digits):
    result, *_ = trained
    paths = sorted((digits / "val").rglob("*.png"), key=lambda path: (path.parent.name, path))
    config = read_config(result.model_folder)
    assert config.label_names == ("0", "1", "2")
    targets = np.array([config.label_names.index(path.parent.name) for path in paths])
    logits = logits_of(result.model_folder, paths)
    assert (logits.argmax(1) == targets).mean() == pytest.approx(result.evaluation.top1)
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    assert float(loss) == pytest.approx(result.evaluation.loss, abs=1e-5)


def test_the_golden_set_holds_what_the_saved_network_says_of_validation_images(trained, digits):
    result, *_ = trained
    golden = read_golden(result.model_folder)
    paths = sorted((digits / "val").rglob("*.png"), key=lambda path: (path.parent.name, path))
    crop = read_config(result.model_folder).preprocessing.crop
    # There are 15 validation images: all are taken.
    np.testing.assert_array_equal(golden.images, [crop(read_image(path)) for path in paths])
    np.testing.assert_allclose(golden.logits, logits_of(result.model_folder, paths), atol=1e-5)
    assert len({path.stat().st_mode for path in result.model_folder.iterdir() if path.is_file()}) == 1


def test_an_image_that_vanishes_costs_the_golden_set_and_not_the_model(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 8, "val": 2})

    def remove(row):
        next((root / "val" / "0").iterdir()).unlink(missing_ok=True)

    result = train(root, settings(tmp_path / "runs", epochs=1, export_onnx=True), Listener(epoch=remove))
    lost = {"golden.safetensors", "trust.safetensors"}
    assert files_in(result.model_folder) == (ALWAYS | {"resnext8_4x4d.pth"}) - lost
    for told in ("golden.safetensors is left out: ", "trust.safetensors is left out: ", "model.onnx is left out: "):
        assert any(note.startswith(told) and "now cannot" in note for note in result.notes)


def test_the_state_dict_and_the_metrics_say_the_same(trained):
    result, *_ = trained
    state = torch.load(result.model_folder / "resnext8_4x4d.pth", weights_only=True)
    assert same(state, weights(result.model_folder))
    metrics = json.loads((result.model_folder / "metrics.json").read_text())
    assert metrics["validation"]["top1"] == result.evaluation.top1
    assert metrics["dataset"]["train_per_class"] == {"0": 20, "1": 20, "2": 20}
    assert len(metrics["history"]) == 8


def test_timm_and_torchvision_open_what_was_trained(digits, tmp_path):
    import timm
    from torchvision.models.resnet import Bottleneck, ResNet

    folder = train(digits, settings(tmp_path, layers="1,1,1,1", input_size=32, epochs=1)).model_folder
    paths = sorted((digits / "val").rglob("*.png"))
    preprocessing = read_config(folder).preprocessing
    crops = torch.stack([torch.from_numpy(preprocessing.crop(read_image(path)).copy()) for path in paths])
    torchvisions = ResNet(Bottleneck, [1, 1, 1, 1], 3, groups=4, width_per_group=4)
    torchvisions.load_state_dict(torch.load(folder / "resnext14_4x4d.pth", weights_only=True))
    for network in (timm.create_model(f"local-dir:{folder}", pretrained=True), torchvisions):
        with torch.inference_mode():
            logits = network.eval()(preprocessing.normalize(crops)).numpy()
        np.testing.assert_allclose(logits, logits_of(folder, paths), atol=1e-5)


def test_without_exports_there_are_none(digits, tmp_path):
    result = train(digits, settings(tmp_path, epochs=1, export_pth=False))
    assert files_in(result.model_folder) == ALWAYS


RECIPES = [
    {},
    {"optimizer": "adamw", "learning_rate": 0.001, "augmentation": "trivial", "gradient_accumulation": 3},
    {"mixup": 0.2, "cutmix": 1, "random_erasing": 0.5, "ema_decay": 0.9, "augmentation": "rand"},
    {"class_balance": "sampler", "scheduler": "none", "label_smoothing": 0, "augmentation": "none"},
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_stopped_run_goes_on_to_the_same_weights_bit_for_bit(recipe, digits, tmp_path):
    whole = train(digits, settings(tmp_path / "whole", **recipe))
    checked = 75
    stopped = train(digits, settings(tmp_path / "stopped", **recipe), stop_after(checked + 10 + 3))
    assert stopped.stopped
    assert len(stopped.history) == 1
    assert files_in(stopped.model_folder) == ALWAYS | {"resnext8_4x4d.pth"}
    resumed = train(digits, settings(tmp_path / "stopped", resume="auto", **recipe))
    assert resumed.model_folder == stopped.model_folder
    assert any("resumed" in note for note in resumed.notes)
    assert same(weights(resumed.model_folder), weights(whole.model_folder))
    without_time = [{key: value for key, value in row.items() if key != "seconds"} for row in whole.history]
    assert [{key: row[key] for key in row if key != "seconds"} for row in resumed.history] == without_time


KILLED = """
import os, signal, sys
from pathlib import Path
import ikomia
from train_torchvision_resnext.run.progress import Listener
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.training import train

def progress(done):
    if done > 0.7:
        os.kill(os.getpid(), signal.SIGKILL)

folder, *settings = sys.argv[1:]
parameters = read_host_map(dict(setting.split("=", 1) for setting in settings))
train(Path(folder), parameters, Listener(progress=progress))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(digits, tmp_path):
    whole = train(digits, settings(tmp_path / "whole"))
    command = [sys.executable, "-c", KILLED, str(digits)]
    command += [f"{key}={value}" for key, value in settings(tmp_path / "killed").to_strings().items()]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not list((tmp_path / "killed").glob("*/model"))
    resumed = train(digits, settings(tmp_path / "killed", resume="auto"))
    assert len(list((tmp_path / "killed").glob("*/run.json"))) == 1
    assert same(weights(resumed.model_folder), weights(whole.model_folder))


def test_any_number_of_workers_gives_the_same_weights(digits, tmp_path):
    alone, with_workers = (
        train(digits, settings(tmp_path / str(workers), num_workers=workers, augmentation="trivial", epochs=2))
        for workers in (0, 2)
    )
    assert same(weights(alone.model_folder), weights(with_workers.model_folder))


def test_copies_of_large_photos_may_go_at_any_time_and_serve_the_next_run(tmp_path):
    photos = write_digits(tmp_path / "photos", {"train": 6, "val": 2}, size=300)

    def copies(output):
        return list((output / ".images").glob("*.png"))

    def remove(row):
        if row["epoch"] == 1:
            # A smaller photo of each for training, a crop of each for validation.
            assert len(copies(tmp_path / "removed")) == 18 + 6
            shutil.rmtree(tmp_path / "removed" / ".images")

    kept = train(photos, settings(tmp_path / "kept")).model_folder
    removed = train(photos, settings(tmp_path / "removed"), Listener(epoch=remove)).model_folder
    assert same(weights(removed), weights(kept))
    # In the end crops of the training images are looked at, too.
    assert len(copies(tmp_path / "removed")) == len(copies(tmp_path / "kept")) == 18 + 6 + 18
    inodes = {path.name: path.stat().st_ino for path in copies(tmp_path / "kept")}
    assert same(weights(train(photos, settings(tmp_path / "kept")).model_folder), weights(kept))
    assert {path.name: path.stat().st_ino for path in copies(tmp_path / "kept")} == inodes, "they were made anew"
    whole = train(photos, settings(tmp_path / "whole", image_cache=False))
    assert not (tmp_path / "whole" / ".images").exists()
    assert not same(weights(whole.model_folder), weights(kept))


def test_stopping_before_the_first_epoch_is_over_leaves_nothing(digits, tmp_path):
    result = train(digits, settings(tmp_path), stop_after(75 + 3))
    assert (result.stopped, result.model_folder) == (True, None)
    assert files_in(tmp_path) == {".images.json"}


def test_auto_starts_anew_where_nothing_fits_and_says_so(digits, tmp_path):
    train(digits, settings(tmp_path), stop_after(75 + 13))
    result = train(digits, settings(tmp_path, resume="auto", learning_rate=0.02, epochs=1))
    assert any(note.startswith("resume=auto: no interrupted run") for note in result.notes)
    assert len(list(tmp_path.glob("*/run.json"))) == 2


def finished_message(digits, output, run, **values):
    """What resuming a finished run is refused with."""
    with pytest.raises(TrainingError, match=r"cannot go on: it is finished, .*set resume to empty and weights to") as e:
        train(digits, settings(output, resume=run, **values))
    assert f"weights to {str(run / 'model')!r}" in str(e.value)
    assert "first epoch" not in str(e.value)
    return str(e.value)


def test_a_certain_run_is_resumed_only_with_what_it_was_told(digits, tmp_path):
    stopped = train(digits, settings(tmp_path), stop_after(75 + 13))
    run = stopped.model_folder.parent
    with pytest.raises(TrainingError, match=r"cannot go on: learning_rate was '0\.01', now it is '0\.02'"):
        train(digits, settings(tmp_path, resume=run, learning_rate=0.02))
    assert train(digits, settings(tmp_path, resume=run)).model_folder == stopped.model_folder
    assert finished_message(digits, tmp_path, run, epochs=9) == finished_message(digits, tmp_path, run)
    assert len(train(digits, settings(tmp_path, weights=run / "model", epochs=1)).history) == 1


def test_a_run_of_an_earlier_version_is_named_as_such(digits, tmp_path):
    run = train(digits, settings(tmp_path), stop_after(75 + 13)).model_folder.parent
    content = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**content, "format_version": 1}), encoding="utf-8")
    message = r"run\.json has format_version 1, expected 2: another version of this plugin began the run\. .*start over"
    with pytest.raises(TrainingError, match=message):
        train(digits, settings(tmp_path, resume=run))
    again = train(digits, settings(tmp_path, resume="auto", epochs=1))
    assert any(note.startswith("resume=auto: no interrupted run") for note in again.notes)


def test_out_of_memory_says_what_to_do_and_keeps_the_best_model(digits, tmp_path):
    def fill(row):
        # From now on every batch of training asks for more memory than there is.
        Normalize.forward = lambda self, batch: torch.empty(2**58)

    whole = Normalize.forward
    try:
        with pytest.raises(
            TrainingError, match=r"out of memory with batch_size = 8 .*set batch_size to 4.* epoch 1 is"
        ):
            train(digits, settings(tmp_path), Listener(epoch=fill))
    finally:
        Normalize.forward = whole
    assert len(list(tmp_path.glob("*/model/model.safetensors"))) == 1


@pytest.mark.skipif("RUN_SLOW_TESTS" not in os.environ, reason="PyTorch's compiler takes a minute: RUN_SLOW_TESTS=1")
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_steps_learn_the_same(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    steps = {"epochs": 1, "ema_decay": 0.9, "learning_rate": 0.001}
    compiled, eager = (
        weights(train(digits, settings(tmp_path / f"{on}", **steps, torch_compile=on)).model_folder)
        for on in (True, False)
    )
    assert list((tmp_path / "inductor").rglob("*.so"))
    assert compiled.keys() == eager.keys()
    assert max(float((compiled[key] - eager[key]).abs().max()) for key in eager) < 1e-4


def test_where_nothing_can_be_compiled_it_says_what_to_do(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    message = r"torch_compile = True: PyTorch cannot compile here .*set torch_compile to False"
    no_compiler = torch._inductor.config.patch({"cpp.cxx": (str(tmp_path / "none"),)})
    with no_compiler, pytest.raises(TrainingError, match=message):
        train(digits, settings(tmp_path, torch_compile=True))


def test_a_state_that_holds_code_is_not_loaded(digits, tmp_path):
    stopped = train(digits, settings(tmp_path), stop_after(75 + 13))
    run = stopped.model_folder.parent
    torch.save({"state_dict": Path("code")}, run / "checkpoints" / "last.ckpt")
    with pytest.raises(TrainingError, match=r"last\.ckpt holds code or is damaged, and is not loaded"):
        train(digits, settings(tmp_path, resume=run))


def test_divergence_names_epoch_step_and_cause_and_keeps_the_last_good_model(digits, tmp_path):
    # A slow rise of the learning rate, so that the first epochs are sound with any number of threads.
    with pytest.raises(TrainingError, match=r"in epoch \d+, step \d+.*learning_rate 100 is too high") as caught:
        train(digits, settings(tmp_path, learning_rate=100, momentum=0.9999, epochs=300, warmup_epochs=100))
    kept = list(tmp_path.glob("*/model"))
    assert len(kept) == 1
    assert str(kept[0]) in str(caught.value)
    assert all(tensor.isfinite().all() for tensor in weights(kept[0]).values())


@pytest.fixture(scope="module")
def start(trained):
    """A trained model to start from."""
    return trained[0].model_folder


def frozen(folder, start, **values):
    return settings(folder, weights=start, feature_extract=True, **values)


def test_a_frozen_backbone_keeps_its_weights_and_its_statistics(digits, start, tmp_path):
    before = weights(start)
    for name, values in (("cached", {"augmentation": "none"}), ("augmented", {})):
        after = weights(train(digits, frozen(tmp_path / name, start, **values)).model_folder)
        changed = {key for key in before if not torch.equal(before[key], after[key])}
        assert changed <= {"fc.weight", "fc.bias"}
        assert "fc.weight" in changed


def test_cached_features_are_the_same_training(digits, start, tmp_path, monkeypatch):
    cached = train(digits, frozen(tmp_path / "cached", start, augmentation="none"))
    monkeypatch.setattr(Plan, "caches_features", False)
    computed = train(digits, frozen(tmp_path / "computed", start, augmentation="none"))
    for key in ("fc.weight", "fc.bias"):
        torch.testing.assert_close(
            weights(cached.model_folder)[key], weights(computed.model_folder)[key], atol=1e-4, rtol=1e-4
        )


def test_cached_features_can_be_resumed(digits, start, tmp_path):
    whole = train(digits, frozen(tmp_path / "whole", start, augmentation="none"))
    # 75 images, 10 batches of features, then an epoch of 8 batches and one of validation.
    stopped = train(digits, frozen(tmp_path / "part", start, augmentation="none"), stop_after(75 + 10 + 9 + 2))
    assert stopped.stopped
    assert stopped.model_folder
    resumed = train(digits, frozen(tmp_path / "part", start, augmentation="none", resume="auto"))
    assert same(weights(resumed.model_folder), weights(whole.model_folder))


def test_published_weights_come_from_torch_hubs_cache(digits, imagenet_cache, tmp_path):
    values = {key: TINY[key] for key in ("batch_size", "precision", "device", "input_size")}
    values |= {"feature_extract": True, "augmentation": "none", "epochs": 1, "output_folder": tmp_path}
    result = train(digits, read_host_map({**values, "weights": "IMAGENET1K_V1"}))
    (published,) = imagenet_cache.glob("resnext50_32x4d-7cdf4587.pth")
    before, after = torch.load(published, weights_only=True), weights(result.model_folder)
    assert same(_backbone(before), _backbone(after))
    assert after["fc.weight"].shape == (3, 2048)
    assert any("starts from IMAGENET1K_V1, which knows 1000 classes" in note for note in result.notes)


def test_a_resnet_starts_from_its_published_weights(digits, resnet_cache, tmp_path):
    values = {key: TINY[key] for key in ("batch_size", "precision", "device", "input_size")}
    values |= {"feature_extract": True, "augmentation": "none", "epochs": 1, "output_folder": tmp_path}
    result = train(digits, read_host_map({**values, "model_name": "resnet50", "weights": "IMAGENET1K_V1"}))
    before, after = torch.load(resnet_cache, weights_only=True), weights(result.model_folder)
    assert same(_backbone(before), _backbone(after))
    assert read_config(result.model_folder).network == Architecture((3, 4, 6, 3), 1, 64)


@pytest.mark.parametrize(
    ("values", "architecture"),
    [
        ({"model_name": "resnext11_2x4d"}, Architecture((1, 1, 1), 2, 4, "cifar")),
        ({"layers": "1,1", "stem": "cifar", "cardinality": 1}, Architecture((1, 1), 1, 4, "cifar")),
    ],
    ids=["by name", "by dimensions"],
)
def test_the_cifar_form_is_trained_and_the_folder_answers_the_same(values, architecture, digits, tmp_path):
    own = {"layers": "", "cardinality": 0, "bottleneck_width": 0} if "model_name" in values else {}
    result = train(digits, settings(tmp_path, **own, **values, epochs=1, export_onnx=True))
    assert read_config(result.model_folder).network == architecture
    assert (result.model_folder / "model.onnx").is_file()
    images = sorted((digits / "val").rglob("*.png"), key=lambda path: (path.parent.name, path))
    logits = logits_of(result.model_folder, images)
    right = [row.argmax() == int(path.parent.name) for row, path in zip(logits, images, strict=True)]
    assert result.evaluation.top1 == pytest.approx(np.mean(right))


def test_a_network_that_cannot_be_built_is_a_problem_among_others(digits, tmp_path):
    wide = settings(tmp_path).model_copy(update={"cardinality": 256, "bottleneck_width": 256, "device": "cuda:9"})
    with pytest.raises(TrainingError, match="at most 4096") as caught:
        train(digits, wide)
    assert len(caught.value.problems) == 2


def _backbone(state):
    return {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}


def test_a_model_folder_brings_its_classifier_by_name(digits, start, tmp_path):
    root = write_digits(tmp_path / "data", {"train": 3, "val": 5}, labels=(2, 1, 3))
    result = train(root, settings(tmp_path / "runs", weights=start, epochs=1, learning_rate=0))
    assert any("kept for 2 of 3" in note for note in result.notes)
    before, after = weights(start), weights(result.model_folder)
    assert torch.equal(after["fc.weight"][:2], before["fc.weight"][1:])


def test_weights_that_do_not_fit_are_a_problem(digits, start, tmp_path):
    with pytest.raises(TrainingError, match="the weights are of resnext8_4x4d"):
        train(digits, settings(tmp_path, weights=start, cardinality=2))


def test_early_stopping_ends_when_nothing_gets_better(digits, tmp_path):
    result = train(digits, settings(tmp_path, epochs=50, learning_rate=0, early_stopping_patience=2, ema_decay=0))
    assert not result.stopped
    assert len(result.history) < 50
    assert len(result.history) == result.best_epoch + 2


def test_weights_of_the_loss_favor_the_rare_class(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 40, "val": 20}, labels=(0,))
    write_digits(root, {"train": 4, "val": 20}, labels=(1,))
    recipe = {"epochs": 2, "augmentation": "none", "learning_rate": 0.003}
    plain = train(root, settings(tmp_path / "plain", **recipe)).evaluation
    weighted = train(root, settings(tmp_path / "weighted", class_balance="weighted", **recipe)).evaluation
    assert weighted.per_class[1].predicted > plain.per_class[1].predicted


def test_the_output_must_not_lie_among_the_images(digits):
    with pytest.raises(TrainingError, match="lies within the dataset"):
        train(digits, settings(digits / "models"))
    assert not (digits / "models").exists()


def test_settings_of_the_process_are_put_back(digits, tmp_path):
    train(digits, settings(tmp_path, deterministic=True, epochs=1))
    assert not torch.are_deterministic_algorithms_enabled()


def test_all_problems_are_told_before_training_begins(tmp_path):
    root = write_digits(tmp_path / "data", {"train": 4}, labels=(1,))
    (tmp_path / "file").touch()
    parameters = settings(tmp_path / "file" / "runs", device="cuda:9", weights=str(tmp_path / "missing.pth"))
    with pytest.raises(TrainingError) as caught:
        train(root, parameters)
    told = str(caught.value)
    assert len(caught.value.problems) >= 4
    for part in ("device = 'cuda:9'", "cannot be written to", "at least two classes", "there is no such file"):
        assert part in told


def test_a_full_disk_leaves_no_half_model_and_the_run_can_go_on(digits, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(outcome, "_figures", full)
        with pytest.raises(TrainingError, match=r"the disk is full.*make room.*resume=auto then goes on"):
            train(digits, settings(tmp_path))
    (run,) = tmp_path.glob("*/run.json")
    assert {path.name for path in run.parent.iterdir()} == {"checkpoints", "epochs", "run.json"}
    result = train(digits, settings(tmp_path, resume="auto"))
    assert result.model_folder.parent == run.parent
    assert len(result.history) == 3


REFUSED = """
import json, resource, signal, sys
from pathlib import Path
import ikomia
from train_torchvision_resnext.run.progress import Listener
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.run.progress import TrainingError
from train_torchvision_resnext.training import train

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def refuse(row):
    # From now on the system refuses to write any file as large as the weights.
    limit_files(200_000)

folder, *runs = sys.argv[1:]
for settings in runs:
    limit_files(resource.RLIM_INFINITY)
    try:
        train(Path(folder), read_host_map(json.loads(settings)), Listener(epoch=refuse))
    except TrainingError as error:
        print("refused:", error)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="the system has no limit of file sizes")
def test_a_disk_that_refuses_to_be_written_is_a_clear_error_and_the_run_can_go_on(digits, tmp_path):
    # Without learning no epoch is better than the first: then the trainer's state is the first file that is too large.
    runs = {
        file: settings(tmp_path / file, learning_rate=learning_rate, ema_decay=0)
        for file, learning_rate in (("best", 0.01), ("last", 0))
    }
    command = [sys.executable, "-c", REFUSED, str(digits)]
    command += [json.dumps(parameters.to_strings()) for parameters in runs.values()]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    told = [line for line in ended.stdout.splitlines() if line.startswith("refused: ")]
    assert len(told) == len(runs), ended.stdout + ended.stderr
    for line, (file, parameters) in zip(told, runs.items(), strict=True):
        checkpoints = next((tmp_path / file).glob("*/checkpoints"))
        assert line.startswith(f"refused: reading or writing failed ({checkpoints}/{file}")
        assert "File too large" in line
        assert not list((tmp_path / file).glob("*/model"))
        assert len(train(digits, parameters.updated({"resume": "auto"})).history) == 3


def test_bf16_that_is_emulated_is_noted(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "quick_formats", lambda device: ())
    plan = planning.make_plan(digits, settings(tmp_path, precision="bf16"), Listener())
    assert "precision = 'bf16' is emulated by the CPU, slower than fp32: set precision to auto" in plan.notes


def test_bf16_is_close_to_fp32(digits, tmp_path):
    results = [
        train(digits, settings(tmp_path / precision, precision=precision, epochs=5)) for precision in ("bf16", "fp32")
    ]
    bf16, fp32 = (result.evaluation.top1 for result in results)
    assert bf16 == pytest.approx(fp32, abs=0.2)
    assert "on the CPU in bf16" in results[0].notes


def test_weights_of_ones_own_bring_their_architecture(digits, tmp_path):
    """As a model folder, as the folder of a run, and as a bare state dict; a stem that its name does not tell."""
    first = train(digits, settings(tmp_path / "first", layers="1,1,1", stem="imagenet", epochs=1)).model_folder
    assert (first / "resnext11_4x4d.pth").is_file()
    own = {"layers": "", "cardinality": 0, "bottleneck_width": 0, "epochs": 1}
    for number, start in enumerate((first, first.parent, first / "resnext11_4x4d.pth")):
        result = train(digits, settings(tmp_path / f"{number}", weights=start, **own))
        assert read_config(result.model_folder).network == Architecture((1, 1, 1), 4, 4, "imagenet")
        assert (result.model_folder / "resnext11_4x4d.pth").is_file()
        assert any(f"starts from {start}, resnext11_4x4d (layers 1,1,1), which" in note for note in result.notes)
    with pytest.raises(TrainingError, match="the weights are of resnext11_4x4d"):
        train(digits, settings(tmp_path / "other", weights=first, **{**own, "stem": "cifar"}))


@pytest.mark.parametrize(
    ("architecture", "opens"),
    [
        (Architecture((1, 1, 1, 1), 4, 4), True),
        (Architecture((1, 1, 1), 4, 4), False),
        (Architecture((1, 1, 1, 1), 4, 4, "cifar"), False),
    ],
    ids=str,
)
def test_timm_opens_what_it_is_said_to_open(architecture, opens, tmp_path):
    import timm

    config = ModelConfig.of(architecture, ("ant", "bee"), Preprocessing(36, 32))
    write_model_folder(tmp_path / "model", config, architecture.build(2).state_dict())
    assert timm_opens(read_config(tmp_path / "model").network) == opens
    if opens:
        timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
    else:
        with pytest.raises(RuntimeError, match="Unknown model"):
            timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
