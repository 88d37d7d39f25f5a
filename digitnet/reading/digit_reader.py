"""From a picture of one digit to a `Digit`: the first look and, where it is not sure, the lines of the picture.

The first look is the ink finder and DigitNet. It takes less than a millisecond and is sure of most pictures. Otherwise
the picture is read as a page is (`lines`), and the one digit that a line shows is the answer.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitnet.reading import answer
from digitnet.reading.answer import NOT_A_DIGIT, Eleven, Rejection
from digitnet.reading.boxes import intersection_over_union
from digitnet.reading.ink import ALIKE, Array, is_small
from digitnet.reading.lines import LIKELIER_NOT, FoundDigit, LineFinder, best_shown, without_duplicates
from digitnet.reading.load import Picture
from digitnet.reading.networks import LEAST, OnnxDigitNet, Probabilities
from digitnet.reading.normalise import SIDE, NormalisedDigit, normalise, normalise_stack
from digitnet.reading.places import Place
from digitnet.results import Box, Digit

BATCH = 128  # small pictures that are computed together
SURE = math.exp(6)  # odds; where DigitNet sees a digit in the first look with these, no other look is taken
VERY_SURE = math.exp(10)  # odds; a lesson will hardly bring them below `SURE`
SURE_ALONE = math.exp(4)  # the same for a small picture that holds nothing but its digit
SAME_PLACE = 0.5  # shared part of two boxes; the ink finder's crop is then the better one
NO_PROBABILITIES = (0.1,) * 10
NOTHING = "not a digit"  # the usual reason where there is likely none
TINY = 1e-30  # keeps the ten probabilities from dividing by 0 where all are 0


@dataclass(frozen=True)
class Examination:
    """A picture, the digit found in it (None in a blank picture), and the answer."""

    picture: Picture
    normalised: NormalisedDigit | None
    digit: Digit


@dataclass(frozen=True, eq=False)
class Candidate:
    """What may be the digit of a picture.

    Attributes:
        in_place: (11,), what the line reader says of it.
        height: of its ink, in pixels of the picture.
        crops: what DigitNet is shown of it: its ink in the strip, and what the ink finder took for the digit there.
        usual: for each crop what DigitNet saw before any lesson, 0 to 10; empty where there was no lesson.
    """

    in_place: Eleven
    height: float
    crops: tuple[NormalisedDigit, ...]
    usual: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sight:
    """What a picture of `shape` (H, W) shows, before DigitNet judges it.

    Attributes:
        first: what the ink finder found; None where it found no ink.
        candidates: what the line reader found.
        is_complete: whether the line reader was asked; otherwise there is the first look alone.
    """

    shape: tuple[int, ...]
    first: NormalisedDigit | None
    candidates: tuple[Candidate, ...] = ()
    is_complete: bool = True

    @property
    def digits(self) -> list[NormalisedDigit]:
        """All that DigitNet is shown: what the ink finder found, then the crops of each candidate."""
        return ([self.first] if self.first else []) + [crop for one in self.candidates for crop in one.crops]


@dataclass(frozen=True, eq=False)
class Choice:
    """The digit of a picture, None in a blank one; its probabilities (11,); why it is not answered, None if it is."""

    digit: NormalisedDigit | None
    probabilities: Eleven
    reason: str | None = None


class DigitReader:
    """Reads pictures of one digit. Threads may share it.

    Args:
        network: gives eleven probabilities for each normalised image.
        rejection: decides which of them are answered.
        finder: gives what reads lines. It is asked for when the first hard picture comes.
    """

    def __init__(self, network: OnnxDigitNet, rejection: Rejection, finder: Callable[[], LineFinder]) -> None:
        self.network = network
        self.rejection = rejection
        self.finder = finder

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
        """What a picture (H, W) in [0, 1] shows.

        It is complete unless DigitNet is so sure of the first look that a lesson will hardly make it unsure.
        """
        first = normalise(grey)
        if (
            first
            and is_sure(first, math.inf, grey.shape)
            and odds(self.network.probabilities(first.image[np.newaxis]))[0] > VERY_SURE
        ):
            return Sight(grey.shape, first, is_complete=False)
        return self._remembered(self._complete(grey, first))

    def chosen(self, sight: Sight, probabilities: Probabilities) -> Choice:
        """The digit in a picture, from DigitNet's probabilities (N, 11) of `sight.digits`."""
        first = sight.first
        if first and (not sight.is_complete or is_sure(first, float(odds(probabilities[:1])[0]), sight.shape)):
            return self._choice(first, probabilities[0], self.rejection)
        return self._chosen(sight, probabilities)

    def digits(self, found: Sequence[NormalisedDigit]) -> list[Digit]:
        """One answer for each normalised digit, which is taken as it is."""
        probabilities = self._probabilities(found)
        choices = (
            self._choice(digit, eleven, self.rejection) for digit, eleven in zip(found, probabilities, strict=True)
        )
        return [_answer(choice) for choice in choices]

    def _examined(self, pictures: Sequence[Picture], shape: tuple[int, ...]) -> Iterator[Examination]:
        """Pictures of one shape (H, W), computed together."""
        found = normalise_stack(np.stack([picture.grey for picture in pictures]))
        probabilities = self._probabilities(found)
        sure = odds(probabilities).tolist()
        for index, (picture, first) in enumerate(zip(pictures, found, strict=True)):
            if first is not None and is_sure(first, sure[index], shape):
                choice = self._choice(first, probabilities[index], self.rejection)
            else:
                sight = self._complete(picture.grey, first)
                sight = self._remembered(sight) if self.network.adaptation else sight
                choice = self._chosen(sight, self._probabilities(sight.digits))
            if (digit := choice.digit) and picture.scale != (1, 1):
                (box,) = picture.boxes_as_given(np.array([digit.box.edges]))
                choice = replace(choice, digit=replace(digit, box=box))
            yield Examination(picture, choice.digit, _answer(choice))

    def _probabilities(self, found: Sequence[NormalisedDigit | None]) -> Probabilities:
        """(N, 11); where there is no digit, all are 0 but that of "not a digit"."""
        probabilities = np.zeros((len(found), NOT_A_DIGIT + 1), np.float32)
        probabilities[:, NOT_A_DIGIT] = 1
        images = {index: digit.image for index, digit in enumerate(found) if digit}
        if images:
            probabilities[list(images)] = self.network.probabilities(np.stack(list(images.values())))
        return probabilities

    def _complete(self, grey: Array, first: NormalisedDigit | None) -> Sight:
        """What the lines of a picture (H, W) show, too."""
        finder = self.finder()
        looked = finder.places(grey, first)
        height, width = grey.shape
        if is_small(grey.shape):
            looked.append(Place(0, 0, width, height, height / 1.3, margin=0.0))
        lines = finder.read(grey, looked)
        candidates = [_candidate(digit, grey, first) for line in without_duplicates(lines) for digit in line.digits]
        candidates = [candidate for candidate in candidates if candidate.crops]
        if not candidates and first is not None and lines:
            # No line is likely. The strip with the likeliest digit is asked all the same.
            best = min((line.anywhere for line in lines), key=lambda eleven: float(eleven[NOT_A_DIGIT]))
            candidates = [Candidate(best, first.box.height, (first,))]
        return Sight(grey.shape, first, tuple(candidates))

    def _remembered(self, sight: Sight) -> Sight:
        """The same with what DigitNet saw before any lesson, so that a lesson's word counts."""
        candidates = []
        for one in sight.candidates:
            usual = self.network.untaught(np.stack([crop.image for crop in one.crops])).argmax(1)
            candidates.append(replace(one, usual=tuple(usual.tolist())))
        return replace(sight, candidates=tuple(candidates))

    def _chosen(self, sight: Sight, probabilities: Probabilities) -> Choice:
        """The likeliest candidate, from DigitNet's probabilities (N, 11) of `sight.digits`."""
        if not sight.candidates:
            if sight.first is None:
                return Choice(None, np.eye(NOT_A_DIGIT + 1)[NOT_A_DIGIT], "blank")
            return self._choice(sight.first, probabilities[0], self.rejection, NOTHING)
        finder = self.finder()
        rejection = finder.rejection(self.rejection)
        rows = iter(range(len(probabilities) - sum(len(one.crops) for one in sight.candidates), len(probabilities)))
        crops, seen, are_taught = [], [], []
        for candidate in sight.candidates:
            own = probabilities[[next(rows) for _ in candidate.crops]]
            shown, is_taught = best_shown(candidate.in_place, own, candidate.usual)
            crops.append(candidate.crops[shown])
            seen.append(own[shown])
            are_taught.append(is_taught)
        joint = np.stack(
            [
                finder.together(one.in_place, own, is_taught=is_taught)
                for one, own, is_taught in zip(sight.candidates, seen, are_taught, strict=True)
            ]
        )
        exists = 1 - joint[:, NOT_A_DIGIT]
        heights = np.array([candidate.height for candidate in sight.candidates])
        # The tallest of the likely digits; others as tall are a number, smaller ones the print around it. A small
        # picture was cut out around its digit. So it is the one in the middle, and what touches the border is cut off.
        boxes = [crop.box for crop in crops]
        merit = _central(boxes, sight.shape) if is_small(sight.shape) else heights / heights.max()
        best = int(np.where(exists >= LIKELIER_NOT, 1 + merit, exists).argmax())
        eleven, digit = joint[best], crops[best]
        rivals = (exists >= LIKELIER_NOT) & (heights > ALIKE * heights[best])
        if is_small(sight.shape):
            rivals &= [is_inside(box, sight.shape) for box in boxes]
            rivals[best] = True
        is_pair = any(crop.several for crop in sight.candidates[best].crops)
        if rivals.sum() > 1 or is_pair:
            return self._choice(replace(digit, several=True), eleven, rejection, "more than one digit")
        named = {int(one[:NOT_A_DIGIT].argmax()) for one in (eleven, sight.candidates[best].in_place, seen[best])}
        is_agreed = len(named) == 1 or finder.names_alone or are_taught[best]
        is_agreed &= bool(seen[best][NOT_A_DIGIT] < LIKELIER_NOT)
        return self._choice(digit, eleven, rejection, None if is_agreed else answer.reason(eleven, digit.strength))

    def _choice(
        self, digit: NormalisedDigit, eleven: Eleven, rejection: Rejection, barred: str | None = None
    ) -> Choice:
        """A digit with its probabilities (11,), answered if the rejection accepts it and nothing bars it."""
        if rejection.never:
            return Choice(digit, eleven)
        if barred is None and not rejection.accepts(eleven[np.newaxis])[0]:
            barred = answer.reason(eleven, digit.strength)
        return Choice(digit, eleven, barred)


