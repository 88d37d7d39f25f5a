"""The learner, with a reader of the test's own; what a real one learns is tested in tests/teaching."""

import asyncio
import threading

import numpy as np
import pytest
from helpers import encoded

from digitnet.errors import ImageError, ModelError
from digitnet.serving import learner as module
from digitnet.serving.corrections import Corrections
from digitnet.serving.guard import Limits
from digitnet.serving.learner import Learned, Learner
from digitnet.serving.workers import Workers
from digitnet.teaching.lesson import Lesson, Tally

SEEN = np.zeros((28, 28), np.float32)
NONE = Tally(0, 0, 0, 0)


class Pupil:
    """Stands in for a reader: a taught one is the sorted labels that it learnt from."""

    def __init__(self, reason=None):
        self.reason, self.lessons, self.looked_at = reason, 0, []
        self.harmful = set()  # labels that no lesson may learn from
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()

    def sight(self, picture):
        assert picture.exists()
        if picture.read_bytes() == b"broken":
            raise ImageError("mine.png: not a picture")
        self.looked_at.append(picture.name)
        return picture

    def teach(self, sights, labels, *, at_once):
        assert at_once
        assert len(sights) == len(labels)
        self.lessons += 1
        self.begun.set()
        assert self.may_end.wait(10)
        if isinstance(self.reason, ImageError):
            raise self.reason
        reason = "it would do harm" if self.harmful & set(labels) else self.reason
        model = None if reason else bytes(sorted(labels))
        return Lesson(model, reason, len(labels), NONE, NONE, NONE, NONE)

    def taught(self, lesson):
        model = lesson.model if isinstance(lesson, Lesson) else lesson
        if model == b"of another model":
            raise ModelError("the lesson is of another model")
        return self if model is None else list(model)


@pytest.fixture
def folder(tmp_path):
    return Corrections(tmp_path)


@pytest.fixture
def keep(folder, seven):
    return lambda label: folder.keep(encoded(seven, "PNG"), SEEN, label)


def test_what_is_in_the_folder_at_the_start_is_learnt(folder, keep):
    keep(7)
    workers = Workers(Pupil(), Limits())
    asyncio.run(Learner(workers, folder).learn())
    assert workers.reader == [7]


def test_what_an_earlier_server_learnt_is_there_before_the_first_lesson_ends(folder, keep):
    keep(7)
    asyncio.run(Learner(Workers(Pupil(), Limits()), folder).learn())
    workers = Workers(slow := Pupil(), Limits())
    slow.may_end.clear()
    learner = Learner(workers, folder)
    assert workers.reader == [7]
    slow.may_end.set()
    asyncio.run(learner.learn())


@pytest.mark.parametrize("damaged", [None, b"of another model"])
def test_a_server_starts_without_what_an_earlier_one_learnt(folder, keep, damaged):
    keep(7)
    if damaged:
        (folder.folder / module.TAUGHT).write_bytes(damaged)
    workers = Workers(slow := Pupil(), Limits())
    slow.may_end.clear()
    learner = Learner(workers, folder)
    assert workers.reader is slow
    slow.may_end.set()
    asyncio.run(learner.learn())
    assert workers.reader == [7]


def test_nothing_that_was_taught_is_left_after_the_last_correction_is_deleted(folder, keep):
    learner = Learner(Workers(Pupil(), Limits()), folder)
    one = keep(7)
    asyncio.run(learner.learn())
    assert (folder.folder / module.TAUGHT).exists()
    folder.delete(one)
    asyncio.run(learner.learn())
    assert not (folder.folder / module.TAUGHT).exists()


