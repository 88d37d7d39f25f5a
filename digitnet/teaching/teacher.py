"""`Teacher`: from corrections to a lesson, which is kept only if it helps and does no harm.

The last layer is shifted (`last_layer`) so that it reads the corrected pictures and their augmented copies.
Cross-validation says what this does for the hand: each picture is read by a layer that has not learnt from it. The
guard set says what it does to other hands and to negatives.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.inference.adaptation import Adaptation, Matrix
from digitnet.inference.rejection import NOT_A_DIGIT
from digitnet.pages.digit_reader import DigitReader, Sight
from digitnet.results import Contradiction, Lesson, Tally
from digitnet.teaching.augmentation import augmented
from digitnet.teaching.evidence import Evidence
from digitnet.teaching.guard import replay_and_guard
from digitnet.teaching.last_layer import LastLayer, Prior
from digitnet.teaching.pupil import RIGHT, UNSURE, WRONG, Labels, Levels, Predictions, Pupil

REPLAY_COPIES = 2  # of each replay picture; without them, copies of the new digits would use what copies have in common
CHANCE = 0.05  # a gain that chance gives more often than this is none; the same for a loss
CONTRADICTED = 0.9  # probability of another answer; a label against that is likely wrong
WITNESSES = 4  # other pictures with the same label; fewer cannot contradict it
LITTLE = 0.05  # how much a contradicted label counts
EMPHASES = (4, 16, 64)  # how much a picture counts at once if 1 is not enough; all pictures together at most the last
MOST_ASKED = 3  # digits of which more pictures are asked for

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A shift, what it does to the pictures and to the guard set, and why it cannot be kept; None if it can."""

    shift: Matrix
    predictions: Predictions
    after: Levels
    guard_after: Levels
    why: str | None

    @property
    def wrong(self) -> int:
        """Pictures with a wrong best guess."""
        return int((self.after < UNSURE).sum())

    @property
    def is_enough(self) -> bool:
        return self.why is None and not self.wrong


class Teacher:
    """Teaches one model. Threads may share it.

    Args:
        reader: with the model that lessons start from.

    Raises ModelError where the model cannot be taught (see `OnnxDigitNet.logits_and_features`).
    """

    def __init__(self, reader: DigitReader) -> None:
        self._reader = reader
        replay, self._guard = replay_and_guard()
        copies = Evidence.of(reader.network, augmented(replay.images, REPLAY_COPIES))
        self._prior = Prior(copies.features)
        self._guard_evidence = Evidence.of(reader.network, self._guard.images)
        self._guard_before = self._guard_levels(None)

    def lesson(self, sights: Sequence[Sight], labels: Sequence[int], names: Sequence[str], *, at_once: bool) -> Lesson:
        """What pictures teach.

        Args:
            sights: what the reader sees in each picture.
            labels: 0 to 9, or `NOT_A_DIGIT`.
            names: what the lesson calls the pictures.
            at_once: keep the lesson without proof by cross-validation. It must do no harm, and the pictures themselves
                must be read better than before.
        """
        pupil = Pupil(self._reader, sights, labels)
        rejection = self._reader.rejection
        before = pupil.predictions(None).levels(pupil.labels, rejection)
        if why := _nothing_to_learn(before):
            tallies = (_tally(before),) * 2 + (_tally(self._guard_before),) * 2
            return Lesson(None, why, len(labels), *tallies)
        counts = np.ones(len(labels), np.float32)
        layer = LastLayer(pupil.rows, pupil.row_labels, self._prior)
        contradicted = np.array([], np.int64)
        predictions = None
        if not at_once:  # at once, the user's word counts
            predictions = pupil.cross_validated(layer, counts)
            contradicted = _contradicted(predictions, pupil.labels)
        if len(contradicted):
            counts[contradicted] = LITTLE
            predictions = pupil.cross_validated(layer, counts)
        trusted = counts == 1  # a wrong label says nothing about a reading
        why_nothing = _nothing_to_learn(before[trusted], contradicted)

        def attempt(emphasis: int) -> _Attempt:
            shift = layer.shift(pupil.weights(emphasis * counts))
            found = predictions or pupil.predictions(shift)
            after, guard_after = found.levels(pupil.labels, rejection), self._guard_levels(shift)
            why = (
                why_nothing
                or _no_gain(before[trusted], after[trusted], pupil.labels[trusted], at_once)
                or _harm(self._guard_before, guard_after)
            )
            return _Attempt(shift, found, after, guard_after, why)

        best = attempt(1)
        for emphasis in EMPHASES if at_once else ():
            if best.is_enough or emphasis * len(labels) > EMPHASES[-1]:
                break
            best = min(best, attempt(emphasis), key=lambda one: (one.why is not None, one.wrong))
        return Lesson(
            model=None if best.why else self._taught(Adaptation(best.shift, len(labels))),
            reason=best.why,
            pictures=len(labels),
            before=_tally(before),
            after=_tally(best.after),
            guard_before=_tally(self._guard_before),
            guard_after=_tally(best.guard_after),
            better=tuple(names[index] for index in np.flatnonzero(best.after > before).tolist()),
            worse=tuple(names[index] for index in np.flatnonzero(best.after < before).tolist()),
            contradictions=tuple(
                Contradiction(names[index], int(labels[index]), int(best.predictions.probabilities[index].argmax()))
                for index in contradicted
            ),
        )

    def _taught(self, adaptation: Adaptation) -> bytes:
        network = self._reader.network
        return (network.adaptation + adaptation if network.adaptation else adaptation).adapted(network.base)

    def _guard_levels(self, shift: Matrix | None) -> Levels:
        probabilities = self._guard_evidence.probabilities(self._reader.network, shift)
        never = np.zeros(len(probabilities), bool)
        return Predictions(probabilities, never).levels(self._guard.labels, self._reader.rejection)


