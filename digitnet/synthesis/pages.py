"""Pages of handwritten numbers, made: with what stands where, for training and for judging whatever reads pages.

A `PageMaker` writes with digits that it is given (MNIST's, or anyone's), in one hand a page: one slant, one pen, one
spacing. It lays them out in lines, joins and overlaps some, puts letters, signs and scribbles between them, and shows
the page on one of `paper.PAPERS`, in uneven light, through a camera. Everything comes from the generator passed in,
so the same seed makes the same page.

Pictures are grey, (height, width) in bytes. Positions are pixels, from the top left corner.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from digitnet.errors import SaveError, UsageError
from digitnet.files import write_atomically
from digitnet.results import is_wide_gap
from digitnet.synthesis.paper import PAPERS, Paper, enlarged, light
from digitnet.synthesis.skeleton import skeletons

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

SOURCE_SIDE = 28  # of the digits and letters that pages are written with
FINE = 2  # times as large are digits thinned to a line
LINE_WIDTH = 1.6  # pixels of such a line, its soft edges included
THINNED = 1500  # digits that are, a second's work
CUT_OFF = 0.75  # a digit of which less than this is on the page is nobody's to read
NOISIEST = 0.1  # of the ink's darkness; more noise than that hides it
TOUCHING = 0.12  # of the numbers, each digit of which touches the next
SHARP = 0.5  # ink above this is stroke
SMALLEST_PAGE, LARGEST_PAGE = 32, 4096  # pixels a side
STREAM = 3  # of random numbers, apart from those of training and validation


@dataclass(frozen=True)
class MadeDigit:
    """A digit on a made page.

    Attributes:
        label: 0 to 9, or None for one that nobody can be asked to read: cut off by the border.
        left, top, right, bottom: of its ink, in pixels, right and bottom beyond the last.
        line: which of the page's lines it stands in, from 0.
    """

    label: int | None
    left: float
    top: float
    right: float
    bottom: float
    line: int


@dataclass(frozen=True)
class MadePage:
    """A picture (height, width), grey, in bytes, and what is written in it, line by line, from left to right."""

    picture: Picture
    digits: tuple[MadeDigit, ...]

    @property
    def text(self) -> str:
        """The digits that can be read: a line a line, blanks where the gaps are wide."""
        lines: dict[int, list[MadeDigit]] = {}
        for digit in self.digits:
            if digit.label is not None:
                lines.setdefault(digit.line, []).append(digit)
        return "\n".join("".join(_spaced(line)) for line in lines.values())


def _spaced(line: list[MadeDigit]) -> Iterator[str]:
    for before, digit in zip([None, *line], line, strict=False):
        if before and is_wide_gap(digit.left - before.right, before.bottom - before.top, digit.bottom - digit.top):
            yield " "
        yield str(digit.label)


@dataclass(frozen=True)
class Hand:
    """How somebody writes on one page.

    Attributes:
        height: of a digit, in pixels.
        pen: width of the strokes as a fraction of the height; None leaves them as they are in the source.
        thicker: pixels of the source by which strokes grow, where `pen` is None; below 0 they shrink.
        slant: columns to the right that a row higher up is moved, in (-1, 1).
        slope: of the lines, rows down a column.
        stretch: of the width.
        gap: between digits, as a fraction of the height; below 0 they overlap.
        unsteady: how much size, place, slant and gap differ from digit to digit, in [0, 1].
        joined: how often a stroke leads on from a digit to the next, in [0, 1].
    """

    height: float
    pen: float | None = None
    thicker: float = 0.0
    slant: float = 0.0
    slope: float = 0.0
    stretch: float = 1.0
    gap: float = 0.2
    unsteady: float = 0.5
    joined: float = 0.0


@dataclass(frozen=True)
class Patch:
    """Ink (h, w) in [0, 1], cut out tight."""

    ink: Array

    @property
    def height(self) -> int:
        return len(self.ink)

    @property
    def width(self) -> int:
        return len(self.ink[0])


class PageMaker:
    """Makes pages out of what it is given.

    Args:
        digits: (N, 28, 28) in bytes, ink bright on dark.
        labels: (N,), 0 to 9.
        others: (M, 28, 28) in bytes, letters and signs that are no digits; none are written where it is empty.
        papers: what to write on, by name.
    """

    def __init__(
        self,
        digits: Picture,
        labels: npt.NDArray[np.integer],
        others: Picture,
        papers: Mapping[str, Paper] | None = None,
    ) -> None:
        self.digits = digits
        self.labels = labels
        self.others = others
        self.papers = list((papers or PAPERS).values())
        self.thin = thinned(digits[:THINNED])
        self._characters = set("".join(map(str, np.unique(labels))))

    def page(self, rng: Generator, height: int = 192, width: int = 256) -> MadePage:
        """A page as it comes: any size of digit, any number of lines, some pages empty."""
        hand = any_hand(rng)
        sheet = Sheet(height, width)
        kind = rng.random()
        if kind < 0.12:
            self._few(sheet, hand, rng)
        elif kind < 0.86:
            self._fill(sheet, hand, rng)
        elif kind < 0.94:  # nothing to read, or only parts of strokes far too large
            self._huge(sheet, rng)
        if rng.random() < 0.25:
            scribble_on(sheet, hand, rng)
        return MadePage(self._photographed(sheet, rng), tuple(sheet.digits))

    def number(self, rng: Generator, length: int, *, touching: bool = False) -> MadePage:
        """A page with one legible number of `length` digits, whole, apart or each touching the next."""
        digits = rng.choice(np.unique(self.labels), length)
        return self.text(rng, "".join(map(str, digits)), touching=touching)

    def text(self, rng: Generator, text: str, *, touching: bool = False) -> MadePage:
        """A page with these digits, legible and whole, a line a line, wide gaps for blanks.

        Raises UsageError for a text of anything else, and for digits that this maker has not got.
        """
        lines = text.splitlines()
        if not text.strip() or set(text) - set("0123456789 \n") or set(text) - set(" \n") - self._characters:
            raise UsageError(f"the text {text!r} cannot be written; give digits, blanks and line breaks")
        hand = replace(any_hand(rng), height=rng.uniform(24, 56), joined=0.0)
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
                    x += patch.width
                before = character
        sheet.trim(round(height))
        return MadePage(self._photographed(sheet, rng, depth=rng.uniform(0.4, 0.95)), tuple(sheet.digits))

    def _fill(self, sheet: "Sheet", hand: Hand, rng: Generator) -> None:
        height = hand.height
        y = rng.uniform(0, max(4, 0.6 * height)) if rng.random() < 0.75 else rng.uniform(0, 0.6 * sheet.height)
        y += max(0.0, -hand.slope * sheet.width * 0.7)
        letters = rng.choice([0.0, 0.08, 0.5, 1.0], p=[0.45, 0.35, 0.14, 0.06]) if len(self.others) else 0.0
        zeros = rng.random() < 0.08  # as amounts of money have them
        fields = rng.random() < 0.2  # each line of writing over a printed one
        line = 0
        while y < sheet.height - 0.6 * height:
            if fields:
                foot = y + height * rng.uniform(0.9, 1.25)
                end = (sheet.width, round(foot + hand.slope * sheet.width))
                cv2.line(sheet.ink, (0, round(foot)), end, 1.0, int(rng.integers(1, 3)), cv2.LINE_AA)
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

    def _few(self, sheet: "Sheet", hand: Hand, rng: Generator) -> None:
        """One to three digits, somewhere: a page that holds hardly more than paper, or one that a digit fills."""
        largest = 0.9 * min(sheet.height, sheet.width)
        hand = replace(hand, height=math.exp(rng.uniform(math.log(12), math.log(largest))))
        x, y = rng.uniform(0, max(1.0, sheet.width - hand.height)), rng.uniform(0, max(1.0, sheet.height - hand.height))
        for _ in range(int(rng.integers(1, 4))):
            patch, label = self._any_digit(hand, rng)
            sheet.write(patch, round(x), round(y), label, line=0)
            x += patch.width + hand.height * rng.uniform(0.1, 0.6)

    def _word(
        self, sheet: "Sheet", hand: Hand, x: float, y: float, line: int, letters: float, zeros: bool, rng: Generator
    ) -> float:
        """Writes a number or a word; its width."""
        start, height = x, hand.height
        of_letters = rng.random() < letters
        previous: tuple[float, float, Patch] | None = None
        touching = rng.random() < TOUCHING
        for _ in range(int(rng.integers(1, 9))):
            one = replace(
                hand,
                height=height * (1 + hand.unsteady * rng.uniform(-0.25, 0.25)),
                slant=hand.slant + hand.unsteady * rng.uniform(-0.15, 0.15),
            )
            down = y + hand.slope * x + hand.unsteady * rng.uniform(-0.15, 0.15) * height
            if rng.random() < 0.06:
                x += mark(sheet, one, x, down, rng)
            if of_letters:
                patch = written(self.others[rng.integers(len(self.others))], one)
                sheet.add(patch, round(x), round(down))
                x += patch.width + hand.gap * height
                continue
            wanted = 0 if zeros and rng.random() < 0.8 else None
            patch, label = self._any_digit(one, rng, wanted)
            top = down + (height - patch.height) * rng.uniform(0.3, 0.7)
            if previous and touching:
                x = sheet.touch(patch, round(top), previous[0] + previous[2].width)
            elif previous and rng.random() < hand.joined:
                join(sheet, previous, (x, top, patch), hand, rng)
            sheet.write(patch, round(x), round(top), label, line)
            previous = (x, top, patch)
            x += patch.width + height * (hand.gap + 0.04) * (1 + hand.unsteady * rng.uniform(-0.5, 0.5))
            if x > sheet.width:
                break
        return x - start

    def _huge(self, sheet: "Sheet", rng: Generator) -> None:
        """A digit so large that only its strokes are seen: as a close look at a photo's writing has it."""
        hand = replace(any_hand(rng), height=rng.uniform(1.4, 4) * max(sheet.height, sheet.width))
        patch, _ = self._any_digit(hand, rng)
        left, top = rng.uniform(-1, 0, 2) * [patch.width - 0.3 * sheet.width, patch.height - 0.3 * sheet.height]
        sheet.add(patch, round(left), round(top))

    def _any_digit(self, hand: Hand, rng: Generator, label: int | None = None) -> tuple[Patch, int]:
        """A digit in a hand; of that label, if there are any."""
        pool = self.digits if hand.pen is None else self.thin
        index = int(rng.integers(len(pool)))
        if label is not None and len(alike := np.flatnonzero(self.labels[: len(pool)] == label)):
            index = int(rng.choice(alike))
        return written(pool[index], hand), int(self.labels[index])

    def _photographed(self, sheet: "Sheet", rng: Generator, depth: float | None = None) -> Picture:
        """The sheet on some paper, its ink taking away that part of the light, as a camera sees it."""
        paper = self.papers[rng.integers(len(self.papers))](sheet.height, sheet.width, rng)
        ink = np.minimum(sheet.ink, 1)
        if rng.random() < 0.5:
            bare = enlarged(rng.random((sheet.height // 2, sheet.width // 2)), paper.shape)  # where the pen skips
            ink = ink * (1 - rng.uniform(0, 0.5) * bare)
        if depth is None:
            depth = rng.uniform(0.3, 0.95) if rng.random() < 0.92 else rng.uniform(0.15, 0.3)
        picture: Any = paper * (1 - depth * ink) * light(sheet.height, sheet.width, rng)
        if rng.random() < 0.2:
            picture = 1 - picture  # chalk, and screens
        if rng.random() < 0.5:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.1))
        noise = rng.uniform(0, min(0.05, NOISIEST * depth))
        picture = picture + noise * rng.standard_normal(picture.shape, dtype=np.float32)
        picture = np.clip(picture * 255, 0, 255).astype(np.uint8)
        if rng.random() < 0.4:
            _, file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
            picture = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
        return np.asarray(picture, np.uint8)


def write_pages(maker: PageMaker, folder: Path, pages: int, height: int, width: int, *, seed: int = 0) -> None:
    """Writes pages as pictures, their texts into labels.csv (file, text), and each digit's box into pages.jsonl.

    A line of pages.jsonl is {"file": ..., "text": ..., "digits": [{"digit": 7, "line": 0, "box": [x, y, w, h]}, ...]},
    with null for a digit that the border cuts off.

    Raises:
        UsageError: see `check_request`.
        SaveError: a file cannot be written.
    """
    check_request(folder, pages, height, width, seed)
    table, boxes = io.StringIO(), []
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "text"))
    for number in range(pages):
        page = maker.page(np.random.default_rng([seed, number, STREAM]), height, width)
        name = f"page-{number:04}.png"
        _, picture = cv2.imencode(".png", page.picture)
        _write(folder / name, picture.tobytes())
        rows.writerow((name, page.text))
        digits = [
            {
                "digit": digit.label,
                "line": digit.line,
                "box": [digit.left, digit.top, digit.right - digit.left, digit.bottom - digit.top],
            }
            for digit in page.digits
        ]
        boxes.append(json.dumps({"file": name, "text": page.text, "digits": digits}) + "\n")
    _write(folder / "labels.csv", table.getvalue().encode())
    _write(folder / "pages.jsonl", "".join(boxes).encode())


