import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def encoded(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def run_python(*arguments, **options):
    """Runs this Python with the project importable, and gives the finished process with its output as text."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment(), **options
    )


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def page_of(digits, lines, height=48):
    """A grey page (H, W) in [0, 1] with the numbers of `lines` in dark ink, and the box (x, y, w, h) of each digit.

    Args:
        digits: images (N, 28, 28) in [0, 1] and labels (N,); the first that is clear of each label is written.
        lines: such as "314 15"; a blank leaves a gap.
        height: of the 28x28 images on the page, in pixels.
    """
    images, labels = digits
    scale = height // 28 + 1
    side = 28 * scale
    ink = np.zeros((round((1 + 1.5 * len(lines)) * side), (max(map(len, lines)) + 2) * side), np.float32)
    boxes = []
    for row, text in enumerate(lines):
        for column, character in enumerate(text):
            if character == " ":
                continue
            top, left = round((0.75 + 1.5 * row) * side), round((1 + 0.75 * column) * side)
            image = np.kron(images[np.flatnonzero(labels == int(character))[2]], np.ones((scale, scale)))
            rows, columns = np.nonzero(image > 0.4)
            boxes.append((left + columns.min(), top + rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1))
            here = ink[top : top + side, left : left + side]
            np.maximum(here, image, out=here)
    return (0.9 - 0.7 * ink).astype(np.float32), boxes


def satisfies(constraint, digits):
    """Whether a `reading.constraints.Constraint` allows a number, given its digits from the first to the last."""
    source, taken, target = constraint.arrows.T
    states = constraint.starts
    for digit in list(digits)[::-1]:
        after = target[(taken == digit) & states[source]]
        states = np.bincount(after, minlength=len(states)) > 0
    return bool((states & constraint.accepting).any())
