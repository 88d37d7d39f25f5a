"""The pictures of one lesson, and how a shifted last layer reads them, the whole way from sights to an answer."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.reading.adaptation import Matrix
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.digit_reader import Choice, DigitReader, Sight
from digitnet.reading.networks import Probabilities
from digitnet.reading.normalise import SIDE, NormalisedDigit
from digitnet.teaching.augmentation import Images, augmented
from digitnet.teaching.evidence import Evidence
from digitnet.teaching.last_layer import LastLayer

FOLDS = 5  # of the cross-validation
ROWS = 2000  # digits and copies that a lesson is fitted on, if there are fewer pictures
MOST_COPIES = 15  # of each digit

LEAST = 0.001  # probability that a label gets in `Predictions.surprise`; so no single picture decides alone

# How well a picture is read, from worst to best.
WRONG, UNSURE_AND_WRONG, UNSURE, RIGHT = range(4)

Labels = npt.NDArray[np.int64]  # (N,), 0 to 9 or `NOT_A_DIGIT`
Levels = npt.NDArray[np.int64]  # (N,), how well each picture is read


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of N pictures: probabilities (N, 11), and whether they are answered (N,)."""

    probabilities: Probabilities
    answered: npt.NDArray[np.bool_]

    def levels(self, labels: Labels) -> Levels:
        """How well each picture is read, for its label (N,)."""
        right = self.probabilities[:, :NOT_A_DIGIT].argmax(1) == labels
        of_digits = np.where(self.answered, np.where(right, RIGHT, WRONG), np.where(right, UNSURE, UNSURE_AND_WRONG))
        return np.where(labels == NOT_A_DIGIT, np.where(self.answered, WRONG, RIGHT), of_digits)

    def surprise(self, labels: Labels) -> Matrix:
        """The logarithmic score of each picture, for its label (N,): -ln of the probability, at most -ln `LEAST`."""
        of_labels = self.probabilities[np.arange(len(labels)), labels]
        return np.asarray(-np.log(np.maximum(of_labels, LEAST)), np.float32)


class Pupil:
    """Pictures with labels, from which a last layer learns.

    Attributes:
        labels: (N,), of the pictures.
        images, image_labels: the digits (M, 28, 28) that the pictures show, and their labels (M,); none of a blank one.

    Args:
        reader: with the model that lessons start from.
        sights: what the reader sees in each picture.
        labels: 0 to 9, or `NOT_A_DIGIT`.
    """

    def __init__(self, reader: DigitReader, sights: Sequence[Sight], labels: Sequence[int]) -> None:
        self._reader, self._sights, self.labels = reader, sights, np.array(labels, np.int64)
        self._ends = np.cumsum([len(sight.digits) for sight in sights])
        self._evidence = Evidence.of(
            reader.network, _stack([digit.image for sight in sights for digit in sight.digits])
        )
        digits = [self._shown(index) for index in range(len(sights))]
        shown = [index for index, digit in enumerate(digits) if digit]  # the others are blank and teach nothing
        self._copies = 1 + min(MOST_COPIES, max(0, ROWS // max(1, len(shown)) - 1))
        self._owners = np.repeat(np.array(shown, np.int64), self._copies)
        self.images = _stack([digit.image for digit in digits if digit])
        self.image_labels = self.labels[shown]

    @functools.cached_property
    def rows(self) -> Evidence:
        """Evidence of the digits and of their augmented copies (R)."""
        return Evidence.of(self._reader.network, augmented(self.images, self._copies - 1))

    @property
    def row_labels(self) -> Labels:
        """(R,)."""
        return self.labels[self._owners]

    def _shown(self, index: int) -> NormalisedDigit | None:
        """The digit that shows a picture's label: the chosen one or, where that shows something else, a likelier one.

        Otherwise the layer would learn to call a piece of a neighbour by this label.
        """
        choice, label = self._read(index, None), self.labels[index]
        if choice.digit and choice.probabilities.argmax() != label and label != NOT_A_DIGIT:
            of_label = self._evidence.probabilities(None, self._rows(index))[:, label]
            if of_label.max() > 0.5:
                return self._sights[index].digits[int(of_label.argmax())]
        return choice.digit

    def _rows(self, index: int) -> slice:
        """Where the evidence of what a picture shows is."""
        return slice(self._ends[index] - len(self._sights[index].digits), self._ends[index])

    def weights(self, counts: Matrix) -> Matrix:
        """The weight of each row, where each picture counts as `counts` (N,) says, together with all of its copies."""
        weights: Matrix = (counts[self._owners] / self._copies).astype(np.float32)
        return weights

    def predictions(self, shift: Matrix | None) -> Predictions:
        """How a shifted layer reads the pictures."""
        return self._predictions([shift] * len(self._sights))

    def cross_validated(self, layer: LastLayer, counts: Matrix) -> Predictions:
        """How each picture is read by a layer that has not learnt from it. It has learnt from the others."""
        order = np.lexsort((np.random.default_rng(0).random(len(counts)), self.labels))  # each fold has each label
        folds = np.empty(len(counts), np.int64)
        folds[order] = np.arange(len(counts)) % FOLDS
        shifts = [
            layer.shift(self.weights(np.where(folds == fold, np.float32(0), counts))) if fold in folds else None
            for fold in range(FOLDS)
        ]
        return self._predictions([shifts[fold] for fold in folds])

    def _predictions(self, shifts: Sequence[Matrix | None]) -> Predictions:
        """How the pictures are read, each after a shift of its own."""
        read = [self._read(index, shift) for index, shift in enumerate(shifts)]
        answered = np.array([choice.reason is None for choice in read], bool)
        return Predictions(np.stack([choice.probabilities for choice in read]), answered)

    def _read(self, index: int, shift: Matrix | None) -> Choice:
        probabilities = self._evidence.probabilities(shift, self._rows(index))
        return self._reader.chosen(self._sights[index], probabilities)


def _stack(images: Sequence[Images]) -> Images:
    return np.array(images, np.float32).reshape(-1, SIDE, SIDE)
