import asyncio
import threading
import time

import pytest
from helpers import encoded
from PIL import Image

from digitnet.errors import CancelledError, ImageError
from digitnet.serving.guard import Limits
from digitnet.serving.problem import Problem
from digitnet.serving.upload import Upload
from digitnet.serving.workers import Batches, Lane, Workers

SMALL = encoded(Image.new("L", (28, 28), 255), "PNG")
LARGE = encoded(Image.new("L", (400, 400), 255), "PNG")


class Recorder:
    """Stands in for a reader: its answers are the names of pictures, and it records which were read together."""

    def __init__(self):
        self.together = []

    def examine(self, source, *, name, is_cancelled):
        self.together.append([name])
        return name

    def examine_many(self, sources, names):
        self.together.append(list(names))
        return iter([ImageError(f"{name}: bad") if name == "bad" else name for name in names])


def uploads(*names):
    return [Upload(name, LARGE if name.startswith("large") else SMALL) for name in names]


def test_no_more_requests_are_let_in_than_there_are_places():
    release = threading.Event()

    class Waiting(Recorder):
        def examine_many(self, sources, names):
            release.wait()
            return super().examine_many(sources, names)

    async def scenario():
        workers = Workers(Waiting(), Limits(requests=2))
        working = [asyncio.create_task(workers.examine(uploads(name))) for name in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="try again") as refused:
            await workers.examine(uploads("c"))
        release.set()
        assert await asyncio.gather(*working) == [["a"], ["b"]]
        assert workers.in_flight == 0
        assert await workers.examine(uploads("c")) == ["c"]
        return refused.value

    refused = asyncio.run(scenario())
    assert (refused.status, refused.headers) == (503, {"Retry-After": "1"})


def test_work_whose_request_is_over_stops_so_that_nobody_waits_for_it():
    stopped = threading.Event()

    def work(picture, is_cancelled):
        while not is_cancelled():
            stopped.wait(0.001)
        stopped.set()
        raise CancelledError("stopped")

    async def scenario():
        workers = Workers(None, Limits(requests=2, seconds=0.01))
        with pytest.raises(Problem, match=r"longer than 0\.01 seconds") as late:
            await workers.run(uploads("slow"), work)
        assert stopped.is_set()
        assert workers.in_flight == 0
        assert await workers.run(uploads("next"), lambda picture, is_cancelled: picture.name) == ["next"]
        return late.value.status

    assert asyncio.run(scenario()) == 503


def test_a_large_picture_whose_request_is_over_is_not_read_to_its_end():
    class Slow(Recorder):
        def examine(self, source, *, name, is_cancelled):
            while not is_cancelled():
                time.sleep(0.001)
            self.together.append(name)
            raise CancelledError("stopped")

    async def scenario():
        workers = Workers(slow := Slow(), Limits(requests=2, seconds=0.05))
        with pytest.raises(Problem, match="longer than"):
            await workers.examine(uploads("large"))
        return slow.together

    assert asyncio.run(scenario())[-1] == "large"


def test_a_request_whose_time_is_over_does_not_wait_for_a_thread_any_longer():
    began, release = threading.Event(), threading.Event()

    def work(picture, is_cancelled):
        began.set()
        return release.wait()

    async def scenario():
        workers = Workers(None, Limits(requests=4, seconds=0.01))
        first = asyncio.create_task(workers.run(uploads("a"), work))
        await asyncio.to_thread(began.wait)
        with pytest.raises(Problem, match="longer than"):
            await workers.run(uploads("b"), lambda picture, is_cancelled: pytest.fail("its time was over"))
        release.set()
        assert await first == [True]  # late, but the answer is there

    asyncio.run(scenario())


def test_files_of_one_request_are_read_together_in_batches_and_answered_in_order():
    async def scenario():
        reader = Recorder()
        workers = Workers(reader, Limits())
        names = [f"{number}" for number in range(18)]
        assert await workers.examine(uploads(*names)) == names
        assert reader.together == [names[:16], names[16:]]
        one, bad, large, two = await workers.examine(uploads("1", "bad", "large", "2"))
        assert (one, str(bad), large, two) == ("1", "bad: bad", "large", "2")
        assert reader.together[2:] == [["1", "bad", "2"], ["large"]]

    asyncio.run(scenario())


def test_a_lane_takes_no_more_work_than_it_has_places():
    release = threading.Event()

    async def scenario():
        lane = Lane(places=2)
        working = [asyncio.create_task(lane.run(release.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="try again"):
            await lane.run(int)
        release.set()
        assert await asyncio.gather(*working) == [True, True]
        assert await lane.run(int) == 0

    asyncio.run(scenario())


def test_what_gathers_while_a_batch_is_worked_on_is_the_next_batch():
    first_began, release = threading.Event(), threading.Event()
    batches = []

    def squares(numbers):
        batches.append(numbers)
        first_began.set()
        release.wait(10)
        return [number**2 for number in numbers]

    async def scenario():
        lane = Batches(squares, most=3)
        asked = [asyncio.create_task(lane.run([number])) for number in range(6)]
        await asyncio.to_thread(first_began.wait)
        asked[2].cancel()  # the time of this request is over
        release.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return answers

    answers = asyncio.run(scenario())
    assert batches == [[0], [1, 3, 4], [5]]
    assert isinstance(answers.pop(2), asyncio.CancelledError)
    assert answers == [[0], [1], [9], [16], [25]]


def test_a_long_list_lets_others_in_between():
    batches = []

    def same(numbers):
        batches.append(numbers)
        return numbers

    async def scenario():
        lane = Batches(same, most=2)
        answers = await asyncio.gather(lane.run([1, 2, 3, 4, 5]), lane.run([9]))
        return answers

    assert asyncio.run(scenario()) == [[1, 2, 3, 4, 5], [9]]
    assert batches == [[1, 2], [9], [3, 4], [5]]


def test_an_error_in_a_batch_is_told_to_all_in_it_and_the_next_goes_on():
    def halves(numbers):
        return [10 // number for number in numbers]

    async def scenario():
        lane = Batches(halves, most=2)
        answers = await asyncio.gather(*(lane.run([number]) for number in (5, 0, 2, 1)), return_exceptions=True)
        return answers

    first, *failed, last = asyncio.run(scenario())
    assert (first, last) == ([2], [10])
    assert all(isinstance(answer, ZeroDivisionError) for answer in failed)
