import errno
import os
import time
from pathlib import Path

import pytest

from infer_torchvision_resnext.resnext.machine.disk import (
    DRAFT,
    DiscardDraft,
    errors_of_the_disk,
    remove_drafts,
    whole_file,
    whole_folder,
)
from infer_torchvision_resnext.resnext.machine.durability import make_folder


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")
    with whole_file(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
        # Writers choose the format by the suffix, and a rename must not leave the disk.
        assert (draft.parent, draft.suffix) == (tmp_path, ".json")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_leaves_the_old_one_and_no_trace(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")

    def fails():
        with whole_file(path) as draft:
            draft.write_text("ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fails()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_given_up_leaves_the_old_one(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")
    with whole_file(path) as draft:
        draft.write_text("worse")
        raise DiscardDraft
    assert path.read_text() == "old"
    with whole_folder(tmp_path / "model") as folder:
        (folder / "worse").touch()
        raise DiscardDraft
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_vanishes_is_an_error(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")
    path.with_name("unused").touch()
    with pytest.raises(FileNotFoundError, match=r"vanished.*figures\.json"), whole_file(path) as draft:
        path.with_name("unused").replace(draft).unlink()
    with pytest.raises(FileNotFoundError, match="vanished"), whole_file(path):
        pass
    with pytest.raises(FileNotFoundError, match=r"vanished.*model"), whole_folder(tmp_path / "model") as folder:
        folder.rmdir()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_contents_reach_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, disk_calls):
    path = tmp_path / "table.csv"
    with whole_file(path) as draft:
        draft.write_text("rows")
    assert disk_calls == [("sync", draft.name), ("rename", "table.csv"), ("sync", tmp_path.name)]
    disk_calls.clear()
    model = tmp_path / "model"
    with whole_folder(model) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "weights").touch()
    assert disk_calls == [
        *(("sync", name) for name in ("weights", "inner", folder.name)),
        ("rename", "model"),
        ("sync", tmp_path.name),
    ]
    disk_calls.clear()
    with whole_folder(model) as folder:
        (folder / "classes.txt").touch()
    # The old one is removed last.
    (aside,) = (name for call, name in disk_calls if call == "remove")
    assert disk_calls == [
        *(("sync", name) for name in ("classes.txt", folder.name)),
        ("rename", aside),
        ("rename", "model"),
        ("sync", tmp_path.name),
        ("remove", aside),
    ]


def test_what_can_be_made_again_waits_for_no_disk(tmp_path, disk_calls):
    with whole_file(tmp_path / "fact.json", durable=False) as draft:
        draft.write_text("1")
    with whole_folder(tmp_path / "entry", replace=False, durable=False) as folder:
        (folder / "graph").touch()
    assert disk_calls == [("rename", "fact.json"), ("rename", "entry")]


def test_folders_that_are_made_survive_too(tmp_path, disk_calls):
    make_folder(tmp_path / "runs" / "first")
    assert disk_calls == [("sync", tmp_path.name), ("sync", "runs")]
    make_folder(tmp_path / "runs" / "first")
    assert len(disk_calls) == 2


def test_a_disk_that_fails_to_write_leaves_the_old_file_and_is_named(tmp_path, monkeypatch):
    path = tmp_path / "figures.json"
    path.write_text("old")

    def refused(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(OSError, match=r"figures\.json") as caught, whole_file(path) as draft:
        draft.write_text("new")
    assert caught.value.errno == errno.EIO
    assert path.read_text() == "old"
    # A share that cannot synchronize at all is used as it is.
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.EINVAL, "Invalid argument")))
    with whole_file(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"


def test_what_the_disk_refuses_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"figures\.json"), whole_file(tmp_path / "none" / "figures.json") as draft:
        draft.write_text("new")
    with (
        pytest.raises(OSError, match=r"model\.safetensors") as caught,
        errors_of_the_disk(tmp_path / "model.safetensors"),
    ):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    assert caught.value.errno == 28


@pytest.mark.parametrize("existed", [False, True])
def test_a_folder_appears_when_it_is_whole(tmp_path, existed):
    path = tmp_path / "model"
    if existed:
        path.mkdir()
        (path / "old").touch()
    with whole_folder(path) as draft:
        (draft / "new").touch()
        assert path.exists() == existed
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_fails_leaves_the_old_one_and_no_trace(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()

    def stopped():
        with whole_folder(path) as draft:
            (draft / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    rename = Path.replace

    def refused(source, target):
        if target == path and "new" in {file.name for file in source.iterdir()}:
            raise PermissionError(13, "in use by another program", str(target))
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(PermissionError, match="in use by another program"), whole_folder(path) as draft:
        (draft / "new").touch()
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_was_quicker_stays_where_it_is_not_to_be_replaced(tmp_path):
    path = tmp_path / "entry"
    with whole_folder(path, replace=False) as late:
        (late / "late").touch()
        with whole_folder(path, replace=False) as quick:
            (quick / "quick").touch()
    assert [file.name for file in path.iterdir()] == ["quick"]
    assert list(tmp_path.iterdir()) == [path]


def test_drafts_of_a_killed_process_are_removed_once_they_are_old(tmp_path):
    file, folder, kept = tmp_path / f"{DRAFT}1-a.json", tmp_path / f"{DRAFT}2-model", tmp_path / "model"
    folder.mkdir()
    kept.mkdir()
    for path in (file, folder / "half", kept / "whole"):
        path.touch()
    os.utime(file, (time.time() - 7200,) * 2)
    remove_drafts(tmp_path, older_than_s=3600)
    assert set(tmp_path.iterdir()) == {folder, kept}
    remove_drafts(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]
