"""The guard before the server's application: who may ask, how much may be sent and how slowly, and safe headers.

It is pure ASGI, so that the bytes of a body are counted as they arrive, before anything reads them.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digitnet.serving.problem import Problem

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
        app: ASGIApp,
        *,
        limits: Limits,
        hosts: Collection[str] = LOOPBACK,
        any_address: bool = False,
        token: str | None = None,
        observe: Callable[[str, int, float], None] = lambda path, status, seconds: None,
    ) -> None:
        self.limits = limits
        self._app = app
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
        exchange = _Exchange(self, Headers(scope=scope), receive, send)
        # HEAD is answered like GET (RFC 9110, 9.3.2); the connection leaves the body out.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        app = self._app
        try:
            try:
                self._check(scope["method"], scope["path"], Headers(scope=scope))
            except Problem as problem:
                app = problem.response()
            await app(asked, exchange.receive, exchange.send)
        finally:
            self.let_go(exchange)
            self._observe(scope["path"], exchange.status, exchange.age)

    def hold(self, exchange: "_Exchange", count: int) -> None:
        """Counts bytes of an exchange's body. Raises Problem if the body is too large or the memory is used up.

        Large bodies leave room for small ones, and slow bodies are dropped if others need their room.
        """
        self._held += count
        exchange.received += count
        if exchange.is_whole:
            self._sending.pop(exchange, None)
        else:
            self._sending[exchange] = None
        most = (BODIES_AT_ONCE - (exchange.received > SMALL_BODY)) * self.limits.bytes
        while self._held > most:
            slow = (other for other in self._sending if other is not exchange and other.age > PATIENCE_SECONDS)
            slowest = next(slow, None)
            if slowest is None:
                raise Problem(503, TOO_MUCH)
            self.let_go(slowest)
            slowest.give_up()
        if exchange.received > self.limits.bytes:
            raise self._too_large()

    def let_go(self, exchange: "_Exchange") -> None:
        """Stops counting the bytes of its body."""
        self._held -= exchange.received
        exchange.received = 0
        self._sending.pop(exchange, None)

    def _check(self, method: str, path: str, headers: Headers) -> None:
        """Raises Problem if the client may not ask, or announces a body that is too large."""

        def only(name: str) -> str:
            """The value of a header; empty if it is missing. Several values are joined, which no check accepts."""
            return ", ".join(headers.getlist(name))

        name = host_name(host := only("host"))
        if not (name in self._hosts or (self._any_address and _is_address(name))):
            raise Problem(421, f"this server does not answer to the name {name!r}; add it with --allowed-host")
        if self._token is not None and needs_token(path):
            scheme, _, token = only("authorization").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode("latin-1"), self._token):
                raise Problem(
                    401,
                    "the server's token is missing or wrong; send it as Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": 'Bearer realm="digitnet"'},
                )
        if method not in SAFE_METHODS:
            own = only("origin") in ("", f"http://{host}", f"https://{host}")
            if not own or only("sec-fetch-site") not in ("", "same-origin", "none"):
                raise Problem(403, "a page of another site may not send to this server")
        length = only("content-length")
        if length.isdecimal() and int(length) > self.limits.bytes:
            raise self._too_large()

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self.limits.bytes / 2**20:g} MiB; send less at once")


class _Exchange:
    """One request and its answer, with the limits on both.

    Attributes:
        received: bytes of the body that are in memory.
        is_whole: whether the body is complete.
        status: of the answer; 0 before it begins.
    """

    def __init__(self, guard: Guard, headers: Headers, receive: Receive, send: Send) -> None:
        self._guard = guard
        self._receive = receive
        self._send = send
        self._started = time.perf_counter()
        self._deadline = asyncio.get_running_loop().time() + guard.limits.seconds
        self._waiting: asyncio.Timeout | None = None
        self._given_up = False
        self.is_whole = "content-length" not in headers and "transfer-encoding" not in headers
        self.received = 0
        self.status = 0

    @property
    def age(self) -> float:
        """Seconds since the head of the request arrived."""
        return time.perf_counter() - self._started

    def give_up(self) -> None:
        """Stops waiting for the rest of the body."""
        self._given_up = True
        if self._waiting is not None:
            self._waiting.reschedule(0)

    async def receive(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline) as self._waiting:
                message = await self._receive()
        except TimeoutError:
            if not self._given_up:
                late = f"the body did not arrive within {self._guard.limits.seconds:g} seconds; send it faster"
                raise Problem(408, late) from None
        finally:
            self._waiting = None
        if self._given_up:
            raise Problem(503, TOO_MUCH)
        if message["type"] == "http.request":
            self.is_whole = not message.get("more_body", False)
            self._guard.hold(self, len(message.get("body", b"")))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=[*message.get("headers", []), *SECURITY_HEADERS])
            headers.setdefault("cache-control", "no-store")
            if not self.is_whole:
                headers["connection"] = "close"
            message = {**message, "headers": headers.raw}
        elif not self.is_whole and not message.get("more_body", False):
            self._guard.let_go(self)
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

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


def needs_token(path: str) -> bool:
    """Whether the server's token, if it has one, is needed there."""
    return path.startswith("/v1/") or path == "/metrics"


def host_name(host: str) -> str:
    """The name in a Host header without its port, in lower case: 'localhost', '[::1]'.

    An IPv6 address without brackets gets them. A string that is not a valid Host header stays as it is.
    """
    with contextlib.suppress(ValueError):
        return f"[{ipaddress.IPv6Address(host)}]"
    found = HOST.fullmatch(host.lower())
    return found[1] if found else host


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return False
