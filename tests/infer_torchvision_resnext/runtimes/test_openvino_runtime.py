import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.machine.devices import DeviceError
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime
from tests.runtime_inputs import crops, model_of, random_model
from tests.tiny_model import ARCHITECTURE, LABELS, PREPROCESSING

pytest.importorskip("openvino")

from infer_torchvision_resnext.resnext.network.outputs import chunks
from infer_torchvision_resnext.runtimes.openvino_runtime import OpenVINORuntime

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture((1,), 1, 64),
        pytest.param(Architecture((1, 2), 4, 4), marks=pytest.mark.processor),
        Architecture((2, 1, 1), 8, 4),
        Architecture((1, 1, 2, 1), 2, 8),
        Architecture((1, 1, 1, 1), 1, 8),
        Architecture((1, 1, 1), 4, 4, "cifar"),
        pytest.param(Architecture((1, 1), 1, 16, "cifar"), marks=pytest.mark.processor),
    ],
    ids=str,
)
def test_any_architecture_gives_torchs_logits(architecture, tmp_path, cache):
    model = random_model(architecture, tmp_path / "m", cache)
    expected = TorchRuntime.load(model, "cpu", "fp32", 0)
    found = OpenVINORuntime.load(model, "fp32", 0, cache)
    for side in (36, 65):
        logits = expected.run(crops(3, side))
        assert np.ptp(logits) > 0.5
        assert np.abs(found.run(crops(3, side)) - logits).max() < 3e-6 * np.abs(logits).max()


@pytest.mark.processor
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_files_of_other_precisions_are_read(dtype, tiny_folder, tiny_state, tmp_path, cache):
    # Numbers that each of them holds exactly, so that one conversion serves all.
    state = {
        key: tensor.bfloat16().half().to(dtype) if tensor.is_floating_point() else tensor
        for key, tensor in tiny_state.items()
    }
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / "model.safetensors")
    model = model_of(folder, cache)
    expected = TorchRuntime.load(model, "cpu", "fp32", 0).run(crops(2, 32))
    assert np.abs(OpenVINORuntime.load(model, "fp32", 0, cache).run(crops(2, 32)) - expected).max() < 1e-3


@pytest.mark.processor
def test_the_precision_is_the_one_that_was_asked_for(tiny_folder, cache):
    model = model_of(tiny_folder, cache)
    expected = TorchRuntime.load(model, "cpu", "fp32", 0).run(crops(8, 32))
    exact, near = (OpenVINORuntime.load(model, precision, 0, cache) for precision in ("fp32", "bf16"))
    assert exact.describe() == {"name": "openvino", "device": "cpu", "device_name": "CPU", "precision": "fp32"}
    assert np.abs(exact.run(crops(8, 32)) - expected).max() < 1e-4
    assert np.abs(near.run(crops(8, 32)) - expected).max() < 0.5
    with pytest.raises(DeviceError, match="precision = 'fp16': OpenVINO runs fp32, bf16, int8; set one of these"):
        OpenVINORuntime.load(model, "fp16", 0, cache)
    with pytest.raises(DeviceError, match=r"precision = 'int8': .* holds no calibrated model .*quantize"):
        OpenVINORuntime.load(model, "int8", 0, cache)


@pytest.mark.processor
def test_an_answer_does_not_depend_on_its_batch(tiny_folder, cache):
    runtime = OpenVINORuntime.load(model_of(tiny_folder, cache), "fp32", 1, cache)
    images = crops(21, 32)
    one_by_one = np.concatenate([runtime.run(image[None]) for image in images])
    for size in (2, 3, 7, 21):
        batched = np.concatenate([runtime.run(images[start : start + size]) for start in range(0, 21, size)])
        assert np.abs(batched - one_by_one).max() < 1e-5
    assert np.abs(runtime.run(images[::-2]) - one_by_one[::-2]).max() < 1e-5


WATCHED = """
import contextlib, os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from infer_torchvision_resnext.resnext.network.openvino_network import OpenVINONetwork, Setup
network, crops = OpenVINONetwork(Path(sys.argv[1]), Setup("fp32", threads=1)), np.zeros((8, 128, 128, 3), np.uint8)
narrowed = set()
with ThreadPoolExecutor(1) as pool:
    # A thread is pinned for as long as it computes.
    computing = pool.submit(lambda: [network.run(crops) for _ in range(20)])
    while not computing.done():
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                if os.sched_getaffinity(int(task.name)) != os.sched_getaffinity(0):
                    narrowed.add(task.name)
print(len(narrowed))
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not say where threads may run")
@pytest.mark.skipif(os.cpu_count() == 1, reason="there is one core")
def test_a_few_threads_share_the_cores_with_other_processes(tiny_folder, cache):
    """Pinned, each process's would be on the same first cores, and wait for one another."""
    OpenVINORuntime.load(model_of(tiny_folder, cache), "fp32", 1, cache)
    (graph,) = cache.folder.glob("openvino/*/model.xml")
    # A process of its own, for other tests leave threads behind that are pinned, and may be used again.
    narrowed = subprocess.check_output([sys.executable, "-c", WATCHED, graph], cwd=REPOSITORY, text=True)
    assert narrowed == "0\n"