def check_request(folder: Path, pages: int, height: int, width: int, seed: int) -> None:
    """Raises UsageError for no pages, pages of no reasonable size, a seed below 0, or a folder that holds something."""
    if pages < 1 or not SMALLEST_PAGE <= min(height, width) <= max(height, width) <= LARGEST_PAGE:
        raise UsageError(
            f"{pages} pages of {width}x{height} pixels cannot be made; "
            f"ask for one at least, each side from {SMALLEST_PAGE} to {LARGEST_PAGE}"
        )
    if seed < 0:
        raise UsageError(f"a seed of {seed} cannot be used; give 0 or more")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: holds something already, which would be lost; choose a new folder")


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"{path.parent}: cannot be made ({error.strerror}); choose another folder") from error
    write_atomically(path, content)


class Sheet:
    """Ink on its way to a page, and what it says.

    Attributes:
        ink: (height, width), 0 for none, 1 for all the pen has.
        digits: those written so far.
    """

    def __init__(self, height: int, width: int) -> None:
        self.ink = np.zeros((height, width), np.float32)
        self.digits: list[MadeDigit] = []

    @property
    def height(self) -> int:
        return len(self.ink)

    @property
    def width(self) -> int:
        return len(self.ink[0])

    def add(self, patch: Patch, left: int, top: int) -> float:
        """Lays ink on the sheet; what part of it lies on the sheet, in [0, 1]."""
        rows = slice(max(0, top), max(0, min(self.height, top + patch.height)))
        columns = slice(max(0, left), max(0, min(self.width, left + patch.width)))
        here = self.ink[rows, columns]
        if here.size:
            np.maximum(
                here,
                patch.ink[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left],
                out=here,
            )
        return here.size / patch.ink.size

    def write(self, patch: Patch, left: int, top: int, label: int, line: int) -> None:
        """Lays a digit on the sheet."""
        seen = self.add(patch, left, top)
        if seen > 0:
            box = (left, top, left + patch.width, top + patch.height)
            self.digits.append(MadeDigit(label if seen >= CUT_OFF else None, *box, line))

    def touch(self, patch: Patch, top: int, right: float) -> float:
        """The rightmost left edge at which the patch touches the ink that ends at `right`."""
        for left in range(round(right), max(0, round(right) - patch.width), -1):
            rows = slice(max(0, top), max(0, min(self.height, top + patch.height)))
            here = self.ink[rows, left : left + patch.width]
            part = patch.ink[rows.start - top : rows.start - top + len(here), : here.shape[1]]
            if ((here > SHARP) & (part > SHARP)).any():
                return left
        return right

    def trim(self, margin: int) -> None:
        """Cuts off what is further from the digits than `margin` pixels."""
        left, right = min(digit.left for digit in self.digits), max(digit.right for digit in self.digits)
        top, bottom = min(digit.top for digit in self.digits), max(digit.bottom for digit in self.digits)
        x0, y0 = max(0, int(left) - margin), max(0, int(top) - margin)
        self.ink = self.ink[y0 : int(bottom) + margin, x0 : int(right) + margin]
        self.digits = [
            replace(digit, left=digit.left - x0, right=digit.right - x0, top=digit.top - y0, bottom=digit.bottom - y0)
            for digit in self.digits
        ]


