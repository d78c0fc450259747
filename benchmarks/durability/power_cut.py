"""What a power cut leaves of files, of a bulk job and of a training, on a real file system.

`python -m benchmarks.durability.power_cut [COMMIT ...]`, as root on Linux; each COMMIT is an earlier version to compare
with. The command works on ext4 in a file. The file system is then shut down without writing its journal, as when the
power fails, and mounted again: what had not reached the disk is lost. Then the same command runs once more.
"""

import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.against import checked_out
from benchmarks.durability.works import Work, make_bulk_work, make_files_work, make_training_work
from benchmarks.table import markdown
from examples.ikomia_home import REPOSITORY, use_own_home

SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
"""EXT4_IOC_SHUTDOWN."""
WITHOUT_JOURNAL = 2
DISK_BYTES = 2**30
COMMITTED_S = 8
"""ext4 commits names every 5 s, and allocates contents up to 30 s later: in between, files are there and empty."""


class Disk:
    """An ext4 file system of its own, mounted at `place`."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        self._mount()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.place], check=True)
        if not self.place.is_mount():
            raise OSError(f"{self.place} is no file system of its own")

    def cut(self) -> None:
        """Everything that has not reached the disk is lost, and nothing more reaches it."""
        handle = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", WITHOUT_JOURNAL))
        finally:
            os.close(handle)

    def restart(self) -> None:
        self.close()
        self._mount()

    def close(self) -> None:
        # What the command has started may take a moment to end.
        for last in (False, False, False, True):
            if subprocess.run(["umount", self.place], check=last).returncode == 0:
                return
            time.sleep(1)


def main(commits: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for each version, work and moment. Raises: OSError, CalledProcessError: no file system can be mounted."""
    use_own_home()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        versions = {"now": REPOSITORY}
        for commit in commits:
            checked_out(REPOSITORY, commit, versions.setdefault(commit, Path(scratch) / commit))
        for version, tree in versions.items():
            rows += [
                {"version": version, **interrupt(make_files_work(), tree, seconds)} for seconds in (0, COMMITTED_S)
            ]
        works = (make_bulk_work(Path(scratch) / "images"), make_training_work(Path(scratch) / "digits"))
        for version, tree in versions.items():
            for work in works:
                for seconds in (None, 0, COMMITTED_S):
                    rows.append({"version": version, **interrupt(work, tree, seconds)})
                    print(rows[-1], file=sys.stderr)
    return rows


def interrupt(work: Work, tree: Path, seconds: int | None) -> dict[str, Any]:
    """Cut the power so long after the last file is there; None = in the middle of the work. Then let it go on."""
    with tempfile.TemporaryDirectory() as scratch:
        disk = Disk(Path(scratch) / "image", Path(scratch) / "disk")
        output = disk.place / "output"
        try:
            process = start(tree, work.arguments(output))
            is_ready = work.is_halfway if seconds is None else work.is_written
            while process.poll() is None and not is_ready(output):
                time.sleep(0.01)
            # The command itself may take longer to end, and the system to write on its own meanwhile.
            time.sleep(seconds or 0)
            disk.cut()
            process.kill()
            process.communicate()
            disk.restart()
            left = work.left(output)
            said = "" if work.name == "files" else finish(start(tree, work.arguments(output)))
            return {
                "what": work.name,
                "power cut": "in the middle" if seconds is None else f"{seconds} s after its last file",
                "left": left,
                "the same command says": said,
                "then": work.left(output) if said else "",
            }
        finally:
            disk.close()


def start(tree: Path, arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait for a command. Returns: the line that says what came of it."""
    lines = [line.strip() for line in process.communicate()[0].splitlines() if line.strip()]
    telling = [line for line in lines if "rows in" in line or line.startswith(("resume", "started"))]
    return (telling or lines or [""])[-1][-160:] + (f" (exit {process.returncode})" if process.returncode else "")


if __name__ == "__main__":
    print(markdown(main(sys.argv[1:])))
