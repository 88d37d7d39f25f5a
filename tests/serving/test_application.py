"""The application without a network: what only shows with a reader of the test's own."""

import asyncio
import json
import tempfile
import time

import numpy as np
import pytest
from helpers import encoded, page_of
from PIL import Image
from server_process import form

import digitnet
from digitnet.errors import CancelledError
from digitnet.results import Page
from digitnet.serving.application import application
from digitnet.serving.corrections import Corrections
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


def test_a_correction_whose_request_is_over_is_not_kept(tmp_path):
    class SlowToSee(Slow):
        def sight(self, picture, *, name):
            time.sleep(0.1)

        def chosen(self, sight):
            return pytest.fail("its time was over") if self.pages else None

    app = application(SlowToSee(), limits=Limits(seconds=0.02), corrections=(kept := Corrections(tmp_path)))
    status, problem = asyncio.run(ask(app, "POST", "/v1/corrections?label=7", PICTURE))
    assert (status, kept.all()) == (503, [])
    assert "longer than 0.02 seconds" in problem["detail"]


@pytest.mark.parametrize("content", [PICTURE, encoded(Image.new("L", (28, 28), 0), "PNG")])
def test_a_blank_picture_is_no_correction(reader, tmp_path, content):
    kept = Corrections(tmp_path)
    status, problem = asyncio.run(
        ask(application(reader, corrections=kept), "POST", "/v1/corrections?label=2", content)
    )
    assert (status, kept.all()) == (422, [])
    assert "blank" in problem["detail"]


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


def test_each_request_may_say_how_many_answers_may_be_wrong(reader, mnist_digits):
    images, _ = mnist_digits
    names = [str(number) for number in range(40)]
    answered = {}
    app = application(reader)
    for query in ("", "?max_error=0", "?max_error=0.0001", "?max_error=0.05", "?always=true"):
        pictures = [Image.fromarray((255 * (1 - 0.45 * image)).astype(np.uint8)) for image in images[:40]]
        body = form(*[(name, encoded(picture, "PNG")) for name, picture in zip(names, pictures, strict=True)])
        status, told = asyncio.run(ask(app, "POST", f"/v1/predict{query}", *body))
        assert (status, [one["file"] for one in told]) == (200, names)
        answered[query] = sum(one["digit"] is not None for one in told)
    assert answered["?max_error=0"] <= answered["?max_error=0.0001"] <= answered[""] <= answered["?max_error=0.05"]
    assert answered["?max_error=0"] < answered["?always=true"] == 40
    assert reader.max_error == 0.003


def test_a_page_too_is_read_as_carefully_as_asked(reader, mnist_digits):
    grey, _ = page_of(mnist_digits, ["314", "271"])
    picture = encoded(Image.fromarray((grey * 255).astype(np.uint8)), "PNG")
    app = application(reader)
    never, always = (
        asyncio.run(ask(app, "POST", f"/v1/read?{query}", picture))[1] for query in ("max_error=0", "always=1")
    )
    assert sum(line["text"].count("?") for line in never["lines"]) > 0
    assert [line["text"] for line in always["lines"]] == ["314", "271"]


@pytest.mark.parametrize("query", ["max_error=2", "max_error=nan", "max_error=-1", "max_error=0.1&always=true"])
def test_an_error_that_makes_no_sense_is_refused(reader, query):
    status, problem = asyncio.run(ask(application(reader), "POST", f"/v1/read?{query}", PICTURE))
    assert status == 400
    assert "max_error" in problem["detail"]
