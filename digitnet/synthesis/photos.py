"""Photos: what a sheet of ink looks like as a picture, and the difficulties that a picture may have.

Most pictures that people read are easy: one pen, good contrast, flat paper. Others are hard, and then in one or two
ways. So each page draws its difficulties, and everything else about it stays easy.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.random import Generator

from digitnet.synthesis.hands import Pixels
from digitnet.synthesis.paper import Array, Paper, enlarged, light

Difficulty = Literal[
    "paper", "light", "blur", "noise", "faint", "jpeg", "skips", "see-through", "touching", "slope", "lines",
    "neighbours",
]  # fmt: skip
Difficulties = frozenset[Difficulty]

EVERY: tuple[Difficulty, ...] = get_args(Difficulty)
SHARES = np.array([7, 2, 2, 1, 2, 1, 1, 1.5, 2, 1.5, 2, 2])  # how often each is drawn, in proportion
COUNTS = (0, 1, 2, 4)  # difficulties of a page
COUNT_SHARES = (0.4, 0.33, 0.2, 0.07)
WORN = (("light", 1.0), ("noise", 1.0), ("paper", 1.0), ("skips", 0.5), ("blur", 0.5), ("jpeg", 0.4))
NOISIEST = 0.1  # of the ink's darkness; more noise would hide the ink
HARMLESS = ("touching", "slope", "neighbours", "skips")  # even where the ink is faint
BLURRIEST, BLURRIEST_HARD = 0.12, 0.06  # standard deviation of a blur, in heights of the lowest digit
SCREEN = 0.5  # of the easy pages are screenshots or scans, without any light or grain
NEGATIVE = 0.25  # of the pages have light ink on dark paper, like chalk or a screen


def random_difficulties(rng: Generator) -> Difficulties:
    """None, one or two difficulties; rarely four."""
    count = rng.choice(COUNTS, p=COUNT_SHARES)
    chosen = rng.choice(len(EVERY), count, replace=False, p=SHARES / SHARES.sum())
    return frozenset(EVERY[index] for index in chosen)


def worn(rng: Generator) -> Difficulties:
    """Several difficulties at once: patterned paper in uneven light, and some of skips, blur and JPEG."""
    return frozenset(name for name, share in WORN if rng.random() < share)  # type: ignore[misc]


def photographed(
    sheet_ink: Array, papers: Sequence[Paper], difficulties: Difficulties, rng: Generator, smallest: float = 30
) -> Pixels:
    """A picture (height, width) of ink (height, width) on one of the papers.

    The paper is flat unless "paper" is among the difficulties.

    Args:
        smallest: height of the lowest digit, in pixels; blur that would hide it is left out.
    """
    height, width = shape = sheet_ink.shape
    ink: Any = np.minimum(sheet_ink, 1)
    depth = 1 - rng.uniform(0, 0.72) ** 1.7
    if "faint" in difficulties:  # fainter ink cannot be read on a pattern
        depth = rng.uniform(0.12, 0.35) if difficulties <= {"faint", *HARMLESS} else rng.uniform(0.3, 0.45)
    if "skips" in difficulties:
        ink = ink * (1 - rng.uniform(0.1, 0.6) * enlarged(rng.random((height // 2 + 1, width // 2 + 1)), shape))
    is_flat = "paper" not in difficulties
    if is_flat:
        paper: Any = np.float32(1.0 if rng.random() < 0.5 else rng.uniform(0.55, 1.0))
    else:
        paper = papers[int(rng.integers(len(papers)))](height, width, rng)
    picture: Any = paper * (1 - np.float32(depth) * ink)
    if "see-through" in difficulties:
        picture = picture * (1 - rng.uniform(0.08, 0.35) * depth * _from_the_back(ink, rng))
    is_screen = not difficulties or (is_flat and not difficulties & {"light", "noise"})
    is_screen = is_screen and rng.random() < SCREEN
    if "light" in difficulties:
        picture = picture * light(height, width, rng)
    elif not is_screen:
        picture = picture * _soft_light(height, width, rng)
    if rng.random() < NEGATIVE:
        picture = 1 - picture
    if "blur" in difficulties:
        # With more than this, nobody could read a blurred digit that is hard to read in another way too.
        most = BLURRIEST if difficulties <= {"blur", *HARMLESS} else BLURRIEST_HARD
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, max(most * smallest, 0.6)))
    elif not is_screen and rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.7))
    if "noise" in difficulties or not is_screen:
        most = min(0.06, NOISIEST * depth) if "noise" in difficulties else 0.012
        picture = picture + rng.uniform(0, most) * rng.standard_normal(shape, dtype=np.float32)
    picture = np.clip(picture * 255, 0, 255).astype(np.uint8)
    if "jpeg" in difficulties or rng.random() < 0.25:
        worst, best = (15, 60) if "jpeg" in difficulties else (65, 96)
        _, file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(worst, best))])
        picture = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    return np.asarray(picture, np.uint8)


def _from_the_back(ink: Array, rng: Generator) -> Array:
    """The same writing mirrored, blurred and moved, as it shows through thin paper."""
    height, width = ink.shape
    shifts = int(rng.integers(height)), int(rng.integers(width))
    return np.asarray(cv2.GaussianBlur(np.roll(ink[:, ::-1], shifts, (0, 1)), (0, 0), rng.uniform(0.6, 1.6)))


def _soft_light(height: int, width: int, rng: Generator) -> Array:
    """The factor (height, width) of a light that falls off slightly from one side to the other."""
    across, down = rng.uniform(-0.12, 0.12, 2)
    rows = np.linspace(1 - abs(down), 1 - abs(down) + down, height, dtype=np.float32)
    columns = np.linspace(1 - abs(across), 1 - abs(across) + across, width, dtype=np.float32)
    return rows[:, None] * columns
