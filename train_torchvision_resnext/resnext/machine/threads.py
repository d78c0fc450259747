"""Keep OpenMP's teams of threads at the size that torch's kernels count on.

Importing Ikomia (0.16.1) loads a library that turns on OpenMP's dynamic adjustment: on a machine under load, parallel
regions then get fewer threads than asked for. oneDNN's kernels divide their work beforehand: parts of it are left
undone, which gives wrong numbers, or threads that never come are waited for, and the pass hangs for ever.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fixed_threads() -> Iterator[None]:
    """Switch the adjustment off in this thread, and back to what it was afterwards. Needed around torch on a CPU."""
    openmp = _openmp()
    if openmp is None:
        yield
        return
    before = openmp.omp_get_dynamic()
    openmp.omp_set_dynamic(0)
    try:
        yield
    finally:
        openmp.omp_set_dynamic(before)


def _openmp() -> ctypes.CDLL | None:
    """GNU's OpenMP where it is loaded already, whichever package brought it; torch uses that one."""
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return None


def core_count(threads: int = 0) -> int:
    """Threads to use: as many as asked for; 0 = the cores that this process may use."""
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
