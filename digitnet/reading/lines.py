"""A picture to lines of digits: places, strips, the line reader and DigitNet, and one decoder for both voices.

The line reader sees each digit in its place, DigitNet sees it cut out. They make different mistakes, so what both say
is surer than what one says (product of experts, Hinton, 2002). A handful of numbers, `Joint`, weighs the voices.
"""

import copy
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import onnxruntime

from digitnet.errors import ModelError
from digitnet.reading.answer import NOT_A_DIGIT, Eleven, Rejection, Risk, rejection_for, risks_from_json
from digitnet.reading.boxes import same_ink
from digitnet.reading.constraints import Constraint
from digitnet.reading.contrast import VERSION as CONTRAST_VERSION
from digitnet.reading.contrast import Grey
from digitnet.reading.crops import between, crops, stands_among
from digitnet.reading.decode import NONE, Numbers, ReadDigit, ReadLine, decode, log_weights, of_digits
from digitnet.reading.networks import Probabilities, session
from digitnet.reading.normalise import NormalisedDigit
from digitnet.reading.places import DEEPEST, Place, places
from digitnet.reading.strips import HEIGHT, STRIDE, Strip, cut, prepared
from digitnet.reading.work import IsCancelled, raise_if, share_out

STRIPS = 16  # go through the line reader at once
SLACK = 1.35  # a strip is put beside others that are up to so many times as wide
CROPS = 128  # go through DigitNet at once; more need much memory and are no quicker
NEAR = 2  # columns around a digit in which DigitNet's voice counts
FAINTEST_VOICE = 1e-4  # a probability below this counts as this
KEPT = 1 / 3  # probability of a digit; what is less likely is left out. A digit left out is worse than one too many
INCREDIBLE = math.log(1e-6)  # of all readings of a line; if no more of them are allowed, no reading is
MISSED = 0.3  # a digit that the line reader has missed is one if DigitNet gives "not a digit" less than this
LIKELIER_NOT = 0.5  # from this probability of a digit on, there is a line
TALL = 0.4  # of the picture's height; ink so tall is a place of its own
SAME_LEVEL = 0.6  # heights; two lines whose middles differ less stand beside each other

Indices = npt.NDArray[np.intp]
Images = npt.NDArray[np.float32]  # (N, 28, 28) in [0, 1]
Classify = Callable[[Images], Probabilities]  # to (N, 11)
Edges = tuple[float, float, float, float]  # left, top, right, bottom
NOTHING_SEEN = np.zeros((0, NOT_A_DIGIT + 1), np.float32)
UNSEEN = np.zeros(NOT_A_DIGIT + 1, np.float32)  # DigitNet's probabilities where it saw nothing


@dataclass(frozen=True)
class Joint:
    """How the two networks are weighed, fitted at export.

    Attributes:
        digit: how much the logarithm of DigitNet's probability of a digit counts, given that there is one.
        exists: how much the log-odds count that DigitNet sees a digit at all.
        offset: is added to those.
        agreed: where both name the same digit, the log-odds that it is right are a sum of the line reader's log-odds of
            it and DigitNet's, each times one of these, and the third (Platt, 1999, with two scores).
    """

    digit: float = 0.5
    exists: float = 0.1
    offset: float = -1.0
    agreed: tuple[float, float, float] = (0.5, 0.5, 1.0)

    @classmethod
    def from_json(cls, text: str) -> "Joint":
        """Raises ValueError or TypeError for another text."""
        numbers = json.loads(text)
        one, other, offset = map(float, numbers.pop("agreed"))
        return cls(**{name: float(value) for name, value in numbers.items()}, agreed=(one, other, offset))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def voice(self, seen: Probabilities) -> Numbers:
        """What DigitNet's probabilities (11,) add to the logarithm of each digit, (10,); nothing where it saw none."""
        if not seen.any():
            return np.zeros(NONE)
        eleven = np.maximum(seen.astype(np.float64), FAINTEST_VOICE)
        ten = eleven[:NOT_A_DIGIT] / eleven[:NOT_A_DIGIT].sum()
        odds = np.log(eleven[:NOT_A_DIGIT].sum() / eleven[NOT_A_DIGIT])
        return np.asarray(self.digit * np.log(10 * ten) + self.exists * odds + self.offset)

    def together(self, in_place: Numbers, seen: Probabilities) -> Numbers:
        """The probabilities (11,) of both: the line reader's `in_place` (11,), and those of DigitNet, `seen` (11,)."""
        eleven = in_place.copy()
        eleven[:NONE] *= np.exp(self.voice(seen))
        eleven /= eleven.sum()
        best = int(in_place[:NONE].argmax())
        if best == int(seen[:NONE].argmax()) and seen.any():
            weights = *(log_odds(float(each[best])) for each in (in_place, seen)), 1.0
            sure = 1 / (1 + math.exp(-sum(a * b for a, b in zip(self.agreed, weights, strict=True))))
            rest = max(1 - float(eleven[best]), 1e-12)
            eleven *= (1 - sure) / rest
            eleven[best] = sure
        return np.asarray(eleven)


