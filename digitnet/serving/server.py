"""`digitnet serve`: a web page and an HTTP API over one `Reader`.

This file joins the parts: what may be asked (`connection`, `guard`), what is asked (`upload`), where it is worked out
(`workers`), what is answered (`api`), and how that is described (`schemas`, `manual`).
"""

import contextlib
import ctypes
import errno
import functools
import hashlib
import ipaddress
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import prometheus_client
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from digitnet import __version__
from digitnet.errors import BusyError, DigitNetError, UsageError
from digitnet.reader import Reader
from digitnet.serving import api, schemas
from digitnet.serving import docs_page as manual
from digitnet.serving.connection import Connection
from digitnet.serving.corrections import Corrections, png
from digitnet.serving.guard import LOOPBACK, Guard, Limits, host_name
from digitnet.serving.problem import MEDIA_TYPE, Problem
from digitnet.serving.workers import Workers

WEB = Path(__file__).with_name("web")
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's mallopt
MAX_CONNECTIONS = 4096
OTHER_FILES = 64  # that the process has open besides
SHUTDOWN_SECONDS = 10  # for requests in flight to end


@dataclass(frozen=True)
class Address:
    """Where the server listens, and the names that it goes by."""

    host: str = "127.0.0.1"
    port: int = 8000
    names: Collection[str] = ()

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # another name, which may be anything's
            return False

    @property
    def hosts(self) -> list[str]:
        """What a browser may call it."""
        return [*LOOPBACK, *(host_name(name) for name in (self.host, *self.names))]


def application(
    reader: Reader,
    *,
    limits: Limits | None = None,
    corrections: Corrections | None = None,
    token: str | None = None,
    address: Address | None = None,
) -> Guard:
    """The page and the API, guarded, as an ASGI application.

    Args:
        corrections: where they are kept; None refuses them.
        token: what the API asks for; None asks for nothing.
        address: the names that it goes by.
    """
    limits, address = limits or Limits(), address or Address()
    workers = Workers(limits.requests, limits.seconds)

    @contextlib.asynccontextmanager
    async def working(app: FastAPI) -> AsyncIterator[None]:
        with workers.closing:
            yield

    app = FastAPI(
        title="DigitNet",
        version=__version__,
        summary="Reads handwritten digits in pictures.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=working,
        dependencies=[Depends(_all_known)],
    )
    _add_problems(app)
    _add_page(app)
    observe = _add_health(app, workers)
    api.add(app, reader, workers, limits, corrections, token is not None)
    api.describe(app, token is not None)
    return Guard(
        app,
        limits=limits,
        hosts=address.hosts,
        any_address=not address.is_loopback,
        token=token,
        observe=observe,
    )


async def _all_known(request: Request) -> None:
    """Raises Problem for a parameter that the address does not take, since what it was to change would stay."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise Problem(400, f"{name[:40]} is no parameter of {request.url.path}: {takes}")


def _add_problems(app: FastAPI) -> None:
    """Every refusal and every error as problem details."""

    def refused(request: Request, problem: Problem) -> Response:
        return Response(problem.body, problem.status, problem.headers, MEDIA_TYPE)

    def failed(request: Request, error: DigitNetError) -> Response:
        return refused(request, Problem.of(error))

    def misused(request: Request, error: RequestValidationError) -> Response:
        found = [f"{part['loc'][-1]}: {part['msg']}" for part in error.errors()]
        return refused(request, Problem(400, "; ".join(found)))

    def not_there(request: Request, error: HTTPException) -> Response:
        words = {404: "there is nothing at this address", 405: f"{request.method} is not for this address"}
        detail = f"{words.get(error.status_code, error.detail)}; see /docs"
        return refused(request, Problem(error.status_code, detail, error.headers))

    def broken(request: Request, error: Exception) -> Response:
        return refused(request, Problem(500, "an error of DigitNet's own; the server's log has the details"))

    def gone(request: Request, error: Exception) -> Response:
        return refused(request, Problem(400, "the connection was cut before the body was whole"))

    app.exception_handler(Problem)(refused)
    app.exception_handler(DigitNetError)(failed)
    app.exception_handler(RequestValidationError)(misused)
    app.exception_handler(HTTPException)(not_there)
    app.exception_handler(ClientDisconnect)(gone)
    app.exception_handler(Exception)(broken)


def _add_page(app: FastAPI) -> None:
    """The page's files, each known by its name from the start; nothing else of the disk can be asked for."""
    names = sorted(path for path in WEB.iterdir() if path.suffix in MEDIA_TYPES)
    files = {path.name: (path.read_bytes(), MEDIA_TYPES[path.suffix]) for path in names}
    files["manual.css"] = (manual.STYLE.encode(), MEDIA_TYPES[".css"])
    tags = {name: f'"{hashlib.sha256(content).hexdigest()[:32]}"' for name, (content, _) in files.items()}

    async def file(request: Request, name: str = "index.html") -> Response:
        if name not in files:
            raise HTTPException(404)
        headers = {"ETag": tags[name], "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        content, media_type = files[name]
        return Response(content, headers=headers, media_type=media_type)

    async def index(request: Request) -> Response:
        return await file(request)

    async def docs() -> Response:
        return Response(manual.page(app.openapi()), media_type=MEDIA_TYPES[".html"])

    app.get("/", include_in_schema=False)(index)
    app.get("/web/{name}", include_in_schema=False)(file)
    app.get("/docs", include_in_schema=False)(docs)


def _add_health(app: FastAPI, workers: Workers) -> Callable[[str, int, float], None]:
    """Adds what watches the server; gives what is to be told of each request."""
    registry = prometheus_client.CollectorRegistry()
    seconds = prometheus_client.Histogram(
        "digitnet_request_seconds",
        "Seconds from a request's headers to the end of its answer.",
        ("path", "status"),
        registry=registry,
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    )
    in_flight = prometheus_client.Gauge(
        "digitnet_requests_in_flight", "Requests that are worked on or wait for it.", registry=registry
    )
    in_flight.set_function(lambda: workers.in_flight)
    prometheus_client.ProcessCollector(registry=registry)

    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz() -> Response:
        return JSONResponse({"status": "ready"})

    async def metrics() -> Response:
        return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    responses = {200: {"model": schemas.Status}, **api.problems(405, 421)}
    app.get("/healthz", summary="Whether the server is alive", responses=responses)(healthz)
    app.get("/readyz", summary="Whether the model is loaded and warm", responses=responses)(readyz)
    app.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **api.problems(401, 421)},
    )(metrics)

    @functools.cache
    def series(path: str, status: int) -> prometheus_client.Histogram:
        return seconds.labels(path, str(status))

    known = {getattr(route, "path", "") for route in app.routes} | {"/v1/about", "/v1/predict"}
    known |= {"/v1/read", "/v1/corrections"}

    def observe(path: str, status: int, took: float) -> None:
        series(path if path in known else "other", status).observe(took)

    return observe


