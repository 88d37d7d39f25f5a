"""The threads that read pictures beside the event loop.

Small pictures of one digit are read in batches. Pages and large pictures have a thread of their own, and so have
pictures that take seconds, so that nobody with a small picture waits for them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

import anyio.to_thread

from digitnet.errors import CancelledError, ImageError
from digitnet.reader import Reader
from digitnet.reading.digit_reader import Examination
from digitnet.reading.load import size
from digitnet.reading.work import IsCancelled
from digitnet.serving.guard import Limits
from digitnet.serving.problem import Problem
from digitnet.serving.upload import Upload

QUICK_BYTES = 2**18  # a larger file may take long to open
QUICK_PIXELS = 2**17  # a larger picture of one digit takes longer than many small ones
HEAVY_PIXELS = 16 * 10**6  # a larger picture may take seconds
MAX_BATCH = 16
TOO_MANY = "the server is working on too many requests; try again in a moment"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Reads the pictures of requests on a few threads, and limits how many requests there are.

    Attributes:
        reader: reads the pictures; another one may take its place at any time.
        in_flight: requests that are being worked on or wait for a thread.
    """

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self.reader = reader
        self._limits = limits
        self._batches = Batches(self._examine_small, MAX_BATCH)
        self._slow = Lane(max(1, limits.requests // 2))
        self._heavy = Lane(max(1, limits.requests // 8))
        self.in_flight = 0

    async def examine(self, pictures: Sequence[Upload]) -> list[Examination | ImageError]:
        """The one digit of each picture of a request, or the error of a picture that cannot be read.

        Raises Problem if there are too many requests or if the request takes too long.
        """
        async with self._request() as is_cancelled:

            def examine(picture: Upload) -> Examination:
                return self.reader.examine(picture.content, name=picture.name, is_cancelled=is_cancelled)

            examinations = await self._batches.run(pictures)
            return [
                await self._run_slow(picture, examine) if examination is None else examination
                for picture, examination in zip(pictures, examinations, strict=True)
            ]

    async def run(
        self, pictures: Sequence[Upload], work: Callable[[Upload, IsCancelled], Result]
    ) -> list[Result | ImageError]:
        """The result of `work` for each picture of a request, or the error of a picture that cannot be read.

        Args:
            work: gets the picture and a function that says whether the request's time is over. It raises
                `errors.CancelledError` in that case.

        Raises Problem if there are too many requests or if the request takes too long.
        """
        async with self._request() as is_cancelled:
            return [await self._run_slow(picture, lambda picture: work(picture, is_cancelled)) for picture in pictures]

    @contextlib.asynccontextmanager
    async def _request(self) -> AsyncIterator[IsCancelled]:
        """Counts one request while the block runs, and cancels the block when the request's time is over."""
        if self.in_flight >= self._limits.requests:
            raise Problem(503, TOO_MANY)
        self.in_flight += 1
        try:
            with anyio.move_on_after(self._limits.seconds) as scope, contextlib.suppress(CancelledError):
                yield lambda: scope.cancel_called
                return
        finally:
            self.in_flight -= 1
        raise Problem(503, f"this took longer than {self._limits.seconds:g} seconds; try again, or send less")

    async def _run_slow(self, picture: Upload, work: Callable[[Upload], Result]) -> Result | ImageError:
        def unless_heavy() -> Result | None:
            width, height = size(picture.content, picture.name, self._limits.pixels)
            return None if width * height > HEAVY_PIXELS else work(picture)

        try:
            result = await self._slow.run(unless_heavy)
            return await self._heavy.run(lambda: work(picture)) if result is None else result
        except ImageError as error:
            return error

    def _examine_small(self, pictures: list[Upload]) -> list[Examination | ImageError | None]:
        """The digit of each picture that is quick to read; None for a large picture."""
        looked_at = [self._if_quick(picture) for picture in pictures]
        quick = [one for one in looked_at if isinstance(one, Upload)]
        examined = self.reader.examine_many([one.content for one in quick], [one.name for one in quick])
        return [next(examined) if isinstance(one, Upload) else one for one in looked_at]

    def _if_quick(self, picture: Upload) -> Upload | ImageError | None:
        """The picture if it is quick to read; None if it is not; the error if it cannot be read."""
        if len(picture.content) > QUICK_BYTES:
            return None
        try:
            width, height = size(picture.content, picture.name, self._limits.pixels)
        except ImageError as error:
            return error
        return picture if width * height <= QUICK_PIXELS else None


class Lane:
    """Runs one piece of work at a time, on a thread.

    A piece that runs is waited for even if its request is cancelled, so no two large pictures are in memory at once.

    Args:
        places: how many pieces of work may be here, including the one that runs.
    """

    def __init__(self, places: int) -> None:
        self._limiter = anyio.CapacityLimiter(1)
        self._places = places
        self._taken = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`. Raises Problem if all places are taken."""
        if self._taken >= self._places:
            raise Problem(503, TOO_MANY)
        self._taken += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._taken -= 1


class Batches(Generic[Item, Result]):
    """A thread for small work that is quicker together: while one batch runs, the next one gathers.

    Args:
        work: gives one result for each item, in order.
        most: items in a batch.
    """

    def __init__(self, work: Callable[[list[Item]], list[Result]], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._busy = False

    async def run(self, items: Sequence[Item]) -> list[Result]:
        """The results of `work` for the items, in order.

        At most one batch of them waits at a time, so that a long list lets others in between.
        """
        results: list[Result] = []
        for start in range(0, len(items), self._most):
            batch = items[start : start + self._most]
            futures = [asyncio.get_running_loop().create_future() for _ in batch]
            self._waiting.extend(zip(batch, futures, strict=True))
            if not self._busy:
                self._start_next()
            results += await asyncio.gather(*futures)
        return results

    def _start_next(self) -> None:
        waiting = [(item, future) for item, future in self._waiting if not future.cancelled()]
        batch, self._waiting = waiting[: self._most], waiting[self._most :]
        self._busy = bool(batch)
        if batch:
            done = asyncio.get_running_loop().run_in_executor(None, self._work, [item for item, _ in batch])
            done.add_done_callback(lambda done: self._finish([future for _, future in batch], done))

    def _finish(self, futures: list[asyncio.Future[Result]], done: asyncio.Future[list[Result]]) -> None:
        for place, future in enumerate(futures):
            if future.done():
                continue  # the time of its request is over
            if error := done.exception():
                future.set_exception(error)
            else:
                future.set_result(done.result()[place])
        self._start_next()