def log_odds(probability: float) -> float:
    """Of a probability, which is bounded so that no single network is ever quite sure."""
    bounded = min(max(probability, FAINTEST_VOICE), 1 - FAINTEST_VOICE)
    return math.log(bounded / (1 - bounded))


@dataclass(frozen=True, eq=False)
class FoundDigit:
    """A digit of a line.

    Attributes:
        edges: around its ink, in pixels of the picture.
        probabilities: (11,) of the ten digits and of none, by both networks.
        in_place: (11,), by the line reader alone.
        seen: (11,), by DigitNet alone; all 0 where it saw nothing.
        crops: what DigitNet may be shown of it, see `crops.crops`; its ink's box in pixels of the strip.
        shown: which of them it was shown.
        is_agreed: whether each network alone would name this digit and no second one beside it, or a constraint, a
            lesson or a user's own model names it.
    """

    edges: Edges
    probabilities: Numbers
    in_place: Numbers
    seen: Probabilities
    crops: tuple[NormalisedDigit, ...] = ()
    shown: int = 0
    is_agreed: bool = False

    @property
    def crop(self) -> NormalisedDigit | None:
        """What DigitNet saw; None where there was no ink."""
        return self.crops[self.shown] if self.crops else None

    @property
    def digit(self) -> int:
        return int(self.probabilities[:NONE].argmax())

    @property
    def confidence(self) -> float:
        return float(self.probabilities[:NONE].max())

    @property
    def exists(self) -> float:
        """The probability that there is a digit, whichever it is."""
        return float(1 - self.probabilities[NONE])

    @property
    def height(self) -> float:
        return self.edges[3] - self.edges[1]


@dataclass(frozen=True, eq=False)
class FoundLine:
    """A line of digits in a picture.

    Attributes:
        digits: from left to right; none where nothing in the strip is likely a digit.
        confidence: the probability that these are its digits, all of them and no others.
        anywhere: (11,), by the line reader alone, for one digit anywhere in the strip.
        place: where it was looked for.
        free: the digits as they are without the constraint, where there is one.
        is_allowed: whether the constraint allows any reading.
    """

    digits: tuple[FoundDigit, ...]
    confidence: float
    anywhere: Numbers
    place: Place
    free: tuple[FoundDigit, ...] | None = None
    is_allowed: bool = True

    @property
    def worth(self) -> float:
        """How many digits the line reader expects to be right; lessons of DigitNet do not change it."""
        return sum(float(digit.in_place[:NONE].max()) for digit in self.digits)