def run(
    reader: Reader,
    address: Address,
    *,
    limits: Limits,
    corrections: Corrections | None = None,
    token: str | None = None,
    browse: bool = False,
) -> None:
    """Serves until it is interrupted or terminated; prints the server's address when it is ready.

    Raises:
        BusyError: the port is in use.
        UsageError: there is no such host, or it may not be used.
    """
    _give_memory_back()
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # whoever sent a damaged form is told so
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs have not got
    with _listening(address) as listener:
        _warm(reader)
        app = application(reader, limits=limits, corrections=corrections, token=token, address=address)
        config = uvicorn.Config(
            cast(Any, app),
            http=cast(Any, functools.partial(Connection, seconds=limits.seconds, most=_connections())),
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        _Server(config, _url(address, listener, token), browse).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says where it is when it is ready."""

    def __init__(self, config: uvicorn.Config, url: str, browse: bool) -> None:
        super().__init__(config)
        self._url = url
        self._browse = browse

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._url, flush=True)
        if self._browse:
            webbrowser.open(self._url)


def _listening(address: Address) -> socket.socket:
    where = f"port {address.port} of {address.host}"
    try:
        address.host.encode("idna")
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # where it means something else
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen()  # at once, so that of two servers that are started together one is told
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusyError(f"{where} is in use; stop what uses it, or choose another with --port") from error
        raise UsageError(f"{where} cannot be used ({error.strerror}); choose another with --host, --port") from error
    except UnicodeError as error:
        raise UsageError(f"{where} cannot be used: that is no host's name; choose another with --host") from error
    return listener


def _url(address: Address, listener: socket.socket, token: str | None) -> str:
    host = _own_address() if address.host in ANYWHERE else address.host
    host = f"[{host}]" if ":" in host else host
    fragment = f"#token={quote(token, safe='')}" if token else ""
    return f"http://{host}:{listener.getsockname()[1]}/{fragment}"


def _connections() -> int:
    """How many connections may be open at once: as many as the system lets this process have, within reason."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft - OTHER_FILES)


def _own_address() -> str:
    """What other machines of the network call this one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect(("192.0.2.1", 9))  # an address that no machine has
        except OSError:
            return "127.0.0.1"
        return str(unsent.getsockname()[0])


def _give_memory_back() -> None:
    """Has the memory of large pictures given back to the system at once, which glibc would keep for the next ones."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            library = ctypes.CDLL(None)
            library.mallopt(M_MMAP_THRESHOLD, 2**18)
            library.mallopt(M_ARENA_MAX, 1)


def _warm(reader: Reader) -> None:
    """Loads all that the first request would have to wait for."""
    stroke = np.full((64, 64), 255, np.uint8)
    stroke[12:52, 28:36] = 0
    reader.predict(png((stroke / 255).astype(np.float32)))
    reader.examine_page(stroke)