def any_hand(rng: Generator) -> Hand:
    """Somebody's hand: thin pens and markers, upright and slanted, narrow and wide."""
    gap = rng.choice([rng.uniform(-0.22, 0.1), rng.uniform(0.05, 0.5), rng.uniform(0.3, 1.3)])
    own_pen = rng.random() < 0.45
    return Hand(
        height=rng.uniform(64, 200) if rng.random() < 0.06 else math.exp(rng.uniform(math.log(9), math.log(64))),
        pen=math.exp(rng.uniform(math.log(0.03), math.log(0.2))) if own_pen else None,
        thicker=float(rng.choice([-0.7, -0.4, 0, 0, 0.4, 1.0])),
        slant=rng.uniform(-0.25, 0.5),
        slope=rng.uniform(-0.36, 0.36) if rng.random() < 0.2 else rng.uniform(-0.08, 0.08),
        stretch=math.exp(rng.uniform(-0.25, 0.25)),
        gap=float(gap),
        unsteady=rng.uniform(0, 1),
        joined=rng.uniform(0, 0.7) if rng.random() < 0.15 else 0.0,
    )


def written(source: Picture, hand: Hand) -> Patch:
    """A digit or letter of the source in a hand.

    Args:
        source: (28, 28) as it is, or (56, 56) thinned to lines, which a pen then widens; in bytes.
    """
    side = len(source)
    rows, columns = np.flatnonzero((source > 60).any(1)), np.flatnonzero((source > 60).any(0))
    if not len(rows):
        return Patch(np.zeros((1, 1), np.float32))
    tall, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    thin = side == FINE * SOURCE_SIDE
    pen = max(1.0, (hand.pen or 0) * hand.height) if thin else 0.0
    scale = max(hand.height - pen, 4) / max(tall, 0.7 * wide)
    middle = np.array([(columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2])
    # The page's slope turns its digits too.
    cos, sin = 1 / math.hypot(1, hand.slope), hand.slope / math.hypot(1, hand.slope)
    shape = np.array([[hand.stretch, -hand.slant], [0, 1]])
    matrix = scale * np.array([[cos, -sin], [sin, cos]]) @ shape
    reach = np.abs(matrix) @ np.array([wide, tall]) / 2 + pen + 3
    size = np.ceil(2 * reach).astype(int)
    offset = size / 2 - matrix @ middle
    fine: Any = source.astype(np.float32) / 255
    if thin or scale < 0.7:  # without it each pixel of a line is a corner
        fine = cv2.GaussianBlur(fine, (0, 0), max(0.4 / scale, 1.0 if thin else 0.0))
    affine = np.hstack([matrix, offset[:, None]]).astype(np.float32)
    ink = cv2.warpAffine(
        fine, affine, (int(size[0]), int(size[1])), flags=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    )
    if thin:
        return cut_out(widened(np.asarray(ink, np.float32), pen - LINE_WIDTH * scale))
    threshold = SHARP - 0.2 * hand.thicker
    return cut_out(np.clip((ink - threshold) * max(1.2, 0.7 * scale) + 0.5, 0, 1))


def widened(line: Array, wider: float) -> Array:
    """A thin line, (h, w), wider by so many pixels."""
    distance = cv2.distanceTransform((line < 0.5 * line.max()).astype(np.uint8), cv2.DIST_L2, 5)
    if wider > 2:
        distance = cv2.GaussianBlur(distance, (0, 0), 0.25 * wider)
    return np.asarray(np.clip(max(wider, 0) / 2 + 0.5 - distance, 0, 1), np.float32)


def cut_out(ink: Array) -> Patch:
    """The ink without the empty rows and columns around it."""
    mask = ink > 0.25
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return Patch(np.zeros((1, 1), np.float32))
    return Patch(np.ascontiguousarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32))


