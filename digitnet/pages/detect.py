"""A picture of many digits to detections: where digits stand, how large they are, and which they may be.

The network (`detector.Detector`, as ONNX) knows digits of some sizes only, so it looks at the picture in several sizes.
A digit is of a size that it knows in some of them, and what it says in each of these is averaged.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime

STRIDE = 4  # pixels a cell of the network's answer
DEEPEST = 32  # pixels a cell of its coarsest stage; the sides that it is given are multiples of it
CLASSES = 10
CONTRAST_VERSION = 2  # of `normalise_contrast`; a network remembers the one that it was trained with

NEAR, WIDE = 65, 129  # pixels; the windows in which paper and contrast are measured
LEAST_CONTRAST = 0.04  # of the range from black to white; weaker contrast is noise and is not raised
LEAST_SCORE = 1e-4  # keeps logits finite
MAX_LOG_SIZE = 4.0  # larger is no size that a network knows
FAINTEST = 0.2  # a peak below it is not looked at
STEP = math.sqrt(2)  # between two sizes of the picture
CLOSE_STEPS = 900  # pixels; a longer side is halved at once, since looking at large pictures takes most of the time
LEAST_SIDE = 48  # pixels; of the smallest size that is looked at
SMALLEST, LARGEST = 9.0, 72.0  # pixels; heights of digits that are believed in one size of the picture
BORDER = 16  # pixels around the picture, since digits touch its edges

Grey = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]
Areas = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Detection:
    """A digit, perhaps.

    Attributes:
        left, top, right, bottom: in pixels of the picture that was given.
        scores: (10,) in [0, 1], how sure the network is that this is a 0, a 1, ...
        looks: in how many sizes of the picture it was found.
        alone: whether it is the one digit that a picture holds, to judge by its ink alone.
    """

    left: float
    top: float
    right: float
    bottom: float
    scores: Scores
    looks: int = 1
    alone: bool = False

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


def normalise_contrast(grey: npt.NDArray[np.uint8] | Grey) -> Grey:
    """The picture (H, W), in bytes or [0, 1], as the network sees it, in any light: about 0 for paper.

    Ink is below 0 where it is darker than the paper, above 0 where lighter; the fewer pixels it covers, the further.
    """
    picture = grey.astype(np.float32) / np.float32(255) if grey.dtype == np.uint8 else grey
    paper = cv2.blur(picture, (NEAR, NEAR), borderType=cv2.BORDER_REFLECT)
    difference = picture - paper
    power = cv2.blur(difference * difference, (WIDE, WIDE), borderType=cv2.BORDER_REFLECT)
    return np.asarray(difference / (np.sqrt(np.maximum(power, 0)) + LEAST_CONTRAST), np.float32)


def detect(session: "onnxruntime.InferenceSession", grey: Grey, known: Sequence[Detection] = ()) -> list[Detection]:
    """All that may be digits in a picture (H, W) in [0, 1], the likeliest first, and what is `known` of it already.

    None is there twice, but some may be of the same ink, cut in another way: a reader weighs them (`line.py`).
    """
    looks = [list(known)]
    for scale in scales(*grey.shape):
        height, width = (max(1, round(side * scale)) for side in grey.shape)
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        sized = grey if scale == 1 else np.asarray(cv2.resize(grey, (width, height), interpolation=smooth), np.float32)
        detections = (_placed(detection, factor=1 / scale) for detection in detect_at_one_scale(session, sized))
        looks.append([detection for detection in detections if _is_inside(detection, *grey.shape)])
    return together(looks)


def together(looks: Sequence[Sequence[Detection]]) -> list[Detection]:
    """The detections of several looks at one picture; what several of them have found is there once, averaged."""
    ordered = sorted(
        ((detection, look) for look, detections in enumerate(looks) for detection in detections),
        key=lambda one: -one[0].score,
    )
    detections = [detection for detection, _ in ordered]
    same = duplicates(detections, detections)
    left = np.ones(len(detections), np.bool_)
    merged = []
    for index in range(len(detections)):
        if left[index]:
            best_of_look: dict[int, Detection] = {}
            for other in np.flatnonzero(same[index] & left).tolist():
                best_of_look.setdefault(ordered[other][1], detections[other])
            merged.append(_averaged(list(best_of_look.values())))
            left &= ~same[index]
    return merged


def _averaged(detections: Sequence[Detection]) -> Detection:
    """One detection of the same digit in several looks, the surer ones counting for more."""
    weights = np.array([detection.score for detection in detections])
    weights /= weights.sum()
    scores = np.clip(np.stack([detection.scores for detection in detections]), LEAST_SCORE, 1 - LEAST_SCORE).astype(
        np.float64
    )
    logits = weights @ np.log(scores / (1 - scores))
    left, top, right, bottom = (_edges(detections) @ weights).tolist()
    averaged = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return Detection(
        left, top, right, bottom, averaged, len(detections), any(detection.alone for detection in detections)
    )


def scales(height: int, width: int) -> Iterator[float]:
    """By what to multiply the picture's sides for each look at it."""
    longest = max(height, width)
    scale = 1.0
    if longest < 2 * LARGEST:  # a small picture may hold small digits
        yield 2.0
        yield STEP
    while scale == 1.0 or longest * scale >= LEAST_SIDE:
        yield scale
        scale /= STEP if longest * scale <= CLOSE_STEPS else STEP**2


