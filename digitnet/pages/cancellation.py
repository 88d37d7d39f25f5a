"""Stopping work that its caller no longer waits for, such as a request that timed out."""

from collections.abc import Callable

from digitnet.errors import CancelledError

IsCancelled = Callable[[], bool]


def raise_if(is_cancelled: IsCancelled | None) -> None:
    """Raises CancelledError where `is_cancelled` says True."""
    if is_cancelled is not None and is_cancelled():
        raise CancelledError("reading the page was stopped, because its caller no longer waits for it; try again")
