"""Layouts: what a writer writes on a sheet, and where.

Each layout is a function of (sheet, writer, difficulties, generator) that adds ink and digits to the sheet.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from digitnet.synthesis.hands import Hand
from digitnet.synthesis.paper import Array
from digitnet.synthesis.photos import Difficulties
from digitnet.synthesis.sheets import Sheet
from digitnet.synthesis.writers import Writer, printed

SMALLEST = 9.0  # pixels; height of a digit
LETTERS = 0.4  # of the pages with a few digits show letters in their place
TALL_FIRST, SMALLER_LATER = 0.2, 0.4  # of the amounts; how often the first digit is tall, and the later ones smaller
TOUCHING = 0.12  # of the crowded numbers are written with each digit touching the next


def crowded(sheet: Sheet, writer: Writer, difficulties: Difficulties, rng: Generator) -> None:
    """Lines of numbers and words all over the sheet."""
    hand = writer.hand
    height = hand.height
    y = rng.uniform(0, max(4, 0.6 * height)) if rng.random() < 0.75 else rng.uniform(0, 0.6 * sheet.height)
    y += max(0.0, -hand.slope * sheet.width * 0.7)
    letters = rng.choice([0.0, 0.08, 0.5, 1.0], p=[0.45, 0.35, 0.14, 0.06]) if len(writer.pool.negatives) else 0.0
    fields = rng.random() < 0.2  # each line is written over a printed line
    line = 0
    while y < sheet.height - 0.6 * height:
        if fields:
            foot = y + height * rng.uniform(0.9, 1.25)
            end = (sheet.width, foot + hand.slope * sheet.width)
            sheet.draw_line((0, foot), end, int(rng.integers(1, 3)))
        x = rng.uniform(-0.3, 1.5) * height
        while x < sheet.width - 4:
            is_word = rng.random() < letters
            touching = rng.random() < (0.5 if "touching" in difficulties else TOUCHING)
            if is_word:
                x = word(sheet, writer, x, y, rng)
            else:
                x = number(sheet, writer, x, y, line, int(rng.integers(1, 9)), rng, touching=touching)
            x += height * rng.choice([rng.uniform(0.3, 0.8), rng.uniform(0.8, 3.0)])
            if rng.random() < 0.08:
                break
        y += height * rng.uniform(1.15, 2.2)
        line += 1
        if rng.random() < 0.15:
            break


def few(sheet: Sheet, writer: Writer, difficulties: Difficulties, rng: Generator) -> None:
    """One to three digits somewhere, or letters: tiny ones on an almost empty page, or one that fills the page."""
    largest = 0.9 * min(sheet.height, sheet.width)
    hand = replace(writer.hand, height=math.exp(rng.uniform(math.log(12), math.log(largest))))
    x, y = rng.uniform(0, max(1.0, sheet.width - hand.height)), rng.uniform(0, max(1.0, sheet.height - hand.height))
    are_letters = len(writer.pool.negatives) and rng.random() < LETTERS
    for _ in range(int(rng.integers(1, 4))):
        if are_letters:
            patch = writer.letter(rng, hand)
            sheet.add(patch, round(x), round(y))
        else:
            patch, label = writer.digit(rng, hand=hand)
            sheet.write(patch, round(x), round(y), label, line=0)
        x += patch.shape[1] + hand.height * rng.uniform(0.1, 0.6)


def huge(sheet: Sheet, writer: Writer, difficulties: Difficulties, rng: Generator) -> None:
    """A digit so large that only parts of its strokes are on the sheet, as in a photo from too close."""
    hand = replace(writer.hand, height=rng.uniform(1.4, 4) * max(sheet.height, sheet.width))
    patch, _ = replace(writer, strokes=None).digit(rng, hand=hand)
    left, top = rng.uniform(-1, 0, 2) * [patch.shape[1] - 0.3 * sheet.width, len(patch) - 0.3 * sheet.height]
    sheet.add(patch, round(left), round(top))


def rows(sheet: Sheet, writer: Writer, difficulties: Difficulties, rng: Generator) -> None:
    """One to three numbers of 1 to 6 digits, each in a row of its own, with much bare paper; some at the edge."""
    count = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))
    band = sheet.height / count
    for line in range(count):
        length = int(rng.integers(1, 7))
        wide = length * (0.65 + max(0.0, writer.hand.gap)) + 0.1  # heights
        largest = max(SMALLEST, min(0.95 * band, 0.95 * sheet.width / wide, 90))
        height = min(largest, math.exp(rng.uniform(math.log(SMALLEST), math.log(80))))
        own = _at_height(writer, height)
        x = _anywhere(sheet.width - wide * height, rng)
        y = band * line + _anywhere(band - height, rng) - own.hand.slope * x
        number(sheet, own, x, y, line, length, rng, marks=0.02, touching="touching" in difficulties)
    if rng.random() < 0.2:
        _print_words(sheet, int(rng.integers(1, 5)), rng)


def scattered(sheet: Sheet, writer: Writer, difficulties: Difficulties, rng: Generator) -> None:
    """Single digits far apart and of any size, half of them tall and thin ones."""
    cell = max(14.0, writer.hand.height if writer.hand.height < 80 else 40.0) * rng.uniform(1.2, 2)
    thin = [label for label in (1, 7) if label in writer.pool.places]
    share = rng.choice([0.15, 0.8])
    for line, top in enumerate(np.arange(0, sheet.height, cell)):
        for left in np.arange(0, sheet.width, cell):
            if rng.random() < 0.4:
                continue
            wanted = int(rng.choice(thin)) if thin and rng.random() < 0.5 else None
            hand = replace(writer.hand, height=max(SMALLEST, cell * rng.uniform(0.5, 0.8)))
            patch, label = writer.digit(rng, wanted, hand)
            x, y = left + rng.uniform(0, 0.3) * cell, top + rng.uniform(0, 0.3) * cell
            sheet.write(patch, round(x), round(y), label, line)
            if len(writer.pool.negatives) and rng.random() < share * 0.1:
                sheet.add(writer.letter(rng, hand), round(x + 0.6 * cell), round(y))


def table(sheet: Sheet, writer: Writer, difficulties: Difficulties, rng: Generator) -> None:
    """A grid of numbers, with printed lines or without, most with a head of printed words."""
    height = math.exp(rng.uniform(math.log(SMALLEST), math.log(min(40, 0.3 * sheet.height))))
    length = int(rng.integers(1, 4))
    own = _at_height(writer, height)
    tall = height * rng.uniform(1.3, 2.2)
    wide = max(height * (length * (0.65 + own.hand.gap) + rng.uniform(0.3, 1.5)), 18)
    left, top = rng.uniform(-0.5, 0.4) * wide, rng.uniform(-0.5, 1) * tall
    columns = np.arange(left, sheet.width + wide, wide)[: int(rng.integers(2, 12))]
    lines = np.arange(top, sheet.height + tall, tall)[: int(rng.integers(2, 12))]
    if rng.random() < 0.7:
        pen = int(rng.choice([1, 1, 2]))
        for y in (*lines, lines[-1] + tall):
            sheet.draw_line((left, y), (columns[-1] + wide, y), pen)
        for x in (*columns, columns[-1] + wide) if rng.random() < 0.7 else ():
            sheet.draw_line((x, top), (x, lines[-1] + tall), pen)
    head = rng.random() < 0.7
    for line, y in enumerate(lines):
        for column, x in enumerate(columns):
            if head and (line == 0 or (column == 0 and rng.random() < 0.5)):
                text = printed(rng, min(tall * 0.5, max(7, height * rng.uniform(0.5, 1))))[:, : max(2, int(wide) - 2)]
                sheet.add(text, round(x + 2), round(y + (tall - len(text)) / 2))
            elif rng.random() < 0.8:
                place = x + rng.uniform(0.05, 0.25) * wide
                number(sheet, own, place, y + (tall - height) / 2, line, int(rng.integers(1, length + 1)), rng, marks=0)


def amount(sheet: Sheet, writer: Writer, difficulties: Difficulties, rng: Generator) -> None:
    """One number cut out as people cut out an amount, with little paper around it.

    The sheet is as large as what was cut out. Some digits touch the edge or are cut by it.
    """
    height, length = writer.hand.height, _length(rng)
    uneven = rng.random() < 0.15
    y, x = 3 * height + max(0.0, -writer.hand.slope * length * height), 3 * height
    if rng.random() < 0.15:
        x = _sign(sheet, writer, x, y, rng)
    separated = rng.random() < 0.4
    groups = [3] * ((length - 1) // 3) if separated else []
    groups.insert(0, length - sum(groups))
    if groups[0] > 1 and rng.random() < TALL_FIRST:
        groups[:1] = [1, groups[0] - 1]
    smaller = rng.uniform(0.5, 0.95) if rng.random() < SMALLER_LATER else 1.0
    touching = "touching" in difficulties
    for place, size in enumerate(groups):
        own = _at_height(writer, max(SMALLEST, height * smaller)) if place else writer
        if place and separated:
            x = sheet.draw_mark(writer.hand, x, y + writer.hand.slope * x, rng, low=True) + x
        lift = rng.uniform(-0.3, 0.3) * height if uneven else 0.0
        lift += (height - own.hand.height) * rng.uniform(0.3, 1.0)
        x = number(sheet, own, x, y + lift, 0, size, rng, marks=0, touching=touching)
    kind = rng.random()
    if kind < 0.1:  # cents
        small = _at_height(writer, max(SMALLEST, height * rng.uniform(0.45, 0.75)))
        lift = rng.choice([-0.15, 0.3]) * height
        number(sheet, small, x + 0.1 * height, y + lift, 0, 2, rng, marks=0)
    elif kind < 0.4:
        for _ in range(int(rng.integers(1, 4))):
            x += sheet.draw_mark(writer.hand, x, y + writer.hand.slope * x, rng)
    elif kind < 0.5:
        _sign(sheet, writer, x, y, rng)
    if "neighbours" in difficulties:
        for above in (True, False):
            if rng.random() < 0.6:
                level = y + height * (-rng.uniform(1.0, 1.4) if above else rng.uniform(1.0, 1.4))
                start = 3 * height + rng.uniform(-1, 2) * height
                number(sheet, writer, start, level, 1 + above, int(rng.integers(2, 8)), rng, marks=0)
    if rng.random() < 0.15:  # the line of a form
        foot = y + height * rng.uniform(0.95, 1.3)
        sheet.draw_line((0, foot), (sheet.width, foot + writer.hand.slope * sheet.width), int(rng.integers(1, 3)))
    if rng.random() < 0.06:  # the corner of a frame
        left, top = 3 * height * rng.uniform(0.7, 0.97), y - height * rng.uniform(0.05, 0.4)
        sheet.draw_line((left, top), (sheet.width, top), int(rng.integers(1, 3)))
        sheet.draw_line((left, top), (left, sheet.height), int(rng.integers(1, 3)))
    _cut_out(sheet, x, height, rng)


def number(
    sheet: Sheet,
    writer: Writer,
    x: float,
    y: float,
    line: int,
    length: int,
    rng: Generator,
    *,
    marks: float = 0.06,
    touching: bool = False,
) -> float:
    """Writes a number whose first digit has its left top corner at (x, y), and returns where it ends.

    Args:
        marks: how often a dot, comma or dash stands before a digit, in [0, 1].
        touching: whether each digit touches the one before.
    """
    height = writer.hand.height
    previous: tuple[float, float, Array] | None = None
    for _ in range(length):
        hand = _varied(writer.hand, rng)
        down = y + hand.slope * x + hand.unsteady * rng.uniform(-0.15, 0.15) * height
        if rng.random() < marks:
            x += sheet.draw_mark(hand, x, down, rng)
        patch, label = writer.digit(rng, hand=hand)
        top = down + (height - len(patch)) * rng.uniform(0.3, 0.7)
        if previous and touching:
            x = sheet.touch(patch, round(top), previous[0] + previous[2].shape[1])
        elif previous and hand.joined and rng.random() < hand.joined:
            sheet.join(previous, (x, top, patch), hand, rng)
        sheet.write(patch, round(x), round(top), label, line)
        previous = (x, top, patch)
        x += patch.shape[1] + height * (hand.gap + 0.04) * (1 + hand.unsteady * rng.uniform(-0.5, 0.5))
        if x > sheet.width:
            break
    return x


def word(sheet: Sheet, writer: Writer, x: float, y: float, rng: Generator) -> float:
    """Writes a word of letters at (x, y), and returns where it ends."""
    for _ in range(int(rng.integers(1, 9))):
        hand = _varied(writer.hand, rng)
        patch = writer.letter(rng, hand)
        sheet.add(patch, round(x), round(y + hand.slope * x))
        x += patch.shape[1] + hand.gap * hand.height
        if x > sheet.width:
            break
    return x


def _varied(hand: Hand, rng: Generator) -> Hand:
    """The hand as it writes one digit."""
    return replace(
        hand,
        height=hand.height * (1 + hand.unsteady * rng.uniform(-0.25, 0.25)),
        slant=hand.slant + hand.unsteady * rng.uniform(-0.15, 0.15),
    )


def _at_height(writer: Writer, height: float) -> Writer:
    return replace(writer, hand=replace(writer.hand, height=height))


def _anywhere(free: float, rng: Generator) -> float:
    """A place from 0 to `free`; one in four is at an end, within 3 pixels."""
    free = max(0.0, free)
    kind = rng.random()
    near = min(free, rng.uniform(0, 3))
    return float(near if kind < 0.125 else free - near if kind < 0.25 else rng.uniform(0, free))


def _length(rng: Generator) -> int:
    return int(rng.choice(range(1, 9), p=[0.12, 0.13, 0.17, 0.2, 0.18, 0.1, 0.06, 0.04]))


def _sign(sheet: Sheet, writer: Writer, x: float, y: float, rng: Generator) -> float:
    """Writes a sign that is no digit at (x, y), such as a currency, and returns where it ends."""
    down = y + writer.hand.slope * x
    if len(writer.pool.negatives) and rng.random() < 0.6:
        patch = writer.letter(rng)
    else:
        patch = printed(rng, writer.hand.height * rng.uniform(0.4, 0.9))
    sheet.add(patch, round(x), round(down))
    return float(x + patch.shape[1] + writer.hand.height * rng.uniform(0.05, 0.4))


def _print_words(sheet: Sheet, count: int, rng: Generator) -> None:
    """Prints words where the sheet is bare."""
    for _ in range(count):
        text = printed(rng, rng.uniform(7, 24))
        left, top = (int(rng.uniform(-0.2, 0.9) * side) for side in (sheet.width, sheet.height))
        if not sheet.is_inked(left, top, left + text.shape[1], top + len(text)):
            sheet.add(text, left, top)


def _cut_out(sheet: Sheet, end: float, height: float, rng: Generator) -> None:
    """Cuts the sheet to its number with 0 to 0.35 heights of paper; one side in eight cuts into a digit."""
    main = [digit for digit in sheet.digits if digit.line == 0]
    box = [
        min(digit.left for digit in main),
        min(digit.top for digit in main),
        max(digit.right for digit in main),
        max(digit.bottom for digit in main),
    ]
    if rng.random() < 0.7:
        box[2] = max(box[2], end)  # with the signs after the number
    margins = rng.uniform(0, 0.35, 4) * height * rng.choice([0.0, 0.3, 1.0, 1.0])
    cut = rng.random(4) < (0.12, 0.06, 0.12, 0.06)
    margins = np.where(cut, -rng.uniform(0, 0.25, 4) * 0.6 * height, margins)
    left, top, right, bottom = (
        round(edge + side * margin) for edge, side, margin in zip(box, (-1, -1, 1, 1), margins, strict=True)
    )
    sheet.crop(left, top, max(right, left + 4), max(bottom, top + 4))