def sign_test(heads: int, tails: int) -> float:
    """The probability that a fair coin shows at least so many heads in so many throws (one-sided sign test)."""
    throws = heads + tails
    return float(sum(math.comb(throws, count) for count in range(heads, throws + 1)) / 2**throws)


def _contradicted(predictions: Predictions, labels: Labels) -> Indices:
    """The pictures that, by everything else that was learnt, show something else than their label says."""
    probabilities = predictions.probabilities
    doubtful = (probabilities.argmax(1) != labels) & (probabilities.max(1) > CONTRADICTED)
    witnesses = np.bincount(labels, minlength=NOT_A_DIGIT + 1)[labels] - 1
    return np.flatnonzero(doubtful & (witnesses >= WITNESSES))


def _nothing_to_learn(before: Levels, contradicted: Sequence[int] | Indices = ()) -> str | None:
    """Why there is nothing to learn from pictures that are read at these levels; None if there is something."""
    if not len(before):
        return "every label is contradicted by the others and by the model; check the labels"
    if (before == RIGHT).all():
        rest = f"; the labels of the other {len(contradicted):,} look wrong" if len(contradicted) else ""
        return f"nothing to learn: all {len(before):,} are read right{rest}"
    return None


def _no_gain(before: Levels, after: Levels, labels: Labels, at_once: bool) -> str | None:
    """Why the pictures do not prove a gain, and what would help; None if they do."""
    better, worse = int((after > before).sum()), int((after < before).sum())
    wrong_before, wrong_after = (int((levels < UNSURE).sum()) for levels in (before, after))
    if at_once:
        if better and not worse:
            return None
        return f"{better} of the pictures would be read better and {worse} worse; check their labels"
    if sign_test(better, worse) < CHANCE and wrong_after <= wrong_before:
        return None
    hard = Counter(labels[before != RIGHT].tolist())
    asked = ", ".join(f"{_more(count)} more {_name(label)}" for label, count in hard.most_common(MOST_ASKED))
    return (
        f"no gain beyond chance: of {len(before):,} pictures, read without having learnt from them, {better} are read "
        f"better and {worse} worse; more pictures like those that are read wrong would help: {asked}"
    )


def _more(hard: int) -> int:
    """How many more pictures to ask for, if so many of a digit are not read right: as many again, at least five."""
    return max(5, hard)


def _name(label: int) -> str:
    return "pictures of no digit" if label == NOT_A_DIGIT else f"{label}s"


def _harm(before: Levels, after: Levels) -> str | None:
    """What the lesson would do to other hands and negatives; None if nothing that can be measured."""
    worse, better = int((after < before).sum()), int((after > before).sum())
    if sign_test(worse, better) >= CHANCE:
        return None
    return (
        f"other hands would be read worse: of {len(before):,} pictures of the guard set, {worse} are read worse and "
        f"{better} better; check the labels, or give more pictures of each digit"
    )


def _tally(levels: Levels) -> Tally:
    answered = (levels == RIGHT) | (levels == WRONG)
    return Tally(len(levels), int((levels >= UNSURE).sum()), int(answered.sum()), int((levels == WRONG).sum()))
