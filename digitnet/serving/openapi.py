"""What the OpenAPI says about answers, and its page for people.

Names, order and descriptions come from the result classes and their `to_dict`; only what JSON has more narrowly than
Python's types is added here.
"""

import functools
import inspect
import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from fastapi import FastAPI
from pydantic import Field, create_model

from digitnet import __version__, results
from digitnet.serving.corrections import Correction as Kept
from digitnet.serving.guard import Limits, needs_token
from digitnet.serving.learner import Learned
from digitnet.serving.problem import MEDIA_TYPE, Problem
from digitnet.serving.upload import FORM

TEMPLATE = Path(__file__).with_suffix(".html")
Json = dict[str, Any]

NUMBER_SEVEN = results.Digit(
    7, 0.9991, None, 7, (0.0, 0.0001, 0.0003, 0.0, 0.0001, 0.0, 0.0, 0.9991, 0.0, 0.0004), results.Box(120, 80, 30, 44)
)
LINE = results.Line((NUMBER_SEVEN,), 0.9991, results.Box(120, 80, 30, 44))
PAGE = results.Page(640, 480, (LINE,))
KEPT = Kept("20260102T030405-7-0123abcd.png", 7, "2026-01-02T03:04:05+00:00")
LEARNED = Learned(12, None)
UNREAD = {"file": "b.png", "error": "b.png: not a picture of a known format; use one of JPEG, PNG, WEBP, ..."}

DIGIT_TYPE = Annotated[int | None, Field(ge=0, le=9)]
JSON_TYPES: dict[str, Any] = {
    "digit": DIGIT_TYPE,
    "best_guess": DIGIT_TYPE,
    "confidence": Annotated[float, Field(ge=0, le=1)],
    "probabilities": Annotated[list[float], Field(min_length=10, max_length=10)],
}
BOX = Annotated[list[int], Field(min_length=4, max_length=4, description="x, y, width, height in pixels")]
TEXT = Annotated[str, Field(description=inspect.getdoc(results.Line.text))]
SEEN = Annotated[str | None, Field(description="a data: URL with the 28x28 PNG that DigitNet saw")]


def _model(name: str, result: type, keys: Iterable[str], **own: Any) -> Any:
    """A model of a result class as JSON.

    Args:
        keys: of the JSON.
        own: the types, or (type, default), of keys that the class lacks or that JSON has in another form.
    """
    text = inspect.getdoc(result) or ""
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", text.partition("Attributes:\n")[2], re.MULTILINE)
    told = {
        name: " ".join(lines.split()).replace("None", "null") for names, lines in entries for name in names.split(", ")
    }
    types: Json = {**get_type_hints(result), **JSON_TYPES}
    fields: Json = {key: Annotated[types[key], Field(description=told.get(key))] for key in keys if key in types}
    return create_model(name, __doc__=text.partition("\n")[0], **fields | own)


def _list_of(model: Any) -> Any:
    return list[model]


Digit = _model("Digit", results.Digit, NUMBER_SEVEN.to_dict(), box=(BOX | None, None), seen=(SEEN, None))
Prediction = create_model(
    "Prediction", __base__=Digit, __doc__="The digit of a picture; `seen=true` adds `box` and `seen`.", file=str
)
Line = _model("Line", results.Line, LINE.to_dict(), text=TEXT, box=BOX, digits=_list_of(Digit))
Page = _model("Page", results.Page, PAGE.to_dict(), file=str, lines=_list_of(Line))
Unread = create_model("Unread", __doc__="A picture of a form that cannot be read.", file=str, error=str)
Correction = _model("Correction", Kept, asdict(KEPT), picture=Annotated[str, Field(description="its address")])
Changed = _model("Changed", Learned, asdict(LEARNED), file=str)
PICTURE: Json = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
Status = create_model("Status", __doc__="Whether the server works.", status=str)
ProblemDetails = create_model(
    "ProblemDetails", __doc__="Why there is no result (RFC 9457).", type=str, title=str, status=int, detail=str
)


RequestLimits = create_model(
    "RequestLimits", __doc__="The limits of one request.", bytes=int, pixels=int, files=int, seconds=float
)
About = create_model(
    "About",
    __doc__="What this server is.",
    version=str,
    model=str,
    corrections=Annotated[bool, Field(description="whether corrections are kept")],
    token=Annotated[bool, Field(description="whether the API asks for a token")],
    limits=RequestLimits,
)


def about(model: str, *, corrections: bool, token: bool, limits: Limits) -> Json:
    """The answer of /v1/about."""
    told = {name: value for name, value in asdict(limits).items() if name in RequestLimits.model_fields}
    return {"version": __version__, "model": model, "corrections": corrections, "token": token, "limits": told}


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
        "this request": about("the package's model", corrections=False, token=False, limits=Limits())
    },
    ("/healthz", "get", "200"): {"this request": {"status": "alive"}},
    ("/readyz", "get", "200"): {"this request": {"status": "ready"}},
}


def one_or_form(model: Any) -> dict[str, Any]:
    """The answer to one picture, or an array with the answers to all pictures of a form."""
    return {"model": model | _list_of(model | Unread)}


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


def complete(app: FastAPI, token: bool) -> None:
    """Adds to the OpenAPI what FastAPI leaves out: problems, the token, and examples, whose nulls FastAPI drops."""
    described = app.openapi()
    components = described["components"]
    problem = Problem(422, "7.png: 4x4 pixels is too small to read; use at least 8 on one side")
    components["schemas"]["ProblemDetails"] = {**ProblemDetails.model_json_schema(), "examples": [problem.details]}
    for (path, method, status), examples in EXAMPLES.items():
        answer = described["paths"][path][method]["responses"][status]["content"]["application/json"]
        answer["examples"] = {name: {"value": value} for name, value in examples.items()}
    if token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in described["paths"].items():
            if needs_token(path):
                for operation in operations.values():
                    operation["security"] = [{"token": []}]


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
