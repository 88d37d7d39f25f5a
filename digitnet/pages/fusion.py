"""What the detector and DigitNet say of the same detection, weighed together: how likely it is a digit, and which.

The weights are fitted on made pages whose digits neither network was trained on (`page_calibration.py`): a logistic
regression (Platt, 1999) with a layer of hidden_units (Rumelhart et al., 1986) for whether a digit is there, a product of
experts (Hinton, 2002) for which it is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.inference.rejection import NOT_A_DIGIT
from digitnet.pages.detect import Detection, same_ink
from digitnet.pages.lattice import Candidate

FEATURES = 16  # numbers that tell of a detection whether it is a digit
LEAST = 1e-4  # of a probability; a network that is surer of an error than this is not believed
NEIGHBOURHOOD = 2.0  # heights of a digit between the centres of neighbours
FAR_LARGER = 2.0  # doublings of the height
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
}

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fusion:
    """How to weigh the two.

    Attributes:
        exists: for each of `features` its weight in the log-odds of a digit being there.
        offset: added to these log-odds.
        hidden_units: what a straight line cannot say: for each hidden unit the weights of the features, an offset, and what
            the hyperbolic tangent of their sum adds to the log-odds at most.
        detector, detector_by_size: power of the detector's scores, and what a doubling of the digit's height adds to it.
        digitnet, digitnet_by_size: the same for DigitNet's probabilities.
    """

    exists: tuple[float, ...] = (1.0,) + (0.0,) * (FEATURES - 1)
    offset: float = 0.0
    hidden_units: tuple[tuple[float, ...], ...] = ()
    detector: float = 1.0
    detector_by_size: float = 0.0
    digitnet: float = 0.5
    digitnet_by_size: float = 0.0

    def candidates(self, detections: Sequence[Detection], answers: npt.NDArray[np.float32]) -> list[Candidate]:
        """The detections, weighed; `answers` (N, 11) are DigitNet's probabilities for their close-ups."""
        if not detections:
            return []
        log_probabilities = self.log_probabilities(*evidence(detections, answers))
        told = features(detections, answers, log_probabilities)
        odds = np.clip(self.log_odds(told), -30, 30)
        return [
            Candidate(detection, float(exists), probabilities)
            for detection, exists, probabilities in zip(
                detections, 1 / (1 + np.exp(-odds)), np.exp(log_probabilities), strict=True
            )
        ]

    def log_odds(self, told: Numbers) -> Numbers:
        """(N,), of a digit being there, from `features` (N, 16)."""
        hidden_units = np.array(self.hidden_units).reshape(-1, FEATURES + 2)
        bent = np.tanh(told @ hidden_units[:, :FEATURES].T + hidden_units[:, FEATURES]) @ hidden_units[:, FEATURES + 1]
        odds: Numbers = told @ np.array(self.exists) + self.offset + bent
        return odds

    def log_probabilities(self, located: Numbers, seen: Numbers, doublings: Numbers) -> Numbers:
        """(N, 10), of each digit, from what `evidence` gives."""
        located_power = (self.detector + self.detector_by_size * doublings)[:, np.newaxis]
        seen_power = (self.digitnet + self.digitnet_by_size * doublings)[:, np.newaxis]
        joint = located_power * located + seen_power * seen
        joint = joint - joint.max(1, keepdims=True)
        total: Numbers = joint - np.log(np.exp(joint).sum(1, keepdims=True))
        return total

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


def evidence(detections: Sequence[Detection], answers: npt.NDArray[np.float32]) -> tuple[Numbers, Numbers, Numbers]:
    """The detector's and DigitNet's log-probabilities of the digits, each (N, 10), and doublings of 32 pixels (N,)."""
    scores = np.stack([detection.scores for detection in detections]).astype(np.float64)
    located = np.log(np.clip(scores, LEAST, 1 - LEAST) / (1 - np.clip(scores, LEAST, 1 - LEAST)))
    # Where DigitNet sees no digit it has no opinion on which digit it is.
    seen = np.log(answers[:, :NOT_A_DIGIT].astype(np.float64) + answers[:, NOT_A_DIGIT:] / NOT_A_DIGIT + LEAST)
    height = np.array([detection.height for detection in detections])
    return located, seen - seen.max(1, keepdims=True), np.clip(np.log2(height / 32), -2, 2)


