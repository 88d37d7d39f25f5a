"""Where the server's work is done: a few threads beside the event loop, with short queues.

Slow work has threads of its own, so that nobody who asks for a small picture waits for it.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from digitnet.serving.problem import Problem

TOO_MANY = "too many requests are being worked on; try again in a moment"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lane:
    """A thread for one kind of work.

    Args:
        places: how many pieces of work may be there, the one that is worked on included.
    """

    def __init__(self, places: int) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._places = places
        self._taken = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` gives. Raises Problem where no place is left."""
        if self._taken >= self._places:
            raise Problem(503, TOO_MANY)
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Drops what waits."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Batches(Generic[Item, Result]):
    """A thread for small work that is quicker done together: while it works on one batch, the next one gathers.

    Args:
        work: one result for each item, in order.
        most: items in a batch.
    """

    def __init__(self, work: Callable[[list[Item]], list[Result]], most: int) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._work = work
        self._most = most
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._busy = False

    async def run(self, item: Item) -> Result:
        """What `work` gives for the item."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if not self._busy:
            self._next()
        return await future

    def _next(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._most:
            item, future = self._waiting.popleft()
            if not future.cancelled():
                batch.append((item, future))
        self._busy = bool(batch)
        if batch:
            loop = asyncio.get_running_loop()
            done = loop.run_in_executor(self._thread, self._work, [item for item, _ in batch])
            done.add_done_callback(lambda done: self._tell([future for _, future in batch], done))

    def _tell(self, futures: list[asyncio.Future[Result]], done: asyncio.Future[list[Result]]) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        results = [] if error else done.result()
        for place, future in enumerate(futures):
            if future.done():
                continue  # its time was over
            if error:
                future.set_exception(error)
            else:
                future.set_result(results[place])
        self._next()

    def close(self) -> None:
        """Drops what waits."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Workers:
    """Lanes for `pages` and photos and for what is `heavy`, and the count of all requests.

    Args:
        requests: how many may be worked on or wait at once.
        seconds: how long one may take.
    """

    def __init__(self, requests: int, seconds: float) -> None:
        self.pages = Lane(max(1, requests // 2))
        self.heavy = Lane(max(1, requests // 8))
        self._requests = requests
        self._seconds = seconds
        self.in_flight = 0
        self.closing = contextlib.ExitStack()  # drops what still waits in the lanes
        for lane in (self.pages, self.heavy):
            self.closing.callback(lane.close)

    @contextlib.asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Holds a place for one request while the block runs, and ends it when its time is over."""
        if self.in_flight >= self._requests:
            raise Problem(503, TOO_MANY)
        self.in_flight += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise Problem(503, f"this took longer than {self._seconds:g} seconds; try again, or with less") from None
        finally:
            self.in_flight -= 1
