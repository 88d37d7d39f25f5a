"""Makes digitnet/weights/guard.npz: the pictures that say whether a lesson has harmed a model (`teaching/guard.py`).

Neither weights nor lessons are trained on them. The digits are MNIST's held-out training images, stroke digits by other
hands than in training, and held-out digits from fonts. The negatives are held-out letters from fonts, letters by the
pens of stroke digits, drawings, and digits that are spoiled. Needs the extra 'train' and MNIST.

    python data/guard.py
"""

import io

import numpy as np
import numpy.typing as npt
import torch

from digitnet.dataset import get_validation_loader
from digitnet.files import write_atomically
from digitnet.loop.negatives import spoil
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.synthesis.drawings import drawings
from digitnet.synthesis.glyphs import glyphs
from digitnet.synthesis.strokes import stroke_digits, stroke_letters
from digitnet.teaching.guard import GUARD

SEED = 11  # training and calibration have others
MNIST_DIGITS, STROKE_DIGITS, FONT_DIGITS = 800, 450, 200
FONT_LETTERS, STROKE_LETTERS, DRAWINGS, SPOILED = 390, 200, 120, 100


def main() -> None:
    generator = torch.Generator().manual_seed(SEED)
    batches = list(get_validation_loader(None))
    mnist, mnist_labels = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    of_fonts, font_labels = glyphs(held_out=True)
    strokes, stroke_labels, _ = stroke_digits(STROKE_DIGITS, SEED)
    order = torch.randperm(len(mnist), generator=generator)
    kept, spoiled = order[:MNIST_DIGITS], order[-SPOILED:]
    shuffled = torch.randperm(len(of_fonts), generator=generator).numpy()
    fonts = shuffled[font_labels[shuffled] != NOT_A_DIGIT][:FONT_DIGITS]
    letters = shuffled[font_labels[shuffled] == NOT_A_DIGIT][:FONT_LETTERS]
    digits = [
        (in_bytes(mnist[kept]), mnist_labels[kept].numpy()),
        (strokes, stroke_labels),
        (of_fonts[fonts], font_labels[fonts]),
    ]
    negatives = [
        of_fonts[letters],
        stroke_letters(STROKE_LETTERS, SEED),
        drawings(DRAWINGS, SEED),
        in_bytes(spoil(mnist[spoiled], mnist_labels[spoiled], generator)),
    ]
    images = np.concatenate([*(images for images, _ in digits), *negatives])
    none = np.full(sum(map(len, negatives)), NOT_A_DIGIT)
    labels = np.concatenate([*(labels for _, labels in digits), none]).astype(np.uint8)
    mixed = np.random.default_rng(SEED).permutation(len(labels))  # so that both halves hold all of them
    file = io.BytesIO()
    np.savez_compressed(file, images=images[mixed], labels=labels[mixed])
    write_atomically(GUARD, file.getvalue())
    print(f"{GUARD}: {len(labels):,} pictures, {len(file.getvalue()) / 1024:.0f} KiB")


def in_bytes(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    """(N, 28, 28) of `images` (N, 1, 28, 28) in [0, 1]."""
    return (images[:, 0] * 255).round().to(torch.uint8).numpy()


if __name__ == "__main__":
    main()
