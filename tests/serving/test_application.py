"""The application without a network: what only shows with a reader of the test's own."""

import asyncio
import json
import tempfile

import pytest
from helpers import encoded
from PIL import Image
from server_process import form

import digitnet
from digitnet.errors import CancelledError
from digitnet.results import Page
from digitnet.serving.application import application
from digitnet.serving.guard import Limits

PICTURE = encoded(Image.new("L", (300, 300), 255), "PNG")


async def ask(app, method, path, body=b"", content_type="image/png"):
    """Status and JSON of the answer to a request."""
    sent = []
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    path, _, query = path.partition("?")
    headers = [(b"host", b"localhost"), (b"content-type", content_type.encode())]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
    await app({**scope, "http_version": "1.1", "scheme": "http", "root_path": ""}, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))


class Slow:
    """A reader that reads the first page until it is told to stop."""

    about = {"model": "slow"}  # noqa: RUF012
    pages = 0

    def examine_page(self, source, *, name, is_cancelled, **known):
        self.pages += 1
        while self.pages == 1:
            if is_cancelled():
                raise CancelledError("stopped")

        class Examination:
            page = Page(300, 300, ())

        return Examination


def test_a_page_whose_request_is_over_is_given_up_and_the_next_one_is_read():
    async def scenario():
        app = application(Slow(), limits=Limits(seconds=0.05))
        late = await ask(app, "POST", "/v1/read", PICTURE)
        return late, await ask(app, "POST", "/v1/read?name=next", PICTURE)

    (late, problem), (status, told) = asyncio.run(scenario())
    assert (late, status) == (503, 200)
    assert "longer than 0.05 seconds" in problem["detail"]
    assert told == {"file": "next", "width": 300, "height": 300, "note": None, "lines": []}


def test_pictures_in_a_form_are_never_written_to_the_disk(monkeypatch, reader):
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda file: pytest.fail("written to the disk"))
    noise = encoded(Image.effect_noise((1500, 1500), 100), "PNG")
    assert len(noise) > 2**20
    status, told = asyncio.run(ask(application(reader), "POST", "/v1/predict", *form(("7.png", noise))))
    assert (status, told[0]["file"]) == (200, "7.png")


@pytest.mark.parametrize("charset", ["utf-8", "undefined", "utf-7", "raw_unicode_escape", "no\x00ne"])
def test_file_names_are_utf_8_whatever_charset_a_form_claims(reader, charset):
    body, content_type = form(("siebené+2AA-\\ud800.png", PICTURE))
    status, told = asyncio.run(
        ask(application(reader), "POST", "/v1/predict", body, f"{content_type}; charset={charset}")
    )
    assert (status, told[0]["file"]) == (200, "siebené+2AA-\\ud800.png")


def test_the_openapi_tells_the_version_and_describes_the_results(reader):
    _, described = asyncio.run(ask(application(reader), "GET", "/openapi.json"))
    about = described["paths"]["/v1/about"]["get"]["responses"]["200"]["content"]["application/json"]
    assert described["info"]["version"] == digitnet.__version__
    assert about["examples"]["this request"]["value"]["version"] == digitnet.__version__
    schemas = described["components"]["schemas"]
    digit = schemas["Digit"]["properties"]
    assert set(digit) == {"digit", "confidence", "reason", "best_guess", "probabilities", "box", "seen"}
    assert all(told.get("description") or "box" in name for name, told in digit.items())
    assert digit["digit"]["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": 9}
    assert (digit["probabilities"]["minItems"], digit["confidence"]["maximum"]) == (10, 1)
    assert set(schemas["Line"]["properties"]) == {"text", "confidence", "box", "note", "digits"}
    assert set(schemas["Page"]["properties"]) == {"file", "width", "height", "note", "lines"}
    assert set(schemas["Line"]["required"]) == set(schemas["Line"]["properties"])
