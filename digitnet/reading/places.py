"""A picture to places: where lines of digits may be, how tall their digits are, and how they slope.

The network (`training.detector`, as ONNX) knows digits of some sizes only. So it looks at the picture at two sizes, at
the size of a stamp for a digit that fills the picture, which costs next to nothing, and once more where the picture is
large and its digits are small. Its peaks are chained into lines. Which digits they are,
and whether they are digits at all, is for the line reader to say.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from digitnet.reading.boxes import edges, middles, same_ink_groups
from digitnet.reading.contrast import Grey, normalise_contrast
from digitnet.reading.load import long_side
from digitnet.reading.work import IsCancelled, raise_if

STRIDE = 4  # pixels of the picture for one cell of the network's maps
DEEPEST = 32  # pixels for one cell of its coarsest stage; the sides of its input are multiples of it
CLASSES = 10
BORDER = 16  # pixels around the picture, since digits touch its edges
FAINTEST = 0.1  # scores in [0, 1]; weaker peaks are dropped
LIKELY = 0.2  # a line has a peak of at least this score
MAX_LOG_SIZE = 4.0  # the network knows no larger size
SMALLEST, LARGEST = 8.0, 76.0  # pixels; heights of digits that the network knows

COARSEST, COARSE, FINE = 72, 200, 640  # pixels; the longer side of the picture at each look
MOST_ENLARGED = 1.5  # times; small pictures are enlarged by no more
SMALL = 16.0  # pixels; where the usual digit of the finer look is lower, a third look is taken at the whole picture

WIDEST_GAP = 2.2  # heights; neighbours in a line have no wider gap
LONGEST_LINE = 120  # heights; a longer line is read in several pieces, since no strip could hold it
STEEPEST = math.tan(math.radians(24))  # slope of lines, rows a column
LEAST_SHARED = 0.4  # of the lower one's height, for neighbours of a line
SIZES_ALIKE = 2.2  # a digit may be this many times as tall as its neighbour


@dataclass(frozen=True)
class Peak:
    """A place that may hold a digit: its edges in pixels of the picture, the likeliest digit, its score in [0, 1]."""

    left: float
    top: float
    right: float
    bottom: float
    digit: int
    score: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True)
class Place:
    """Where a line of digits may be.

    Attributes:
        left, top, right, bottom: around its peaks, in pixels of the picture.
        height: of its usual digit, in pixels.
        slope: rows down for each column.
        margin: how much paper its strip gets around it; 1 is usual, 0 none.
    """

    left: float
    top: float
    right: float
    bottom: float
    height: float
    slope: float = 0.0
    margin: float = 1.0


def places(session: onnxruntime.InferenceSession, grey: Grey, is_cancelled: IsCancelled | None = None) -> list[Place]:
    """The places of all lines in a picture (H, W) in [0, 1], in no order.

    Raises CancelledError where `is_cancelled` says True.
    """
    found: list[Peak] = []
    longest = long_side(grey.shape)
    for scale in sorted({min(MOST_ENLARGED, side / longest) for side in (COARSEST, COARSE, FINE)}):
        raise_if(is_cancelled)
        fine = look(session, grey, scale)
        found += fine
    if longest > 1.2 * FINE and (not fine or float(np.median([peak.height * FINE / longest for peak in fine])) < SMALL):
        raise_if(is_cancelled)
        found += look(session, grey, min(1.0, 2.2 * FINE / longest))
    return [place_of(chain) for chain in chains(distinct(found)) if max(peak.score for peak in chain) >= LIKELY]


def look(session: onnxruntime.InferenceSession, grey: Grey, scale: float) -> list[Peak]:
    """The network's peaks in a picture (H, W), at `scale` times its size."""
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    sized = grey if scale == 1 else np.asarray(cv2.resize(grey, (width, height), interpolation=smooth), np.float32)
    (maps,) = session.run(None, {"pages": framed(normalise_contrast(sized))[np.newaxis, np.newaxis]})
    found = [peak for peak in peaks(maps[0]) if SMALLEST <= peak.height <= LARGEST]
    across, down = grey.shape[1] / width, grey.shape[0] / height
    moved = [
        replace(
            peak,
            left=(peak.left - BORDER) * across,
            right=(peak.right - BORDER) * across,
            top=(peak.top - BORDER) * down,
            bottom=(peak.bottom - BORDER) * down,
        )
        for peak in found
    ]
    # Their centres lie in the picture rather than in the border around it.
    middle = middles(edges(moved))
    is_inside = np.all((middle >= 0) & (middle < grey.shape[::-1]), axis=1)
    return [peak for peak, inside in zip(moved, is_inside.tolist(), strict=True) if inside]


def framed(page: Grey, height: int = 0, width: int = 0) -> Grey:
    """A picture of normalised contrast with `BORDER` pixels of paper around it, so that its sides suit the network.

    More is added below and to the right, up to `height` and `width`.
    """
    below, beside = (
        max(least - side - BORDER, BORDER + -(side + 2 * BORDER) % DEEPEST)
        for side, least in zip(page.shape, (height, width), strict=True)
    )
    return np.pad(page, ((BORDER, below), (BORDER, beside)))


