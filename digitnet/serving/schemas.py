"""What the API answers, as models: FastAPI describes them in its OpenAPI."""

from typing import Annotated

from pydantic import BaseModel, Field

DigitNumber = Annotated[int, Field(ge=0, le=9)]
Probability = Annotated[float, Field(ge=0, le=1)]
Box = Annotated[
    list[int],
    Field(min_length=4, max_length=4, description="x, y, width, height in pixels of the upright picture as given"),
]


class Digit(BaseModel):
    """The answer for one digit: a digit, or a reason why there is none."""

    digit: DigitNumber | None = Field(description="null where the reader abstains; then `reason` says why")
    confidence: Probability = Field(description="the probability that `best_guess` is right; 0 for a blank picture")
    reason: str | None = Field(
        description='null where there is a digit; otherwise "blank", "too faint", "not a digit", '
        '"more than one digit", "unsure: 4 or 9" with the two likeliest digits or, on a page, "unsure: 7 or no digit"'
    )
    best_guess: DigitNumber | None = Field(
        description="the likeliest digit, also where the reader abstains; null only for a blank picture"
    )
    probabilities: list[float] = Field(
        min_length=10,
        max_length=10,
        description="how likely each digit from 0 to 9 is if the picture shows a digit; they add up to 1",
    )
    box: Box | None = None
    seen: str | None = Field(None, description="a data: URL with the 28x28 PNG that DigitNet saw")


class Prediction(Digit):
    """The digit of a picture; `seen=true` adds `box` and `seen`."""

    file: str


class Line(BaseModel):
    """A line of digits on a page."""

    text: str = Field(description='the digits, with "?" for each one without an answer and blanks for wide gaps')
    confidence: Probability = Field(
        description="the probability that every `best_guess` is right and no digit is missing"
    )
    box: Box
    note: str | None = Field(description='what the constraints did, for example "length 8; without it 0?22"')
    digits: list[Digit] = Field(description="from left to right")


class Page(BaseModel):
    """All digits of a picture."""

    file: str
    width: int = Field(description="of the upright picture as it was given, in pixels")
    height: int = Field(description="of the upright picture as it was given, in pixels")
    note: str | None = Field(
        description='what the wanted number of lines changed, as in "5 lines found, the likeliest 3 kept"'
    )
    lines: list[Line] = Field(description="from top to bottom; empty where there is nothing to read")


class Unread(BaseModel):
    """A picture of a form that cannot be read."""

    file: str
    error: str


class Correction(BaseModel):
    """A picture with its right digit."""

    file: str = Field(description="the name of the picture in the folder")
    label: int = Field(description="the digit that it shows, 0 to 9")
    time: str | None = Field(description="when it was kept, as in ISO 8601; null if the table does not say")
    picture: str = Field(description="its address")


class Changed(BaseModel):
    """What the server learnt from the corrections that it has, after one of them was changed."""

    file: str
    learned_from: int | None = Field(
        description="how many corrections the next reading has learnt from; null if it has learnt from none of them"
    )
    reason: str | None = Field(
        description="why it has not learnt from all of them; null if it has, or if the server does not learn"
    )


class RequestLimits(BaseModel):
    """The limits of one request."""

    bytes: int
    pixels: int
    files: int
    seconds: float


class About(BaseModel):
    """What this server is."""

    version: str
    model: str
    corrections: bool = Field(description="whether corrections are kept")
    token: bool = Field(description="whether the API asks for a token")
    limits: RequestLimits


class Status(BaseModel):
    """Whether the server works."""

    status: str


class ProblemDetails(BaseModel):
    """Why there is no result (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
