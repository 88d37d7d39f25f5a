"""Fusion: the detector's scores and DigitNet's probabilities weighed together, for whether a digit is there and which.

The weights are fitted on made pages whose digits neither network was trained on (`training.fusion_calibration`): a
logistic regression (Platt, 1999) with a layer of hidden units (Rumelhart et al., 1986) says whether a digit is there, a
product of experts (Hinton, 2002) says which digit it is.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.inference.onnx_models import Probabilities
from digitnet.inference.rejection import NOT_A_DIGIT
from digitnet.pages.boxes import Boxes, Pairs, edges, middles, overlapping_pairs
from digitnet.pages.detect import Detection, logits, same_ink_pairs
from digitnet.pages.lattice import Candidate

FEATURES = 18  # numbers for each detection that say whether it is a digit
LEAST = 1e-4  # probabilities are clipped to this and its complement, because no network is surer than that
NEIGHBOURHOOD = 2.0  # heights of a digit between the centres of neighbours
SAME_LEVEL = 0.6  # heights of a digit; the centres of neighbours differ by less
ALIKE = 1.3  # doublings; the heights of neighbours differ by less
FAR_LARGER = 4.0  # times as tall
UNRIVALLED = -4.0  # logit of the best rival where there is none; weaker detections are not looked at

# What each field is called in the metadata of a detector's ONNX file: the file format keeps its first names.
STORED_NAMES = {
    "exists": "exists",
    "offset": "offset",
    "hidden_units": "bends",
    "detector": "locator",
    "detector_by_size": "locator_by_size",
    "digitnet": "digitnet",
    "digitnet_by_size": "digitnet_by_size",
    "digitnet_by_freedom": "digitnet_by_freedom",
    "line": "line",
    "line_offset": "line_offset",
}

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fusion:
    """The weights of the two networks.

    Attributes:
        exists: weight of each of the `features` in the log-odds that a digit is there.
        offset: added to these log-odds.
        hidden_units: for each hidden unit (tanh) the weights of the features, its bias, and its own weight.
        detector, detector_by_size: power of the detector's scores, and what a doubling of the height adds to it.
        digitnet, digitnet_by_size: the same for DigitNet's probabilities.
        digitnet_by_freedom: what a detection that stands free adds to DigitNet's power, since its crop is whole.
        line, line_offset: turn the log-odds of a line's reading into those that the line is right, because a digit may
            have been missed at its ends or between two others (Platt, 1999).
    """

    exists: tuple[float, ...] = (1.0,) + (0.0,) * (FEATURES - 1)
    offset: float = 0.0
    hidden_units: tuple[tuple[float, ...], ...] = ()
    detector: float = 1.0
    detector_by_size: float = 0.0
    digitnet: float = 0.5
    digitnet_by_size: float = 0.0
    digitnet_by_freedom: float = 0.0
    line: float = 1.0
    line_offset: float = 0.0

    def candidates(self, detections: Sequence[Detection], probabilities: Probabilities) -> list[Candidate]:
        """A candidate for each detection; `probabilities` (N, 11) are DigitNet's for their crops."""
        if not detections:
            return []
        log_probabilities = self.log_probabilities(*evidence(detections, probabilities))
        log_odds = np.clip(self.log_odds(features(detections, probabilities, log_probabilities)), -30, 30)
        return [
            Candidate(detection, exists, of_digits)
            for detection, exists, of_digits in zip(
                detections, (1 / (1 + np.exp(-log_odds))).tolist(), np.exp(log_probabilities), strict=True
            )
        ]

    def line_confidence(self, reading: float) -> float:
        """The probability that a line is right whose reading has this probability, both in [0, 1]."""
        odds = self.line * line_log_odds(reading) + self.line_offset
        return 1 / (1 + math.exp(-odds))

    def log_odds(self, rows: Numbers) -> Numbers:
        """(N,), of a digit being there, from `features` (N, 18)."""
        units = np.array(self.hidden_units).reshape(-1, FEATURES + 2)
        hidden = np.tanh(rows @ units[:, :FEATURES].T + units[:, FEATURES]) @ units[:, FEATURES + 1]
        odds: Numbers = rows @ np.array(self.exists) + self.offset + hidden
        return odds

    def log_probabilities(
        self, by_detector: Numbers, by_digitnet: Numbers, doublings: Numbers, free: Numbers
    ) -> Numbers:
        """(N, 10), of each digit, from the `evidence`."""
        detector_power = self.detector + self.detector_by_size * doublings
        digitnet_power = self.digitnet + self.digitnet_by_size * doublings + self.digitnet_by_freedom * free
        joint = detector_power[:, np.newaxis] * by_detector + digitnet_power[:, np.newaxis] * by_digitnet
        joint = joint - joint.max(1, keepdims=True)
        normalised: Numbers = joint - np.log(np.exp(joint).sum(1, keepdims=True))
        return normalised

    def to_json(self) -> str:
        """The weights as they stand in a detector's metadata."""
        return json.dumps({stored: getattr(self, name) for name, stored in STORED_NAMES.items()})

    @classmethod
    def from_json(cls, text: str) -> "Fusion":
        """Raises ValueError, KeyError or TypeError where `text` does not hold such weights."""
        content = json.loads(text)
        stored = {name: content[key] for name, key in STORED_NAMES.items()}
        exists = tuple(map(float, stored.pop("exists")))
        hidden_units = tuple(tuple(map(float, unit)) for unit in stored.pop("hidden_units"))
        if len(exists) != FEATURES or any(len(unit) != FEATURES + 2 for unit in hidden_units):
            raise ValueError(f"weights for other than {FEATURES} features")
        return cls(exists=exists, hidden_units=hidden_units, **{name: float(value) for name, value in stored.items()})


