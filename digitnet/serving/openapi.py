"""What the OpenAPI says beyond the models in `schemas`, and its page for people."""

import functools
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from digitnet import __version__, results
from digitnet.serving.corrections import Correction
from digitnet.serving.guard import Limits
from digitnet.serving.learner import Learned
from digitnet.serving.problem import MEDIA_TYPE, Problem
from digitnet.serving.schemas import About, ProblemDetails, RequestLimits, Unread
from digitnet.serving.upload import FORM

TEMPLATE = Path(__file__).with_suffix(".html")
Json = dict[str, Any]

NUMBER_SEVEN = results.Digit(
    7, 0.9991, None, 7, (0.0, 0.0001, 0.0003, 0.0, 0.0001, 0.0, 0.0, 0.9991, 0.0, 0.0004), results.Box(120, 80, 30, 44)
)
LINE = results.Line((NUMBER_SEVEN,), 0.9991, results.Box(120, 80, 30, 44))
PAGE = results.Page(640, 480, (LINE,))
KEPT = Correction("20260102T030405-7-0123abcd.png", 7, "2026-01-02T03:04:05+00:00")
LEARNED = Learned(12, None)
UNREAD = {"file": "b.png", "error": "b.png: not a picture of a known format; use one of JPEG, PNG, WEBP, ..."}
PICTURE: Json = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}


def about(model: str, *, corrections: bool, token: bool, limits: Limits) -> About:
    """The answer of /v1/about."""
    shown = RequestLimits(**asdict(limits))
    return About(version=__version__, model=model, corrections=corrections, token=token, limits=shown)


PREDICTED = {"file": "7.png", **NUMBER_SEVEN.to_dict()}
CHANGED = {"file": KEPT.file, **asdict(LEARNED)}
READ = {"file": "note.jpg", **PAGE.to_dict()}
EXAMPLES: dict[tuple[str, str, str], Json] = {
    ("/v1/predict", "post", "200"): {"one picture": PREDICTED, "a form": [PREDICTED, UNREAD]},
    ("/v1/read", "post", "200"): {"one picture": READ, "a form": [READ, UNREAD]},
    ("/v1/corrections", "get", "200"): {"corrections": [{**asdict(KEPT), "picture": f"/v1/corrections/{KEPT.file}"}]},
    ("/v1/corrections", "post", "201"): {"a correction": CHANGED},
    ("/v1/corrections/{file}", "patch", "200"): {"another label": CHANGED},
    ("/v1/corrections/{file}", "delete", "200"): {"this request": CHANGED},
    ("/v1/about", "get", "200"): {
        "this request": about("the package's model", corrections=False, token=False, limits=Limits()).model_dump()
    },
    ("/healthz", "get", "200"): {"this request": {"status": "alive"}},
    ("/readyz", "get", "200"): {"this request": {"status": "ready"}},
}


def one_or_form(model: Any) -> dict[str, Any]:
    """The answer to one picture, or an array with the answers to all pictures of a form."""
    return {"model": model | list[model | Unread]}


def problems(*statuses: int) -> dict[int | str, Json]:
    """The refusals of an address."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"content": content} for status in statuses}


def picture_or_form() -> Json:
    """The body that the API takes."""
    binary = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary, "minItems": 1}
    form = {"type": "object", "properties": {"files": files}, "required": ["files"]}
    kinds = ("image/png", "image/jpeg", "application/octet-stream")
    content = {**{kind: {"schema": binary} for kind in kinds}, FORM: {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def complete(app: FastAPI) -> None:
    """Adds to the OpenAPI what FastAPI leaves out: the model of problems, and examples, whose nulls FastAPI drops."""
    described = app.openapi()
    problem = Problem(422, "7.png: 4x4 pixels is too small to read; use at least 8 on one side")
    schema = {**ProblemDetails.model_json_schema(), "examples": [problem.details]}
    described["components"]["schemas"]["ProblemDetails"] = schema
    for (path, method, status), examples in EXAMPLES.items():
        answer = described["paths"][path][method]["responses"][status]["content"]["application/json"]
        answer["examples"] = {name: {"value": value} for name, value in examples.items()}


def as_html(described: Json, address: str) -> str:
    """The OpenAPI as a page to read: HTML without a script, so that it works offline and under any policy.

    Args:
        address: of the server, for example http://127.0.0.1:8000.
    """
    from jinja2 import Environment, StrictUndefined  # here, so that the server's start does not wait for it

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["json"] = functools.partial(json.dumps, indent=2)  # Jinja's own is for scripts
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(described, curl=functools.partial(curl, address))


def curl(address: str, method: str, path: str, operation: Json) -> str:
    """A command that sends a request, with an example for all that it needs."""
    needed = [one["name"] for one in operation.get("parameters", ()) if one["required"] and one["in"] == "query"]
    query = "&".join(f"{name}=7" for name in needed)  # all of them are labels
    url = address + path.replace("{file}", KEPT.file) + (f"?{query}" if query else "")
    answers = [kind for answer in operation["responses"].values() for kind in answer.get("content", ())]
    options = [
        '-H "Authorization: Bearer $DIGITNET_TOKEN"' if "security" in operation else "",
        '--data-binary @7.png -H "Content-Type: image/png"' if "requestBody" in operation else "",
        f"-X {method.upper()}" if method not in ("get", "post") else "",
        "--output 7.png" if "image/png" in answers else "",
    ]
    return " ".join(["curl", *filter(None, options), f"'{url}'"])
