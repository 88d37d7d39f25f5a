"""Ctrl-C and SIGTERM during long work: stop soon, but only where everything is whole. Imports nothing heavy."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType

from digitnet.errors import DigitNetError

INTERRUPTED = 130  # the exit code that shells give a program ended by Ctrl-C


class StopTraining(Exception):
    """Ends training between two batches."""


class Interruption:
    """Listens to Ctrl-C and SIGTERM.

    Outside `deferred()` a signal raises KeyboardInterrupt at once. Inside, it only sets `requested`. Further signals do
    nothing then, even outside, because the program is about to end anyway.

    Attributes:
        requested: whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.requested = False
        self._is_deferred = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles both signals while the block runs, and restores the handlers of before afterwards."""
        with handled_by(self._handle):
            yield

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._is_deferred:
            raise KeyboardInterrupt


@contextlib.contextmanager
def handled_by(
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
    numbers: Collection[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
) -> Iterator[None]:
    """Sets the handler of some signals while the block runs, and restores those of before afterwards.

    Signals belong to the main thread; in another one, nothing is changed.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in numbers if is_main}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def exit_code_of(training: Callable[[Interruption], int]) -> int:
    """Runs a training and returns its exit code; says what ended it early."""
    interruption = Interruption()
    try:
        with interruption.listening():
            return training(interruption)
    except KeyboardInterrupt:
        print("\nInterrupted before training began; nothing was changed.", file=sys.stderr)
        return INTERRUPTED
    except DigitNetError as error:
        print(f"digitnet: {error}", file=sys.stderr)
        return error.exit_code
