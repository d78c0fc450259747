import json
import logging
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.weights import WeightsError, load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.folder.golden import Golden, write_golden
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.machine.devices import DeviceError, cpu_computes_bf16
from infer_torchvision_resnext.resnext.network import conversion
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.resnext.network.outputs import softmax
from infer_torchvision_resnext.runtimes.agreement import FP32_TOLERANCE, Agreement, generated_images
from infer_torchvision_resnext.runtimes.candidates import candidates
from infer_torchvision_resnext.runtimes.runtime import Configuration
from infer_torchvision_resnext.runtimes.selection import choose
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime
from tests.runtime_inputs import model_of

SIDE = 32


@pytest.fixture
def folder(tiny_state, tmp_path):
    """A model folder of this test's own."""
    config = ModelConfig.of(Architecture((1, 1), 4, 4), ("ant", "bee", "cat"), Preprocessing(36, SIDE))
    write_model_folder(tmp_path / "model", config, tiny_state)
    return tmp_path / "model"


def chosen(folder, cache, **parameters):
    asked = Parameters(**{"weights": str(folder), "device": "cpu", **parameters})
    return choose(load_model(asked, cache), asked, cache)


def golden_of(folder, cache):
    images = generated_images(SIDE)[:5]
    model = model_of(folder, cache)
    return Golden(images, TorchRuntime.load(model, "cpu", "fp32", 0).run(images)[:, : len(model.labels)])


@pytest.mark.processor
def test_auto_takes_openvino_on_a_cpu_and_says_how_near_it_is(folder, cache):
    pytest.importorskip("openvino")
    runtime, choice = chosen(folder, cache, precision="fp32")
    assert runtime.describe()["name"] == "openvino"
    assert choice.configuration == Configuration("openvino", "fp32")
    assert (choice.agreement.images, choice.agreement.golden, choice.agreement.top1) == (16, False, 1.0)
    assert 0 <= choice.agreement.largest_change < 1e-4


def test_a_candidate_beyond_the_tolerance_is_refused_with_its_figures(folder, cache, caplog):
    pytest.importorskip("openvino")
    runtime, choice = chosen(folder, cache, guard_tolerance=0)
    assert runtime.describe()["name"] == "torch"
    assert (choice.configuration, choice.agreement) == (Configuration("torch", "fp32"), None)
    assert "openvino fp32 changes answers of" in caplog.text
    assert "on 100.0% of 16 generated images, probabilities change by up to" in caplog.text


def test_where_nothing_keeps_the_answers_the_error_says_so(folder, cache):
    pytest.importorskip("openvino")
    with pytest.raises(DeviceError, match=r"no configuration keeps the answers within guard_tolerance = 0 .*openvino"):
        chosen(folder, cache, runtime="openvino", guard_tolerance=0)


def test_a_preferred_runtime_that_fails_is_noted_with_one_line_in_the_log(folder, cache, caplog, monkeypatch):
    """Not only when it is decided: also when the decision is remembered. The traceback of many lines is not shown."""
    pytest.importorskip("openvino")

    def fails(network, preprocessing):
        raise conversion.ConversionError("OpenVINO cannot convert this network\nTraceback\n" + "a line\n" * 200)

    monkeypatch.setattr(conversion, "to_openvino", fails)
    monkeypatch.setattr(
        "infer_torchvision_resnext.runtimes.candidates.ON_CPU", {"openvino": ("fp32",), "torch": ("fp32",)}
    )
    for _ in range(2):
        runtime, choice = chosen(folder, cache)
        assert runtime.describe()["name"] == "torch"
        (note,) = choice.notes(Parameters(device="cpu"))
        assert note.startswith(
            "openvino is not used, torch fp32 answers instead: OpenVINO cannot convert this network; "
        )
        assert "python -m infer_torchvision_resnext doctor" in note
        assert "\n" not in note
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.startswith("openvino fp32 refused for ")
    assert "\n" not in line


@pytest.mark.parametrize("tolerance", [0, 0.02])
def test_a_precision_that_changes_answers_is_not_noted_where_its_runtime_answers(folder, cache, tolerance):
    pytest.importorskip("openvino")
    _, choice = chosen(folder, cache, guard_tolerance=tolerance)
    names = [note.split(" ")[0] for note in choice.passed_over]
    assert names == ([] if tolerance else ["openvino", *(["onnxruntime"] if "onnxruntime" in names else [])])


