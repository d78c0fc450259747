import errno
import hashlib
import http.server
import os
import pickle
import re
import threading

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torchvision.models import get_model_weights

from infer_torchvision_resnext.resnext.folder.weight_files import (
    PUBLISHED_WEIGHTS,
    WeightFileError,
    cached_file,
    read_checkpoint,
    read_state,
)
from infer_torchvision_resnext.resnext.machine.disk import errors_of_the_disk


def test_published_weights_are_torchvisions_and_the_best_comes_last():
    for name, weights in PUBLISHED_WEIGHTS.items():
        published = get_model_weights(name)
        assert weights == tuple(member.name for member in published)
        assert published.DEFAULT.name == weights[-1]


@pytest.fixture
def served(tmp_path):
    """A folder, and the address at which it is served on loopback."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            """Keep the test's output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_download_is_checked_against_the_hash_in_its_name(served, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder, address = served
    content = os.urandom(100_000)
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(content)
    path = cached_file(f"{address}/{name}")
    assert path == tmp_path / "torch" / "hub" / "checkpoints" / name
    assert path.read_bytes() == content
    assert "100%" in capfd.readouterr().err
    (folder / name).unlink()
    assert cached_file(f"{address}/{name}") == path


def test_a_download_with_another_hash_is_refused_and_not_kept(served, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder, address = served
    (folder / "net-00000000.pth").write_bytes(b"not what was published")
    with pytest.raises(WeightFileError, match=r"net-00000000\.pth .* could not be downloaded \(invalid hash value"):
        cached_file(f"{address}/net-00000000.pth")
    assert list((tmp_path / "torch" / "hub" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("wrap", [lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
def test_state_dicts_are_found_in_their_usual_wrappings(tmp_path, tiny_state, wrap):
    torch.save(wrap({f"module.{key}": value for key, value in tiny_state.items()}), tmp_path / "wrapped.pth")
    state = read_state(tmp_path / "wrapped.pth")
    assert state.keys() == tiny_state.keys()


class Trojan:
    """Makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (os.mkdir, (str(self.target),))


@pytest.mark.filterwarnings("ignore:.*TorchScript archive", "ignore:.*torch.jit.script")
def test_code_in_a_file_is_refused_by_name_and_never_run(tmp_path):
    torch.save({"fc.weight": Trojan(tmp_path / "owned")}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Trojan(tmp_path / "owned"), protocol=2))
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pth"))
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    for name, found in (("zip", "mkdir"), ("plain", "mkdir"), ("script", "TorchScript"), ("module", "Linear")):
        with pytest.raises(WeightFileError, match=rf"{name}\.pth holds code \(.*{found}.*\), not only tensors"):
            read_state(tmp_path / f"{name}.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([1, 2], protocol=2), pickle.dumps({}, protocol=2)])
def test_files_that_hold_no_weights_are_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightFileError, match=r"cut short|holds no state dict"):
        read_state(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("raised", "number"),
    [
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 640 vs 534"), errno.EIO),
    ],
)
def test_what_the_disk_refuses_is_an_oserror_that_names_the_file(raised, number, tmp_path):
    with pytest.raises(OSError, match=re.escape(str(tmp_path / "x"))) as caught, errors_of_the_disk(tmp_path / "x"):
        raise raised
    assert (caught.value.errno, caught.value.__cause__) == (number, raised)


def test_other_errors_of_writers_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="no matter of the disk"), errors_of_the_disk(tmp_path / "x"):
        raise RuntimeError("no matter of the disk")


def test_writing_where_there_is_no_folder_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError), errors_of_the_disk(tmp_path / "no" / "x"):
        save_file({"a": torch.zeros(1)}, tmp_path / "no" / "x")


PREFIXES = ("module.", "model.", "_orig_mod.", "_orig_mod.module.", "net.0.", "a.b.c.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_prefixes_of_wrappers_are_stripped(prefix, suffix, tmp_path, tiny_state):
    path = tmp_path / f"wrapped{suffix}"
    wrapped = {prefix + key: value for key, value in tiny_state.items()}
    (torch.save if suffix == ".pth" else save_file)(wrapped, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.notes == ()
    assert checkpoint.state.keys() == tiny_state.keys()
    assert all(torch.equal(checkpoint.state[key], value) for key, value in tiny_state.items())


@pytest.mark.parametrize("container", [("state_dict",), ("model_state_dict",), ("model",), ("model", "state_dict")])
def test_containers_of_other_tools_are_opened(container, tmp_path, tiny_state):
    content = {f"model.{key}": value for key, value in tiny_state.items()}
    for key in reversed(container):
        content = {"epoch": 3, key: content, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "checkpoint.pth")
    assert read_state(tmp_path / "checkpoint.pth").keys() == tiny_state.keys()


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema"])
def test_averaged_weights_are_taken_as_timm_takes_them(key, tmp_path, tiny_state, other_state):
    from timm.models._helpers import load_state_dict

    usual = "state_dict" if key == "state_dict_ema" else "model"
    torch.save({usual: tiny_state, key: other_state}, tmp_path / "best.pth")
    checkpoint = read_checkpoint(tmp_path / "best.pth")
    theirs = load_state_dict(str(tmp_path / "best.pth"), weights_only=True)
    assert torch.equal(checkpoint.state["fc.bias"], theirs["fc.bias"])
    assert torch.equal(checkpoint.state["fc.bias"], other_state["fc.bias"])
    assert checkpoint.notes == (f"the averaged weights of the checkpoint ({key}) are used",)


def test_tensors_beside_the_network_are_left_out_and_counted(tmp_path, tiny_state):
    content = {**{f"model.{key}": value for key, value in tiny_state.items()}, "criterion.weight": torch.ones(3)}
    torch.save({"state_dict": content}, tmp_path / "lightning.ckpt")
    checkpoint = read_checkpoint(tmp_path / "lightning.ckpt")
    assert checkpoint.state.keys() == tiny_state.keys()
    (note,) = checkpoint.notes
    assert note == f"1 of {len(content)} tensors are not under 'model.' and left out: criterion.weight"


def test_two_networks_in_a_file_are_refused_by_their_prefixes(tmp_path, tiny_state):
    content = {f"{prefix}{key}": value for key, value in tiny_state.items() for prefix in ("student.", "teacher.")}
    torch.save(content, tmp_path / "two.pth")
    with pytest.raises(WeightFileError, match=r"two\.pth holds 2 networks, under student\., teacher\.: save one"):
        read_state(tmp_path / "two.pth")
