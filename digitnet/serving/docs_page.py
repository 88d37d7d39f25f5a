"""The API's description as a page to read: HTML without a script, so that it works offline and under any policy."""

import html
import json
from typing import Any

STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8888; margin-top: 2rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9rem; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8888; border-radius: 0.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 1rem 0.25rem 0; }
"""
CURL = {
    "post": 'curl --data-binary @7.png -H "Content-Type: image/png" {url}',
    "get": "curl {url}",
}


def page(openapi: dict[str, Any]) -> str:
    """The OpenAPI as HTML."""
    parts = [
        _section(method, path, operation)
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    ]
    info = openapi["info"]
    title = html.escape(f"{info['title']} {info['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: the API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/web/manual.css"></head><body><main>'
        f"<h1>{title}</h1><p>{html.escape(info['summary'])} "
        'The same for programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f"{''.join(parts)}</main></body></html>"
    )


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    required = [f"{known['name']}=7" for known in operation.get("parameters", []) if known["required"]]
    query = f"?{'&'.join(required)}" if required else ""
    command = CURL[method].format(url=f"'http://127.0.0.1:8000{path}{query}'")
    rows = [
        (known["name"], f"{'needed: ' if known['required'] else ''}{known.get('description', '')}")
        for known in operation.get("parameters", [])
    ]
    statuses = [(status, answer["description"]) for status, answer in sorted(operation["responses"].items())]
    kinds = ", ".join(operation.get("requestBody", {}).get("content", {}))
    return (
        f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>"
        f"<p>{html.escape(operation['summary'])}.{f' Takes {html.escape(kinds)}.' if kinds else ''}</p>"
        f"<pre>{html.escape(command)}</pre>"
        f"{_table('Parameters', rows)}{_examples(operation)}{_table('Probabilities', statuses)}</section>"
    )


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr><th scope=row><code>{html.escape(key)}</code><td>{html.escape(told)}" for key, told in rows)
    return f"<h3>{title}</h3><table>{cells}</table>"


def _examples(operation: dict[str, Any]) -> str:
    """What the answer is like, where there are examples."""
    shown = ""
    for answer in operation["responses"].values():
        for name, example in answer.get("content", {}).get("application/json", {}).get("examples", {}).items():
            shown += f"<h3>Answer to {html.escape(name)}</h3>"
            shown += f"<pre>{html.escape(json.dumps(example['value'], indent=2))}</pre>"
    return shown