@pytest.mark.processor
def test_what_was_asked_for_is_measured_but_not_refused(folder, cache, caplog):
    pytest.importorskip("openvino")
    runtime, choice = chosen(folder, cache, runtime="openvino", precision="fp32", guard_tolerance=0)
    assert runtime.describe()["name"] == "openvino"
    assert choice.agreement.largest_change > 0
    assert "openvino fp32 is taken in spite of this" in caplog.text
    assert chosen(folder, cache, runtime="torch", precision="fp32")[1].agreement is None
    quick = chosen(folder, cache, runtime="torch", precision="bf16")[1]
    assert (quick.agreement.largest_change > 1e-5) == cpu_computes_bf16()
    assert quick.configuration == Configuration("torch", "bf16" if cpu_computes_bf16() else "fp32")


def put_another_graph(model, cache, epsilon):
    """A whole entry of the cache, but of a network with another epsilon in its batch normalizations."""
    from infer_torchvision_resnext.resnext.network.conversion import to_openvino
    from infer_torchvision_resnext.resnext.network.openvino_network import save
    from infer_torchvision_resnext.runtimes.openvino_runtime import OpenVINORuntime

    OpenVINORuntime.load(model, "fp32", 0, cache)
    (entry,) = (cache.folder / "openvino").iterdir()
    network = model.network(apart=True)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = epsilon
    cache.forget("openvino", entry.name)
    graph = to_openvino(network, model.preprocessing)
    cache.entry("openvino", entry.name, lambda draft: save(graph, draft / "model.xml"))


@pytest.mark.processor
def test_fp32_may_change_less_than_other_formats(folder, cache, caplog):
    """An epsilon of the batch normalization that is not torchvision's: too little for `guard_tolerance` to see."""
    pytest.importorskip("openvino")
    put_another_graph(model_of(folder, cache), cache, 3e-3)
    runtime, choice = chosen(folder, cache, precision="fp32", guard_tolerance=0.5)
    (change,) = re.findall(r"openvino fp32 changes answers .* change by up to (\S+)", caplog.text)
    assert FP32_TOLERANCE < float(change) < 0.5
    assert runtime.describe()["name"] != "openvino"
    assert choice.configuration.runtime != "openvino"


@pytest.mark.parametrize("name", ["golden.safetensors", "openvino/int8.xml", "openvino/int8.bin", "openvino/int8.json"])
def test_a_decision_is_for_every_file_that_answers(name, folder, cache, tmp_path):
    decisions = tmp_path / "cache" / "decisions"
    chosen(folder, cache, runtime="torch", precision="fp32")
    assert len(list(decisions.iterdir())) == 1
    if name.startswith("golden"):
        write_golden(folder, golden_of(folder, cache))
    else:
        (folder / "openvino").mkdir()
        (folder / name).write_bytes(b"another")
    chosen(folder, cache, runtime="torch", precision="fp32")
    assert len(list(decisions.iterdir())) == 2


@pytest.mark.parametrize("another", [{"runtime": "auto"}, {"precision": "bf16"}, {"guard_tolerance": 0.5}], ids=str)
def test_a_decision_is_for_what_was_asked(another, folder, cache, tmp_path):
    asked = {"runtime": "torch", "precision": "fp32"}
    chosen(folder, cache, **asked)
    chosen(folder, cache, **{**asked, **another})
    assert len(list((tmp_path / "cache" / "decisions").iterdir())) == 2


def test_a_decision_is_for_the_pixels_that_the_network_sees(folder, cache, tmp_path):
    chosen(folder, cache, runtime="torch", precision="fp32")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["pretrained_cfg"]["mean"] = [0.5, 0.5, 0.5]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    chosen(folder, cache, runtime="torch", precision="fp32")
    assert len(list((tmp_path / "cache" / "decisions").iterdir())) == 2


