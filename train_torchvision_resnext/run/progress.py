"""How a training tells what it does, and how it is asked to end: by the host's Stop, Ctrl-C, or SIGTERM."""

import itertools
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from typing_extensions import Self

from ..resnext.machine.printable import shown

AUDITED, FEATURES_READ, TRAINED = 0.05, 0.5, 0.95
"""Shares of the progress bar at which the images are checked, features are computed, where they are, and the epochs
are over."""

HEARD = (signal.SIGINT, signal.SIGTERM)
ALREADY_ENDING = "second interrupt: exiting immediately"

Row = dict[str, float]
"""What is known of an epoch."""


class StopRequestedError(Exception):
    """The user wants training to end."""


class TrainingError(RuntimeError):
    """Training cannot begin, or broke off. `problems` holds a sentence for each cause."""

    def __init__(self, problems: list[str]) -> None:
        # Paths and classes are named in them, and a terminal would obey what these hold.
        self.problems = tuple("\n".join(map(shown, problem.splitlines())) for problem in problems)
        super().__init__("\n".join(self.problems))


@dataclass
class Listener:
    """Who is told how training goes, and asked whether to go on.

    Attributes:
        begins: is told the run's folder, new or resumed, and the network's name before the first epoch.
        progress: is told the share of the whole work that is done, in [0, 1], never falling.
        stop_requested: is asked after every batch: end, and evaluate the best epoch.
        end_requested: is asked while the model is evaluated, and true from the second request on: end at once.
        epoch: is told the metrics of each epoch.
        say: is told, in a sentence each, what the user should know, a line on each epoch included.
    """

    begins: Callable[[Path, str], None] = lambda run, network: None
    progress: Callable[[float], None] = lambda done: None
    stop_requested: Callable[[], bool] = lambda: False
    end_requested: Callable[[], bool] = lambda: False
    epoch: Callable[[Row], None] = lambda row: None
    say: Callable[[str], None] = lambda sentence: None

    def check(self) -> None:
        """Raises: StopRequestedError."""
        if self.stop_requested():
            raise StopRequestedError

    def counting(
        self, begin: float, end: float, total: int, check: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        """To be called after each of `total` parts of a work: tells the progress, from `begin` to `end`, and checks.

        Args:
            check: in the place of `check`.
        """
        numbers = itertools.count(1)

        def on_part() -> None:
            self.progress(begin + (end - begin) * min(1.0, next(numbers) / total))
            (check or self.check)()

        return on_part


@dataclass(frozen=True)
class TimeLimit:
    """How long a training may take; 0 minutes = without a limit. `began` is a time of `time.monotonic`."""

    minutes: float
    began: float

    @classmethod
    def from_now(cls, minutes: float) -> Self:
        return cls(minutes, time.monotonic())

    @property
    def is_over(self) -> bool:
        return self.minutes > 0 and time.monotonic() - self.began >= 60 * self.minutes


class Signals:
    """While it is entered, the first Ctrl-C or SIGTERM is noted and asks training to end; a second one acts at once.

    Without it either would break off a step, and hours of training would be lost. Only the main thread is told of
    signals; entered in another one, as in STUDIO, it hears none.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # A handler that was not set in Python cannot be put back, and is left alone.
            found = {number: signal.getsignal(number) for number in HEARD}
            self._before = {number: handler for number, handler in found.items() if handler is not None}
            for number in self._before:
                signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what getsignal gave
        self._before = {}

    @property
    def name(self) -> str:
        """What a person calls the signal that was received; empty without one."""
        if self.received is None:
            return ""
        return "Ctrl-C" if self.received is signal.SIGINT else self.received.name

    def act(self, message: str) -> None:
        """Let what was received do what it would have done, now that nothing can be lost by it. Call it when left.

        Raises:
            KeyboardInterrupt: Ctrl-C was received; with the message.
        """
        if self.received is signal.SIGINT and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise KeyboardInterrupt(message)
        if self.received is not None:
            signal.raise_signal(self.received)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
            return
        self.__exit__()
        if number == signal.SIGINT:
            raise KeyboardInterrupt(ALREADY_ENDING)
        signal.raise_signal(number)