def features(detections: Sequence[Detection], answers: npt.NDArray[np.float32], log_probabilities: Numbers) -> Numbers:
    """What tells whether a digit is there, (N, 16).

    The logit of the detector's best score; DigitNet's log-odds against "not a digit"; the log-probability of the
    likeliest digit; which part of DigitNet's belief is on that digit; the height in doublings of 32 pixels, and its
    square; how wide it is for its height, as a logarithm; the best logit among other detections of the same ink;
    then of its neighbours in a line, the surest on each side: the better logit of the two, the worse, and how much
    their sizes differ from its own; in how many sizes of the picture it was found, and whether in one only;
    whether it is all the ink there is, and then DigitNet's log-odds once more; the best logit of what is far larger.
    """
    located, _, doublings = evidence(detections, answers)
    none = np.clip(answers[:, NOT_A_DIGIT].astype(np.float64), LEAST, 1 - LEAST)
    best = log_probabilities.argmax(1)
    ten = answers[:, :NOT_A_DIGIT].astype(np.float64)
    agreed = ten[np.arange(len(best)), best] / np.maximum(ten.sum(1), 1e-12)
    shape = np.log([max(detection.width, 1.0) / max(detection.height, 1.0) for detection in detections])
    logit = located.max(1)
    rivals = same_ink(detections, detections) & ~np.eye(len(detections), dtype=np.bool_)
    rival = np.where(rivals, logit[np.newaxis], UNRIVALLED).max(1)
    height = np.array([detection.height for detection in detections])
    doublings_apart = np.log2(height / height[:, np.newaxis])
    company = _company(detections, logit, rivals)
    looks = np.array([detection.looks for detection in detections], np.float64)
    alone = np.array([detection.alone for detection in detections], np.float64)
    isnt_none = np.log((1 - none) / none)
    told = [
        logit,
        isnt_none,
        log_probabilities.max(1),
        agreed,
        doublings,
        doublings**2,
        shape,
        rival,
        *company,
        looks,
        looks == 1,
        alone,
        alone * isnt_none,
        np.where(doublings_apart > FAR_LARGER, logit, UNRIVALLED).max(1),
    ]
    return np.stack(told, axis=1)


def _company(
    detections: Sequence[Detection], logit: Numbers, rivals: npt.NDArray[np.bool_]
) -> tuple[Numbers, Numbers, Numbers]:
    """Of the surest neighbours on both sides the better logit, the worse, and how unlike in height they are, (N,)."""
    left, top, right, bottom = np.array(
        [(detection.left, detection.top, detection.right, detection.bottom) for detection in detections]
    ).T
    height, across, down = bottom - top, (left + right) / 2, (top + bottom) / 2
    tall = np.maximum(height[:, np.newaxis], height)
    unlike = np.abs(np.log2(height[:, np.newaxis] / height))
    to_the_right = across - across[:, np.newaxis]  # (detection, its neighbour)
    near = (np.abs(to_the_right) < NEIGHBOURHOOD * tall) & (np.abs(down - down[:, np.newaxis]) < 0.6 * tall)
    near &= (unlike < 1.3) & ~rivals
    sides, differences = [], []
    for side in (near & (to_the_right > 0), near & (to_the_right < 0)):
        beside = np.where(side, logit, UNRIVALLED)
        surest = beside.argmax(1)
        rows = np.arange(len(detections))
        sides.append(beside[rows, surest])
        differences.append(np.where(side.any(1), unlike[rows, surest], 0.0))
    return np.maximum(*sides), np.minimum(*sides), differences[0] + differences[1]
