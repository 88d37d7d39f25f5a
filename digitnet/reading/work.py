"""Work on many digits: shared out among threads, and stopped when its caller no longer waits for it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from digitnet.errors import CancelledError

IsCancelled = Callable[[], bool]


def raise_if(is_cancelled: IsCancelled | None) -> None:
    """Raises CancelledError where `is_cancelled` says True, as for a request that timed out."""
    if is_cancelled is not None and is_cancelled():
        raise CancelledError("reading the page was stopped, because its caller no longer waits for it; try again")


def share_out(
    work: Callable[[slice], None],
    count: int,
    share: int,
    is_cancelled: IsCancelled | None = None,
    *,
    threads: int | None = None,
) -> None:
    """Calls `work` with slices of 0 to `count`, at most `share` long, in threads where there are several slices.

    OpenCV, ONNX Runtime and numpy let other threads run while they compute.

    Args:
        threads: how many there may be; None for one on each core.

    Raises CancelledError where `is_cancelled`, which is asked before each slice, says True.
    """

    def run(slice_: slice) -> None:
        raise_if(is_cancelled)
        work(slice_)

    slices = [slice(start, min(start + share, count)) for start in range(0, count, share)]
    if len(slices) <= 1 or threads == 1:
        for one in slices:
            run(one)
        return
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        list(pool.map(run, slices))
