"""Every test runs in a scratch home, without a network, on the real Ikomia."""

import contextlib
import ctypes
import functools
import gc
import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from examples.ikomia_home import link

# What is imported for the tests stays: half a million objects that the garbage collector need not look at.
gc.disable()

REPOSITORY = Path(__file__).parents[1]
PLUGINS = [folder for folder in sorted(REPOSITORY.glob("*_torchvision_resnext")) if folder.is_dir()]

# Ikomia reads the home when it is imported, so that it must be set before anything else.
HOME = Path(tempfile.mkdtemp(prefix="resnext-test-home-"))
os.environ.update(
    HOME=str(HOME),
    USERPROFILE=str(HOME),
    TORCH_HOME=str(HOME / "torch"),
    XDG_CACHE_HOME=str(HOME / ".cache"),
    IKOMIA_AUTO_COMPLETION="False",
    MPLBACKEND="Agg",
)
_INSTALLED = HOME / "Ikomia" / "Plugins" / "Python"
_INSTALLED.mkdir(parents=True)
for _plugin in PLUGINS:
    link(_plugin, _INSTALLED / _plugin.name)

import ikomia  # noqa: E402, F401  (its OpenCV must come before any other)
import numpy as np  # noqa: E402
import psutil  # noqa: E402
import pytest  # noqa: E402

# Torch is imported by those who use it: the process that hands out the tests starts seconds earlier without it.

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    end_servers()
    shutil.rmtree(HOME, ignore_errors=True)


