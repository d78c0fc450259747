import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infer_torchvision_resnext.cache import Cache, key_of


def write(content):
    return lambda folder: (folder / "file").write_bytes(content)


def refuse(folder):
    raise RuntimeError("no such operator")


def test_an_entry_is_filled_once(tmp_path):
    cache = Cache(tmp_path)
    place = cache.entry("models", "a", write(b"first"))
    assert cache.entry("models", "a", write(b"second")) == place
    assert (place / "file").read_bytes() == b"first"
    cache.forget("models", "a")
    assert (cache.entry("models", "a", write(b"third")) / "file").read_bytes() == b"third"


def test_what_fails_leaves_no_entry(tmp_path):
    def fail(folder: Path):
        (folder / "half").write_bytes(b"x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        Cache(tmp_path).entry("models", "a", fail)
    assert list((tmp_path / "models").iterdir()) == []


def test_an_entry_that_cannot_be_opened_is_made_anew_with_what_was_made_from_it(tmp_path, caplog):
    cache = Cache(tmp_path)
    contents = iter([b"of an older version", b"whole"])

    def fill(folder):
        (folder / "file").write_bytes(next(contents))

    def read(folder):
        content = (folder / "file").read_bytes()
        if content != b"whole":
            raise RuntimeError("half a file")
        return content

    cache.entry("models", "a", fill)
    derived = cache.entry("engines", "a", write(b"engine"))
    assert cache.opened("models", "a", fill, read, derived=[("engines", "a")]) == b"whole"
    assert "models in the cache cannot be used, it is made anew: half a file" in caplog.text
    assert not derived.exists()


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    status = file.stat()
    file.write_bytes(content)
    # As it would look to whoever asks for size and time only.
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda file: file.write_bytes(b"")])
def test_an_entry_that_is_not_what_was_written_is_made_anew_with_what_was_made_from_it(damage, tmp_path, caplog):
    cache = Cache(tmp_path)
    damage(cache.entry("models", "a", write(b"whole")) / "file")
    derived = cache.entry("engines", "a", write(b"engine"))
    place = Cache(tmp_path).entry("models", "a", write(b"anew"), derived=[("engines", "a")])
    assert (place / "file").read_bytes() == b"anew"
    assert "models in the cache is not what was written there, it is made anew" in caplog.text
    assert not derived.exists()


def test_what_others_add_to_an_entry_is_theirs(tmp_path):
    place = Cache(tmp_path).entry("engines", "a", lambda folder: None)
    (place / "engine").write_bytes(b"made later")
    assert (Cache(tmp_path).entry("engines", "a", refuse) / "engine").is_file()


def test_an_entry_that_cannot_be_opened_even_anew_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="no such operator"):
        Cache(tmp_path).opened("models", "a", write(b""), refuse)


def test_facts_are_remembered_and_damaged_ones_forgotten(tmp_path):
    cache = Cache(tmp_path)
    assert cache.recall("decisions", "a") is None
    cache.note("decisions", "a", {"x": [1, 2.5]})
    assert Cache(tmp_path).recall("decisions", "a") == {"x": [1, 2.5]}
    (tmp_path / "decisions" / "a.json").write_text('{"x":')
    assert cache.recall("decisions", "a") is None


def test_the_digest_follows_the_content(tmp_path):
    cache, file = Cache(tmp_path / "cache"), tmp_path / "file"
    file.write_bytes(b"one")
    first = cache.digest(file)
    assert first == cache.digest(file)
    assert first.startswith("7692c3ad3540bb803c020b3aee66cd88")
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert cache.digest(file) != first


def settle(monkeypatch):
    """The clock goes on by an hour: what was written is long ago."""
    now = time.time_ns()
    monkeypatch.setattr("infer_torchvision_resnext.cache.time.time_ns", lambda: now + 3600 * 10**9)


def in_place(file, content):
    file.write_bytes(content)


def moved_over(file, content):
    other = file.with_suffix(".new")
    other.write_bytes(content)
    other.replace(file)


