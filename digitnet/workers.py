"""Where the server's work is done: threads beside the event loop, few enough, with short queues.

Slow work has threads of its own, so that nobody who asks for a small picture waits for it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from digitnet.problem import Problem

Result = TypeVar("Result")


class Lane:
    """Threads for one kind of work.

    Args:
        threads: that work at once.
        places: how many pieces of work may be there, those that wait included.
    """

    def __init__(self, threads: int, places: int) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._places = places
        self._taken = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` gives. Raises Problem where no place is left."""
        with self.place():
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        if self._taken >= self._places:
            raise Problem(503, "too many requests are being worked on; try again in a moment")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Workers:
    """The lanes: `quick` for small pictures, `pages` for pages and photos, `heavy` for what takes seconds.

    Args:
        requests: how many may be worked on or wait at once.
        seconds: how long one may take.
    """

    def __init__(self, requests: int, seconds: float) -> None:
        self.quick = Lane(os.cpu_count() or 1, requests)
        self.pages = Lane(1, max(1, requests // 2))
        self.heavy = Lane(1, max(1, requests // 8))
        self._requests = requests
        self._seconds = seconds
        self.in_flight = 0

    @contextlib.asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Holds a place for one request while the block runs, and ends it when its time is over."""
        if self.in_flight >= self._requests:
            raise Problem(503, "too many requests are being worked on; try again in a moment")
        self.in_flight += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise Problem(503, f"this took longer than {self._seconds:g} seconds; try again, or with less") from None
        finally:
            self.in_flight -= 1

    def close(self) -> None:
        for lane in (self.quick, self.pages, self.heavy):
            lane.close()
