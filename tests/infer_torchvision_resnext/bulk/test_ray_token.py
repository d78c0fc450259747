"""Ray's token lies in a file that only its owner can read, before Ray starts. Needs no Ray."""

import os
import stat
import sys
from pathlib import Path

import pytest

from infer_torchvision_resnext.bulk.ray_token import protect_token, token_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """With the widest of umasks, so that only what is asked for protects anything."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    before = os.umask(0)
    yield tmp_path
    os.umask(before)


def mode(place):
    return stat.S_IMODE(place.stat().st_mode)


def test_folder_and_token_are_made_for_their_owner_only(home):
    sentences = []
    protect_token(create=True, say=sentences.append)
    file = home / ".ray" / "auth_token"
    assert (token_file(), mode(file), mode(file.parent), sentences) == (file, 0o600, 0o700, [])
    token = file.read_text()
    assert len(token) >= 32
    protect_token(create=True, say=sentences.append)
    assert (file.read_text(), sentences) == (token, [])


def test_a_token_that_others_could_read_is_closed_and_that_is_said(home):
    (home / ".ray").mkdir(mode=0o777)
    file = home / ".ray" / "auth_token"
    file.write_text("old")
    file.chmod(0o644)
    sentences = []
    protect_token(create=False, say=sentences.append)
    assert (mode(file), mode(file.parent), file.read_text()) == (0o600, 0o700, "old")
    assert "could be read by other users" in sentences[0]


def test_nothing_is_made_for_a_running_cluster_or_beside_a_token_in_the_environment(home, monkeypatch):
    protect_token(create=False, say=print)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    protect_token(create=True, say=print)
    assert not (home / ".ray").exists()
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "elsewhere" / "token"))
    protect_token(create=True, say=print)
    assert mode(home / "elsewhere" / "token") == 0o600