def detect_at_one_scale(session: "onnxruntime.InferenceSession", sized: Grey) -> Iterator[Detection]:
    """What the network detections in a picture as it is; the same digit may come more than once."""
    (answer,) = session.run(None, {"pages": framed(normalise_contrast(sized))[np.newaxis, np.newaxis]})
    yield from (
        _placed(detection, shift=-BORDER) for detection in peaks(answer[0]) if SMALLEST <= detection.height <= LARGEST
    )


def framed(page: Grey, height: int = 0, width: int = 0) -> Grey:
    """An normalise_contrast picture with `BORDER` pixels of bare paper around it, so that its sides suit the network.

    More is added below and to the right, up to `height` and `width`.
    """
    below, beside = (
        max(least - side - BORDER, BORDER + -(side + 2 * BORDER) % DEEPEST)
        for side, least in zip(page.shape, (height, width), strict=True)
    )
    return np.pad(page, ((BORDER, below), (BORDER, beside)))


def peaks(answer: npt.NDArray[np.float32]) -> Iterator[Detection]:
    """The detections in the network's answer (14, h, w): cells whose best score is no lower than their neighbours'."""
    best = answer[:CLASSES].max(0)
    highest = cv2.dilate(best, np.ones((3, 3), np.uint8))
    faintest = np.log(FAINTEST / (1 - FAINTEST))
    for row, column in np.argwhere((best >= highest) & (best > faintest)).tolist():
        yield detection_at(answer, row, column)


def detection_at(answer: npt.NDArray[np.float32], row: int, column: int) -> Detection:
    """What the network's answer (14, h, w) says of the digit whose centre lies in a cell."""
    scores = (1 / (1 + np.exp(-answer[:CLASSES, row, column]))).astype(np.float32)
    across, down, wide, tall = answer[CLASSES:, row, column].tolist()
    x, y = (column + across) * STRIDE, (row + down) * STRIDE
    half_width, half_height = (math.exp(min(size, MAX_LOG_SIZE)) * STRIDE / 2 for size in (wide, tall))
    return Detection(x - half_width, y - half_height, x + half_width, y + half_height, scores)


def distinct(
    detections: Iterable[Detection], same: Callable[[Sequence[Detection], Sequence[Detection]], Flags]
) -> list[Detection]:
    """The detections without those that are the `same` as a likelier one (non-maximum suppression)."""
    likeliest = sorted(detections, key=lambda detection: -detection.score)
    are_same = same(likeliest, likeliest)
    left = np.ones(len(likeliest), np.bool_)
    kept = []
    for index, detection in enumerate(likeliest):
        if left[index]:
            kept.append(detection)
            left &= ~are_same[index]
    return kept


def same_ink(ones: Sequence[Detection], others: Sequence[Detection]) -> Flags:
    """Whether detections are of the same ink, (N, M): they share a third of their area, or the one lies in the other."""
    shared, areas, other_areas = _shared(ones, others)
    within = shared > 0.7 * np.minimum(areas, other_areas)
    return np.asarray(within | (shared > 0.35 * (areas + other_areas - shared)))


def duplicates(ones: Sequence[Detection], others: Sequence[Detection]) -> Flags:
    """Whether detections are the same digit in the same place and size, (N, M): they share most of their area."""
    shared, areas, other_areas = _shared(ones, others)
    return np.asarray(shared > 0.5 * (areas + other_areas - shared))


def _shared(ones: Sequence[Detection], others: Sequence[Detection]) -> tuple[Areas, Areas, Areas]:
    """The areas that detections share (N, M), and their own, (N, 1) and (1, M)."""
    one, other = _edges(ones)[:, :, np.newaxis], _edges(others)[:, np.newaxis]
    wide = np.minimum(one[2], other[2]) - np.maximum(one[0], other[0])
    tall = np.minimum(one[3], other[3]) - np.maximum(one[1], other[1])
    areas = ((edges[2] - edges[0]) * (edges[3] - edges[1]) for edges in (one, other))
    return np.maximum(wide, 0) * np.maximum(tall, 0), *areas


def _edges(detections: Sequence[Detection]) -> Areas:
    """Left, top, right and bottom, (4, N)."""
    return (
        np.array([(detection.left, detection.top, detection.right, detection.bottom) for detection in detections])
        .reshape(-1, 4)
        .T
    )


def _is_inside(detection: Detection, height: int, width: int) -> bool:
    """Whether the detection's centre lies in the picture rather than in the border around it."""
    return 0 <= detection.left + detection.right < 2 * width and 0 <= detection.top + detection.bottom < 2 * height


def _placed(detection: Detection, factor: float = 1, shift: float = 0) -> Detection:
    """The detection as it is in a picture `factor` times as large and with its origin `shift` pixels further out."""
    left, top, right, bottom = (
        edge * factor + shift for edge in (detection.left, detection.top, detection.right, detection.bottom)
    )
    return Detection(left, top, right, bottom, detection.scores)
