"""Drawings of what the reader saw: one digit, or a page."""

import io
import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digitnet.files import write_atomically
from digitnet.reading.contrast import Grey
from digitnet.reading.load import Picture
from digitnet.reading.normalise import NormalisedDigit
from digitnet.results import Digit, Page

PANEL = 280  # pixels: ten for one of the 28x28
MARGIN = 16
CAPTION = 28
BAR_LEFT = 26
LEAST_DRAWN = 640  # pixels; smaller pages are enlarged to about this
MARK = b"\nDrawn by DigitNet\n"  # at the end of a sheet's file, where each format lets other bytes stand
SHEET_HEIGHT = 16_000  # pixels of one picture file; WebP holds 16,383

BACKGROUND = "#ffffff"
TEXT = "#1c1c1e"
SECONDARY = "#6b6b70"
ACCENT = "#0a64d8"
TRACK = "#e9e9ee"
DOUBT = "#c2410c"


def draw(picture: Picture, normalised: NormalisedDigit | None, digit: Digit) -> Image.Image:
    """Three panels: the picture with a box around the ink, the 28x28 that the network saw, the answer."""
    size = (3 * PANEL + 4 * MARGIN, PANEL + CAPTION + 2 * MARGIN)
    sheet = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    columns = [MARGIN + index * (PANEL + MARGIN) for index in range(3)]
    top = MARGIN + CAPTION
    verdict = digit.reason or f"{digit.digit}, {digit.confidence:.1%} sure"
    captions = (("the picture", SECONDARY), ("what the network saw", SECONDARY), (verdict, TEXT))
    for left, (caption, colour) in zip(columns, captions, strict=True):
        pen.text((left, MARGIN), caption, fill=colour, font=_font(15))
    _draw_picture(sheet, pen, picture, normalised, columns[0], top)
    if normalised is None:
        pen.rectangle((columns[1], top, columns[1] + PANEL - 1, top + PANEL - 1), fill=TRACK)
        pen.text((columns[1] + PANEL / 2, top + PANEL / 2), digit.reason or "", fill=TEXT, font=_font(22), anchor="mm")
    else:
        seen = Image.fromarray((normalised.image * 255).round().astype(np.uint8))
        sheet.paste(seen.resize((PANEL, PANEL), Image.Resampling.NEAREST), (columns[1], top))
    _draw_bars(pen, digit, columns[2], top)
    return sheet


def draw_page(grey: Grey, page: Page) -> Image.Image:
    """The picture with a box around each digit and, above it, what was read there.

    Digits without an answer have another colour and a "?".

    Args:
        grey: the page's picture (H, W) in [0, 1], perhaps reduced.
    """
    sheet = Image.fromarray(np.rint(255 * grey).astype(np.uint8)).convert("RGB")
    reduction = max(page.width / sheet.width, page.height / sheet.height)
    enlarged = max(1, round(LEAST_DRAWN / max(sheet.size)))
    sheet = sheet.resize((sheet.width * enlarged, sheet.height * enlarged), Image.Resampling.NEAREST)
    scale = enlarged / reduction
    pen = ImageDraw.Draw(sheet)
    for digit in page.digits:
        if digit.box is None:
            continue
        colour = DOUBT if digit.digit is None else ACCENT
        left, top = digit.box.x * scale, digit.box.y * scale
        right, bottom = left + digit.box.width * scale, top + digit.box.height * scale
        width = max(1, round((bottom - top) / 40))
        pen.rectangle((left - width, top - width, right + width, bottom + width), outline=colour, width=width)
        font = _font(round(min(max(0.4 * (bottom - top), 12), 48)))
        mark = "?" if digit.digit is None else str(digit.digit)
        place = (left, max(top - 2 * width, font.size)) if isinstance(font, ImageFont.FreeTypeFont) else (left, top)
        pen.text(place, mark, fill=colour, font=font, anchor="lb", stroke_width=2, stroke_fill=BACKGROUND)
    return sheet


class Sheets:
    """Drawings, one below the other, saved as picture files.

    A file holds 16,000 pixels of height. What does not fit goes on in NAME-2.png, NAME-3.png and so on, so at most
    one sheet is in memory.

    Args:
        path: of the first file; its suffix gives the format.

    Attributes:
        paths: of the files written so far.
    """

    def __init__(self, path: Path) -> None:
        self.paths: list[Path] = []
        self._path = path
        self._drawings: list[Image.Image] = []

    def add(self, drawing: Image.Image) -> None:
        """Puts a drawing below the others. Raises SaveError where a full sheet cannot be saved."""
        if sum(one.height for one in (*self._drawings, drawing)) > SHEET_HEIGHT:
            self.save()
        self._drawings.append(drawing)

    def save(self) -> None:
        """Saves the sheet that is not full yet, if it holds any drawing. Raises SaveError where that is impossible."""
        if not self._drawings:
            return
        *tops, height = itertools.accumulate((drawing.height for drawing in self._drawings), initial=0)
        sheet = Image.new("RGB", (max(drawing.width for drawing in self._drawings), height), BACKGROUND)
        for drawing, top in zip(self._drawings, tops, strict=True):
            sheet.paste(drawing, (0, top))
        number = len(self.paths) + 1
        path = self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")
        content = io.BytesIO()
        sheet.save(content, Image.registered_extensions()[path.suffix.lower()])
        write_atomically(path, content.getvalue() + MARK)
        self.paths.append(path)
        self._drawings.clear()


def _draw_picture(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    picture: Picture,
    normalised: NormalisedDigit | None,
    left: int,
    top: int,
) -> None:
    shown = Image.fromarray((picture.grey * 255).round().astype(np.uint8))
    scale = PANEL / max(shown.size)
    width, height = (max(1, round(side * scale)) for side in shown.size)
    left, top = left + (PANEL - width) // 2, top + (PANEL - height) // 2
    smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    sheet.paste(shown.resize((width, height), smooth), (left, top))
    pen.rectangle((left - 1, top - 1, left + width, top + height), outline=TRACK)
    if normalised is not None:
        box, (across, down) = normalised.box, (scale / reduction for reduction in picture.scale)
        x, y = left + box.x * across, top + box.y * down
        edges = (x - 2, y - 2, x + box.width * across + 1, y + box.height * down + 1)
        pen.rectangle(edges, outline=ACCENT, width=2)


def _draw_bars(pen: ImageDraw.ImageDraw, digit: Digit, left: int, top: int) -> None:
    row = PANEL / 10
    longest = PANEL - BAR_LEFT - 62
    for value, probability in enumerate(digit.probabilities):
        best = value == digit.best_guess
        middle = top + row * (value + 0.5)
        colour = TEXT if best else SECONDARY
        pen.text((left, middle), str(value), fill=colour, font=_font(20 if best else 17), anchor="lm")
        bar = (left + BAR_LEFT, middle - 7, left + BAR_LEFT + longest, middle + 7)
        pen.rounded_rectangle(bar, radius=3, fill=TRACK)
        filled = longest * probability
        if filled >= 1:
            pen.rounded_rectangle((*bar[:2], bar[0] + filled, bar[3]), radius=3, fill=ACCENT if best else SECONDARY)
        pen.text((left + PANEL, middle), f"{probability:.1%}", fill=colour, font=_font(15), anchor="rm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
