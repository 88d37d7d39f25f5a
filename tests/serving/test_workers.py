import asyncio
import threading

import pytest

from digitnet.serving.problem import Problem
from digitnet.serving.workers import Batches, Lane, Workers


def test_no_more_requests_are_let_in_than_there_are_places():
    async def scenario():
        workers = Workers(requests=2, seconds=10)
        async with workers.request(), workers.request():
            with pytest.raises(Problem, match="try again") as refused:
                async with workers.request():
                    pass
        async with workers.request():
            assert workers.in_flight == 1
        return refused.value

    refused = asyncio.run(scenario())
    assert (refused.status, refused.headers) == (503, {"Retry-After": "1"})


def test_a_request_whose_time_is_over_ends_and_frees_its_place():
    async def scenario():
        workers = Workers(requests=1, seconds=0.01)
        with pytest.raises(Problem, match=r"longer than 0\.01 seconds") as late:
            async with workers.request():
                await asyncio.Event().wait()
        assert workers.in_flight == 0
        return late.value.status

    assert asyncio.run(scenario()) == 503


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
        lane.close()

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
        asked = [asyncio.create_task(lane.run(number)) for number in range(6)]
        await asyncio.to_thread(first_began.wait)
        asked[2].cancel()  # somebody whose time is over
        release.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        lane.close()
        return answers

    answers = asyncio.run(scenario())
    assert batches == [[0], [1, 3, 4], [5]]
    assert isinstance(answers.pop(2), asyncio.CancelledError)
    assert answers == [0, 1, 9, 16, 25]


def test_an_error_in_a_batch_is_told_to_all_in_it_and_the_next_goes_on():
    def halves(numbers):
        return [10 // number for number in numbers]

    async def scenario():
        lane = Batches(halves, most=2)
        answers = await asyncio.gather(*(lane.run(number) for number in (5, 0, 2, 1)), return_exceptions=True)
        lane.close()
        return answers

    first, *failed, last = asyncio.run(scenario())
    assert (first, last) == (2, 10)
    assert all(isinstance(answer, ZeroDivisionError) for answer in failed)