def thinned(digits: Picture) -> Picture:
    """Each of `digits` (N, 28, 28) as lines, (N, 56, 56), in bytes."""
    side = FINE * SOURCE_SIDE
    large = [cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC) for digit in digits]
    masks = (np.stack(large) > 127).astype(np.uint8) if large else np.zeros((0, side, side), np.uint8)
    return skeletons(masks) * np.uint8(255)


def mark(sheet: Sheet, hand: Hand, x: float, y: float, rng: Generator) -> float:
    """A dot, a comma, a dash, an equals sign or a slash after a digit; its width."""
    height, pen = hand.height, max(1, round((hand.pen or 0.1) * hand.height))
    kind, low = rng.random(), y + height * rng.uniform(0.8, 1.0)

    def line(x0: float, y0: float, x1: float, y1: float) -> None:
        cv2.line(sheet.ink, (round(x0), round(y0)), (round(x1), round(y1)), 1.0, pen, cv2.LINE_AA)

    if kind < 0.5:
        radius = max(1, round(height * rng.uniform(0.03, 0.09)))
        cv2.circle(sheet.ink, (round(x + radius), round(low)), radius, 1.0, -1, cv2.LINE_AA)
        return 2 * radius + 0.1 * height
    if kind < 0.7:
        line(x + 0.1 * height, low, x, low + height * rng.uniform(0.1, 0.3))
        return 0.2 * height
    if kind < 0.95:
        length, middle = height * rng.uniform(0.25, 0.9), y + height * rng.uniform(0.4, 0.6)
        rise = 0.1 * height * rng.uniform(-1, 1)
        for row in (0, 1) if kind > 0.85 else (0,):
            line(x, middle + 0.2 * row * height, x + length, middle + 0.2 * row * height - rise)
        return length + 0.15 * height
    line(x, y + 1.1 * height, x + 0.4 * height, y - 0.1 * height)
    return 0.5 * height


