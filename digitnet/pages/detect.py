"""A picture of many digits to detections: where digits stand, how large they are, and which digits they may be.

The network (`training.detector`, as ONNX) knows digits of some sizes only, so it looks at the picture at several
scales. At some of them a digit has a size that the network knows; what the network says there is averaged.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from digitnet.pages.boxes import (
    Boxes,
    Pairs,
    areas,
    edges,
    intersection_over_union,
    middles,
    overlapping_pairs,
    partners,
    placed,
    shared_areas,
)
from digitnet.pages.work import IsCancelled, raise_if

STRIDE = 4  # pixels of the picture for one cell of the network's maps
DEEPEST = 32  # pixels for one cell of its coarsest stage; the sides of its input are multiples of it
CLASSES = 10
CONTRAST_VERSION = 2  # of `normalise_contrast`; a network remembers the one that it was trained with

NEAR, WIDE = 65, 129  # pixels; the windows in which paper and contrast are measured
LEAST_CONTRAST = 0.04  # of the range from black to white; weaker contrast is noise and is not raised
LEAST_SCORE = 1e-4  # keeps logits finite
MAX_LOG_SIZE = 4.0  # the network knows no larger size
FAINTEST = 0.2  # weaker peaks are dropped
STEP = math.sqrt(2)  # from one scale to the next
CLOSE_STEPS = 900  # pixels; a longer side is halved at once, because large pictures take most of the time
LEAST_SIDE = 48  # pixels; the longer side at the smallest scale
SMALLEST, LARGEST = 9.0, 72.0  # pixels; at one scale, digits of other heights are dropped
BORDER = 16  # pixels around the picture, since digits touch its edges

Grey = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Detection:
    """A place that may hold a digit.

    Attributes:
        left, top, right, bottom: in pixels of the picture that was given.
        scores: (10,) in [0, 1], how sure the network is that this is a 0, a 1, ...
        scales: number of scales at which it was found.
        alone: whether it is all the ink of the picture, so that DigitNet may judge it as `Reader.predict` does.
        free: how much of its ink lies in its box, in [0, 1] (see `crops.crops`); 1 until its crop is made.
    """

    left: float
    top: float
    right: float
    bottom: float
    scores: npt.NDArray[np.float32]
    scales: int = 1
    alone: bool = False
    free: float = 1.0

    @property
    def score(self) -> float:
        return float(self.scores.max())

    @property
    def digit(self) -> int:
        return int(self.scores.argmax())

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def width(self) -> float:
        return self.right - self.left


def logits(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The logits of scores in [0, 1] of any shape, finite."""
    bounded = np.clip(scores.astype(np.float64), LEAST_SCORE, 1 - LEAST_SCORE)
    return np.asarray(np.log(bounded / (1 - bounded)), np.float64)


def normalise_contrast(grey: npt.NDArray[np.uint8] | Grey) -> Grey:
    """The picture (H, W), in bytes or [0, 1], with its local contrast normalised, so that the light does not matter.

    Paper is about 0. Ink is below 0 where it is darker than the paper, and above 0 where it is lighter; the fewer
    pixels it covers, the further from 0.
    """
    picture = grey.astype(np.float32) / np.float32(255) if grey.dtype == np.uint8 else grey
    paper = cv2.blur(picture, (NEAR, NEAR), borderType=cv2.BORDER_REFLECT)
    difference = picture - paper
    power = cv2.blur(difference * difference, (WIDE, WIDE), borderType=cv2.BORDER_REFLECT)
    return np.asarray(difference / (np.sqrt(np.maximum(power, 0)) + LEAST_CONTRAST), np.float32)


def detect(
    session: onnxruntime.InferenceSession,
    grey: Grey,
    known: Sequence[Detection] = (),
    is_cancelled: IsCancelled | None = None,
) -> list[Detection]:
    """All that may be digits in a picture (H, W) in [0, 1], the likeliest first, together with what is `known` already.

    Duplicates are merged. Overlapping alternatives, such as a wide 0 or two narrow digits, are kept for `lattice`.

    Raises CancelledError where `is_cancelled` says True.
    """
    found = [list(known)]
    for scale in scales(*grey.shape):
        raise_if(is_cancelled)
        height, width = (max(1, round(side * scale)) for side in grey.shape)
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        sized = grey if scale == 1 else np.asarray(cv2.resize(grey, (width, height), interpolation=smooth), np.float32)
        detections = [placed(detection, factor=1 / scale) for detection in detect_at_one_scale(session, sized)]
        # Their centres lie in the picture rather than in the border around it.
        middle = middles(edges(detections))
        is_inside = np.all((middle >= 0) & (middle < grey.shape[::-1]), axis=1)
        found.append(list(itertools.compress(detections, is_inside.tolist())))
    return merged(found)


