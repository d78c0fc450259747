"""Real forks, in processes of their own: in this one networks have run long since."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.weights import load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.runtimes.runtime import Configuration
from infer_torchvision_resnext.runtimes.selection import load

REPOSITORY = Path(__file__).parents[2]
OPENVINO = Configuration("openvino", "fp32")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")

PROGRAM = """
    import multiprocessing, sys
    from pathlib import Path
    import ikomia, numpy as np
    from infer_torchvision_resnext.model.cache import Cache
    from infer_torchvision_resnext.classifier import Classifier
    from infer_torchvision_resnext.parameters.task import Parameters

    images = list(np.load(sys.argv[4]))
    parameters = Parameters(weights=sys.argv[1], runtime=sys.argv[2], precision="fp32", threads=2, device="cpu")

    def ready():
        classifier = Classifier(Cache(Path(sys.argv[3])).folder)
        classifier.prepare(parameters)
        return classifier

    def in_child(act):
        def tried():
            try:
                results.put(repr(act()))
            except Exception as error:
                results.put(f"{type(error).__name__}: {error}")
        results = multiprocessing.get_context("fork").SimpleQueue()
        child = multiprocessing.get_context("fork").Process(target=tried)
        child.start()
        child.join(timeout=120)
        if child.is_alive():
            child.kill()
            return "it hangs"
        return results.get()

    before = in_child(lambda: ready().classify(images))
    classifier = ready()
    expected = repr(classifier.classify(images))
    print("before", before == expected or before)
    runtime = classifier._loaded.runtime
    print("crop", in_child(lambda: len(classifier._crops(runtime, images))))
    print("classify", in_child(lambda: classifier.classify(images)))
    print("another", in_child(ready))
    print("warm_up", in_child(classifier.warm_up))
    print("parent", repr(classifier.classify(images)) == expected)
"""


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_a_forked_process_answers_or_says_at_once_that_it_cannot(runtime, tiny_folder, tmp_path):
    """Threads do not follow into it, and it would wait for them for ever."""
    cache = Cache(tmp_path / "cache")
    load(load_model(Parameters(weights=str(tiny_folder)), cache), OPENVINO, threads=1, cache=cache)
    # Large enough for OpenCV to divide it before PIL resizes it.
    large = np.random.default_rng(0).integers(0, 256, (1, 2100, 2200, 3), np.uint8)
    np.save(tmp_path / "images.npy", large)
    done = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(PROGRAM)),
            *(str(tiny_folder), runtime, str(tmp_path / "cache"), str(tmp_path / "images.npy")),
        ],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert (said["before"], said["crop"], said["parent"]) == ("True", "1", "True")
    for step in ("classify", "another", "warm_up"):
        assert said[step].startswith("ForkedProcessError: process "), said
        assert 'get_context("spawn")' in said[step]