def end_servers() -> None:
    """End what outlives a training on purpose, its MLflow and TensorBoard: whatever was started in this home."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # another user's, or gone meanwhile
            if process.pid != os.getpid() and process.environ().get("HOME") == str(HOME):
                process.kill()


@pytest.fixture(autouse=True, scope="session")
def steady_torch():
    """Tests call torch themselves, which on a busy machine hangs or gives wrong numbers beside Ikomia: see threads.py.

    That the plugins guard themselves is tested in both `test_threads.py`.
    """
    from infer_torchvision_resnext.resnext.machine.threads import fixed_threads

    with fixed_threads():
        yield


@pytest.fixture(autouse=True, scope="session")
def converted_once(tmp_path_factory):
    """Each network is converted for OpenVINO and ONNX Runtime once, see conversions.py."""
    from tests.conversions import convert_once

    own = tmp_path_factory.getbasetemp()
    # Those of the processes that share the tests lie in one folder.
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with pytest.MonkeyPatch.context() as patch:
        convert_once(patch, common / "converted")
        yield


@pytest.fixture
def openmp_adjusts():
    """OpenMP's dynamic adjustment, on as after the import of Ikomia; the fixture's value tells whether it is."""
    if sys.platform != "linux":
        pytest.skip("GNU's OpenMP is loaded on Linux only")
    openmp = ctypes.CDLL("libgomp.so.1")
    before = openmp.omp_get_dynamic()
    openmp.omp_set_dynamic(1)
    yield openmp.omp_get_dynamic
    openmp.omp_set_dynamic(before)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Looking up any host but this machine fails, as on a machine without a connection."""
    look_up = socket.getaddrinfo

    def only_loopback(host, *args, **kwargs):
        if host not in LOOPBACK:
            raise socket.gaierror(f"tests use no network: {host}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_loopback)


@pytest.fixture(autouse=True, scope="session")
def no_server():
    """MLflow's own file store in place of Ikomia's servers: tests open no port that another program might have.

    `test_trackers.py` starts servers, at free ports.
    """
    from ikomia.core import config

    mlflow = config.main_cfg["mlflow"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(mlflow, "tracking_uri", Path(mlflow["store_uri"]).as_uri())
        patch.setitem(config.main_cfg["tensorboard"], "tracking_uri", "")
        yield


@pytest.fixture
def disk_calls(monkeypatch):
    """What the disk is told from now on, in order: `sync`, `rename` to or `remove`, each with the name it is about."""
    calls, names = [], {}
    open_file, fsync, rename, remove = os.open, os.fsync, Path.replace, shutil.rmtree

    def opened(path, *args, **kwargs):
        handle = open_file(path, *args, **kwargs)
        names[handle] = Path(os.fsdecode(path)).name
        return handle

    def synced(handle):
        calls.append(("sync", names[handle]))
        fsync(handle)

    def renamed(source, target):
        result = rename(source, target)
        calls.append(("rename", Path(target).name))
        return result

    def removed(folder, *args, **kwargs):
        if Path(folder).exists():
            calls.append(("remove", Path(folder).name))
        remove(folder, *args, **kwargs)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(shutil, "rmtree", removed)
    return calls


@pytest.fixture
def small_disk(tmp_path):
    """Make a folder with room for so much, as `mount` takes it, that is a disk of its own until the test is over."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs a small disk, which root can make")
    mounted = []

    def mount(size):
        place = tmp_path / "small disk"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def no_report(monkeypatch):
    """Leave the model folder's report empty, for drawing one takes longer than a small training."""
    from train_torchvision_resnext.results import outcome

    monkeypatch.setattr(outcome, "write_report", lambda folder, *others: folder.mkdir())


@pytest.fixture(scope="session")
def photos():
    """Two real photos, RGB uint8 427 x 640 x 3, from scikit-learn."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images


@pytest.fixture(scope="session")
def photo_path():
    import sklearn.datasets

    return str(Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg")


@pytest.fixture(scope="session")
def imagenet_cache():
    """Torch hub's cache with files of the right names for ResNeXt-50, V1 and V2, holding random weights."""
    from torchvision.models import get_model_weights

    from benchmarks.random_weights import write_stand_in

    hub = Path(os.environ["TORCH_HOME"]) / "hub"
    for seed, weights in enumerate(get_model_weights("resnext50_32x4d")):
        write_stand_in("resnext50_32x4d", weights, hub, seed)
    return hub / "checkpoints"


@pytest.fixture(scope="session")
def resnet_cache():
    """Torch hub's cache with a file of the right name for ResNet-50, V1, holding random weights."""
    from torchvision.models import get_model_weights

    from benchmarks.random_weights import write_stand_in

    hub = Path(os.environ["TORCH_HOME"]) / "hub"
    return write_stand_in("resnet50", get_model_weights("resnet50")["IMAGENET1K_V1"], hub)


@pytest.fixture
def few_images(monkeypatch):
    """Let the guard compare a quarter of its images, for large networks take long."""
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.agreement.IMAGES", 4)


@pytest.fixture(scope="session")
def tiny_state():
    """Weights of `tiny_model.py`'s ResNeXt."""
    import torch

    from benchmarks.random_weights import decided_network
    from tests.tiny_model import ARCHITECTURE, LABELS

    torch.manual_seed(1)
    return decided_network(ARCHITECTURE.build(len(LABELS))).state_dict()


@pytest.fixture(scope="session")
def other_state(tiny_state):
    """The same network but for its classifier: logits higher by 1, 2 and 3."""
    import torch

    return {**tiny_state, "fc.bias": tiny_state["fc.bias"] + torch.tensor([1.0, 2.0, 3.0])}


@pytest.fixture(scope="session")
def tiny_folder(tiny_state, tmp_path_factory):
    """A model folder: ant, bee, cat at 32 pixels."""
    from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
    from tests.tiny_model import ARCHITECTURE, LABELS, PREPROCESSING

    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model_folder(folder, ModelConfig.of(ARCHITECTURE, LABELS, PREPROCESSING), tiny_state)
    return folder


@pytest.fixture
def workflow():
    """A workflow and, in it, the inference task behind the root."""
    from ikomia.dataprocess.workflow import Workflow

    wf = Workflow()
    return wf, wf.add_task(name="infer_torchvision_resnext", auto_connect=True)


@pytest.fixture
def tiny(workflow, tiny_folder):
    """A workflow, and in it the inference task with the tiny model."""
    wf, task = workflow
    task.set_parameters({"weights": str(tiny_folder), "device": "cpu"})
    return wf, task


@pytest.fixture
def blobs():
    """A frame with a bright and a dim rectangle: x 30-79, y 20-59 and x 100-149, y 80-109."""
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[20:60, 30:80] = 255
    frame[80:110, 100:150] = 200
    return frame


@pytest.fixture
def served(tmp_path):
    """A folder and its address on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Displays:
    """Shows things into figures and pictures that a test can look at."""

    def __init__(self, display, figures):
        self.display, self._figures = display, figures
        self.pictures = []

    def texts(self, output):
        """What the figure of an output says."""
        self._figures.close("all")
        self.display(output)
        (figure,) = map(self._figures.figure, self._figures.get_fignums())
        return "\n".join(text.get_text() for text in figure.texts)


@pytest.fixture
def displayed(monkeypatch):
    """The host's `display`, which shows nothing on a screen."""
    import matplotlib

    with monkeypatch.context() as patch:
        # The host chooses a window, which a machine without a screen lacks.
        patch.setattr(matplotlib, "use", lambda backend: None)
        from ikomia.utils import displayIO
    import matplotlib.pyplot as figures
    from PIL import ImageShow

    figures.switch_backend("Agg")
    displays = Displays(displayIO.display, figures)

    class Keeper(ImageShow.Viewer):
        def show(self, image, **options):
            displays.pictures.append(image)
            return 1

    monkeypatch.setattr(displayIO, "_display_qt_table", lambda *table: False)
    monkeypatch.setattr(ImageShow, "_viewers", [Keeper()])
    yield displays
    figures.close("all")