def merged(found: Sequence[Sequence[Detection]]) -> list[Detection]:
    """The detections of each scale together, the likeliest first; duplicates are merged into their average.

    The surer ones of the duplicates count for more. Of each scale, its likeliest detection counts.
    """
    ordered = sorted(
        ((detection, scale) for scale, detections in enumerate(found) for detection in detections),
        key=lambda one: -one[0].score,
    )
    if not ordered:
        return []
    groups = [
        list({ordered[index][1]: ordered[index][0] for index in reversed(group)}.values())
        for group in _groups(_duplicates(edges([detection for detection, _ in ordered])), len(ordered))
    ]
    members = [detection for group in groups for detection in group]
    sizes = [len(group) for group in groups]
    starts = np.cumsum([0, *sizes[:-1]])
    scores = np.stack([detection.scores for detection in members])
    weights = scores.max(1).astype(np.float64)
    weights = (weights / np.repeat(np.add.reduceat(weights, starts), sizes))[:, np.newaxis]
    scores = np.clip(scores, LEAST_SCORE, 1 - LEAST_SCORE).astype(np.float64)
    logits = np.add.reduceat(weights * np.log(scores / (1 - scores)), starts)
    boxes = np.add.reduceat(weights * edges(members), starts)
    averaged = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return [
        Detection(left, top, right, bottom, scores, len(group), any(detection.alone for detection in group))
        for (left, top, right, bottom), scores, group in zip(boxes.tolist(), averaged, groups, strict=True)
    ]


def _groups(same: Pairs, count: int) -> list[list[int]]:
    """Each of `count` detections that is in no group yet, together with its partners that are in none."""
    is_free = [True] * count
    groups = []
    for index, others in enumerate(partners(same, count)):
        if is_free[index]:
            groups.append([index, *(other for other in others if is_free[other])])
            for member in groups[-1]:
                is_free[member] = False
    return groups


def scales(height: int, width: int) -> Iterator[float]:
    """The factors for the picture's sides, one for each time that the network looks at it."""
    longest = max(height, width)
    scale = 1.0
    if longest < 2 * LARGEST:  # a small picture may hold small digits
        yield 2.0
        yield STEP
    while scale == 1.0 or longest * scale >= LEAST_SIDE:
        yield scale
        scale /= STEP if longest * scale <= CLOSE_STEPS else STEP**2


def detect_at_one_scale(session: onnxruntime.InferenceSession, sized: Grey) -> Iterator[Detection]:
    """The network's detections in a picture as it is; the same digit may come more than once."""
    (maps,) = session.run(None, {"pages": framed(normalise_contrast(sized))[np.newaxis, np.newaxis]})
    yield from (
        placed(detection, shift=-BORDER) for detection in peaks(maps[0]) if SMALLEST <= detection.height <= LARGEST
    )


def framed(page: Grey, height: int = 0, width: int = 0) -> Grey:
    """A picture of normalised contrast with `BORDER` pixels of paper around it, so that its sides suit the network.

    More is added below and to the right, up to `height` and `width`.
    """
    below, beside = (
        max(least - side - BORDER, BORDER + -(side + 2 * BORDER) % DEEPEST)
        for side, least in zip(page.shape, (height, width), strict=True)
    )
    return np.pad(page, ((BORDER, below), (BORDER, beside)))


def peaks(maps: npt.NDArray[np.float32]) -> Iterator[Detection]:
    """The detections in the network's maps (14, h, w): cells whose best score is no lower than their neighbours'."""
    best = maps[:CLASSES].max(0)
    highest = cv2.dilate(best, np.ones((3, 3), np.uint8))
    faintest = np.log(FAINTEST / (1 - FAINTEST))
    for row, column in np.argwhere((best >= highest) & (best > faintest)).tolist():
        scores = (1 / (1 + np.exp(-maps[:CLASSES, row, column]))).astype(np.float32)
        across, down, wide, tall = maps[CLASSES:, row, column].tolist()
        x, y = (column + across) * STRIDE, (row + down) * STRIDE
        half_width, half_height = (math.exp(min(size, MAX_LOG_SIZE)) * STRIDE / 2 for size in (wide, tall))
        yield Detection(x - half_width, y - half_height, x + half_width, y + half_height, scores)


def distinct(detections: Iterable[Detection]) -> list[Detection]:
    """The detections without those on the same ink as a likelier one (non-maximum suppression)."""
    likeliest = sorted(detections, key=lambda detection: -detection.score)
    return [likeliest[group[0]] for group in _groups(same_ink_pairs(edges(likeliest)), len(likeliest))]


def same_ink(ones: Boxes, others: Boxes) -> npt.NDArray[np.bool_]:
    """Whether `ones` (..., 4) and `others` (..., 4), whose shapes are broadcast, are on the same ink.

    They share a third of their area, or one lies in the other.
    """
    shared, area, other_area = shared_areas(ones, others), areas(ones), areas(others)
    within = shared > 0.7 * np.minimum(area, other_area)
    return np.asarray(within | (shared > 0.35 * (area + other_area - shared)))


def same_ink_pairs(boxes: Boxes) -> Pairs:
    """The pairs of boxes on the same ink (see `same_ink`), both ways, sorted."""
    first, second = overlapping_pairs(boxes)
    same = same_ink(boxes[first], boxes[second])
    return first[same], second[same]


def _duplicates(boxes: Boxes) -> Pairs:
    """The pairs of boxes of the same digit in the same place and size: they share most of their area."""
    first, second = overlapping_pairs(boxes)
    same = intersection_over_union(boxes[first], boxes[second]) > 0.5
    return first[same], second[same]
