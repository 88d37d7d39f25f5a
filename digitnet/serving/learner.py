"""`Learner`: the server's reader learns from the corrections while the server runs."""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import anyio.to_thread

from digitnet.errors import DigitNetError, ModelError, SaveError
from digitnet.files import write_atomically
from digitnet.reading.digit_reader import Sight
from digitnet.serving.corrections import Correction, Corrections
from digitnet.serving.workers import Workers

PATIENCE_SECONDS = 10.0  # an answer waits no longer for a lesson
MOST = 1000  # corrections that a lesson learns from, the last ones
TAUGHT = "taught.onnx"  # what the last lesson taught, beside the corrections
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
    forgotten, and a new label replaces the old one. What the last lesson taught is kept in the folder and used at once
    when a server starts. The first lesson of the new server, which may take a minute, goes on beside its requests.

    Attributes:
        reader: with the model that lessons start from.
        sights: what that reader sees in the corrections that it has looked at, by their files.

    Raises SaveError if the table of corrections cannot be read.
    """

    def __init__(self, workers: Workers, corrections: Corrections) -> None:
        self.reader = workers.reader
        self.sights: dict[str, Sight] = {}
        self._workers = workers
        self._corrections = corrections
        self._taught = corrections.folder / TAUGHT
        self._turn = threading.Lock()
        self._next: asyncio.Task[Learned] | None = None  # the lesson that has not begun yet
        if corrections.all():
            with contextlib.suppress(OSError, ModelError):  # there is none, or it is of another model
                workers.reader = self.reader.taught(self._taught.read_bytes())
        threading.Thread(target=self._learn, daemon=True).start()

    async def learn(self) -> Learned:
        """What was learnt after a change of the corrections. Changes during one lesson share the next one."""
        if self._next is None:
            self._next = asyncio.create_task(anyio.to_thread.run_sync(self._learn))
        lesson = self._next
        await asyncio.wait([lesson], timeout=PATIENCE_SECONDS)  # goes on if the request is over or the time is
        return lesson.result() if lesson.done() else Learned(None, STILL_LEARNING)

    def _learn(self) -> Learned:
        with self._turn:
            self._next = None  # what changes from now on may be too late for this lesson
            corrections = self._corrections.all()[-MOST:]
            reader, model, learned = self.reader, None, Learned(len(corrections), None)
            if corrections:
                try:
                    labels = [correction.label for correction in corrections]
                    lesson = self.reader.teach(self._sights_of(corrections), labels, at_once=True)
                except DigitNetError as error:  # a picture that a user put there, for example
                    learned = Learned(None, str(error))
                else:
                    reader, model = self.reader.taught(lesson), lesson.model
                    if lesson.reason is not None:
                        learned = Learned(None, lesson.reason)
            self._workers.reader = reader  # requests that are being read end with the reader that they began with
            with contextlib.suppress(OSError, SaveError):  # then the next server learns it anew
                if model is None:
                    self._taught.unlink(missing_ok=True)
                else:
                    write_atomically(self._taught, model)
            return learned

    def _sights_of(self, corrections: Sequence[Correction]) -> list[Sight]:
        files = [correction.file for correction in corrections]
        for forgotten in self.sights.keys() - set(files):
            del self.sights[forgotten]
        for file in files:
            if file not in self.sights:
                self.sights[file] = self.reader.sight(self._corrections.folder / file)
        return [self.sights[file] for file in files]