def test_a_lesson_learns_from_the_last_corrections_only(folder, keep, monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    workers = Workers(Pupil(), Limits())
    for label in (1, 2, 3):
        keep(label)
    assert asyncio.run(Learner(workers, folder).learn()) == Learned(2, None)
    assert workers.reader == [2, 3]


def test_a_correction_that_was_just_looked_at_is_not_looked_at_again(folder, keep):
    learner = Learner(Workers(first := Pupil(), Limits()), folder)
    learner.sights[keep(7)] = "seen"
    asyncio.run(learner.learn())
    assert not first.looked_at


def test_each_change_starts_from_the_first_model_and_from_what_is_left(folder, keep):
    async def scenario():
        workers = Workers(first := Pupil(), Limits())
        learner = Learner(workers, folder)
        assert workers.reader is first
        one, two = keep(1), keep(2)
        assert (await learner.learn(), workers.reader) == (Learned(2, None), [1, 2])
        folder.relabel(two, 3)
        assert (await learner.learn(), workers.reader) == (Learned(2, None), [1, 3])
        folder.delete(one)
        assert (await learner.learn(), workers.reader) == (Learned(1, None), [3])
        folder.delete(two)
        assert (await learner.learn(), workers.reader) == (Learned(0, None), first)
        assert first.looked_at == [one, two]  # once each

    asyncio.run(scenario())


@pytest.mark.parametrize("reason", ["it would do harm", ImageError("mine.png: not a picture")])
def test_a_lesson_that_is_not_kept_leaves_the_first_model_and_says_why(folder, keep, reason):
    async def scenario():
        workers = Workers(first := Pupil(reason), Limits())
        learner = Learner(workers, folder)
        keep(1)
        assert await learner.learn() == Learned(None, str(reason))
        assert workers.reader is first

    asyncio.run(scenario())


def test_changes_during_a_lesson_share_the_next_one(folder, keep):
    async def scenario():
        workers = Workers(first := Pupil(), Limits())
        learner = Learner(workers, folder)
        first.may_end.clear()
        keep(0)
        early = asyncio.create_task(learner.learn())
        await asyncio.to_thread(first.begun.wait, 10)
        for label in range(1, 6):
            keep(label)
        late = [asyncio.create_task(learner.learn()) for _ in range(5)]
        first.may_end.set()
        assert await early == Learned(1, None)
        assert await asyncio.gather(*late) == [Learned(6, None)] * 5
        assert (first.lessons, workers.reader) == (2, [0, 1, 2, 3, 4, 5])

    asyncio.run(scenario())


def test_a_lesson_that_takes_long_is_not_waited_for_but_still_learnt(folder, keep, monkeypatch):
    async def scenario():
        workers = Workers(first := Pupil(), Limits())
        learner = Learner(workers, folder)
        first.may_end.clear()
        keep(4)
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
        learned = await learner.learn()
        assert learned.learned_from is None
        assert "still being learnt" in learned.reason
        assert workers.reader is first
        first.may_end.set()
        monkeypatch.undo()
        await learner.learn()
        assert workers.reader == [4]

    asyncio.run(scenario())


def test_a_refused_lesson_takes_nothing_from_what_was_learnt_before_and_after_it(folder, keep):
    async def scenario():
        workers = Workers(first := Pupil(), Limits())
        first.harmful = {9}
        learner = Learner(workers, folder)
        keep(1)
        two = keep(2)
        assert await learner.learn() == Learned(2, None)
        keep(9)
        assert (await learner.learn(), workers.reader) == (Learned(2, "it would do harm"), [1, 2])
        keep(3)
        assert (await learner.learn(), workers.reader) == (Learned(3, "it would do harm"), [1, 2, 3])
        folder.delete(two)
        assert (await learner.learn(), workers.reader) == (Learned(2, "it would do harm"), [1, 3])

    asyncio.run(scenario())


def test_what_was_learnt_before_a_refused_lesson_outlives_the_server(folder, keep):
    async def scenario():
        learner = Learner(Workers(Pupil(), Limits()), folder)
        keep(1)
        keep(2)
        await learner.learn()
        keep(9)
        workers = Workers(next_one := Pupil("it would do harm"), Limits())
        learner = Learner(workers, folder)
        assert (await learner.learn(), workers.reader) == (Learned(2, "it would do harm"), [1, 2])
        assert next_one.lessons

    asyncio.run(scenario())


def test_a_picture_that_cannot_be_read_keeps_no_other_from_being_learnt(folder, keep):
    workers = Workers(Pupil(), Limits())
    keep(1)
    (folder.folder / keep(2)).write_bytes(b"broken")
    assert asyncio.run(Learner(workers, folder).learn()) == Learned(1, "mine.png: not a picture")
    assert workers.reader == [1]
