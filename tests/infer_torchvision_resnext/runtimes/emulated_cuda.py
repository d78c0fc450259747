"""CUDA's streams and graphs on the CPU: what is recorded is replayed, operation by operation, at the same addresses."""

import threading

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class EmulatedCuda:
    """Takes the place of the calls in `torch.cuda` that record graphs.

    Attributes:
        pools: of each recording, where its memory comes from.
        records_nothing: as on a GPU whose stream is another device's.
    """

    def __init__(self, device):
        self.device = device
        self.pools = []
        self.records_nothing = False
        self._recording = False
        self._current = threading.local()
        self._default = _Stream(device)
        self._first_devices = _Stream(torch.device("cuda", 0))

    def install(self, monkeypatch):
        for name in ("Stream", "CUDAGraph", "current_stream", "stream", "graph", "graph_pool_handle"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def Stream(self, device=None):  # noqa: N802
        return _Stream(device or torch.device("cuda", 0))

    def CUDAGraph(self):  # noqa: N802
        return _Graph()

    def current_stream(self, device=None):
        return getattr(self._current, "stream", self._default)

    def set_stream(self, stream):
        self._current.stream = stream

    def stream(self, stream):
        return _On(self, stream)

    def graph_pool_handle(self):
        return object()

    def graph(self, graph, pool=None, stream=None, capture_error_mode="global"):
        assert capture_error_mode == "thread_local"
        self.pools.append(pool)
        return _Recording(self, graph, stream or self._first_devices)


class _Stream:
    def __init__(self, device):
        self.device = device

    def wait_stream(self, other):
        assert other.device == self.device


class _On:
    def __init__(self, cuda, stream):
        self.cuda, self.to = cuda, stream

    def __enter__(self):
        self.before = self.cuda.current_stream()
        self.cuda.set_stream(self.to)

    def __exit__(self, *error):
        self.cuda.set_stream(self.before)


class _Graph:
    def __init__(self):
        self.calls = []

    def replay(self):
        for function, args, kwargs, results in self.calls:
            for kept, new in zip(tree_leaves(results), tree_leaves(function(*args, **kwargs)), strict=True):
                kept.copy_(new)


class _Recorder(TorchDispatchMode):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, results))
        return results


class _Recording:
    """As `torch.cuda.graph`: after an error the thread stays on the stream of the recording."""

    def __init__(self, cuda, graph, stream):
        self.cuda, self.on = cuda, _On(cuda, stream)
        empty = cuda.records_nothing or stream.device != cuda.device
        self.recorder = _Recorder([] if empty else graph.calls)

    def __enter__(self):
        if self.cuda._recording:
            raise RuntimeError("CUDA error: a recording is under way")
        self.cuda._recording = True
        self.on.__enter__()
        self.recorder.__enter__()

    def __exit__(self, kind, error, traceback):
        self.recorder.__exit__(kind, error, traceback)
        self.cuda._recording = False
        if kind is None:
            self.on.__exit__()
