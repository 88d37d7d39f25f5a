"""Normalised digits to answers: the network gives probabilities, and the rejection decides whether to answer."""

from collections.abc import Sequence

import numpy as np

from digitnet.imaging.normalise import NormalisedDigit, side_by_side
from digitnet.inference import rejection
from digitnet.inference.onnx_models import OnnxDigitNet, Probabilities
from digitnet.inference.rejection import NOT_A_DIGIT, Rejection
from digitnet.results import Digit

BATCH = 128  # pictures that go through the network at once
NO_PROBABILITIES = (0.1,) * 10
TINY = 1e-30  # keeps the ten probabilities from dividing by 0 where all are 0


class Classifier:
    """DigitNet together with the rule that says when to abstain. Threads may share it.

    Args:
        network: gives eleven probabilities for each normalised image.
        rejection: decides which of them are answered.
    """

    def __init__(self, network: OnnxDigitNet, rejection: Rejection) -> None:
        self.network = network
        self.rejection = rejection

    def digits(self, found: Sequence[NormalisedDigit | None]) -> list[Digit]:
        """One answer for each normalised digit, "blank" for None. Whole batches are computed at once, for speed."""
        inked = [normalised for normalised in found if normalised is not None]
        answers = iter([digit for start in range(0, len(inked), BATCH) for digit in self._batch(inked[start:][:BATCH])])
        return [_blank() if normalised is None else next(answers) for normalised in found]

    def _batch(self, batch: Sequence[NormalisedDigit]) -> list[Digit]:
        probabilities = self.network.probabilities(np.stack([normalised.image for normalised in batch]))
        ten = probabilities[:, :NOT_A_DIGIT]
        of_ten = (ten / np.maximum(ten.sum(1, keepdims=True), TINY)).tolist()
        accepted = self.rejection.accepts(probabilities)
        rows = zip(batch, probabilities, ten.argmax(1).tolist(), ten.max(1).tolist(), of_ten, accepted, strict=True)
        digits = []
        for normalised, eleven, best, confidence, given_a_digit, is_accepted in rows:
            is_answered = is_accepted and (not normalised.several or self.rejection.never)
            reason = None if is_answered else self._reason(normalised, eleven)
            answer = best if is_answered else None
            digits.append(Digit(answer, confidence, reason, best, tuple(given_a_digit), normalised.box))
        return digits

    def _reason(self, normalised: NormalisedDigit, probabilities: Probabilities) -> str:
        """Why there is no answer."""
        several = normalised.several
        if not several and (parts := side_by_side(normalised.image)):
            several = bool((self.network.probabilities(np.stack(parts))[:, NOT_A_DIGIT] < 0.5).all())
        return "more than one digit" if several else rejection.reason(probabilities, normalised.strength)


def _blank() -> Digit:
    return Digit(digit=None, confidence=0.0, reason="blank", best_guess=None, probabilities=NO_PROBABILITIES)