@pytest.mark.parametrize("part", ["__version__", "processor", "packages.versions"])
def test_a_decision_does_not_outlive_what_it_was_made_with(part, folder, cache, tmp_path, monkeypatch):
    chosen(folder, cache, runtime="torch", precision="fp32")
    other = {"__version__": "0", "processor": lambda: "another", "packages.versions": lambda: {"torch": "0"}}[part]
    monkeypatch.setattr(f"infer_torchvision_resnext.runtimes.selection.{part}", other)
    chosen(folder, cache, runtime="torch", precision="fp32")
    assert len(list((tmp_path / "cache" / "decisions").iterdir())) == 2


def test_a_runtime_that_fails_leaves_the_answer_to_the_next_unless_it_was_asked_for(
    folder, cache, tmp_path, monkeypatch
):
    pytest.importorskip("openvino")

    def fails(*arguments):
        raise conversion.ConversionError("OpenVINO cannot convert this network: an operation of its own")

    monkeypatch.setattr(conversion, "to_openvino", fails)
    for _ in range(2):
        assert chosen(folder, cache, precision="fp32")[1].configuration.runtime != "openvino"
        # It will fail tomorrow, too.
        assert len(list((tmp_path / "cache" / "decisions").iterdir())) == 1
    with pytest.raises(conversion.ConversionError, match="an operation of its own"):
        chosen(folder, cache, runtime="openvino", precision="fp32")


def changed_by(change, golden):
    """The golden set of a network of which one probability is another by so much."""
    probabilities = softmax(golden.logits)[0]
    # A shift of one logit moves its probability p by about p (1 - p) times as much.
    slope = probabilities * (1 - probabilities)
    logits = golden.logits.copy()
    logits[0, slope.argmax()] += change / slope.max()
    return replace(golden, logits=logits)


@pytest.mark.processor
@pytest.mark.parametrize("change", [0.0005, 0.002])
def test_the_golden_logits_may_change_by_a_thousandth_and_not_by_two(change, folder, cache):
    write_golden(folder, changed_by(change, golden_of(folder, cache)))
    if change < 0.001:
        assert chosen(folder, cache, runtime="torch")[0].describe()["name"] == "torch"
    else:
        with pytest.raises(WeightsError, match="does not give in fp32 what training saw"):
            chosen(folder, cache, runtime="torch")


def test_what_answers_is_compared_with_the_golden_logits_and_not_with_torchs(folder, cache):
    pytest.importorskip("openvino")
    write_golden(folder, changed_by(0.0005, golden_of(folder, cache)))
    agreement = chosen(folder, cache, runtime="openvino", precision="fp32")[1].agreement
    assert agreement.largest_change == pytest.approx(0.0005, rel=0.1)


