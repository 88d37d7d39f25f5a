"""From a picture of one digit to a `Digit`: the ink finder's reading, and where DigitNet is not sure of it, others."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import onnxruntime

from digitnet.imaging.ink import ALIKE, Array, is_small
from digitnet.imaging.load import Picture
from digitnet.imaging.normalise import SIDE, NormalisedDigit, normalise, normalise_stack, side_by_side
from digitnet.imaging.readings import Reading, readings_near, readings_of_whole
from digitnet.inference import choice, rejection
from digitnet.inference.cascade import Cascade
from digitnet.inference.onnx_models import OnnxDigitNet, Probabilities
from digitnet.inference.rejection import NOT_A_DIGIT, Rejection
from digitnet.pages.crops import FREE, crops
from digitnet.pages.detect import detect, distinct, logits
from digitnet.results import Box, Digit

BATCH = 128  # small pictures that are computed together
SURE = math.exp(6)  # odds; where DigitNet sees a digit in the first reading with these, no other reading is made
VERY_SURE = math.exp(10)  # odds; a lesson will hardly bring them below `SURE`
SURE_ALONE = math.exp(2)  # the same for a small picture that holds nothing but its digit
DETECTOR_SIDE = 640  # pixels; larger pictures are reduced to this for the detector
ENLARGED_SIDE = 64  # pixels; the shorter side of a small picture is enlarged to this for the detector
MOST_DETECTIONS = 6  # the likeliest ones become readings
GRAIN = 0.4  # certainty; what the detector finds in the grain of paper is below it
NO_PROBABILITIES = (0.1,) * 10
NOTHING = "not a digit"  # the usual reason where there is likely none
TINY = 1e-30  # keeps the ten probabilities from dividing by 0 where all are 0


@dataclass(frozen=True)
class Examination:
    """A picture, the digit found in it (None in a blank picture), and the answer."""

    picture: Picture
    normalised: NormalisedDigit | None
    digit: Digit


@dataclass(frozen=True)
class Sight:
    """The readings of a picture of `shape` (H, W), before DigitNet judges them.

    Attributes:
        readings: the ink finder's own first, if it found any ink.
        is_complete: whether all readings were made; otherwise there is the ink finder's alone.
    """

    shape: tuple[int, ...]
    readings: tuple[Reading, ...]
    is_complete: bool

    @property
    def first(self) -> NormalisedDigit | None:
        """What the ink finder found."""
        return self.readings[0].digit if self.readings and self.readings[0].kind == "ink" else None

    @property
    def weights(self) -> choice.Weights:
        """How much the readings count."""
        if not is_small(self.shape):
            return choice.LARGE
        return choice.ALONE if is_alone(self.first, self.shape) else choice.CROWDED


class DigitReader:
    """Reads pictures of one digit. Threads may share it.

    Args:
        network: gives eleven probabilities for each normalised image.
        rejection: decides which of them are answered.
        detector: gives the network that finds digits on pages. It is asked for when the first hard picture comes.
        larger: gives a network that is asked as well where `network` is unsure; None for no other.
    """

    def __init__(
        self,
        network: OnnxDigitNet,
        rejection: Rejection,
        detector: Callable[[], onnxruntime.InferenceSession],
        larger: Callable[[], OnnxDigitNet] | None = None,
    ) -> None:
        self.network = network
        self.cascade = Cascade(network, larger)
        self.rejection = rejection
        self.detector = detector

    def examine(self, pictures: Iterable[Picture]) -> Iterator[Examination]:
        """One answer for each picture, in order.

        Small neighbours of one size are computed together. A large picture is let go before the next one is loaded.
        """
        for shape, group in itertools.groupby(pictures, key=lambda picture: picture.grey.shape):
            size = BATCH if is_small(shape) else 1
            while batch := list(itertools.islice(group, size)):
                yield from self._examined(batch, shape)
                batch.clear()

    def sight(self, grey: Array) -> Sight:
        """The readings of a picture (H, W) in [0, 1].

        They are complete unless DigitNet is so sure of the first that a lesson will hardly make it unsure.
        """
        first = normalise(grey)
        if first and is_sure(first, math.inf, grey.shape):
            odds = choice.odds(self.cascade.probabilities(first.image[np.newaxis]))
            if odds[0] > VERY_SURE:
                return Sight(grey.shape, (Reading("ink", first),), is_complete=False)
        return Sight(grey.shape, tuple(self.readings(grey, first)), is_complete=True)

    def chosen(self, sight: Sight, probabilities: Probabilities) -> tuple[NormalisedDigit | None, Probabilities]:
        """The digit in a picture, and its probabilities (11,), from those of its readings (N, 11)."""
        first = sight.first
        if first and (not sight.is_complete or is_sure(first, float(choice.odds(probabilities[:1])[0]), sight.shape)):
            return first, probabilities[0]
        return _chosen(sight, probabilities)

    def digits(self, found: Sequence[NormalisedDigit]) -> list[Digit]:
        """One answer for each normalised digit, which is taken as it is."""
        return self._answers(found, self._probabilities(found), [NOTHING] * len(found))

    def _examined(self, pictures: Sequence[Picture], shape: tuple[int, ...]) -> Iterator[Examination]:
        """Pictures of one shape (H, W), computed together."""
        found = normalise_stack(np.stack([picture.grey for picture in pictures]))
        probabilities = self._probabilities(found)
        odds = choice.odds(probabilities).tolist()
        nothing = [NOTHING if first else "no digit found" for first in found]
        for index, (picture, first) in enumerate(zip(pictures, found, strict=True)):
            if first is None or not is_sure(first, odds[index], shape):
                sight = Sight(shape, tuple(self.readings(picture.grey, first)), is_complete=True)
                of_readings = self._probabilities([reading.digit for reading in sight.readings])
                found[index], probabilities[index] = _chosen(sight, of_readings)
            if (digit := found[index]) and picture.scale != 1:
                box = digit.box
                box = picture.box_as_given(box.x, box.y, box.x + box.width, box.y + box.height)
                found[index] = replace(digit, box=box)
        yield from map(Examination, pictures, found, self._answers(found, probabilities, nothing))

    def _probabilities(self, found: Sequence[NormalisedDigit | None]) -> Probabilities:
        """(N, 11); where there is no digit, all are 0 but that of "not a digit"."""
        probabilities = np.zeros((len(found), NOT_A_DIGIT + 1), np.float32)
        probabilities[:, NOT_A_DIGIT] = 1
        images = {index: digit.image for index, digit in enumerate(found) if digit}
        if images:
            probabilities[list(images)] = self.cascade.probabilities(np.stack(list(images.values())))
        return probabilities

    def readings(self, grey: Array, first: NormalisedDigit | None) -> list[Reading]:
        """All readings of a picture (H, W) in [0, 1] whose `first` one was made already; none of a blank picture."""
        readings = [Reading("ink", first)] if first else []
        readings += readings_of_whole(grey)
        if not is_alone(first, grey.shape):
            readings += self._detected(grey)
        # In the grain of bare paper, too, a threshold finds two classes, and the detector faint digits.
        is_blank = all("flat" in reading.kind or reading.certainty < GRAIN for reading in readings)
        return [] if is_blank else readings

    def _detected(self, grey: Array) -> Iterator[Reading]:
        """The detector's crops, and the readings of their surroundings."""
        height, width = grey.shape
        most = ENLARGED_SIDE / min(height, width) if is_small(grey.shape) else 1.0
        scale = min(most, DETECTOR_SIDE / max(height, width))
        sized = _resized(grey, scale)
        found = distinct(detect(self.detector(), sized))[:MOST_DETECTIONS]
        for detection, image, free in zip(found, *crops(sized, found), strict=True):
            edges = (detection.left, detection.top, detection.right, detection.bottom)
            box = Box.within((edge / scale for edge in edges), width, height)
            inside = grey[box.y : box.y + box.height, box.x : box.x + box.width]
            digit = NormalisedDigit(image, box, strength=float(np.ptp(inside)), several=False)
            across, down = (edges[0] + edges[2]) / scale / width - 1, (edges[1] + edges[3]) / scale / height - 1
            reading = Reading(
                "detected" if free > FREE else "detected piece",
                digit,
                detection.score,
                logits(detection.scores),
                math.hypot(across, down) / math.sqrt(2),
            )
            if image.any():
                yield reading
            for near in readings_near(grey, box):
                yield replace(reading, kind=near.kind, digit=near.digit)

    def _answers(
        self, found: Sequence[NormalisedDigit | None], probabilities: Probabilities, nothing: Sequence[str]
    ) -> list[Digit]:
        """One answer each, from `probabilities` (N, 11). `nothing` are the reasons where there is likely no digit."""
        ten = probabilities[:, :NOT_A_DIGIT]
        of_ten = (ten / np.maximum(ten.sum(1, keepdims=True), TINY)).tolist()
        accepted = self.rejection.accepts(probabilities)
        best, confidences = ten.argmax(1).tolist(), ten.max(1).tolist()
        digits = []
        for index, normalised in enumerate(found):
            if normalised is None:
                digits.append(Digit(None, 0.0, "blank", None, NO_PROBABILITIES))
                continue
            is_answered = accepted[index] and (not normalised.several or self.rejection.never)
            reason = None if is_answered else self._reason(normalised, probabilities[index], nothing[index])
            answer = best[index] if is_answered else None
            digits.append(Digit(answer, confidences[index], reason, best[index], tuple(of_ten[index]), normalised.box))
        return digits

    def _reason(self, normalised: NormalisedDigit, probabilities: Probabilities, nothing: str) -> str:
        """Why there is no answer."""
        several = normalised.several
        if not several and (parts := side_by_side(normalised.image)):
            several = bool((self.cascade.probabilities(np.stack(parts))[:, NOT_A_DIGIT] < 0.5).all())
        reason = "more than one digit" if several else rejection.reason(probabilities, normalised.strength)
        return nothing if reason == NOTHING else reason