def _answer(choice: Choice) -> Digit:
    if choice.digit is None:
        return Digit(None, 0.0, "blank", None, NO_PROBABILITIES)
    ten = choice.probabilities[:NOT_A_DIGIT]
    best, confidence = int(ten.argmax()), float(ten.max())
    of_ten = tuple((ten / max(float(ten.sum()), TINY)).tolist())
    return Digit(None if choice.reason else best, confidence, choice.reason, best, of_ten, choice.digit.box)


def _candidate(digit: FoundDigit, grey: Array, first: NormalisedDigit | None) -> Candidate:
    """A digit of a line as a candidate for the digit of a picture (H, W)."""
    height, width = grey.shape
    box = Box.within(digit.edges, width, height)
    strength = float(np.ptp(grey[box.y : box.y + box.height, box.x : box.x + box.width]))
    crops = [replace(crop, box=box, strength=strength) for crop in digit.crops]
    if first is not None and _same_place(first, digit):
        crops.append(replace(first, several=False))
    return Candidate(digit.in_place, digit.height, tuple(crops))


def _same_place(first: NormalisedDigit, digit: FoundDigit) -> bool:
    """Whether the ink of `first` and a digit of a line lie in the same place."""
    return bool(intersection_over_union(np.array(first.box.edges, float), np.array(digit.edges)) > SAME_PLACE)


