"""The server's answers as its OpenAPI describes them; the answers themselves are written by `results`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Box = Annotated[list[int], Field(min_length=4, max_length=4, description="x, y, width, height in pixels")]
Probabilities = Annotated[list[float], Field(min_length=10, max_length=10, description="for the digits 0 to 9")]
Seen = Annotated[str | None, Field(description="a data: URL, the 28x28 PNG that DigitNet saw")]

SEVEN: dict[str, Any] = {
    "digit": 7,
    "confidence": 0.9991,
    "reason": None,
    "best_guess": 7,
    "probabilities": [0.0, 0.0001, 0.0003, 0.0, 0.0001, 0.0, 0.0, 0.9991, 0.0, 0.0004],
}
UNREAD: dict[str, Any] = {
    "file": "b.png",
    "error": "b.png: not a picture of a known format; use one of JPEG, PNG, WEBP, ...",
}
ONE_DIGIT = {"file": "7.png", **SEVEN}
PAGE = {
    "file": "note.jpg",
    "width": 640,
    "height": 480,
    "note": None,
    "lines": [
        {
            "text": "7",
            "confidence": 0.9991,
            "box": [120, 80, 30, 44],
            "note": None,
            "digits": [{**SEVEN, "box": [120, 80, 30, 44]}],
        }
    ],
}
ABOUT: dict[str, Any] = {
    "version": "3.0.0",
    "model": "the package's model",
    "corrections": False,
    "token": False,
    "limits": {"bytes": 33554432, "pixels": 64000000, "files": 64, "seconds": 30},
}


class Digit(BaseModel):
    """One digit, read or withheld."""

    digit: Annotated[int | None, Field(ge=0, le=9, description="null where it is not vouched for")]
    confidence: Annotated[float, Field(ge=0, le=1)]
    reason: Annotated[str | None, Field(description="why the digit is withheld")]
    best_guess: Annotated[int | None, Field(ge=0, le=9, description="null only for a blank picture")]
    probabilities: Probabilities
    box: Box | None = None
    seen: Seen = None


class Prediction(Digit):
    """A picture's digit; `box` and `seen` are there where `seen=true` asks for them."""

    file: str


class Line(BaseModel):
    """A line of digits; in its text, "?" stands for each that is withheld."""

    text: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    box: Box
    note: Annotated[str | None, Field(description="what a constraint did")]
    digits: list[Digit]


class Page(BaseModel):
    """All digits of a picture, line by line."""

    file: str
    width: int
    height: int
    note: str | None
    lines: list[Line]


class Unread(BaseModel):
    """A picture of a form that cannot be read."""

    model_config = ConfigDict(json_schema_extra={"examples": [UNREAD]})
    file: str
    error: str


class Kept(BaseModel):
    """A correction that was kept."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"file": "20260102T030405-7-0123abcd.png"}]})
    file: str


class LimitsOfARequest(BaseModel):
    """What one request may be at most."""

    bytes: int
    pixels: int
    files: int
    seconds: float


class About(BaseModel):
    """What this server is."""

    model_config = ConfigDict(json_schema_extra={"examples": [ABOUT]})
    version: str
    model: str
    corrections: Annotated[bool, Field(description="whether corrections are kept")]
    token: Annotated[bool, Field(description="whether a token is demanded")]
    limits: LimitsOfARequest


class Status(BaseModel):
    """How the server is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})
    status: str


class ProblemDetails(BaseModel):
    """Why there is no result, as RFC 9457 has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "7.png: 4x4 pixels is too small to read; use at least 8x8",
                }
            ]
        }
    )
    type: str
    title: str
    status: int
    detail: str