def _chosen(sight: Sight, probabilities: Probabilities) -> tuple[NormalisedDigit | None, Probabilities]:
    """The likeliest of all readings of a picture, and its probabilities (11,) as one among them, from all (N, 11).

    It has `several` where another reading, of another place, is also a digit and about as large.
    """
    if not sight.readings:
        return None, np.eye(NOT_A_DIGIT + 1, dtype=np.float32)[NOT_A_DIGIT]
    first = sight.first
    best, eleven = choice.chosen(sight.readings, probabilities, sight.weights)
    digit = sight.readings[best].digit
    are_digits = probabilities[:, NOT_A_DIGIT] < 0.5
    several = first is not None and first.several and is_small(sight.shape)
    several |= any(
        is_digit and reading.kind.startswith("detected") and _is_rival(reading.digit.box, digit.box)
        for reading, is_digit in zip(sight.readings, are_digits.tolist(), strict=True)
    )
    return replace(digit, several=several), eleven


def is_sure(first: NormalisedDigit, odds: float, shape: tuple[int, ...]) -> bool:
    """Whether the first reading of a picture of `shape` (H, W), with these odds of a digit, needs no other beside it.

    Ink that touches the border may be a digit that was cut out tightly, of which the first reading takes thick strokes
    for paper, or a neighbour that was cut off. A small picture that holds nothing else cannot show anything else.
    """
    if is_alone(first, shape):
        return odds > SURE_ALONE and not first.several
    return is_inside(first.box, shape) and odds > SURE and not first.several


def is_alone(first: NormalisedDigit | None, shape: tuple[int, ...]) -> bool:
    """Whether a picture of `shape` (H, W) is small and holds no other ink than its `first` reading.

    One of 28x28 pixels is taken for a digit that was normalised before, as MNIST's are: what else it holds is noise.
    """
    return shape == (SIDE, SIDE) or (first.alone if first else is_small(shape))


def is_inside(box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a box does not touch the border of a picture of `shape` (H, W)."""
    height, width = shape
    return min(box.x, box.y, width - box.x - box.width, height - box.y - box.height) > 0


def _resized(grey: Array, scale: float) -> Array:
    """The picture (H, W) in [0, 1], `scale` times as large."""
    if scale == 1:
        return grey
    size = max(1, round(scale * grey.shape[1])), max(1, round(scale * grey.shape[0]))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, size, interpolation=smooth).clip(0, 1), np.float32)


def _is_rival(box: Box, other: Box) -> bool:
    """Whether a box is apart from another one and of a similar height."""
    apart = (
        box.x >= other.x + other.width
        or other.x >= box.x + box.width
        or box.y >= other.y + other.height
        or other.y >= box.y + box.height
    )
    return apart and ALIKE < box.height / other.height < 1 / ALIKE