@pytest.mark.processor
@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_where_all_images_count_the_same_answers_come_in_the_same_order(count, tiny_folder, cache):
    model = model_of(tiny_folder, cache)
    one_by_one = OpenVINORuntime.load(model, "fp32", 2, cache)
    many = OpenVINORuntime.load(replace(model, many=True), "fp32", 2, cache)
    images = crops(count, 32)
    expected = np.concatenate([one_by_one.run(image[None]) for image in images])
    assert count == 1 or np.abs(np.diff(expected, axis=0)).max(axis=1).min() > 1e-3
    for _ in range(2):
        assert np.abs(many.run(images) - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (3, [2, 1]), (8, [8]), (15, [8, 4, 2, 1]), (20, [8, 8, 4])]
)
def test_batches_are_cut_into_few_sizes(count, sizes):
    parts = chunks(count)
    assert [part.stop - part.start for part in parts] == sizes
    assert [index for part in parts for index in range(count)[part]] == list(range(count))


def test_the_graph_is_built_once_for_all_precisions_and_anew_for_other_weights(tiny_folder, other_state, tmp_path):
    cache = Cache(tmp_path / "cache")
    graphs = tmp_path / "cache" / "openvino"
    for precision in ("fp32", "bf16", "fp32"):
        OpenVINORuntime.load(model_of(tiny_folder, cache), precision, 0, cache)
    (graph,) = graphs.iterdir()
    assert sorted(path.name for path in graph.iterdir()) == [".contents.json", "model.bin", "model.xml"]
    write_model_folder(tmp_path / "m", ModelConfig.of(ARCHITECTURE, LABELS, PREPROCESSING), other_state)
    changed = OpenVINORuntime.load(model_of(tmp_path / "m", cache), "fp32", 0, cache)
    assert len(list(graphs.iterdir())) == 2
    unchanged = OpenVINORuntime.load(model_of(tiny_folder, cache), "fp32", 0, cache)
    difference = changed.run(crops(1, 32)) - unchanged.run(crops(1, 32))
    assert difference[:, :3] == pytest.approx(np.array([[1, 2, 3]]), abs=1e-4)
    assert difference[:, 3:] == pytest.approx(0, abs=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="a process's memory is limited as Linux does it")
@pytest.mark.parametrize("streams", [1, 2])
def test_a_full_memory_is_an_error_and_not_the_answer_before(streams, tiny_folder, cache):
    OpenVINORuntime.load(model_of(tiny_folder, cache), "fp32", 1, cache)
    (graph,) = cache.folder.glob("openvino/*/model.xml")
    code = f"""
import resource
from pathlib import Path
import numpy as np
from infer_torchvision_resnext.resnext.machine.devices import OutOfMemoryError
from infer_torchvision_resnext.resnext.network.openvino_network import OpenVINONetwork, Setup
from infer_torchvision_resnext.runtimes.openvino_runtime import OpenVINORuntime
runtime = OpenVINORuntime(OpenVINONetwork(Path({str(graph)!r}), Setup("fp32", {streams}, {streams})))
small, large = np.full((1, 32, 32, 3), 7, np.uint8), np.full((1, 1500, 1500, 3), 9, np.uint8)
expected = runtime.run(small)
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (size + 40 * 2**20, before[1]))
try:
    runtime.run(large)
except OutOfMemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, before)
print((runtime.run(small) == expected).all(), (runtime.run(large) == expected).all())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert re.fullmatch(r"Failed to allocate \d+ bytes of memory\nTrue False\n", done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize("file", ["model.xml", "model.bin"])
def test_a_damaged_graph_is_built_anew(file, tiny_folder, tmp_path, cache, caplog):
    model = model_of(tiny_folder, cache)
    expected = OpenVINORuntime.load(model, "fp32", 0, cache).run(crops(1, 32))
    (path,) = (tmp_path / "cache" / "openvino").rglob(file)
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(OpenVINORuntime.load(model, "fp32", 0, cache).run(crops(1, 32)), expected)
    assert "openvino in the cache is not what was written there" in caplog.text
