"""The ASGI application of `digitnet serve`: the guard, the API, the web page, and what monitors the server.

A request goes down through these once: `guard` (who may ask), `api` (what is asked), `upload` (the pictures),
`workers` (the threads), the `Reader`, and back as the answer that `api` writes.
"""

from collections.abc import Collection
from pathlib import Path

import prometheus_client
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from digitnet import __version__
from digitnet.errors import DigitNetError
from digitnet.files import checksum
from digitnet.reader import Reader
from digitnet.serving import api, openapi, schemas
from digitnet.serving.corrections import Corrections
from digitnet.serving.guard import LOOPBACK, Guard, Limits
from digitnet.serving.learner import Learner
from digitnet.serving.problem import Problem
from digitnet.serving.workers import Workers

WEB = Path(__file__).with_name("web")
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webmanifest": "application/manifest+json",
}


def application(
    reader: Reader,
    *,
    limits: Limits | None = None,
    corrections: Corrections | None = None,
    learn: bool = False,
    token: str | None = None,
    hosts: Collection[str] = LOOPBACK,
    any_address: bool = False,
) -> Guard:
    """The web page and the API behind the guard, as an ASGI application.

    Args:
        corrections: where corrections are kept; None refuses them.
        learn: whether the reader learns from them, from those that are there at once.
        token: the token that the API asks for; None asks for none.
        hosts, any_address: the names that the server answers to, see `Guard`.
    """
    limits = limits or Limits()
    workers = Workers(reader, limits)
    learner = Learner(workers, corrections) if corrections and learn else None
    app = FastAPI(
        title="DigitNet",
        version=__version__,
        summary="Reads handwritten digits in pictures.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for kind in (Problem, DigitNetError, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _refused)
    app.state.api = api.router(workers, limits, corrections, learner, token is not None)
    app.include_router(app.state.api)
    _add_page(app)
    seconds = _add_monitoring(app, workers, token is not None)
    openapi.complete(app)
    known = {"/", "/docs", "/openapi.json", *app.openapi()["paths"]}

    def observe(path: str, status: int, took: float) -> None:
        seconds.labels(path if path in known else "other", status).observe(took)

    return Guard(app, limits=limits, hosts=hosts, any_address=any_address, token=token, observe=observe)


async def _refused(request: Request, error: Exception) -> Response:
    """What the client is told about a refusal or an error: problem details."""
    match error:
        case Problem():
            return error.response()
        case DigitNetError():
            return Problem(error.http_status, str(error)).response()
        case RequestValidationError():
            detail = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
            return Problem(400, detail).response()
        case HTTPException():
            texts = {404: "there is nothing at this address", 405: f"this address does not accept {request.method}"}
            detail = f"{texts.get(error.status_code, error.detail)}; see /docs"
            headers = {**(error.headers or {}), **_allowed(request)} if error.status_code == 405 else error.headers
            return Problem(error.status_code, detail, headers).response()
        case ClientDisconnect():
            return Problem(400, "the connection was cut before the body was whole").response()
    return Problem(500, "this is a bug in DigitNet; the server's log has the details").response()


def _allowed(request: Request) -> dict[str, str]:
    """The header with all methods that an address accepts. Starlette names those of its first route only."""
    methods: set[str] = set()
    for route in (*request.app.routes, *request.app.state.api.routes):
        if isinstance(route, Route) and route.matches(request.scope)[0] != Match.NONE:
            methods |= route.methods or set()
    return {"Allow": ", ".join(sorted(methods))} if methods else {}


def _add_page(app: FastAPI) -> None:
    """Adds the files of the web page. They are read now, so no request can ask for another file of the disk."""
    files = {path.name: path.read_bytes() for path in WEB.iterdir() if path.suffix in MEDIA_TYPES}

    @app.get("/", include_in_schema=False)
    @app.get("/web/{name}", include_in_schema=False)
    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in files:
            raise HTTPException(404)
        tag = f'"{checksum(files[name])[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(files[name], headers=headers, media_type=MEDIA_TYPES[Path(name).suffix])

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return HTMLResponse(openapi.as_html(app.openapi(), str(request.base_url).rstrip("/")))


def _add_monitoring(app: FastAPI, workers: Workers, token: bool) -> prometheus_client.Histogram:
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
    text = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **openapi.problems(401, 421)}
    security = [Depends(api.TOKEN)] if token else []

    @app.get("/healthz", summary="Whether the server is alive", responses=openapi.problems(405, 421))
    async def healthz() -> schemas.Status:
        return schemas.Status(status="alive")

    @app.get("/readyz", summary="Whether the model is loaded and warm", responses=openapi.problems(405, 421))
    async def readyz() -> schemas.Status:
        return schemas.Status(status="ready")

    @app.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses=text,
        dependencies=security,
    )
    async def metrics() -> Response:
        return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return seconds
