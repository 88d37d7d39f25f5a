"""`Teacher`: from corrections to a lesson, which is kept only if it helps and does no harm.

The last layer is shifted (`last_layer`) so that it reads the corrected pictures and their augmented copies.
Cross-validation says what this does for the hand: each picture is read by a layer that has not learnt from it. The
guard set says what it does to other hands and to negatives, together with all lessons that the model has had before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.reading.adaptation import Adaptation, Matrix
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.digit_reader import DigitReader, Sight
from digitnet.teaching.augmentation import augmented
from digitnet.teaching.evidence import Evidence
from digitnet.teaching.guard import replay_and_guard
from digitnet.teaching.last_layer import LastLayer, Prior
from digitnet.teaching.lesson import Contradiction, Lesson
from digitnet.teaching.pupil import UNSURE, Labels, Levels, Predictions, Pupil
from digitnet.teaching.rules import harm, no_gain, nothing_to_learn, tally

# Each takes some seconds. The first one is the making of a `Teacher`.
STAGES = ("other hands", "your pictures", "augmented copies", "cross-validation", "guard set")
REPLAY_COPIES = 2  # of each replay picture; without them, copies of the new digits would use what copies have in common
CONTRADICTED = 0.9  # probability of another answer; a label against that is likely wrong
WITNESSES = 4  # other pictures with the same label; fewer cannot contradict it
LITTLE = 0.05  # how much a contradicted label counts
EMPHASES = (4, 16, 64)  # how much a picture counts at once if 1 is not enough; all pictures together at most the last

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
        # Harm is measured against the model before any lesson, so that many lessons do not drift away from it.
        learnt = reader.network.adaptation
        self._guard_before = self._guard_levels(-learnt.shift if learnt else None)

    def lesson(
        self,
        sights: Sequence[Sight],
        labels: Sequence[int],
        names: Sequence[str],
        *,
        at_once: bool,
        on_stage: Callable[[str], object] = lambda stage: None,
    ) -> Lesson:
        """What pictures teach.

        Args:
            sights: what the reader sees in each picture.
            labels: 0 to 9, or `NOT_A_DIGIT`.
            names: what the lesson calls the pictures.
            at_once: keep the lesson without proof by cross-validation. It must do no harm, and the pictures themselves
                must be read better than before.
            on_stage: called with the name of each of the `STAGES` when it begins.
        """
        on_stage(STAGES[1])
        pupil = Pupil(self._reader, sights, labels)
        unchanged = pupil.predictions(None)
        before = unchanged.levels(pupil.labels)
        if why := nothing_to_learn(before):
            tallies = (tally(before),) * 2 + (tally(self._guard_before),) * 2
            return Lesson(None, why, len(labels), *tallies)
        on_stage(STAGES[2])
        counts = np.ones(len(labels), np.float32)
        layer = LastLayer(pupil.rows, pupil.row_labels, self._prior)
        contradicted = np.array([], np.int64)
        predictions = None
        on_stage(STAGES[3])
        if not at_once:  # at once, the user's word counts
            predictions = pupil.cross_validated(layer, counts)
            contradicted = _contradicted(predictions, pupil.labels)
        if len(contradicted):
            counts[contradicted] = LITTLE
            predictions = pupil.cross_validated(layer, counts)
        trusted = counts == 1  # a wrong label says nothing about a reading
        why_nothing = nothing_to_learn(before[trusted], contradicted)

        def attempt(emphasis: int) -> _Attempt:
            shift = layer.shift(pupil.weights(emphasis * counts))
            found = predictions or pupil.predictions(shift)
            after, guard_after = found.levels(pupil.labels), self._guard_levels(shift)
            gains = unchanged.surprise(pupil.labels) - found.surprise(pupil.labels)
            why = (
                why_nothing
                or no_gain(before[trusted], after[trusted], gains[trusted], pupil.labels[trusted], at_once)
                or harm(self._guard_before, guard_after)
            )
            return _Attempt(shift, found, after, guard_after, why)

        on_stage(STAGES[4])
        best = attempt(1)
        for emphasis in EMPHASES if at_once else ():
            if best.is_enough or emphasis * len(labels) > EMPHASES[-1]:
                break
            best = min(best, attempt(emphasis), key=lambda one: (one.why is not None, one.wrong))
        return Lesson(
            model=None if best.why else self._taught(Adaptation(best.shift, len(labels))),
            reason=best.why,
            pictures=len(labels),
            before=tally(before),
            after=tally(best.after),
            guard_before=tally(self._guard_before),
            guard_after=tally(best.guard_after),
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
        probabilities = self._guard_evidence.probabilities(shift)
        answered = np.array(self._reader.rejection.accepts(probabilities), bool)
        return Predictions(probabilities, answered).levels(self._guard.labels)


def _contradicted(predictions: Predictions, labels: Labels) -> Indices:
    """The pictures that, by everything else that was learnt, show something else than their label says."""
    probabilities = predictions.probabilities
    doubtful = (probabilities.argmax(1) != labels) & (probabilities.max(1) > CONTRADICTED)
    witnesses = np.bincount(labels, minlength=NOT_A_DIGIT + 1)[labels] - 1
    return np.flatnonzero(doubtful & (witnesses >= WITNESSES))
