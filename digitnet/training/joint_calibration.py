"""What both networks together are worth: fitted on made strips by hands that neither was trained on.

The weights of the two voices (`lines.Joint`) are those that make what stands in the strips likeliest. Which digit it is
is not fitted: the line reader was trained on strips like these, so they would make it count alone, and other people's
digits are not like these. Then the table of risks says how often a digit that both name is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch.nn import functional

from digitnet.errors import ModelError
from digitnet.reading.answer import IN_LINE, IN_PICTURE, NOT_A_DIGIT, Risk, score
from digitnet.reading.decode import NONE, Numbers
from digitnet.reading.lines import KEPT, Classify, FoundLine, Joint, LineFinder, log_odds
from digitnet.reading.networks import Probabilities
from digitnet.reading.places import Place
from digitnet.reading.strips import HEIGHT, Strip, resized
from digitnet.synthesis.strips import MadeStrip, StripMaker
from digitnet.training.calibration import FIT_STEPS, minimise, risk_table
from digitnet.training.detector_run import page_maker

SHEETS = 1000  # some 4,500 strips
TALL = HEIGHT / 1.44  # pixels; the usual height of a digit of a strip
STREAM = 6  # of random numbers; training and validation have others
LONG = 0.08  # of the sheets hold long numbers
NOTHING = 10  # of so many sheets without a digit one counts; people show few of them, and some letters look like digits
DIGIT = 0.5  # how much DigitNet's opinion on which digit it is counts
EXISTS, OFFSETS = (0.05, 0.1, 0.2, 0.35, 0.5), (-2.0, -1.0, -0.5, 0.0, 0.5)  # that are tried
SWEEPS = 2
LEAST = 1e-4  # a probability below this counts as this, so that no single digit decides


@dataclass(frozen=True, eq=False)
class Seen:
    """A digit that was read in a made strip.

    Attributes:
        in_place, seen: (11,) each, what the line reader and DigitNet say.
        label: what stands there; 10 where it is no digit, or two.
        is_lone: whether it is all that was read in its strip.
        is_agreed: whether both networks name it, and no second one beside it.
    """

    in_place: Numbers
    seen: Probabilities
    label: int
    is_lone: bool
    is_agreed: bool


def calibrate_joint(
    network: onnxruntime.InferenceSession, classify: Classify, data: str | Path | None = None
) -> tuple[Joint, tuple[Risk, ...]]:
    """The weights of both voices, and the table of risks.

    Args:
        network: the line reader.
        classify: the package's DigitNet.
        data: the folder of MNIST, whose held-out images the strips are written with; None looks in the usual places.

    Raises DataError where MNIST was not found, ModelError where no digit is read in the strips and named by both
    networks.
    """
    made = made_strips(data)
    strips = [Strip(resized(strip.picture), np.eye(2, 3), TALL) for strip in made]
    places = [Place(0, 0, strip.grey.shape[1], HEIGHT, TALL) for strip in strips]
    finder = LineFinder(network, network, classify, Joint())
    lines = finder.read_strips(strips, places)
    digits = [one for line, strip in zip(lines, made, strict=True) for one in seen_in(line, digits_of(strip))]

    def surprise(joint: Joint) -> float:
        """At what the digits are: the mean, in nats."""
        likely = [joint.together(one.in_place, one.seen)[one.label] for one in digits]
        return float(-np.log(np.maximum(likely, LEAST)).mean())

    joint = Joint(digit=DIGIT, agreed=_agreed(digits))  # raises where there are no digits
    for _ in range(SWEEPS):
        joint = min((replace(joint, exists=exists) for exists in EXISTS), key=surprise)
        joint = min((replace(joint, offset=offset) for offset in OFFSETS), key=surprise)
    return joint, _risks(joint, digits)


def seen_in(line: FoundLine, known: Sequence[tuple[int, float]]) -> list[Seen]:
    """The digits of a line with what stands there.

    Args:
        known: the digits that are written in the strip, and the middle of each, in pixels of the strip.
    """
    found = [digit for digit in line.digits if digit.seen.any() and digit.exists > KEPT]
    if not found:
        return []
    middles = np.array([(digit.edges[0] + digit.edges[2]) / 2 for digit in found])
    labels: list[list[int]] = [[] for _ in found]
    for label, middle in known:  # a digit that was lost makes a second one of the nearest
        labels[int(np.abs(middles - middle).argmin())].append(label)
    return [
        Seen(digit.in_place, digit.seen, of[0] if len(of) == 1 else NONE, len(found) == 1, digit.is_agreed)
        for digit, of in zip(found, labels, strict=True)
    ]


def _agreed(digits: Sequence[Seen]) -> tuple[float, float, float]:
    """The logistic regression of being right on the log-odds of both networks, where they name the same digit."""
    rows, right = [], []
    for one in digits:
        best = int(one.in_place[:NOT_A_DIGIT].argmax())
        if best == int(one.seen[:NOT_A_DIGIT].argmax()):
            rows.append([log_odds(float(one.in_place[best])), log_odds(float(one.seen[best])), 1.0])
            right.append(float(one.label == best))
    if not rows:
        raise ModelError(
            "the line reader and DigitNet agree on no digit of the calibration's strips; train the line reader for "
            "longer, then export it"
        )
    inputs, targets = torch.tensor(rows), torch.tensor(right)
    weights = torch.zeros(3, requires_grad=True)
    penalty = 1 / len(rows)  # keeps the weights finite where both are always right

    def loss() -> torch.Tensor:
        surprise = functional.binary_cross_entropy_with_logits(inputs @ weights, targets)
        return surprise + penalty * weights.square().sum()

    minimise(loss, [weights], FIT_STEPS)
    one, other, offset = weights.detach().tolist()
    return one, other, offset


def _risks(joint: Joint, digits: Sequence[Seen]) -> tuple[Risk, ...]:
    """The table of risks of the digits that both networks name."""
    scores, wrong = [], []
    for one in digits:
        eleven = joint.together(one.in_place, one.seen)
        if one.is_agreed:
            scores.append(float(score(eleven, IN_PICTURE if one.is_lone else IN_LINE)))
            wrong.append(float(one.label != eleven[:NOT_A_DIGIT].argmax()))
    return risk_table(np.array(scores), np.array(wrong))


def made_strips(data: str | Path | None = None) -> list[MadeStrip]:
    """The strips of the calibration, whose texts are all known; the same at every call."""
    maker = StripMaker(page_maker(str(data) if data else None, training=False).pool)
    found: list[MadeStrip] = []
    for number in range(SHEETS):
        rng = np.random.default_rng([number, STREAM])
        sheet = maker.strips(rng, long=rng.random() < LONG, exaggerated=False)
        digits = [strip for strip in sheet if not strip.unknown and digits_of(strip)]
        found += digits or [strip for strip in sheet if number % NOTHING == 0]
    return found


def digits_of(strip: MadeStrip) -> list[tuple[int, float]]:
    """The digits of a strip, and where their middles are, in pixels of the strip as the line reader sees it."""
    scale = HEIGHT / strip.picture.shape[0]
    return [(symbol, (left + right) / 2 * scale) for symbol, (left, right) in strip.symbols if symbol < NOT_A_DIGIT]