def test_the_decision_is_remembered_for_the_same_model_only(folder, cache, other_state, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    decisions = tmp_path / "cache" / "decisions"
    first = chosen(folder, cache)[1]
    assert chosen(folder, Cache(tmp_path / "cache"))[1] == first
    assert len(list(decisions.iterdir())) == 1
    assert caplog.text.count(f"{first.configuration} for {folder}") == 1
    config = ModelConfig.of(Architecture((1, 1), 4, 4), ("ant", "bee", "cat"), Preprocessing(36, SIDE))
    write_model_folder(folder, config, other_state)
    chosen(folder, cache)
    assert len(list(decisions.iterdir())) == 2


def test_a_decision_that_no_longer_holds_is_made_anew(folder, cache, tmp_path, caplog):
    chosen(folder, cache)
    (file,) = (tmp_path / "cache" / "decisions").iterdir()
    file.write_text('{"configuration": {"runtime": "torch", "precision": "fp16"}, "agreement": null}')
    assert chosen(folder, cache)[1].agreement is not None
    assert "torch fp16 was chosen before, but fails now" in caplog.text
    file.write_text('{"configuration": 3}')
    assert chosen(folder, cache)[1].agreement is not None


@pytest.mark.processor
def test_a_folders_own_golden_set_is_what_counts(folder, cache):
    write_golden(folder, golden_of(folder, cache))
    agreement = chosen(folder, cache, runtime="torch", precision="bf16")[1].agreement
    assert (agreement.images, agreement.golden) == (5, True)


@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_a_folder_whose_golden_logits_cannot_be_reproduced_is_refused(folder, cache, runtime):
    golden = golden_of(folder, cache)
    write_golden(folder, replace(golden, logits=golden.logits[:, ::-1].copy()))
    with pytest.raises(WeightsError, match=r"does not give in fp32 what training saw: .*5 golden images.*allowed is"):
        chosen(folder, cache, runtime=runtime, precision="fp32")
    write_golden(folder, replace(golden, logits=golden.logits[:, :2].copy()))
    with pytest.raises(WeightsError, match=r"logits of shape \(5, 2\), the model gives \(5, 3\)"):
        chosen(folder, cache, runtime=runtime, precision="fp32")


def test_a_runtime_that_is_not_installed_is_named_with_the_remedy(folder, cache, monkeypatch):
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.packages.find_spec", lambda name: None)
    # This alone, and not as a reason among others.
    with pytest.raises(DeviceError, match=r"^runtime = 'openvino': the package openvino is not installed; run"):
        chosen(folder, cache, runtime="openvino")


def test_without_openvino_auto_is_torch(monkeypatch):
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.packages.is_installed", lambda name: name == "torch")
    assert candidates("auto", "auto", "cpu") == [Configuration("torch", "fp32")]


def test_without_openvino_onnx_runtime_comes_before_torch(monkeypatch):
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.packages.is_installed", lambda name: name != "openvino")
    assert candidates("auto", "auto", "cpu") == [Configuration("onnxruntime", "fp32"), Configuration("torch", "fp32")]
    assert candidates("auto", "bf16", "cpu") == [Configuration("torch", "bf16")]
    assert candidates("onnxruntime", "auto", "cpu") == [Configuration("onnxruntime", "fp32")]
    there = [Configuration("onnxruntime", precision, "cuda") for precision in ("fp16", "fp32")]
    assert candidates("onnxruntime", "auto", "cuda") == there
    assert candidates("onnxruntime", "fp16", "cuda:1") == [Configuration("onnxruntime", "fp16", "cuda:1")]


def test_int8_without_openvino_says_what_it_needs(folder, cache, monkeypatch):
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.packages.is_installed", lambda name: name != "openvino")
    with pytest.raises(DeviceError, match="precision = 'int8': needs runtime openvino"):
        chosen(folder, cache, precision="int8")


def test_openvino_is_for_the_cpu():
    with pytest.raises(DeviceError, match="runtime = 'openvino': runs on the CPU only, but device = 'cuda:0'"):
        candidates("openvino", "auto", "cuda:0")


def test_one_that_cannot_run_there_is_refused_with_its_own_words(folder, cache):
    with pytest.raises(DeviceError, match=r"^runtime = 'openvino': runs on the CPU only"):
        chosen(folder, cache, runtime="openvino", device="cuda:0")


def test_agreement_is_worked_out_by_hand():
    reference = np.log(np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], np.float32))
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]], np.float32)) + 3
    agreement = Agreement.of(logits, reference, golden=True)
    assert agreement.top1 == 0.5
    assert agreement.largest_change == pytest.approx(0.25, abs=1e-6)
    assert not agreement.within(0.3)
    assert Agreement(16, False, 15 / 16, 0.01).within(0.01)
    assert not Agreement(16, False, 1.0, 0.011).within(0.01)


def test_generated_images_are_the_same_every_time_and_not_alike():
    images = generated_images(40)
    assert (images.shape, images.dtype) == ((16, 40, 40, 3), np.uint8)
    assert np.array_equal(images, generated_images(40))
    assert images.astype(float).mean(axis=(1, 2, 3)).std() > 10
    assert images.astype(float).std(axis=(1, 2)).min() > 5


@pytest.mark.skipif("RUN_SLOW_TESTS" not in os.environ, reason="PyTorch's compiler takes a minute: RUN_SLOW_TESTS=1")
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_torch_compile_keeps_the_answers_whatever_the_batch(folder, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    runtime, choice = chosen(folder, cache, runtime="torch_compile")
    assert runtime.describe()["name"] == "torch_compile"
    assert choice.agreement.largest_change < 1e-4
    images = generated_images(SIDE)[:5]
    expected = chosen(folder, cache, runtime="torch")[0].run(images)
    assert np.abs(runtime.run(images) - expected).max() < 1e-4
    assert np.abs(runtime.run(images[:2]) - expected[:2]).max() < 1e-4
