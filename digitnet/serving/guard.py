"""The guard before the server's application: who may ask, how much may be sent and how slowly, and safe headers.

It is pure ASGI, so that the bytes of a body are counted as they arrive, before anything reads them.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import re
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

from digitnet.serving.problem import MEDIA_TYPE, Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

TOO_MUCH = "too much is being sent to the server at once; try again in a moment"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@,\[\]]+)(?::[0-9]*)?")  # name or address, optional port (RFC 9110, 7.2)
SMALL_BODY = 2**18  # bytes
BODIES_AT_ONCE = 3  # all bodies in memory together may be this many times the largest allowed body
PATIENCE_SECONDS = 2.0  # an older, unfinished body is dropped if others need its memory
LINGER_SECONDS = 2.0  # a refused sender is read for so long, because closing at once would lose the answer
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "media-src 'self' blob:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"permissions-policy", b"camera=(self)"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


@dataclass(frozen=True)
class Limits:
    """Limits on each request, and on their number.

    Attributes:
        bytes: size of the body.
        pixels: of each picture.
        files: pictures in a form.
        seconds: for the body to arrive, and then for the answer.
        requests: how many may be worked on or wait for a thread at once.
    """

    bytes: int = 32 * 2**20
    pixels: int = 64_000_000
    files: int = 64
    seconds: float = 30.0
    requests: int = 64


class Guard:
    """Passes requests on to `app`, or refuses them.

    Args:
        limits: on each request.
        hosts: the names that this server answers to. A Host header with another name is refused, because a web page
            elsewhere may have pointed its own name here (DNS rebinding).
        any_address: whether the server answers to every IP address as well.
        token: the API needs it as `Authorization: Bearer TOKEN`; None asks for none.
        observe: called with the path, status and seconds of each request.
    """

    def __init__(
        self,
        app: Application,
        *,
        limits: Limits,
        hosts: Collection[str] = LOOPBACK,
        any_address: bool = False,
        token: str | None = None,
        observe: Callable[[str, int, float], None] = lambda path, status, seconds: None,
    ) -> None:
        self._app = app
        self._limits = limits
        self._hosts = frozenset(host.lower() for host in hosts)
        self._any_address = any_address
        self._token = None if token is None else token.encode()
        self._observe = observe
        self._held = 0  # bytes of all bodies in memory
        self._sending: dict[_Exchange, None] = {}  # exchanges with an unfinished body, the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = _Exchange(self, scope, receive, send)
        try:
            try:
                self._check(scope)
                exchange.check_length()
            except Problem as problem:
                await exchange.refuse(problem)
            else:
                # HEAD is answered like GET (RFC 9110, 9.3.2); the connection leaves the body out.
                asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
                await self._app(asked, exchange.receive, exchange.send)
        finally:
            self.let_go(exchange)
            self._observe(scope["path"], exchange.status, time.perf_counter() - started)

    def hold(self, exchange: "_Exchange", count: int, *, whole: bool) -> None:
        """Counts bytes of an exchange's body. Raises Problem if the memory for bodies is used up.

        Large bodies leave room for small ones, and slow bodies are dropped if others need their room.

        Args:
            whole: whether the body is complete now.
        """
        self._held += count
        exchange.received += count
        if whole:
            self._sending.pop(exchange, None)
        else:
            self._sending[exchange] = None
        most = (BODIES_AT_ONCE - (exchange.received > SMALL_BODY)) * self._limits.bytes
        while self._held > most:
            slow = (other for other in self._sending if other is not exchange and other.age > PATIENCE_SECONDS)
            slowest = next(slow, None)
            if slowest is None:
                raise Problem(503, TOO_MUCH)
            self.let_go(slowest)
            slowest.give_up()

    def let_go(self, exchange: "_Exchange") -> None:
        """Stops counting the bytes of its body."""
        self._held -= exchange.received
        exchange.received = 0
        self._sending.pop(exchange, None)

    @property
    def limits(self) -> Limits:
        return self._limits

    def _check(self, scope: Scope) -> None:
        """Raises Problem if the client may not ask."""
        host = _only(scope, b"host")
        if not self._answers_to(host):
            name = host_name(host)
            raise Problem(421, f"this server does not answer to the name {name!r}; add it with --allowed-host")
        path = scope["path"]
        if self._token is not None and (path.startswith("/v1/") or path == "/metrics"):
            scheme, _, token = _only(scope, b"authorization").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode("latin-1"), self._token):
                raise Problem(
                    401,
                    "the server's token is missing or wrong; send it as Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": 'Bearer realm="digitnet"'},
                )
        if scope["method"] not in SAFE_METHODS:
            origin, site = _only(scope, b"origin"), _only(scope, b"sec-fetch-site")
            own = origin in ("", f"http://{host}", f"https://{host}")
            if not own or site not in ("", "same-origin", "none"):
                raise Problem(403, "a page of another site may not send to this server")

    def _answers_to(self, host: str) -> bool:
        name = host_name(host)
        if name in self._hosts:
            return True
        if self._any_address:
            with contextlib.suppress(ValueError):
                return bool(ipaddress.ip_address(name.strip("[]")))
        return False


class _Exchange:
    """One request and its answer, with the limits on both."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard = guard
        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._deadline = self._started + guard.limits.seconds
        self._waiting: asyncio.Timeout | None = None
        self._given_up = False
        self._whole = not any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        self.received = 0
        self.status = 0

    def check_length(self) -> None:
        """Raises Problem if the request announces a body that is too large."""
        length = _only(self._scope, b"content-length")
        if length.isdecimal() and int(length) > self._guard.limits.bytes:
            raise self._too_large()

    @property
    def age(self) -> float:
        """Seconds since the head of the request arrived."""
        return self._loop.time() - self._started

    def give_up(self) -> None:
        """Stops waiting for the rest of the body."""
        self._given_up = True
        if self._waiting is not None:
            self._waiting.reschedule(self._loop.time())

    async def receive(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline) as self._waiting:
                message = await self._receive()
        except TimeoutError:
            if self._given_up:
                raise Problem(503, TOO_MUCH) from None
            raise Problem(
                408, f"the body did not arrive within {self._guard.limits.seconds:g} seconds; send it faster"
            ) from None
        finally:
            self._waiting = None
        if self._given_up:
            raise Problem(503, TOO_MUCH)
        if message["type"] == "http.request":
            count = len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            self._guard.hold(self, count, whole=self._whole)
            if self.received > self._guard.limits.bytes:
                raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), *SECURITY_HEADERS]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            if not self._whole:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif not self._whole and not message.get("more_body", False):
            self._guard.let_go(self)
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(problem.body)), **problem.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": problem.body})

    async def _drain(self) -> None:
        """Reads the rest of a refused body for a while, and drops it."""
        left = self._guard.limits.bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._guard.limits.bytes / 2**20:g} MiB; send less at once")


def host_name(host: str) -> str:
    """The name in a Host header without its port, in lower case: 'localhost', '[::1]'.

    An IPv6 address without brackets gets them. A string that is not a valid Host header stays as it is.
    """
    with contextlib.suppress(ValueError):
        return f"[{ipaddress.IPv6Address(host)}]"
    found = HOST.fullmatch(host.lower())
    return found[1] if found else host


def _only(scope: Scope, name: bytes) -> str:
    """The value of a header; empty if it is missing. Several values are joined, which no check accepts."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else ", ".join(values)
