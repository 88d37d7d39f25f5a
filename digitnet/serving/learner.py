"""`Learner`: the server's reader learns from the corrections while the server runs."""

import asyncio
import functools
from dataclasses import dataclass

import anyio.to_thread

from digitnet.errors import DigitNetError
from digitnet.serving.corrections import Corrections
from digitnet.serving.workers import Workers

PATIENCE_SECONDS = 10.0  # an answer waits no longer for a lesson
REMEMBERED = 1000  # pictures that need not be looked at again for the next lesson
STILL_LEARNING = "the lesson is still being learnt; this takes longer with many corrections"


@dataclass(frozen=True)
class Learned:
    """What the server learnt from the corrections that it has.

    Attributes:
        learned_from: how many corrections the next reading has learnt from; None if it has learnt from none of them.
        reason: why it has not learnt; None if it has, or if the server does not learn.
    """

    learned_from: int | None
    reason: str | None


NOT_LEARNING = Learned(None, None)


class Learner:
    """Teaches the reader of `workers` what the folder of corrections holds, now and after each change.

    A lesson always starts from the same model and from all corrections in the folder. So a deleted correction is
    forgotten, and a new label replaces the old one.

    Raises SaveError if the table of corrections cannot be read.
    """

    def __init__(self, workers: Workers, corrections: Corrections) -> None:
        self._base = workers.reader
        self._sight = functools.lru_cache(REMEMBERED)(self._base.sight)
        self._workers = workers
        self._corrections = corrections
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Learned] | None = None  # the lesson that has not begun yet
        self._learn()

    async def learn(self) -> Learned:
        """What was learnt after a change of the corrections. Changes during one lesson share the next one."""
        if self._next is None:
            self._next = asyncio.create_task(self._lesson())
        lesson = self._next
        await asyncio.wait([lesson], timeout=PATIENCE_SECONDS)  # goes on if the request is over or the time is
        return lesson.result() if lesson.done() else Learned(None, STILL_LEARNING)

    async def _lesson(self) -> Learned:
        async with self._turn:
            self._next = None  # what changes from now on may be too late for this lesson
            return await anyio.to_thread.run_sync(self._learn)

    def _learn(self) -> Learned:
        corrections = self._corrections.all()
        reader, learned = self._base, Learned(len(corrections), None)
        if corrections:
            try:
                sights = [self._sight(self._corrections.folder / correction.file) for correction in corrections]
                labels = [correction.label for correction in corrections]
                lesson = self._base.teach(sights, labels, at_once=True)
            except DigitNetError as error:  # a picture that a user put there, for example
                learned = Learned(None, str(error))
            else:
                reader = self._base.taught(lesson)
                if lesson.reason is not None:
                    learned = Learned(None, lesson.reason)
        self._workers.reader = reader  # requests that are being read end with the reader that they began with
        return learned
