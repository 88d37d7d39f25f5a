"""`Lesson`: what a model learnt from corrections, and what that changes."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Tally:
    """How a set of labelled pictures is read.

    Attributes:
        total: how many pictures there are.
        right: of how many the best guess is right; a picture of no digit is right if it is rejected.
        answered: how many are answered with a digit, or rejected if they show none.
        wrong_answers: how many of the answers are wrong.
    """

    total: int
    right: int
    answered: int
    wrong_answers: int


@dataclass(frozen=True)
class Contradiction:
    """A label that all other corrections and the model contradict.

    Attributes:
        name: of the picture.
        label: 0 to 9, or 10 for no digit.
        looks_like: the same, by everything else.
    """

    name: str
    label: int
    looks_like: int

    def __str__(self) -> str:
        label, looks_like = ("no digit" if digit > 9 else str(digit) for digit in (self.label, self.looks_like))
        return f"{self.name}: labelled {label}, looks like {looks_like}"


@dataclass(frozen=True)
class Lesson:
    """What a model learnt from pictures, and what that changes.

    Attributes:
        model: the ONNX file of the taught model; None where the lesson was not kept.
        reason: why it was not kept, and what would help; None where it was.
        pictures: how many pictures there were to learn from.
        before, after: how they are read, each by a model that has not learnt from it (cross-validation);
            with `at_once`, by the model that has.
        guard_before, guard_after: how pictures of the package by other hands, and of no digits, are read, before any
            lesson and after this one.
        better, worse: the names of the pictures that are read better or worse than before.
        contradictions: labels that are likely wrong. They count for little.
    """

    model: bytes | None = field(repr=False)
    reason: str | None
    pictures: int
    before: Tally
    after: Tally
    guard_before: Tally
    guard_after: Tally
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether there is a taught model."""
        return self.model is not None

    def to_dict(self) -> dict[str, Any]:
        """All fields but the model's file, for JSON; `is_kept` says whether there is one."""
        fields = asdict(replace(self, model=None))
        del fields["model"]
        return {"is_kept": self.is_kept, **fields}
