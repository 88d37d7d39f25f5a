"""The ASGI application of `digitnet serve`: the guard, the API, the web page, and what monitors the server.

A request goes down through these once: `guard` (who may ask), `api` (what is asked), `upload` (the pictures),
`workers` (the threads), the `Reader`, and back as the answer that `api` writes.
"""

import contextlib
import functools
import hashlib
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import prometheus_client
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from digitnet import __version__
from digitnet.errors import DigitNetError
from digitnet.reader import Reader
from digitnet.serving import docs_page, openapi
from digitnet.serving.api import Api
from digitnet.serving.corrections import Corrections
from digitnet.serving.guard import LOOPBACK, Guard, Limits
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


def application(
    reader: Reader,
    *,
    limits: Limits | None = None,
    corrections: Corrections | None = None,
    token: str | None = None,
    hosts: Collection[str] = LOOPBACK,
    any_address: bool = False,
) -> Guard:
    """The web page and the API behind the guard, as an ASGI application.

    Args:
        corrections: where corrections are kept; None refuses them.
        token: the token that the API asks for; None asks for none.
        hosts, any_address: the names that the server answers to, see `Guard`.
    """
    limits = limits or Limits()
    workers = Workers(reader, limits)
    api = Api(reader, workers, limits, corrections, token is not None)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with contextlib.closing(workers):
            yield

    app = FastAPI(
        title="DigitNet",
        version=__version__,
        summary="Reads handwritten digits in pictures.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.include_router(api.router)
    _add_problems(app)
    _add_page(app)
    seconds = _add_monitoring(app, workers)
    openapi.complete(app, token is not None)
    known = {"/", "/docs", "/openapi.json", *app.openapi()["paths"]}

    @functools.cache
    def series(path: str, status: int) -> prometheus_client.Histogram:
        return seconds.labels(path, str(status))

    def observe(path: str, status: int, took: float) -> None:
        series(path if path in known else "other", status).observe(took)

    return Guard(app, limits=limits, hosts=hosts, any_address=any_address, token=token, observe=observe)


def _add_problems(app: FastAPI) -> None:
    """Answers every refusal and every error with problem details."""

    async def refused(request: Request, error: Exception) -> Response:
        problem = _problem(request, error)
        return Response(problem.body, problem.status, problem.headers, MEDIA_TYPE)

    for kind in (Problem, DigitNetError, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.exception_handler(kind)(refused)


def _problem(request: Request, error: Exception) -> Problem:
    """What the client is told about an error."""
    match error:
        case Problem():
            return error
        case DigitNetError():
            return Problem(error.http_status, str(error))
        case RequestValidationError():
            return Problem(400, "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()))
        case HTTPException():
            texts = {404: "there is nothing at this address", 405: f"this address does not accept {request.method}"}
            detail = f"{texts.get(error.status_code, error.detail)}; see /docs"
            return Problem(error.status_code, detail, error.headers)
        case ClientDisconnect():
            return Problem(400, "the connection was cut before the body was whole")
    return Problem(500, "this is a bug in DigitNet; the server's log has the details")


def _add_page(app: FastAPI) -> None:
    """Adds the files of the web page. They are read now, so no request can ask for another file of the disk."""
    paths = [path for path in WEB.iterdir() if path.suffix in MEDIA_TYPES]
    files = {path.name: (path.read_bytes(), MEDIA_TYPES[path.suffix]) for path in paths}
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
        return Response(docs_page.page(app.openapi()), media_type=MEDIA_TYPES[".html"])

    app.get("/", include_in_schema=False)(index)
    app.get("/web/{name}", include_in_schema=False)(file)
    app.get("/docs", include_in_schema=False)(docs)


def _add_monitoring(app: FastAPI, workers: Workers) -> prometheus_client.Histogram:
    """Adds /healthz, /readyz and /metrics; gives the histogram of requests, by path and status."""
    registry = prometheus_client.CollectorRegistry()
    seconds = prometheus_client.Histogram(
        "digitnet_request_seconds",
        "Seconds from a request's headers to the end of its answer.",
        ("path", "status"),
        registry=registry,
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    )
    in_flight = prometheus_client.Gauge(
        "digitnet_requests_in_flight", "Requests that are being worked on or wait for a thread.", registry=registry
    )
    in_flight.set_function(lambda: workers.in_flight)
    prometheus_client.ProcessCollector(registry=registry)

    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz() -> Response:
        return JSONResponse({"status": "ready"})

    async def metrics() -> Response:
        return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    status = {200: {"model": openapi.Status}, **openapi.problems(405, 421)}
    text = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **openapi.problems(401, 421)}
    app.get("/healthz", summary="Whether the server is alive", responses=status)(healthz)
    app.get("/readyz", summary="Whether the model is loaded and warm", responses=status)(readyz)
    app.get("/metrics", summary="Figures for Prometheus", response_class=Response, responses=text)(metrics)
    return seconds
