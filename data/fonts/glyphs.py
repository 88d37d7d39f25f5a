"""Draws the glyphs that training adds to MNIST, from handwriting fonts: digitnet/weights/glyphs.npz.

    python data/fonts/glyphs.py DIR      DIR holds the packages that the tables name, each unpacked into DIR/NAME

fonts.csv lists handwriting fonts with digits and letters. negatives.csv lists the letters and signs to draw from them.
scripts.csv lists fonts of other scripts, with their letters. Each font is @fontsource/NAME on npm: run
`npm pack @fontsource/NAME@VERSION` and unpack the file. All are under the SIL Open Font License 1.1. Every glyph is
normalised like any picture, (28, 28) in bytes. Its label is 0 to 9, or 10 for a letter or sign that nobody would read
as a digit.
"""

import argparse
import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from digitnet.files import write_atomically
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.ink import STRONG
from digitnet.reading.normalise import fit

TARGET = Path(__file__).resolve().parents[2] / "digitnet" / "weights" / "glyphs.npz"
FONTS = Path(__file__).with_name("fonts.csv")
SIZE = 120  # pixels an em
PENS = (1, 5)  # pixels that are added to the width of strokes, since most of these fonts have thin ones
NEGATIVES_A_FONT = 24  # from each subset; so many that every letter is drawn in several fonts
# Letters and signs that look like no digit. O o D Q, I i l, Z z, S s, b G, B, g q y and similar ones are left out.
NEGATIVES = Path(__file__).with_name("negatives.csv")
# Letters (no numerals) of other scripts. Those that the package's large model confidently reads as digits are left out.
SCRIPTS = Path(__file__).with_name("scripts.csv")

Wanted = tuple[str, Path, int, int]  # a character, its font, the pen, the label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rng = random.Random(0)
    wanted = [*hands(folder, rng), *scripts(folder, rng)]
    glyphs = [(drawn(character, path, pen), label) for character, path, pen, label in wanted]
    images, labels = zip(*((image, label) for image, label in glyphs if image is not None), strict=True)
    print(f"{sum(label < NOT_A_DIGIT for label in labels)} digits, {len(labels)} glyphs in all")
    archive = io.BytesIO()
    np.savez_compressed(archive, images=np.stack(images), labels=np.array(labels, np.uint8))
    write_atomically(TARGET, archive.getvalue())


def hands(folder: Path, rng: random.Random) -> Iterator[Wanted]:
    """The digits of each handwriting font, and some negatives from each of its subsets."""
    subsets = {row["subset"]: row["characters"] for row in rows(NEGATIVES)}
    for font in rows(FONTS):
        for subset, characters in subsets.items():
            for path in sorted((folder / font["name"]).glob(f"package/files/*-{subset}-400-normal.woff")):
                for character in rng.sample(characters, min(NEGATIVES_A_FONT, len(characters))):
                    yield character, path, rng.choice(PENS), NOT_A_DIGIT
                if subset == "latin":
                    yield from ((str(digit), path, pen, digit) for digit in range(10) for pen in PENS)


def scripts(folder: Path, rng: random.Random) -> Iterator[Wanted]:
    """The letters of the other scripts."""
    for font in rows(SCRIPTS):
        name = font["name"]
        path = folder / name / "package" / "files" / f"{name}-{font['subset']}-400-normal.woff"
        yield from ((character, path, rng.choice(PENS), NOT_A_DIGIT) for character in font["characters"])


def rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def drawn(character: str, path: Path, pen: int) -> npt.NDArray[np.uint8] | None:
    """The character, (28, 28); None where the font has no such character."""
    font = ImageFont.truetype(path, SIZE)
    missing = bytes(font.getmask("\uffff"))
    if font.getmask(character).getbbox() is None or bytes(font.getmask(character)) == missing:
        return None
    image = Image.new("L", (4 * SIZE, 4 * SIZE))
    ImageDraw.Draw(image).text((SIZE, SIZE), character, font=font, fill=255, stroke_width=pen // 2)
    ink = np.asarray(image, np.float32) / np.float32(255)
    glyph = fit(ink[np.newaxis], (ink > STRONG).astype(np.uint8)[np.newaxis])[0]
    return np.asarray((glyph * 255).round(), np.uint8)


if __name__ == "__main__":
    main()
