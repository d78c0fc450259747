import pytest


def test_what_an_entry_cannot_be_blamed_for_leaves_it_as_it_is(cache):
    """A GPU that is full is no reason to convert a network again, nor to throw engines away that took minutes."""
    filled = []

    def fill(folder):
        filled.append(folder)
        (folder / "graph").write_text("whole")

    def fail(folder):
        raise RuntimeError("out of memory")

    cache.entry("tensorrt", "engines", lambda folder: None)
    with pytest.raises(RuntimeError, match="out of memory"):
        cache.opened("onnx", "network", fill, fail, derived=[("tensorrt", "engines")])
    assert cache.opened("onnx", "network", fill, lambda folder: (folder / "graph").read_text()) == "whole"
    assert len(filled) == 1
    assert (cache.folder / "tensorrt" / "engines").is_dir()


def test_what_is_damaged_while_it_is_opened_is_made_anew(cache):
    def fill(folder):
        (folder / "graph").write_text("whole")

    def open_entry(folder):
        if not opened:
            (folder / "graph").unlink()  # as another process does that cleans up
        opened.append(folder)
        if not (folder / "graph").is_file():
            raise RuntimeError("there is no graph")
        return (folder / "graph").read_text()

    opened = []
    assert cache.opened("onnx", "network", fill, open_entry) == "whole"
    assert len(opened) == 2


def test_what_cannot_be_made_is_tried_once(cache):
    tries = []

    def fill(folder):
        tries.append(folder)
        raise RuntimeError("this network cannot be converted")

    with pytest.raises(RuntimeError, match="cannot be converted"):
        cache.opened("onnx", "network", fill, lambda folder: None)
    assert len(tries) == 1
