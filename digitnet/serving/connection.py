"""Connections of the server: uvicorn's protocol, with limits on slow, endless and silent clients.

uvicorn has settings for a few of these limits, but none for the time that a head may take, the size of a head with
httptools, the number of pipelined requests or clients that do not read. So this subclasses a class that uvicorn does
not document. pyproject.toml pins uvicorn to the tested versions, and a test names every part that is used here.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from digitnet.serving.guard import SECURITY_HEADERS
from digitnet.serving.problem import Problem

MAX_PIPELINED = 8  # requests that wait for the answer to an earlier one; hardly any client sends several at once
MAX_HEAD_BYTES = 64 * 2**10  # of a request's line and headers, or between two chunks of a body


class Connection(HttpToolsProtocol):
    """A connection that is closed if it keeps the server waiting or sends without end.

    Args:
        seconds: for the head of a request to arrive, and for the client to read an answer.
        most: how many connections may be open at once.
    """

    def __init__(self, *args: Any, seconds: float, most: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seconds = seconds
        self._most = most
        self._late_head: asyncio.TimerHandle | None = None
        self._late_reader: asyncio.TimerHandle | None = None
        self._answered: RequestResponseCycle | None = None  # the request that is being answered
        self._idle_bytes = 0  # bytes since the last chunk of a body or the last end of a head
        self._is_offer = False  # whether the request that is being parsed offers another protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > self._most:
            self._refuse(Problem(503, "too many connections are open; try again in a moment"))
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._late_head, self._late_reader):
            if timer is not None:
                timer.cancel()
        if self._answered is not None:  # uvicorn tells only the last of several requests
            self._answered.disconnected = True
            self._answered.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._late_head is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        self._idle_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._idle_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(Problem(431, f"the headers are larger than {MAX_HEAD_BYTES // 2**10} KiB; send fewer"))

    def _parse(self, data: bytes) -> None:
        """Gives data to the parser.

        An offer of another protocol may be ignored (RFC 9110, 7.8), but httptools would skip the body of its request.
        So the head of such a request is parsed once more, without the offer.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._is_offer:
                (end_of_head,) = offer.args
                head = self._head_without_offer()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
                self._parse(head + data[end_of_head:])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _head_without_offer(self) -> bytes:
        line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([line, *headers, b"\r\n"])

    def on_headers_complete(self) -> None:
        self._is_offer = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._is_offer:
            return
        self._idle_bytes = 0
        if self._late_head is not None:
            self._late_head.cancel()
            self._late_head = None
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests before the first was answered")  # stops the parser
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._idle_bytes = 0
        if not self._is_offer:
            super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._late_reader = self.loop.call_later(self._seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._late_reader is not None:
            self._late_reader.cancel()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(400, f"the request is not valid HTTP ({msg.rstrip('.')}); use another client"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _await_head(self) -> None:
        self._late_head = self.loop.call_later(self._seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        if self._idle_bytes:
            self._refuse(Problem(408, f"the headers did not arrive within {self._seconds:g} seconds; send them faster"))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Sends the problem, if no other answer is under way, and closes the connection."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # the earlier request is whole, so its answer is sent first
                cycle.keep_alive = False
                self.transport.pause_reading()
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
        response = problem.response()
        own = [(b"cache-control", b"no-store"), (b"connection", b"close")]
        headers = [*self.server_state.default_headers, *SECURITY_HEADERS, *own, *response.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", response.body]))
        self.transport.close()
