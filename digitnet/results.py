"""What DigitNet answers: frozen dataclasses. Their methods only derive facts from their fields."""

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field
from typing import Any

MOST_SHOWN = 10  # lines of a page, in its repr
WIDE_GAP = 0.8  # heights of a digit; a wider gap is a blank in a line's text


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright picture as it was given; `x`, `y` is the top left corner."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def within(cls, edges: Iterable[float], width: int, height: int) -> "Box":
        """The box with these edges, left, top, right and bottom, in a picture of this width and height.

        Edges are rounded and clipped to the picture. The box is at least 1 wide and high.
        """
        left, top, right, bottom = edges
        x, y = max(0, round(left)), max(0, round(top))
        return cls(x, y, max(1, min(width, round(right)) - x), max(1, min(height, round(bottom)) - y))

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom; the last two are the first beyond it."""
        return self.x, self.y, self.x + self.width, self.y + self.height


@dataclass(frozen=True)
class Digit:
    """The answer for one digit: a digit, or a reason why there is none.

    Attributes:
        digit: 0 to 9, or None where the reader abstains. Then `reason` says why.
        confidence: in [0, 1], the probability that `best_guess` is right; 0.0 for a blank picture.
        reason: None where there is a digit. Otherwise "blank", "too faint", "not a digit", "more than
            one digit", "unsure: 4 or 9" with the two likeliest digits, or, on a page, "unsure: 7 or no digit" where it
            is certain which digit it would be, but not that it is one; or "no reading has length 8" where the line has
            no reading that the constraints allow.
        best_guess: the likeliest digit, also where the reader abstains; None only for a blank picture.
        probabilities: ten numbers for the digits 0 to 9 that add up to 1: how likely each is if the picture shows a
            digit. All are equal for a blank picture.
        box: where the ink was found; None for a blank picture.
        artist: draws the digit, for `draw`.
    """

    digit: int | None
    confidence: float
    reason: str | None
    best_guess: int | None
    probabilities: tuple[float, ...]
    box: Box | None = None
    artist: "Callable[[Digit], Any] | None" = field(default=None, repr=False, compare=False)

    def draw(self) -> Any:
        """A PIL image: the picture with a box, what the network saw, the probabilities as bars.

        Raises ValueError for a digit that has no picture; those from `Reader.predict` have one. Raises ImageError where
        the picture's file is gone or has changed.
        """
        if self.artist is None:
            raise ValueError("this digit has no picture to draw on; only digits from Reader.predict have one")
        return self.artist(self)

    def _repr_png_(self) -> Any:
        """What a notebook shows; None lets it show the text."""
        return self.artist and self.draw()._repr_png_()

    def to_dict(self) -> dict[str, Any]:
        """The fields that `digitnet predict --json` writes, in its order."""
        return {
            "digit": self.digit,
            "confidence": self.confidence,
            "reason": self.reason,
            "best_guess": self.best_guess,
            "probabilities": list(self.probabilities),
        }


@dataclass(frozen=True)
class Line:
    """A line of digits on a page.

    Attributes:
        digits: from left to right.
        confidence: in [0, 1], the probability that every digit's `best_guess` is right and no digit is missing.
        box: around all digits of the line.
        note: what the constraints did, for example "length 8; without it 0?22"; None where there are none.
    """

    digits: tuple[Digit, ...]
    confidence: float
    box: Box
    note: str | None = None

    def __repr__(self) -> str:
        return f"Line({self.text!r}, confidence={self.confidence:.3f})"

    @property
    def text(self) -> str:
        """The digits, with "?" for each one without an answer and a blank where the gap is wide."""
        text, before = "", None
        for digit in self.digits:
            here = digit.box
            if before and here and is_wide_gap(here.x - before.x - before.width, before.height, here.height):
                text += " "
            text += "?" if digit.digit is None else str(digit.digit)
            before = here
        return text

    def to_dict(self) -> dict[str, Any]:
        """The fields that `digitnet read --json` writes for a line, in its order; boxes are [x, y, width, height]."""
        return {
            "text": self.text,
            "confidence": self.confidence,
            "box": list(astuple(self.box)),
            "note": self.note,
            "digits": [{**digit.to_dict(), "box": digit.box and list(astuple(digit.box))} for digit in self.digits],
        }


def is_wide_gap(gap: float, left_height: float, right_height: float) -> bool:
    """Whether the gap between two neighbours of a line is shown as a blank.

    Args:
        gap: from the right edge of the left digit to the left edge of the right digit, in pixels.
        left_height, right_height: of the two digits, in pixels.
    """
    return gap > WIDE_GAP * (left_height + right_height) / 2


@dataclass(frozen=True)
class Page:
    """All digits of a picture.

    Attributes:
        width, height: of the upright picture as it was given, in pixels.
        lines: from top to bottom; empty where there is nothing to read.
        note: what the wanted number of lines changed, for example "5 lines found, the likeliest 3 kept"; else None.
        artist: draws the page, for `draw`.
    """

    width: int
    height: int
    lines: tuple[Line, ...]
    note: str | None = None
    artist: "Callable[[Page], Any] | None" = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        shown = [repr(line.text) for line in self.lines[:MOST_SHOWN]]
        more = [f"... {len(self.lines):,} lines"] if len(self.lines) > MOST_SHOWN else []
        return f"Page({self.width}x{self.height}, [{', '.join(shown + more)}])"

    def _repr_png_(self) -> Any:
        """What a notebook shows; None lets it show the text."""
        return self.artist and self.draw()._repr_png_()

    @property
    def text(self) -> str:
        """The texts of the lines, with a line break between each two."""
        return "\n".join(line.text for line in self.lines)

    @property
    def digits(self) -> tuple[Digit, ...]:
        """The digits of all lines, in reading order."""
        return tuple(digit for line in self.lines for digit in line.digits)

    def draw(self) -> Any:
        """A PIL image: the picture with a box around each digit and what was read there.

        Raises ValueError for a page that was not made by a reader: it has no picture. Raises ImageError where the
        picture's file is gone or has changed.
        """
        if self.artist is None:
            raise ValueError("this page has no picture to draw on; only pages from Reader.read have one")
        return self.artist(self)

    def to_dict(self) -> dict[str, Any]:
        """The fields that `digitnet read --json` writes for a picture, in its order."""
        return {
            "width": self.width,
            "height": self.height,
            "note": self.note,
            "lines": [line.to_dict() for line in self.lines],
        }