@pytest.mark.parametrize("replace", [in_place, moved_over])
def test_the_digest_is_not_deceived_by_size_and_time(replace, tmp_path, monkeypatch):
    settle(monkeypatch)
    cache, file = Cache(tmp_path / "cache"), tmp_path / "file"
    file.write_bytes(b"one")
    first, status = cache.digest(file), file.stat()
    assert len(list((tmp_path / "cache" / "digests").iterdir())) == 1
    assert cache.digest(file) == first
    # The system's clock ticks every few milliseconds, and files change its way only.
    time.sleep(0.05)
    replace(file, b"two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert cache.digest(file) != first


def test_the_digest_of_a_file_that_has_just_changed_is_not_remembered(tmp_path):
    cache, file = Cache(tmp_path / "cache"), tmp_path / "file"
    file.write_bytes(b"one")
    cache.digest(file)
    assert not (tmp_path / "cache" / "digests").exists()


def test_where_times_tell_nothing_files_are_read(tmp_path, monkeypatch):
    settle(monkeypatch)
    monkeypatch.setattr("infer_torchvision_resnext.cache.STAMPS_TELL", False)
    monkeypatch.setattr("infer_torchvision_resnext.cache.stamp_of", lambda file: (3, 1, 1, 1, 1))
    cache, file = Cache(tmp_path / "cache"), tmp_path / "file"
    file.write_bytes(b"one")
    first = cache.digest(file)
    file.write_bytes(b"two")
    assert cache.digest(file) != first


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs a small disk, which root can make")
def test_a_full_disk_costs_only_time(tmp_path):
    code = """
import sys
from pathlib import Path
from infer_torchvision_resnext.cache import Cache
cache = Cache(Path(sys.argv[1]) / "cache")
for number in range(2):
    place = cache.entry("models", str(number), lambda folder: (folder / "file").write_bytes(bytes(200_000)))
    print((place / "file").stat().st_size, place.is_relative_to(sys.argv[1]), cache.notes)
"""
    command = ["sh", "-c", 'mount -t tmpfs -o size=100k tmpfs "$0" && exec "$@"', str(tmp_path)]
    done = subprocess.run(
        ["unshare", "--mount", *command, sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert [line.split(" ", 2)[:2] for line in lines] == 2 * [["200000", "False"]], done.stderr
    assert lines[0].count("has no room (No space left on device): nothing is kept for later") == 1


def test_the_least_recently_used_goes_first_when_the_bound_is_reached(tmp_path):
    cache = Cache(tmp_path, max_bytes=2500)
    for age, key in enumerate("abc"):
        cache.entry("models", key, write(bytes(1000)))
        place = tmp_path / "models" / key
        if place.exists():
            os.utime(place, (1000 + age, 1000 + age))
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["b", "c"]
    cache.entry("models", "b", write(b""))
    cache.entry("models", "d", write(bytes(1000)))
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["b", "d"]


def test_an_entry_larger_than_the_bound_is_kept_while_it_is_needed(tmp_path):
    assert (Cache(tmp_path, max_bytes=10).entry("models", "a", write(bytes(100))) / "file").is_file()


def fill_slowly(folder, number, results):
    def fill(draft):
        (draft / "one").write_bytes(b"same")
        time.sleep(0.3)
        (draft / "two").write_bytes(b"same")

    place = Cache(Path(folder)).entry("models", "a", fill)
    results.put((number, sorted(path.name for path in place.iterdir() if not path.name.startswith("."))))


def test_two_processes_may_fill_the_same_entry_at_once(tmp_path):
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    results = context.Queue()
    workers = [context.Process(target=fill_slowly, args=(str(tmp_path), number, results)) for number in range(3)]
    for worker in workers:
        worker.start()
    answers = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(answers) == [(number, ["one", "two"]) for number in range(3)]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["a"]


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file" / "cache")
    assert (cache.entry("models", "a", write(b"x")) / "file").read_bytes() == b"x"
    assert "cannot be written, nothing will be kept for later" in caplog.text


def test_keys_tell_facts_apart():
    assert key_of("a", 1) == key_of("a", 1)
    assert key_of("a", "b") != key_of("ab", "")
