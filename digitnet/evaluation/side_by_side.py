"""Your model beside the package's on one picture: a row of a table for a terminal, and a drawing."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from digitnet.reading.digit_reader import Examination
from digitnet.reading.drawing import BACKGROUND, CAPTION, MARGIN, PANEL, TEXT, draw
from digitnet.results import Digit

PACKAGE = "the package's model"
ANSWER = len("more than one digit")  # the longest answer


def answer(digit: Digit) -> str:
    """The digit with its confidence, or why there is none."""
    return digit.reason or f"{digit.digit} ({digit.confidence:.1%})"


def row(picture: str, own: str, package: str, names: Sequence[str], model: str) -> str:
    """A row of the table whose first column holds all `names`, and whose second has `model` as its title."""
    return f"{picture:{max(map(len, names))}}  {own:{max(ANSWER, len(model))}}  {package}"


def drawn(own: Examination, package: Examination, model: str) -> Image.Image:
    """Four panels: the picture, what your network saw, and both answers, each below the name of its model."""
    left, right = (draw(seen.picture, seen.normalised, seen.digit) for seen in (own, package))
    sheet = Image.new("RGB", (left.width + PANEL + MARGIN, left.height + CAPTION), BACKGROUND)
    sheet.paste(left, (0, CAPTION))
    sheet.paste(right.crop((right.width - PANEL - MARGIN, 0, right.width, right.height)), (left.width, CAPTION))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for place, name in ((left.width - PANEL - MARGIN, model), (left.width, PACKAGE)):
        pen.text((place, MARGIN), name, fill=TEXT, font=font)
    return sheet
