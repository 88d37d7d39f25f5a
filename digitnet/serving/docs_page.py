"""The API's description as a page to read: HTML without a script, so that it works offline and under any policy."""

import json
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_suffix(".html")


def page(openapi: dict[str, Any]) -> str:
    """The OpenAPI as HTML."""
    from jinja2 import Environment, StrictUndefined  # here, so that the server's start does not wait for it

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["json"] = lambda value: json.dumps(value, indent=2)  # Jinja's own is for scripts
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(openapi)
