"""The contact sheet of the stroke digits, docs/variants.png: python benchmarks/variants.py [FILE]

Each row shows one variant of `digitnet/synthesis/variants.toml` with its name, written by ten random hands.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digitnet.synthesis.strokes import stroke_digits
from digitnet.synthesis.variants import variants

SHEET = Path(__file__).parents[1] / "docs" / "variants.png"
DIGITS, SEED = 12_000, 1  # so many that the rarest variant is there ten times
SAMPLES = 10  # of each variant
COLUMNS = 2
CELL = 30  # pixels; an image and its margin
NAME = 150  # pixels; width of a name
LEVELS = 16  # of grey; fewer make a smaller file


def sheet(images: np.ndarray, indices: np.ndarray) -> Image.Image:
    """All variants in columns, dark ink on white; `images` (N, 28, 28) and the variant (N,) of each."""
    rows = -(-len(variants()) // COLUMNS)
    width = NAME + SAMPLES * CELL
    picture = Image.new("L", (COLUMNS * width, rows * CELL), 255)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for variant in variants():
        column, row = divmod(variant.index, rows)
        left, top = column * width, row * CELL
        draw.text((left + 8, top + 7), variant.kind, fill=0, font=font)
        for place, image in enumerate(images[indices == variant.index][:SAMPLES]):
            picture.paste(Image.fromarray(255 - image), (left + NAME + place * CELL, top + 1))
    return picture.quantize(LEVELS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=SHEET, help="where to write (default: docs/variants.png)")
    options = parser.parse_args()
    images, _, indices = stroke_digits(DIGITS, SEED)
    sheet(images, indices).save(options.file, optimize=True)


if __name__ == "__main__":
    main()
