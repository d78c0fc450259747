"""OpenVINO and NNCF without the reports of their use."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

REPORTER = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import OpenVINO or NNCF within it: they then take their own way without the package that reports.

    With it, the import alone writes an id of the user into the home and looks for a connection to an analytics host.
    """
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == REPORTER}
    for name in before:
        del sys.modules[name]
    # This is how an import is made to fail as if the package were missing.
    sys.modules[REPORTER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[REPORTER]
        sys.modules.update(before)
