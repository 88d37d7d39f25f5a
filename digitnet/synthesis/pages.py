"""Pages of handwritten numbers that the project makes, and the digits that are written on them.

A `PageMaker` writes with any digits that it is given, such as MNIST's, or stroke by stroke, in one hand a page. It
draws the page's difficulties (`photos`), a writer (`writers`) and what to write where (`layouts`), and then shows the
page as a picture. All chance comes from the generator passed in, so the same seed makes the same page.

Pictures are grey, (height, width) in bytes. Positions are pixels from the top left corner.
"""

import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from digitnet.errors import UsageError
from digitnet.results import is_wide_gap
from digitnet.synthesis.hands import Pixels
from digitnet.synthesis.layouts import amount, crowded, few, huge, rows, scattered, table
from digitnet.synthesis.paper import PAPERS, Paper, guilloche
from digitnet.synthesis.photos import Difficulties, photographed, random_difficulties, worn
from digitnet.synthesis.sheets import MadeDigit, Sheet
from digitnet.synthesis.writers import Pool, Writer, random_writer

__all__ = ["MadeDigit", "MadePage", "PageMaker"]

USUAL = [*PAPERS.values(), guilloche, guilloche]  # many numbers are cut out of cheques
WIDE = 0.15  # of the numbers that are cut out have digits far apart
LAYOUTS = (crowded, rows, few, scattered, table, huge, None)  # None leaves the page empty
LAYOUT_SHARES = np.cumsum([0.28, 0.32, 0.14, 0.08, 0.1, 0.05]).tolist()


@dataclass(frozen=True)
class MadePage:
    """A picture (height, width), grey, in bytes, and its digits, line by line, from left to right."""

    picture: Pixels
    digits: tuple[MadeDigit, ...]

    @property
    def text(self) -> str:
        """The digits that can be read, one text line for each line, with blanks at wide gaps."""
        lines: dict[int, list[MadeDigit]] = {}
        for digit in self.digits:
            if digit.label is not None:
                lines.setdefault(digit.line, []).append(digit)
        return "\n".join("".join(_spaced(line)) for line in lines.values())


class PageMaker:
    """Makes pages of the digits and negatives that it is given.

    Args:
        digits: (N, 28, 28) in bytes, ink bright on dark.
        labels: (N,), 0 to 9.
        negatives: (M, 28, 28) in bytes, letters and signs that are no digits; may be empty.
        papers: what to write on, by name; every kind where it is None.
        strokes: the share of the pages whose digits one hand writes stroke by stroke, with variants that `digits` lack.
    """

    def __init__(
        self,
        digits: Pixels,
        labels: npt.NDArray[np.integer],
        negatives: Pixels,
        papers: Mapping[str, Paper] | None = None,
        *,
        strokes: float = 0.0,
    ) -> None:
        self.pool = Pool.of(digits, labels, negatives)
        self.papers = list(papers.values()) if papers else USUAL
        self.strokes = strokes
        self._characters = set("".join(map(str, self.pool.choices)))

    def page(self, rng: Generator, height: int = 192, width: int = 256) -> MadePage:
        """A random page: digits of any size, any number of lines; some pages are empty."""
        difficulties = random_difficulties(rng)
        writer = self._writer(rng, difficulties)
        sheet = Sheet(height, width)
        layout = LAYOUTS[bisect.bisect(LAYOUT_SHARES, rng.random())]
        if layout:
            layout(sheet, writer, difficulties, rng)
        if "lines" in difficulties:
            sheet.scribble(writer.hand, rng)
        return self._shown(sheet, difficulties, rng)

    def cut_out(
        self, rng: Generator, smallest: float = 9, largest: float = 80, difficulties: Difficulties | None = None
    ) -> MadePage:
        """A number of 1 to 8 digits cut out tightly. Some digits touch the edge, and some are cut by it.

        Args:
            smallest, largest: heights of the digits, in pixels.
            difficulties: of the picture; random ones where it is None.
        """
        difficulties = random_difficulties(rng) if difficulties is None else difficulties
        writer = self._writer(rng, difficulties)
        height = smallest * (largest / smallest) ** rng.uniform() ** 0.7
        gap = rng.uniform(0.4, 1.0) if rng.random() < WIDE else min(writer.hand.gap, 0.5)
        writer = replace(writer, hand=replace(writer.hand, height=height, gap=gap))
        sheet = Sheet(round(10 * height), round(22 * height))
        amount(sheet, writer, difficulties, rng)
        if "lines" in difficulties:
            sheet.scribble(writer.hand, rng)
        return self._shown(sheet, difficulties, rng)

    def number(
        self, rng: Generator, length: int, *, touching: bool = False, difficulties: Difficulties | None = None
    ) -> MadePage:
        """A page with one legible number of `length` whole digits, apart or each touching the next."""
        digits = rng.choice(self.pool.choices, length)
        return self.text(rng, "".join(map(str, digits)), touching=touching, difficulties=difficulties)

    def text(
        self, rng: Generator, text: str, *, touching: bool = False, difficulties: Difficulties | None = None
    ) -> MadePage:
        """A page with these digits, legible and whole, in lines like those of the text, with wide gaps for blanks.

        Args:
            touching: whether each digit touches the one before.
            difficulties: of the picture; patterned paper in uneven light and more (`photos.worn`) where it is None.

        Raises UsageError for any other text, and for digits that this maker does not have.
        """
        lines = text.splitlines()
        if not text.strip() or set(text) - set("0123456789 \n") or set(text) - set(" \n") - self._characters:
            raise UsageError(f"cannot write the text {text!r}; give digits, blanks and line breaks")
        difficulties = worn(rng) if difficulties is None else difficulties
        writer = self._writer(rng, difficulties)
        height = rng.uniform(24, 56)
        hand = replace(writer.hand, height=height, slope=rng.uniform(-0.1, 0.1))
        width = round((2 * max(map(len, lines)) + 4) * height)
        sheet = Sheet(round((4 + 2 * len(lines)) * height + abs(hand.slope) * width), width)
        for line, characters in enumerate(lines):
            x, y = height, (2 + 2 * line) * height + max(0.0, -hand.slope * width)
            before = " "
            for character in characters:
                if character == " ":
                    x += height * rng.uniform(1.2, 1.8)
                else:
                    patch, label = writer.digit(rng, int(character), hand)
                    top = round(y + hand.slope * x)
                    if before != " ":
                        x = sheet.touch(patch, top, x) if touching else x + height * rng.uniform(0.12, 0.5)
                    sheet.write(patch, round(x), top, label, line)
                    x += patch.shape[1]
                before = character
        sheet.trim(round(height))
        return self._shown(sheet, difficulties, rng)

    def _writer(self, rng: Generator, difficulties: Difficulties) -> Writer:
        return random_writer(self.pool, rng, difficulties, self.strokes)

    def _shown(self, sheet: Sheet, difficulties: Difficulties, rng: Generator) -> MadePage:
        smallest = min((digit.bottom - digit.top for digit in sheet.digits), default=30.0)
        return MadePage(photographed(sheet.ink, self.papers, difficulties, rng, smallest), tuple(sheet.digits))


def _spaced(line: list[MadeDigit]) -> Iterator[str]:
    for before, digit in zip([None, *line], line, strict=False):
        if before and is_wide_gap(digit.left - before.right, before.bottom - before.top, digit.bottom - digit.top):
            yield " "
        yield str(digit.label)
