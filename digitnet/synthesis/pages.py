"""Pages of handwritten numbers that the project makes, and the digits that are written on them.

A `PageMaker` writes with any digits that it is given, such as MNIST's, in one hand a page. It lays them out in lines,
joins and overlaps some, puts letters, signs and scribbles between them, and shows the page on one of `paper.PAPERS`,
in uneven light, through a camera. All chance comes from the generator passed in, so the same seed makes the same page.

Pictures are grey, (height, width) in bytes. Positions are pixels from the top left corner.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from digitnet.errors import UsageError
from digitnet.results import is_wide_gap
from digitnet.synthesis.hands import Hand, Pixels, handwritten, random_hand, thinned
from digitnet.synthesis.paper import PAPERS, Array, Paper, enlarged, light
from digitnet.synthesis.sheets import MadeDigit, Sheet

__all__ = ["MadeDigit", "MadePage", "PageMaker"]

THINNED = 1500  # so many digits are also thinned to lines, which takes about a second
NOISIEST = 0.1  # of the ink's darkness; more noise would hide the ink
TOUCHING = 0.12  # of the numbers are written with each digit touching the next


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
    """

    def __init__(
        self,
        digits: Pixels,
        labels: npt.NDArray[np.integer],
        negatives: Pixels,
        papers: Mapping[str, Paper] | None = None,
    ) -> None:
        self.digits = digits
        self.labels = labels
        self.negatives = negatives
        self.papers = list((papers or PAPERS).values())
        self.thin = thinned(digits[:THINNED])
        self._characters = set("".join(map(str, np.unique(labels))))

    def page(self, rng: Generator, height: int = 192, width: int = 256) -> MadePage:
        """A random page: digits of any size, any number of lines; some pages are empty."""
        hand = random_hand(rng)
        sheet = Sheet(height, width)
        kind = rng.random()
        if kind < 0.12:
            self._few(sheet, hand, rng)
        elif kind < 0.86:
            self._fill(sheet, hand, rng)
        elif kind < 0.94:  # nothing to read, only parts of huge strokes
            self._huge(sheet, rng)
        if rng.random() < 0.25:
            sheet.scribble(hand, rng)
        return MadePage(self._photographed(sheet, rng), tuple(sheet.digits))

    def number(self, rng: Generator, length: int, *, touching: bool = False) -> MadePage:
        """A page with one legible number of `length` whole digits, apart or each touching the next."""
        digits = rng.choice(np.unique(self.labels), length)
        return self.text(rng, "".join(map(str, digits)), touching=touching)

    def text(self, rng: Generator, text: str, *, touching: bool = False) -> MadePage:
        """A page with these digits, legible and whole, in lines like those of the text, with wide gaps for blanks.

        Raises UsageError for any other text, and for digits that this maker does not have.
        """
        lines = text.splitlines()
        if not text.strip() or set(text) - set("0123456789 \n") or set(text) - set(" \n") - self._characters:
            raise UsageError(f"cannot write the text {text!r}; give digits, blanks and line breaks")
        hand = replace(random_hand(rng), height=rng.uniform(24, 56), joined=0.0)
        hand = replace(hand, slope=float(np.clip(hand.slope, -0.1, 0.1)))
        height = hand.height
        width = round((2 * max(map(len, lines)) + 4) * height)
        sheet = Sheet(round((4 + 2 * len(lines)) * height + abs(hand.slope) * width), width)
        for line, characters in enumerate(lines):
            x, y = height, (2 + 2 * line) * height + max(0.0, -hand.slope * width)
            before = " "
            for character in characters:
                if character == " ":
                    x += height * rng.uniform(1.2, 1.8)
                else:
                    patch, label = self._any_digit(hand, rng, int(character))
                    top = round(y + hand.slope * x)
                    if before != " ":
                        x = sheet.touch(patch, top, x) if touching else x + height * rng.uniform(0.12, 0.5)
                    sheet.write(patch, round(x), top, label, line)
                    x += patch.shape[1]
                before = character
        sheet.trim(round(height))
        return MadePage(self._photographed(sheet, rng, depth=rng.uniform(0.4, 0.95)), tuple(sheet.digits))

    def _fill(self, sheet: Sheet, hand: Hand, rng: Generator) -> None:
        """Writes lines of numbers and words over the sheet."""
        height = hand.height
        y = rng.uniform(0, max(4, 0.6 * height)) if rng.random() < 0.75 else rng.uniform(0, 0.6 * sheet.height)
        y += max(0.0, -hand.slope * sheet.width * 0.7)
        letters = rng.choice([0.0, 0.08, 0.5, 1.0], p=[0.45, 0.35, 0.14, 0.06]) if len(self.negatives) else 0.0
        zeros = rng.random() < 0.08  # many zeros, as in amounts of money
        fields = rng.random() < 0.2  # each line is written over a printed line
        line = 0
        while y < sheet.height - 0.6 * height:
            if fields:
                foot = y + height * rng.uniform(0.9, 1.25)
                end = (sheet.width, foot + hand.slope * sheet.width)
                sheet.draw_line((0, foot), end, int(rng.integers(1, 3)))
            x = rng.uniform(-0.3, 1.5) * height
            while x < sheet.width - 4:
                x += self._word(sheet, hand, x, y, line, letters, zeros, rng)
                x += height * rng.choice([rng.uniform(0.3, 0.8), rng.uniform(0.8, 3.0)])
                if rng.random() < 0.08:
                    break
            y += height * rng.uniform(1.15, 2.2)
            line += 1
            if rng.random() < 0.15:
                break

    def _few(self, sheet: Sheet, hand: Hand, rng: Generator) -> None:
        """Writes one to three digits somewhere: tiny ones on an almost empty page, or one that fills the page."""
        largest = 0.9 * min(sheet.height, sheet.width)
        hand = replace(hand, height=math.exp(rng.uniform(math.log(12), math.log(largest))))
        x, y = rng.uniform(0, max(1.0, sheet.width - hand.height)), rng.uniform(0, max(1.0, sheet.height - hand.height))
        for _ in range(int(rng.integers(1, 4))):
            patch, label = self._any_digit(hand, rng)
            sheet.write(patch, round(x), round(y), label, line=0)
            x += patch.shape[1] + hand.height * rng.uniform(0.1, 0.6)

    def _word(
        self, sheet: Sheet, hand: Hand, x: float, y: float, line: int, letters: float, zeros: bool, rng: Generator
    ) -> float:
        """Writes a number or a word of negatives, and returns its width."""
        start, height = x, hand.height
        of_letters = rng.random() < letters
        previous: tuple[float, float, Array] | None = None
        touching = rng.random() < TOUCHING
        for _ in range(int(rng.integers(1, 9))):
            own = replace(
                hand,
                height=height * (1 + hand.unsteady * rng.uniform(-0.25, 0.25)),
                slant=hand.slant + hand.unsteady * rng.uniform(-0.15, 0.15),
            )
            down = y + hand.slope * x + hand.unsteady * rng.uniform(-0.15, 0.15) * height
            if rng.random() < 0.06:
                x += sheet.draw_mark(own, x, down, rng)
            if of_letters:
                patch = handwritten(self.negatives[rng.integers(len(self.negatives))], own)
                sheet.add(patch, round(x), round(down))
                x += patch.shape[1] + hand.gap * height
                continue
            wanted = 0 if zeros and rng.random() < 0.8 else None
            patch, label = self._any_digit(own, rng, wanted)
            top = down + (height - len(patch)) * rng.uniform(0.3, 0.7)
            if previous and touching:
                x = sheet.touch(patch, round(top), previous[0] + previous[2].shape[1])
            elif previous and rng.random() < hand.joined:
                sheet.join(previous, (x, top, patch), hand, rng)
            sheet.write(patch, round(x), round(top), label, line)
            previous = (x, top, patch)
            x += patch.shape[1] + height * (hand.gap + 0.04) * (1 + hand.unsteady * rng.uniform(-0.5, 0.5))
            if x > sheet.width:
                break
        return x - start

    def _huge(self, sheet: Sheet, rng: Generator) -> None:
        """Writes a digit so large that only parts of its strokes are on the sheet, as in a photo from too close."""
        hand = replace(random_hand(rng), height=rng.uniform(1.4, 4) * max(sheet.height, sheet.width))
        patch, _ = self._any_digit(hand, rng)
        left, top = rng.uniform(-1, 0, 2) * [patch.shape[1] - 0.3 * sheet.width, len(patch) - 0.3 * sheet.height]
        sheet.add(patch, round(left), round(top))

    def _any_digit(self, hand: Hand, rng: Generator, label: int | None = None) -> tuple[Array, int]:
        """A random digit, with this label if there is one, written in a hand, and its label."""
        pool = self.digits if hand.pen is None else self.thin
        index = int(rng.integers(len(pool)))
        if label is not None and len(alike := np.flatnonzero(self.labels[: len(pool)] == label)):
            index = int(rng.choice(alike))
        return handwritten(pool[index], hand), int(self.labels[index])

    def _photographed(self, sheet: Sheet, rng: Generator, depth: float | None = None) -> Pixels:
        """A photo (height, width) of the sheet on a random paper, where full ink absorbs `depth` of the light."""
        paper = self.papers[rng.integers(len(self.papers))](sheet.height, sheet.width, rng)
        ink = np.minimum(sheet.ink, 1)
        if rng.random() < 0.5:
            bare = enlarged(rng.random((sheet.height // 2, sheet.width // 2)), paper.shape)  # the pen skips
            ink = ink * (1 - rng.uniform(0, 0.5) * bare)
        if depth is None:
            depth = rng.uniform(0.3, 0.95) if rng.random() < 0.92 else rng.uniform(0.15, 0.3)
        picture: Any = paper * (1 - depth * ink) * light(sheet.height, sheet.width, rng)
        if rng.random() < 0.2:
            picture = 1 - picture  # light on dark, like chalk or a screen
        if rng.random() < 0.5:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.1))
        noise = rng.uniform(0, min(0.05, NOISIEST * depth))
        picture = picture + noise * rng.standard_normal(picture.shape, dtype=np.float32)
        picture = np.clip(picture * 255, 0, 255).astype(np.uint8)
        if rng.random() < 0.4:
            _, file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
            picture = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
        return np.asarray(picture, np.uint8)


def _spaced(line: list[MadeDigit]) -> Iterator[str]:
    for before, digit in zip([None, *line], line, strict=False):
        if before and is_wide_gap(digit.left - before.right, before.bottom - before.top, digit.bottom - digit.top):
            yield " "
        yield str(digit.label)
