"""The API's description as a page to read: HTML without a script, so that it works offline and under any policy."""

import json
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_suffix(".html")
COMMANDS = {
    "post": "curl --data-binary @7.png -H \"Content-Type: image/png\" 'http://127.0.0.1:8000{}'",
    "get": "curl 'http://127.0.0.1:8000{}'",
}


def page(openapi: dict[str, Any]) -> str:
    """The OpenAPI as HTML."""
    from jinja2 import Environment, StrictUndefined  # here, so that the server's start does not wait for it

    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    operations = [
        _operation(method, path, described)
        for path, methods in openapi["paths"].items()
        for method, described in methods.items()
    ]
    return template.render(info=openapi["info"], operations=operations)


def _operation(method: str, path: str, described: dict[str, Any]) -> dict[str, Any]:
    """What the template shows of one operation."""
    parameters = described.get("parameters", [])
    required = "&".join(f"{parameter['name']}=7" for parameter in parameters if parameter["required"])
    answers = [answer.get("content", {}).get("application/json", {}) for answer in described["responses"].values()]
    return {
        "method": method.upper(),
        "path": path,
        "summary": described["summary"],
        "takes": ", ".join(described.get("requestBody", {}).get("content", {})),
        "command": COMMANDS[method].format(f"{path}?{required}" if required else path),
        "parameters": parameters,
        "examples": {
            name: json.dumps(example["value"], indent=2)
            for answer in answers
            for name, example in answer.get("examples", {}).items()
        },
        "statuses": {status: answer["description"] for status, answer in sorted(described["responses"].items())},
    }
