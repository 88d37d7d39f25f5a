"""The guard around an application that only reads bodies."""

import asyncio

from digitnet.serving import guard
from digitnet.serving.guard import Guard, Limits
from digitnet.serving.problem import Problem

MEGABYTE = 2**20


async def reads_the_body(scope, receive, send):
    status = 200
    try:
        while (await receive()).get("more_body"):
            pass
    except Problem as problem:
        status = problem.status
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Sender:
    """A client that sends its body in chunks; `status` is the answer."""

    def __init__(self, app):
        self._chunks = asyncio.Queue()
        self.taken = asyncio.Event()  # the first chunk
        self.answered = asyncio.Event()
        self.status = None
        headers = [(b"host", b"localhost"), (b"content-length", b"1000000")]
        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": headers}
        self._task = asyncio.create_task(app(scope, self._receive, self._send))

    def put(self, count, more_body):
        self._chunks.put_nowait({"type": "http.request", "body": bytes(count), "more_body": more_body})

    async def _receive(self):
        if self._chunks.empty():
            self.taken.set()
        return await self._chunks.get()

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answered.set()


def test_slow_bodies_make_room_for_others_after_a_while(monkeypatch):
    monkeypatch.setattr(guard, "LINGER_SECONDS", 0)

    async def scenario():
        app = Guard(reads_the_body, limits=Limits(bytes=MEGABYTE))
        slow = [Sender(app) for _ in range(3)]
        for sender in slow:
            sender.put(650_000, more_body=True)
            await sender.taken.wait()
        refused = await answer_to_a_large_body(app)
        monkeypatch.setattr(guard, "PATIENCE_SECONDS", 0.0)  # as if they had been slow for so long
        accepted = await answer_to_a_large_body(app)
        async with asyncio.timeout(10):
            await slow[0].answered.wait()
        return refused, accepted, [sender.status for sender in slow]

    assert asyncio.run(scenario()) == (503, 200, [503, None, None])


async def answer_to_a_large_body(app):
    sender = Sender(app)
    sender.put(500_000, more_body=False)
    await sender.answered.wait()
    return sender.status
