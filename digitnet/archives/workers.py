"""Worker processes on one machine: each reads whole units and writes their parts by itself.

A process that dies costs the picture that killed it, and no other. Its unit is tried again in a new process, one
picture at a time. The picture at which that process dies, too, gets a row with an error. Where a process dies once more
at this picture, already getting it from the source is what kills. So the rest of the unit gets errors. Therefore no
process is started for ever.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait

from digitnet.archives.parts import Parts, Settings
from digitnet.archives.rows import Task
from digitnet.archives.sources import Item, Unit, items_or_errors, name_of
from digitnet.errors import DigitNetError, ImageError, SaveError
from digitnet.interruption import handled_by
from digitnet.reader import Reader

CHUNK = 256  # pictures that go to the reader together
CHUNK_BYTES = 2**24  # of their files, at most
KILLER = "reading this picture ends the process that reads it, so it was left out; look at it, or save it again"
START = -1  # the place in a unit before its first picture
DEADLY_SOURCE = "reading its source from here on ends the process that reads it; get the source again"


@dataclass(frozen=True)
class Work:
    """All that a process has to know.

    Attributes:
        settings: are written into each part.
    """

    reader: Reader
    task: Task
    parts: Parts
    settings: Settings


@dataclass(frozen=True)
class Progress:
    """News of a unit: more `pictures` are read, `errors` of them in vain. `is_written` where its part is there now."""

    pictures: int
    errors: int
    is_written: bool = False


@dataclass(frozen=True)
class Job:
    """A unit on its way.

    Attributes:
        is_suspect: a process has died on it.
        deaths: places in the unit where processes have died since then. Pictures there are left out.
        stop: the place in the unit from which on the source itself ends processes; None where it does not.
    """

    name: str
    unit: Unit
    is_suspect: bool = False
    deaths: frozenset[int] = frozenset()
    stop: int | None = None

    def after_death(self, place: int) -> "Job":
        """What is left to try after a process has died at a place in the unit, or at `START`.

        Raises SaveError where nothing is left.
        """
        if not self.is_suspect:
            return replace(self, is_suspect=True)
        if place not in self.deaths:
            return replace(self, deaths=self.deaths | {place})
        if place != START and place < len(self.unit):
            return replace(self, stop=place)
        moment = "starts" if place == START else "writes it"
        raise SaveError(
            f"{self.name}: cannot be made from {self.unit.source}, because its process dies whenever it {moment}; "
            "look for what ends it, such as too little memory, and give the same command again"
        )


class Pool:
    """Worker processes. They live until the `with` block ends.

    Args:
        work: what all of them do.
        count: how many there are.
    """

    def __init__(self, work: Work, count: int) -> None:
        self._work = work
        self._workers = [_Worker(work) for _ in range(count)]

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def run(
        self, jobs: Iterable[tuple[str, Unit]], is_stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[Progress]:
        """Works on units, and tells how it goes.

        Args:
            jobs: the parts' names and the units.
            is_stopped: asked before each unit. After a True, only the units under way are finished.

        Raises:
            DigitNetError: what stopped a worker, such as a full disk.
        """
        waiting = deque(Job(name, unit) for name, unit in jobs)
        while True:
            for worker in self._workers:
                if worker.job is None and waiting and not is_stopped():
                    worker.start(waiting.popleft())
            busy = {worker.pipe: place for place, worker in enumerate(self._workers) if worker.job}
            if not busy:
                return
            for pipe in wait(list(busy)):
                place = busy[pipe]  # type: ignore[index]
                worker = self._workers[place]
                try:
                    yield worker.news()
                except EOFError:
                    worker.end()
                    yield worker.withdrawn()
                    waiting.appendleft(worker.suspect())
                    self._workers[place] = _Worker(self._work)


class _Worker:
    """The parent's side of a process."""

    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("spawn")  # ONNX Runtime's threads do not survive a fork
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        # A Ctrl-C on the terminal reaches the process before it can ignore it.
        with handled_by(signal.SIG_IGN, [signal.SIGINT]):
            self._process.start()
        theirs.close()
        self.job: Job | None = None
        self._at = START
        self._pictures = self._errors = 0

    def start(self, job: Job) -> None:
        self.job, self._at, self._pictures, self._errors = job, START, 0, 0
        with contextlib.suppress(OSError):  # it died while it waited; `news` will say so
            self.pipe.send(job)

    def news(self) -> Progress:
        """The next message. Raises EOFError where the process has died, and the error that stopped it."""
        try:
            message = self.pipe.recv()
        except OSError as error:
            raise EOFError from error
        if isinstance(message, Exception):
            raise message
        if isinstance(message, int):
            self._at = message
            return Progress(0, 0)
        self._pictures += message.pictures
        self._errors += message.errors
        if message.is_written:
            self.job = None
        return Progress(message.pictures, message.errors, message.is_written)

    def withdrawn(self) -> Progress:
        """Takes back what was told of a unit that has to be done again."""
        return Progress(-self._pictures, -self._errors)

    def suspect(self) -> Job:
        """The job of a process that died, to be done again with more care.

        Raises SaveError where that makes no sense any more.
        """
        job, self.job = self.job, None
        if job is None:
            raise ValueError("this worker has no job")
        return job.after_death(self._at)

    def end(self) -> None:
        self.pipe.close()
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, work: Work) -> None:
    """What a worker process runs, until its parent ends."""
    import cv2
    import pyarrow as pa

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):  # the parent has gone
            return
        try:
            _do(pipe, work, job)
        except DigitNetError as error:
            _tell(pipe, error)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)


def _tell(pipe: Connection, news: Progress | int | DigitNetError) -> None:
    try:
        pipe.send(news)
    except OSError:  # the parent has gone; an OSError here must not be taken for one of a source
        os._exit(1)


def _do(pipe: Connection, work: Work, job: Job) -> None:
    """Reads a unit and writes its part. A suspect unit is read one picture at a time."""
    import pyarrow as pa

    tables = []
    place = 0
    items = _announced(pipe, job) if job.is_suspect else items_or_errors(job.unit)
    for batch in chunks(items, 1 if job.is_suspect or work.task.name == "read" else CHUNK):
        table = work.task.rows(work.reader, batch)
        tables.append(table)
        place += len(batch)
        _tell(pipe, Progress(len(batch), len(table) - table.column("error").null_count))
    work.parts.write(job.name, pa.concat_tables(tables), work.settings)
    _tell(pipe, Progress(0, 0, is_written=True))


def _announced(pipe: Connection, job: Job) -> Iterator[Item]:
    """The pictures of a suspect unit. The parent is told each place before the source is asked for it."""
    readable = len(job.unit) if job.stop is None else job.stop
    items = items_or_errors(job.unit, readable, DEADLY_SOURCE)
    for place in range(len(job.unit)):
        _tell(pipe, place)
        item = next(items)
        if place in job.deaths:
            item = item._replace(content=ImageError(f"{name_of(item)}: {KILLER}"))
        yield item
    _tell(pipe, len(job.unit))  # what comes now is writing


def chunks(items: Iterator[Item], most: int) -> Iterator[list[Item]]:
    """The pictures in batches that fit into memory."""
    batch: list[Item] = []
    total = 0
    for item in items:
        batch.append(item)
        total += len(item.content) if isinstance(item.content, bytes) else 0
        if len(batch) == most or total > CHUNK_BYTES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
