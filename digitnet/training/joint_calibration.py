"""How much the line reader's voice and DigitNet's count: fitted on made strips by hands that neither was trained on.

The numbers of `lines.Joint` are those that make the right texts likeliest.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.crops import crops
from digitnet.reading.decode import NONE, Numbers, decode, of_digits
from digitnet.reading.lines import Classify, Joint, LineFinder, best_shown
from digitnet.reading.networks import Probabilities
from digitnet.reading.strips import HEIGHT, STRIDE, Strip, resized
from digitnet.synthesis.strips import MadeStrip, StripMaker
from digitnet.training.detector_run import page_maker

SHEETS = 260  # some 1,100 strips
STREAM = 6  # of random numbers; training and validation have others
LONG = 0.25  # of the sheets hold long numbers
STEPS = {"power": (0.6, 0.8, 1.0, 1.25), "digit": (0.0, 0.3, 0.6, 1.0, 1.5), "exists": (0.0, 0.1, 0.25, 0.5, 0.8)}
OFFSETS = (-3.0, -1.5, 0.0, 1.0)
SWEEPS = 2


def fitted_joint(network: onnxruntime.InferenceSession, classify: Classify, data: str | Path | None = None) -> Joint:
    """The weights of both voices.

    Args:
        network: the line reader.
        classify: the package's DigitNet.
        data: the folder of MNIST, whose held-out images the strips are written with; None looks in the usual places.

    Raises DataError where MNIST was not found and could not be downloaded.
    """
    strips = list(made_strips(data))
    places = [digits_of(strip) for strip in strips]
    cut = [Strip(resized(strip.picture), np.eye(2, 3), HEIGHT / 1.44) for strip in strips]
    joint = Joint()
    finder = LineFinder(network, network, classify, joint)
    logits = finder.columns(cut)

    def evidence(power: float) -> list[tuple[Numbers, Probabilities, int]]:
        """For each digit that was read: what the line reader says, what DigitNet says, and what it is."""
        read = decode([of_digits(each, power) for each in logits])
        found = []
        for strip, line, known in zip(cut, read, places, strict=True):
            for digit, ways in zip(line.digits, crops(strip, line.digits), strict=True):
                inside = [label for label, column in known if digit.left <= column < digit.right]
                if ways:
                    seen = classify(np.stack([way.image for way in ways]))
                    own = seen[best_shown(digit.probabilities, seen)]
                    found.append((digit.probabilities, own, inside[0] if len(inside) == 1 else NONE))
        return found

    by_power = {power: evidence(power) for power in STEPS["power"]}

    def loss(candidate: Joint) -> float:
        """The mean surprise, in nats, at what the digits are."""
        found = by_power[candidate.power]
        likely = [candidate.together(in_place, seen)[label] for in_place, seen, label in found]
        return float(-np.log(np.maximum(likely, 1e-4)).mean())

    values = {**STEPS, "offset": OFFSETS}
    for _ in range(SWEEPS):
        for name, tried in values.items():
            candidates = [Joint(**{**vars(joint), name: value}) for value in tried]
            joint = min(candidates, key=loss)
    return joint


def made_strips(data: str | Path | None = None) -> Sequence[MadeStrip]:
    """The strips of the calibration, whose texts are all known; the same at every call."""
    maker = StripMaker(page_maker(str(data) if data else None, training=False).pool)
    found: list[MadeStrip] = []
    for number in range(SHEETS):
        rng = np.random.default_rng([number, STREAM])
        found += [strip for strip in maker.strips(rng, long=rng.random() < LONG) if not strip.unknown]
    return found


def digits_of(strip: MadeStrip) -> list[tuple[int, float]]:
    """The digits of a strip, and the columns of the line reader in which their middles are."""
    scale = HEIGHT / strip.picture.shape[0] / STRIDE
    return [(symbol, (left + right) / 2 * scale) for symbol, (left, right) in strip.symbols if symbol < NOT_A_DIGIT]
