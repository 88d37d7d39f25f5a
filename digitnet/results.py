"""What DigitNet answers: frozen dataclasses without behaviour beyond facts derived from their fields."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright picture as it was given; `x`, `y` is the top left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Digit:
    """One digit, read or withheld.

    Attributes:
        digit: 0 to 9, or None where the reader does not vouch for an answer; `reason` then says why.
        confidence: in [0, 1], the probability that `best_guess` is right; 0.0 for a blank picture.
        reason: None with a digit; else why it is withheld: "blank", "too faint", "not a digit", "more than one digit",
            or "unsure: 4 or 9" with the two likeliest.
        best_guess: the likeliest digit even where `digit` is withheld; None only for a blank picture.
        probabilities: ten numbers that add up to 1, for the digits 0 to 9, given that it is one of them; all equal for
            a blank picture.
        box: where the ink was found; None for a blank picture.
    """

    digit: int | None
    confidence: float
    reason: str | None
    best_guess: int | None
    probabilities: tuple[float, ...]
    box: Box | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields that `digitnet predict --json` writes, in its order."""
        return {
            "digit": self.digit,
            "confidence": self.confidence,
            "reason": self.reason,
            "best_guess": self.best_guess,
            "probabilities": list(self.probabilities),
        }


@dataclass(frozen=True)
class Evaluation:
    """How a model did on a labelled set.

    Attributes:
        correct: how many images were read right.
        total: how many there were.
        loss: the mean cross-entropy, in nats.
    """

    correct: int
    total: int
    loss: float

    @property
    def accuracy(self) -> float:
        """The fraction read right, in [0, 1]."""
        return self.correct / self.total if self.total else 0.0