def line_log_odds(reading: float) -> float:
    """The log-odds of a reading with this probability, which no network is surer of than `LEAST` allows."""
    bounded = min(max(reading, LEAST), 1 - LEAST)
    return math.log(bounded / (1 - bounded))


def evidence(
    detections: Sequence[Detection], probabilities: Probabilities
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """What the two networks say of which digit it is, and what tells how far to trust them.

    These are the detector's logits and DigitNet's log-probabilities of the digits, each (N, 10); how tall each
    detection is, (N,) in doublings of 32 pixels within [-2, 2]; and how free it stands, (N,) in [0, 1].
    """
    by_detector = logits(np.stack([detection.scores for detection in detections]))
    # Where DigitNet sees no digit, each digit is equally likely.
    ten = probabilities[:, :NOT_A_DIGIT].astype(np.float64)
    by_digitnet = np.log(ten + probabilities[:, NOT_A_DIGIT:] / NOT_A_DIGIT + LEAST)
    height = np.array([detection.height for detection in detections])
    free = np.array([detection.free for detection in detections], np.float64)
    return by_detector, by_digitnet - by_digitnet.max(1, keepdims=True), np.clip(np.log2(height / 32), -2, 2), free


def features(detections: Sequence[Detection], probabilities: Probabilities, log_probabilities: Numbers) -> Numbers:
    """The numbers that say whether a digit is there, (N, 18).

    0 the logit of the detector's best score; 1 DigitNet's log-odds against "not a digit"; 2 the log-probability of the
    likeliest digit; 3 DigitNet's probability of that digit among the ten; 4 the height in doublings of 32 pixels, 5 its
    square; 6 the logarithm of width by height; 7 the best logit among other detections on the same ink; of the surest
    neighbours on the left and on the right 8 the better logit, 9 the worse, 10 how much their heights differ from its
    own, in doublings; 11 the number of scales at which it was found, 12 whether it is one; 13 whether it is all the ink
    of the picture, 14 in that case DigitNet's log-odds again; 15 the best logit among far larger detections; 16 how
    free it stands, 17 that times DigitNet's log-odds.
    """
    by_detector, _, doublings, free = evidence(detections, probabilities)
    best = log_probabilities.argmax(1)
    ten = probabilities[:, :NOT_A_DIGIT].astype(np.float64)
    agreed = ten[np.arange(len(best)), best] / np.maximum(ten.sum(1), 1e-12)
    none = np.clip(probabilities[:, NOT_A_DIGIT].astype(np.float64), LEAST, 1 - LEAST)
    is_digit = np.log((1 - none) / none)
    logit = by_detector.max(1)
    boxes = edges(detections)
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    rivals = same_ink_pairs(boxes)
    best_rival = np.full(len(logit), UNRIVALLED)
    np.maximum.at(best_rival, rivals[0], logit[rivals[1]])
    order = np.argsort(height)
    best_from = np.append(np.maximum.accumulate(logit[order][::-1])[::-1], UNRIVALLED)  # of this height or taller
    far_larger = np.searchsorted(height[order], FAR_LARGER * height, side="right")
    best_far_larger = np.maximum(best_from[far_larger], UNRIVALLED)
    scales = np.array([detection.scales for detection in detections], np.float64)
    alone = np.array([detection.alone for detection in detections], np.float64)
    columns = [
        logit,
        is_digit,
        log_probabilities.max(1),
        agreed,
        doublings,
        doublings**2,
        np.log(np.maximum(width, 1.0) / np.maximum(height, 1.0)),
        best_rival,
        *_neighbours(boxes, logit, rivals),
        scales,
        scales == 1,
        alone,
        alone * is_digit,
        best_far_larger,
        free,
        free * is_digit,
    ]
    return np.stack(columns, axis=1)


def _neighbours(boxes: Boxes, logit: Numbers, rivals: Pairs) -> tuple[Numbers, Numbers, Numbers]:
    """Of the surest neighbours on both sides the better logit, the worse, and how unlike in height they are, (N,)."""
    height, (x, y) = boxes[:, 3] - boxes[:, 1], middles(boxes).T
    reach, level = NEIGHBOURHOOD * height, SAME_LEVEL * height
    one, other = overlapping_pairs(np.stack([x - reach, y - level, x + reach, y + level], axis=1))
    tall = np.maximum(height[one], height[other])
    unlike = np.abs(np.log2(height[one] / height[other]))
    to_the_right = x[other] - x[one]
    near = (np.abs(to_the_right) < NEIGHBOURHOOD * tall) & (np.abs(y[other] - y[one]) < SAME_LEVEL * tall)
    near &= (unlike < ALIKE) & (logit[other] > UNRIVALLED)
    near &= ~np.isin(one * len(boxes) + other, rivals[0] * len(boxes) + rivals[1])
    sides, differences = [], np.zeros(len(boxes))
    for side in (near & (to_the_right > 0), near & (to_the_right < 0)):
        order = np.flatnonzero(side)
        order = order[np.lexsort((-logit[other[order]], one[order]))]
        owners, first = np.unique(one[order], return_index=True)
        surest = np.full(len(boxes), UNRIVALLED)
        surest[owners] = logit[other[order[first]]]
        differences[owners] += unlike[order[first]]
        sides.append(surest)
    return np.maximum(*sides), np.minimum(*sides), differences
