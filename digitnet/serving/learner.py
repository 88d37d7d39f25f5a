"""`Learner`: the server's reader learns from the corrections while the server runs."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import anyio.to_thread

from digitnet.errors import DigitNetError, ImageError, ModelError, SaveError
from digitnet.files import checksum, write_atomically
from digitnet.reader import Reader
from digitnet.reading.digit_reader import Sight
from digitnet.serving.corrections import Correction, Corrections
from digitnet.serving.workers import Workers

PATIENCE_SECONDS = 10.0  # an answer waits no longer for a lesson
MOST = 1000  # corrections that a lesson learns from, the last ones
TAUGHT = "taught.onnx"  # what the last lesson taught, beside the corrections
LEARNT = "taught.json"  # the checksum of that file, and the labels that it learnt from, by their files
STILL_LEARNING = "the lesson is still being learnt; this takes longer with many corrections"


@dataclass(frozen=True)
class Learned:
    """What the server learnt from the corrections that it has.

    Attributes:
        learned_from: how many corrections the next reading has learnt from; None if it has learnt from none of them.
        reason: why it has not learnt from all of them; None if it has, or if the server does not learn.
    """

    learned_from: int | None
    reason: str | None


NOT_LEARNING = Learned(None, None)


class Learner:
    """Teaches the reader of `workers` what the folder of corrections holds, now and after each change.

    A lesson always starts from the same model and from all corrections in the folder. So a deleted correction is
    forgotten, and a new label replaces the old one. If the lesson is refused, what earlier lessons learnt from
    corrections that are still there stays. What the last lesson taught is kept in the folder and used at once when a
    server starts. The first lesson of the new server, which may take a minute, goes on beside its requests.

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
        self._learnt: dict[str, int] = {}  # the labels that the reader of `workers` learnt from, by their files
        self._refused: set[tuple[str, int]] = set()  # files and labels that no lesson could learn from
        self._turn = threading.Lock()
        self._next: asyncio.Task[Learned] | None = None  # the lesson that has not begun yet
        if corrections.all():
            with contextlib.suppress(OSError, ModelError):  # there is none, or it is of another model
                content = self._taught.read_bytes()
                workers.reader = self.reader.taught(content)
                self._learnt = self._noted(content)
        threading.Thread(target=self._learn, daemon=True).start()

    async def learn(self, patience: float = PATIENCE_SECONDS) -> Learned:
        """What was learnt after a change of the corrections. Changes during one lesson share the next one.

        Args:
            patience: seconds to wait for the lesson, at most `PATIENCE_SECONDS`; it goes on afterwards.
        """
        if self._next is None:
            self._next = asyncio.create_task(anyio.to_thread.run_sync(self._learn))
        lesson = self._next
        await asyncio.wait([lesson], timeout=min(patience, PATIENCE_SECONDS))  # goes on if the request is over
        return lesson.result() if lesson.done() else Learned(None, STILL_LEARNING)

    def _learn(self) -> Learned:
        with self._turn:
            self._next = None  # what changes from now on may be too late for this lesson
            everything, reason = self._readable(self._corrections.all()[-MOST:])
            for attempt in self._attempts(everything):
                labels = {one.file: one.label for one in attempt}
                if labels and labels == self._learnt:
                    break  # the reader has learnt this already
                reader, model, refusal = self._lesson(attempt)
                reason = reason or refusal
                if reader is not None:
                    self._workers.reader = reader  # requests in flight end with the reader that they began with
                    self._learnt = labels
                    self._save(model)
                    break
            self._refused = {(one.file, one.label) for one in everything if one.file not in self._learnt}
            return Learned(len(self._learnt) if self._learnt or reason is None else None, reason)

    def _attempts(self, everything: list[Correction]) -> Iterator[list[Correction]]:
        """What to learn from: everything or, where that is refused, less."""
        tried = None
        for attempt in (
            everything,
            [one for one in everything if (one.file, one.label) not in self._refused],
            [one for one in everything if self._learnt.get(one.file) == one.label],
            [],
        ):
            if attempt != tried:
                yield attempt
            tried = attempt

    def _lesson(self, corrections: Sequence[Correction]) -> tuple[Reader | None, bytes | None, str | None]:
        """The reader that learnt from the corrections, and its model; or None, and why the lesson was refused."""
        if not corrections:
            return self.reader, None, None
        sights = [self.sights[one.file] for one in corrections]
        try:
            lesson = self.reader.teach(sights, [one.label for one in corrections], at_once=True)
        except DigitNetError as error:
            return None, None, str(error)
        if lesson.reason is not None:
            return None, None, lesson.reason
        return self.reader.taught(lesson), lesson.model, None

    def _readable(self, corrections: Sequence[Correction]) -> tuple[list[Correction], str | None]:
        """The corrections whose `sights` are there now, and why another one, which a user put there, has none."""
        for forgotten in self.sights.keys() - {one.file for one in corrections}:
            del self.sights[forgotten]
        reason = None
        for file in (one.file for one in corrections if one.file not in self.sights):
            try:
                self.sights[file] = self.reader.sight(self._corrections.folder / file)
            except ImageError as error:
                reason = str(error)
        return [one for one in corrections if one.file in self.sights], reason

    def _save(self, model: bytes | None) -> None:
        """Keeps the model for the next server, with a note of what it learnt from."""
        note = self._corrections.folder / LEARNT
        with contextlib.suppress(OSError, SaveError):  # then the next server learns it anew
            if model is None:
                self._taught.unlink(missing_ok=True)
                note.unlink(missing_ok=True)
            else:
                write_atomically(self._taught, model)
                write_atomically(note, json.dumps({"model": checksum(model), "labels": self._learnt}).encode())

    def _noted(self, model: bytes) -> dict[str, int]:
        """What the kept model learnt from; nothing where the note is of another model or damaged."""
        try:
            note = json.loads((self._corrections.folder / LEARNT).read_bytes())
            return dict(note["labels"]) if note["model"] == checksum(model) else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