def _central(boxes: Sequence[Box], shape: tuple[int, ...]) -> "np.typing.NDArray[np.float64]":
    """How near the middle of a picture of `shape` (H, W) each box has its own, (N,) in [0, 1]."""
    height, width = shape
    across = np.array([(box.x + box.width / 2) / width - 0.5 for box in boxes])
    down = np.array([(box.y + box.height / 2) / height - 0.5 for box in boxes])
    return np.asarray(1 - np.hypot(across, down) * math.sqrt(2))


def odds(probabilities: Probabilities) -> "np.typing.NDArray[np.float64]":
    """The odds (N,) that there is a digit, for `probabilities` (N, 11)."""
    none = probabilities[:, NOT_A_DIGIT].astype(np.float64)
    return (1 - none + LEAST) / (none + LEAST)


def is_sure(first: NormalisedDigit, odds: float, shape: tuple[int, ...]) -> bool:
    """Whether the first look at a picture of `shape` (H, W), with these odds of a digit, needs no other beside it.

    Ink that touches the border may be a digit that was cut out tightly, of which the first look takes thick strokes
    for paper, or a neighbour that was cut off. A small picture that holds nothing else cannot show anything else.
    """
    if is_alone(first, shape):
        return odds > SURE_ALONE and not first.several
    return is_inside(first.box, shape) and odds > SURE and first.whole and not first.several


def is_alone(first: NormalisedDigit | None, shape: tuple[int, ...]) -> bool:
    """Whether a picture of `shape` (H, W) is small and holds no other ink than its `first` look found.

    One of 28x28 pixels is taken for a digit that was normalised before, as MNIST's are: what else it holds is noise.
    """
    return shape == (SIDE, SIDE) or (first.alone if first else is_small(shape))


def is_inside(box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a box does not touch the border of a picture of `shape` (H, W)."""
    height, width = shape
    return min(box.x, box.y, width - box.x - box.width, height - box.y - box.height) > 0