def peaks(maps: npt.NDArray[np.float32]) -> Iterator[Peak]:
    """The peaks in the network's maps (14, h, w): cells whose best score is no lower than their neighbours'."""
    best = maps[:CLASSES].max(0)
    highest = cv2.dilate(best, np.ones((3, 3), np.uint8))
    faintest = np.log(FAINTEST / (1 - FAINTEST))
    for row, column in np.argwhere((best >= highest) & (best > faintest)).tolist():
        across, down, wide, tall = maps[CLASSES:, row, column].tolist()
        x, y = (column + across) * STRIDE, (row + down) * STRIDE
        half_width, half_height = (math.exp(min(size, MAX_LOG_SIZE)) * STRIDE / 2 for size in (wide, tall))
        score = 1 / (1 + math.exp(-float(best[row, column])))
        digit = int(maps[:CLASSES, row, column].argmax())
        yield Peak(x - half_width, y - half_height, x + half_width, y + half_height, digit, score)


def distinct(found: Iterable[Peak]) -> list[Peak]:
    """The peaks without those on the same ink as a likelier one (non-maximum suppression)."""
    likeliest = sorted(found, key=lambda peak: -peak.score)
    return [likeliest[group[0]] for group in same_ink_groups(edges(likeliest))]


def chains(found: Sequence[Peak]) -> list[list[Peak]]:
    """The peaks of each line, from left to right. A peak follows the nearest one that its line may go on from."""
    ordered = sorted(found, key=lambda peak: peak.left + peak.right)
    ends: list[list[Peak]] = []
    last = np.zeros((len(ordered), 4))  # of each chain: its last peak's left, top and bottom, and how far it reaches
    for peak in ordered:
        left, top, bottom, reach = last[: len(ends)].T
        # Most chains of a page are too far away; this says so of all of them at once.
        taller = np.maximum(bottom - top, peak.height)
        drift = np.abs(peak.top + peak.bottom - top - bottom) / 2
        is_near = (drift <= STEEPEST * (peak.right - left) + 0.5 * taller) & (peak.left - reach <= WIDEST_GAP * taller)
        best, nearest = None, math.inf
        for index in np.flatnonzero(is_near).tolist():
            gap = _gap(ends[index], peak)
            if gap is not None and gap < nearest:
                best, nearest = index, gap
        if best is None:
            best = len(ends)
            ends.append([])
        ends[best].append(peak)
        last[best] = peak.left, peak.top, peak.bottom, max(member.right for member in ends[best][-3:])
    return ends


def _gap(chain: Sequence[Peak], peak: Peak) -> float | None:
    """How far a peak is from the end of a chain that it may continue, None where it may not."""
    end = chain[-1]
    lower, taller = sorted((end.height, peak.height))
    gap = peak.left - max(member.right for member in chain[-3:])
    if gap > WIDEST_GAP * taller or taller > SIZES_ALIKE * lower or peak.right - chain[0].left > LONGEST_LINE * taller:
        return None
    drift = (peak.top + peak.bottom - end.top - end.bottom) / 2
    across = (peak.left + peak.right - end.left - end.right) / 2
    if across < 0.15 * lower or abs(drift) > STEEPEST * across + 0.5 * taller:
        return None
    # A line that slopes goes on as it has begun.
    expected = _slope(chain) * across if len(chain) > 2 else 0.0
    shared = min(end.bottom + expected, peak.bottom) - max(end.top + expected, peak.top)
    if shared < LEAST_SHARED * lower:
        return None
    return max(0.0, gap) + abs(drift - expected)


def _slope(chain: Sequence[Peak]) -> float:
    """Rows down for each column, of the line through the middles of a chain."""
    recent = chain[-8:]
    across = np.array([peak.left + peak.right for peak in recent]) / 2
    across -= across.mean()
    power = float(across @ across)
    slope = float(across @ [(peak.top + peak.bottom) / 2 for peak in recent]) / power if power > 0 else 0.0
    return min(max(slope, -STEEPEST), STEEPEST)


def place_of(chain: Sequence[Peak]) -> Place:
    """The place of a chain of peaks."""
    around = edges(chain)
    height = float(np.median(around[:, 3] - around[:, 1]))
    wide = float(around[:, 2].max() - around[:, 0].min())
    slope = 0.0
    if len(chain) > 2 and wide > 2 * height:
        middle = middles(around)
        slope = float(np.polyfit(middle[:, 0], middle[:, 1], 1)[0])
        slope = min(max(slope, -STEEPEST), STEEPEST)
    left, top = around[:, :2].min(0).tolist()
    right, bottom = around[:, 2:].max(0).tolist()
    return Place(left, top, right, bottom, height, slope)