def join(
    sheet: Sheet, one: tuple[float, float, Patch], other: tuple[float, float, Patch], hand: Hand, rng: Generator
) -> None:
    """A stroke from the right side of one digit to the left side of the next, high or low."""
    ends = []
    for (x, y, patch), rightmost in ((one, True), (other, False)):
        row = int(patch.height * rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.75, 0.95)]))
        columns = np.flatnonzero(patch.ink[row] > SHARP)
        column = (columns[-1] if rightmost else columns[0]) if len(columns) else patch.width / 2
        ends.append((round(x + float(column)), round(y + row)))
    start, end = ends
    cv2.line(sheet.ink, start, end, 1.0, max(1, round((hand.pen or 0.1) * hand.height)), cv2.LINE_AA)


def scribble_on(sheet: Sheet, hand: Hand, rng: Generator) -> None:
    """Lines under, through and beside the writing, or a curl."""
    height, width = sheet.height, sheet.width
    pen = max(1, round((hand.pen or 0.1) * min(hand.height, 60)))
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.6:
            x, y, length = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.2, 1) * width
            angle = rng.normal(0, 0.1) + (math.pi / 2 if rng.random() < 0.2 else 0)
            end = (round(x + length * math.cos(angle)), round(y + length * math.sin(angle)))
            cv2.line(sheet.ink, (round(x), round(y)), end, 1.0, pen, cv2.LINE_AA)
        else:
            points = rng.uniform(-1, 1, (int(rng.integers(5, 12)), 2)) * hand.height
            points = cv2.GaussianBlur(points, (1, 3), 0.8) + rng.uniform((0, 0), (width, height))
            cv2.polylines(sheet.ink, [points.round().astype(np.int32)], False, 1.0, pen, cv2.LINE_AA)