class LineFinder:
    """Finds and reads the lines of a picture. Threads may share it.

    Attributes:
        detector: says where lines may be.
        line_reader: reads them: "strips" (N, 1, 48, W) to "columns" (N, W/4, 22).
        classify: DigitNet.
        joint: how the two are weighed.
        names_alone: whether DigitNet alone names the digits, as a user's own model does.
        untaught: DigitNet before its lessons; None where it had none.
        risks: how often what both say is wrong (see `answer.rejection_for`).
        max_error: the fraction of answers that may be wrong; None answers everything.
        threads: how many may work on a picture; None for one on each core.
    """

    def __init__(
        self,
        detector: onnxruntime.InferenceSession,
        line_reader: onnxruntime.InferenceSession,
        classify: Classify,
        joint: Joint,
        *,
        risks: tuple[Risk, ...] = (),
        max_error: float | None = None,
        names_alone: bool = False,
        threads: int | None = None,
    ) -> None:
        self.detector, self.line_reader, self.classify = detector, line_reader, classify
        self.joint, self.names_alone, self.threads = joint, names_alone, threads
        self.untaught: Classify | None = None
        self._rejection = rejection_for(risks, max_error)

    @classmethod
    def from_onnx(
        cls,
        detector: tuple[bytes, str],
        line_reader: tuple[bytes, str],
        classify: Classify,
        *,
        max_error: float | None = None,
        names_alone: bool = False,
        threads: int | None = None,
    ) -> "LineFinder":
        """With the networks in these ONNX files, each with the name that errors call it.

        Raises ModelError where one is no such network of this version.
        """
        finds, *_ = _network(*detector, "detector", {"pages": np.zeros((1, 1, DEEPEST, DEEPEST), np.float32)}, threads)
        reads, joint, risks = _network(
            *line_reader, "line reader", {"strips": np.zeros((1, 1, HEIGHT, STRIDE), np.float32)}, threads
        )
        return cls(
            finds, reads, classify, joint, risks=risks, max_error=max_error, names_alone=names_alone, threads=threads
        )

    def rejection(self, own: Rejection) -> Rejection:
        """Which digits are answered: those that both networks say surely enough.

        Args:
            own: what DigitNet alone answers; where it alone names the digits, this counts too.
        """
        return max(self._rejection, own, key=lambda one: one.threshold) if self.names_alone else self._rejection

    def with_lesson(self, taught: Classify, untaught: Classify | None) -> "LineFinder":
        """The same with a DigitNet that has had a lesson, and as it was before, None where it had none."""
        other = copy.copy(self)
        other.classify, other.untaught = taught, untaught
        return other

    def lines(
        self,
        grey: Grey,
        first: NormalisedDigit | None = None,
        constraint: Constraint | None = None,
        is_cancelled: IsCancelled | None = None,
    ) -> list[FoundLine]:
        """The lines of a picture (H, W) in [0, 1], from top to bottom.

        Args:
            first: what the ink finder took for the picture's one digit; it is a place, too.
            constraint: which numbers each line may be.
            is_cancelled: asked now and then whether to stop.

        Raises CancelledError where `is_cancelled` says True.
        """
        found = self.read(grey, self.places(grey, first, is_cancelled), constraint, is_cancelled)
        return in_reading_order(without_duplicates(found))

    def places(self, grey: Grey, first: NormalisedDigit | None, is_cancelled: IsCancelled | None = None) -> list[Place]:
        """Where lines may be in a picture (H, W) in [0, 1]. Arguments are those of `lines`."""
        looked = places(self.detector, grey, is_cancelled)
        return [*looked, *_of_ink(grey, first, looked)]

    def read(
        self,
        grey: Grey,
        of_places: Sequence[Place],
        constraint: Constraint | None = None,
        is_cancelled: IsCancelled | None = None,
    ) -> list[FoundLine]:
        """What stands in each place of a picture (H, W) in [0, 1], in the order of the places."""
        return self.read_strips([cut(grey, place) for place in of_places], of_places, constraint, is_cancelled)

    def read_strips(
        self,
        strips: Sequence[Strip],
        of_places: Sequence[Place],
        constraint: Constraint | None = None,
        is_cancelled: IsCancelled | None = None,
    ) -> list[FoundLine]:
        """What stands in each strip, which was cut at the place with the same index."""
        columns = [of_digits(logits) for logits in self.columns(strips, is_cancelled)]
        alone = decode(columns)
        cut_out = [crops(strip, line.digits) for strip, line in zip(strips, alone, strict=True)]
        raise_if(is_cancelled)
        images = [crop.image for of_line in cut_out for of_digit in of_line for crop in of_digit]
        seen = self._seen(self.classify, images, is_cancelled)
        usual = self._seen(self.untaught, images, is_cancelled) if self.untaught else seen
        found, row = [], 0
        for place, strip, line, of_line in zip(of_places, strips, alone, cut_out, strict=True):
            digits = []
            for digit, of_digit in zip(line.digits, of_line, strict=True):
                rows = slice(row, row + len(of_digit))
                digits.append(self._found(strip, digit, of_digit, seen[rows], usual[rows]))
                row += len(of_digit)
            found.append(_line(line, digits, place))
        if constraint is not None:
            return self._constrained(found, strips, columns, alone, constraint)
        return self._with_missed(found, strips, is_cancelled)

    def columns(
        self, strips: Sequence[Strip], is_cancelled: IsCancelled | None = None
    ) -> list[npt.NDArray[np.float32]]:
        """The line reader's logits (T, 22) of the columns of each strip."""
        images = [prepared(strip.grey) for strip in strips]
        order = sorted(range(len(strips)), key=lambda index: images[index].shape[1])
        found: dict[int, npt.NDArray[np.float32]] = {}
        while order:
            raise_if(is_cancelled)
            widest = SLACK * images[order[0]].shape[1]
            batch = [index for index in order[:STRIPS] if images[index].shape[1] <= widest]
            order = order[len(batch) :]
            width = -(-max(images[index].shape[1] for index in batch) // STRIDE) * STRIDE
            stacked = np.zeros((len(batch), 1, HEIGHT, width), np.float32)
            for row, index in enumerate(batch):
                stacked[row, 0, :, : images[index].shape[1]] = images[index]
            (logits,) = self.line_reader.run(None, {"strips": stacked})
            found.update({index: logits[row, : images[index].shape[1] // STRIDE] for row, index in enumerate(batch)})
        return [found[index] for index in range(len(strips))]

    def _seen(self, classify: Classify, images: Sequence[Grey], is_cancelled: IsCancelled | None) -> Probabilities:
        """A DigitNet's probabilities (N, 11) of images (28, 28)."""
        seen = np.zeros((len(images), NOT_A_DIGIT + 1), np.float32)
        stacked = np.array(images, np.float32)

        def classify_some(batch: slice) -> None:
            seen[batch] = classify(stacked[batch])

        share_out(classify_some, len(images), CROPS, is_cancelled, threads=self.threads)
        return seen

    def together(self, in_place: Numbers, seen: Probabilities, *, is_taught: bool = False) -> Numbers:
        """The probabilities (11,) of a digit, from those of the line reader and of DigitNet, (11,) each.

        Args:
            is_taught: whether a lesson changed which digit DigitNet sees; then it alone names the digit.
        """
        eleven = self.joint.together(in_place, seen)
        if (self.names_alone or is_taught) and seen[:NOT_A_DIGIT].any():
            eleven[:NONE] = (1 - eleven[NONE]) * seen[:NONE] / seen[:NONE].sum()
        return eleven

    def _found(
        self,
        strip: Strip,
        digit: ReadDigit,
        of_digit: tuple[NormalisedDigit, ...],
        seen: Probabilities,
        usual: Probabilities,
    ) -> FoundDigit:
        """A digit, from its crops and DigitNet's probabilities of them (K, 11), after and before lessons."""
        is_taught = False
        if of_digit:
            shown, is_taught = best_shown(digit.probabilities, seen, usual.argmax(1))
            inside: Edges = of_digit[shown].box.edges
            own = seen[shown]
        else:
            shown, own = 0, UNSEEN
            half, middle = strip.height / 2, (HEIGHT - 1) / 2
            inside = (STRIDE * digit.first - half / 2, middle - half, STRIDE * digit.last + half / 2, middle + half)
        edges = strip.box_in_picture(*inside)
        joint = self.together(digit.probabilities, own, is_taught=is_taught)
        is_agreed = is_taught
        if own.any() and not is_taught:
            named = {int(one[:NONE].argmax()) for one in (joint, digit.probabilities, own)}
            is_agreed = self.names_alone or (len(named) == 1 and not any(crop.several for crop in of_digit))
        return FoundDigit(edges, joint, digit.probabilities, own, of_digit, shown, is_agreed)

    def _with_missed(
        self, found: Sequence[FoundLine], strips: Sequence[Strip], is_cancelled: IsCancelled | None
    ) -> list[FoundLine]:
        """The lines with the digits that DigitNet sees beside those that were read, each in doubt.

        The line reader sees none there. So the mean of both opinions counts (linear opinion pool, Stone, 1961).
        """
        boxes = [[digit.crop.box for digit in line.digits if digit.crop and digit.exists > KEPT] for line in found]
        gaps = [between(strip, of_line) for strip, of_line in zip(strips, boxes, strict=True)]
        cut_out = [crops(strip, of_line) for strip, of_line in zip(strips, gaps, strict=True)]
        ways = [
            [of_gap[-1] for of_gap in of_line if of_gap and stands_among(of_gap[-1], around)]
            for of_line, around in zip(cut_out, boxes, strict=True)
        ]
        rows = iter(self._seen(self.classify, [way.image for of_line in ways for way in of_line], is_cancelled))
        none = np.eye(NONE + 1)[NONE]
        completed = []
        for line, strip, of_line in zip(found, strips, ways, strict=True):
            missed = []
            for way in of_line:
                seen = next(rows)
                if seen[NOT_A_DIGIT] < MISSED:
                    edges = strip.box_in_picture(*way.box.edges)
                    missed.append(FoundDigit(edges, (seen + none) / 2, none, seen, (way,)))
            if missed:
                digits = sorted([*line.digits, *missed], key=lambda digit: digit.edges[0] + digit.edges[2])
                sure = math.prod(digit.confidence for digit in missed)
                line = replace(line, digits=tuple(digits), confidence=line.confidence * sure)
            completed.append(line)
        return completed

    def _constrained(
        self,
        found: Sequence[FoundLine],
        strips: Sequence[Strip],
        columns: Sequence[Numbers],
        alone: Sequence[ReadLine],
        constraint: Constraint,
    ) -> list[FoundLine]:
        """The lines as the constraint allows them. DigitNet's voice enters the lattice where its crops are."""
        voices = []
        for columns_of_line, of_line, read in zip(columns, found, alone, strict=True):
            voice = np.zeros((len(columns_of_line), NONE))
            for digit, place in zip(of_line.digits, read.digits, strict=True):
                begin = max(int(np.ceil(place.left)), place.first - NEAR)
                voice[begin : min(int(np.ceil(place.right)), place.last + NEAR + 1)] = self.joint.voice(digit.seen)
            voices.append(voice)
        bound = []
        reads, weights = decode(columns, voices, constraint), log_weights(columns, voices)
        for line, strip, read, weight, before in zip(found, strips, reads, weights, alone, strict=True):
            if not read.is_allowed or read.log_weight - weight < INCREDIBLE:
                bound.append(replace(line, free=line.digits, is_allowed=False))
                continue
            digits = []
            for bound_digit in read.digits:
                same = (
                    one
                    for one, where in zip(line.digits, before.digits, strict=True)
                    if where.first <= bound_digit.last + 1 and bound_digit.first <= where.last + 1
                )
                known = next(same, None) or self._found(strip, bound_digit, (), NOTHING_SEEN, NOTHING_SEEN)
                digits.append(_as_bound(known, bound_digit))
            bound.append(replace(line, digits=tuple(digits), confidence=read.confidence, free=line.digits))
        return bound


def _network(
    content: bytes, name: str, kind: str, example: dict[str, Grey], threads: int | None
) -> tuple[onnxruntime.InferenceSession, Joint, tuple[Risk, ...]]:
    """A network that runs on the example; if it is a line reader, also how it is weighed, and its table of risks."""
    make = f"make one with: digitnet export {kind.replace(' ', '-')}.pth"
    try:
        network = session(content, threads or 0)
        metadata = network.get_modelmeta().custom_metadata_map
        contrast = metadata["digitnet.contrast"]
        joint, risks = Joint(), risks_from_json("[]")
        if kind == "line reader":
            joint = Joint.from_json(metadata["digitnet.joint"])
            risks = risks_from_json(metadata["digitnet.risks"])
        network.run(None, example)
    except Exception as error:  # ONNX Runtime has no exception class of its own to catch
        raise ModelError(f"{name}: not a {kind} in ONNX ({type(error).__name__}); {make}") from error
    if contrast != str(CONTRAST_VERSION):
        raise ModelError(f"{name}: made for another version of DigitNet; {make}")
    return network, joint, risks


def best_shown(in_place: Eleven, seen: Probabilities, usual: Sequence[int] | Indices = ()) -> tuple[int, bool]:
    """Which of the crops of a digit counts, and whether a lesson has changed what DigitNet names in it.

    A crop in which a lesson has changed it counts most. Otherwise it is the one in which DigitNet sees most of what the
    line reader sees there: another crop may show a piece of the digit, or a circle around it.

    Args:
        in_place: (11,), what the line reader says of the digit.
        seen: (K, 11), what DigitNet says of its crops.
        usual: (K,), what DigitNet named before any lesson; empty where there was none.
    """
    now = seen.argmax(1)
    if len(usual):
        changed = np.flatnonzero((now != np.asarray(usual)) & (now != NOT_A_DIGIT))
        if len(changed):
            return int(changed[0]), True
    return int(seen[:, int(in_place[:NOT_A_DIGIT].argmax())].argmax()), False


def _as_bound(free: FoundDigit, bound: ReadDigit) -> FoundDigit:
    """A digit as it is among the readings that a constraint allows.

    Where the constraint names another digit, the lattice's sum decides alone. Otherwise the digit is as sure as without
    the constraint, or as much less as the constraint makes it less likely.
    """
    eleven = bound.probabilities.copy()
    if bound.digit != free.digit:
        return replace(free, probabilities=eleven, is_agreed=True)
    sum_of_paths, alone = float(eleven[bound.digit]), float(free.in_place[bound.digit])
    sure = free.confidence * min(1.0, sum_of_paths / max(alone, 1e-9))
    eleven *= (1 - sure) / max(1 - sum_of_paths, 1e-12)
    eleven[bound.digit] = sure
    return replace(free, probabilities=eleven / eleven.sum())


def _line(line: ReadLine, digits: Sequence[FoundDigit], place: Place) -> FoundLine:
    """A line of the digits that are likely enough, with its confidence: what the lattice says, moved by DigitNet."""
    confidence = line.confidence
    for digit in digits:
        confidence *= digit.confidence / max(float(digit.in_place[digit.digit]), 1e-9)
    return FoundLine(tuple(digits), min(1.0, confidence), line.anywhere, place)


def _of_ink(grey: Grey, first: NormalisedDigit | None, looked: Sequence[Place]) -> Iterable[Place]:
    """The ink finder's place and, where nothing was found, the whole picture."""
    height, width = grey.shape
    if first is not None:
        tall = first.box.height
        if not looked or tall > TALL * height:
            yield Place(*first.box.edges, tall)
    elif not looked:
        yield Place(0, 0, width, height, height / 1.3, margin=0.0)


def without_duplicates(found: Sequence[FoundLine]) -> list[FoundLine]:
    """The lines without digits on ink that a better line reads; strips overlap, since they are cut wide."""
    taken: list[Edges] = []
    kept = []
    for line in sorted(found, key=lambda one: -one.worth):
        digits = line.digits
        if taken and digits:
            mine = np.array([digit.edges for digit in digits])[:, np.newaxis]
            is_free = np.logical_not(same_ink(mine, np.array(taken)[np.newaxis]).any(1)).tolist()
            digits = tuple(digit for digit, free in zip(digits, is_free, strict=True) if free)
        likely = tuple(digit for digit in digits if digit.exists > KEPT)
        if any(digit.exists >= LIKELIER_NOT for digit in likely):
            taken += [digit.edges for digit in likely]
            kept.append(replace(line, digits=likely))
    return kept


def in_reading_order(lines: Sequence[FoundLine]) -> list[FoundLine]:
    """Lines from top to bottom; those that stand beside each other from left to right."""

    def level(line: FoundLine) -> float:
        return float(np.median([(digit.edges[1] + digit.edges[3]) / 2 for digit in line.digits]))

    rows: list[list[FoundLine]] = []
    for line in sorted(lines, key=level):
        tall = max((one.place.height for one in [*rows[-1], line]), default=0.0) if rows else 0.0
        if rows and level(line) - level(rows[-1][0]) < SAME_LEVEL * tall:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda one: one.digits[0].edges[0])]
