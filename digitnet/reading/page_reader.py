"""From a picture of any number of digits to a `Page`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitnet.reading import answer
from digitnet.reading.answer import IN_LINE, IN_PICTURE, NOT_A_DIGIT, Rejection
from digitnet.reading.constraints import Constraint
from digitnet.reading.lines import KEPT, FoundDigit, FoundLine, Images, LineFinder
from digitnet.reading.load import Picture
from digitnet.reading.normalise import SIDE, normalise
from digitnet.reading.work import IsCancelled
from digitnet.results import Box, Digit, Line, Page


@dataclass(frozen=True)
class PageExamination:
    """A page as it was read, and `crops`, (N, 28, 28) in [0, 1]: what DigitNet saw of each of `page.digits`."""

    page: Page
    crops: Images


@dataclass(frozen=True)
class PageReader:
    """Reads pages.

    Attributes:
        finder: gives what finds and reads lines. It is asked for when the first page comes.
        rejection: which digits DigitNet alone would answer.
    """

    finder: Callable[[], LineFinder]
    rejection: Rejection

    def examine(
        self,
        picture: Picture,
        constraint: Constraint | None = None,
        lines: int | None = None,
        is_cancelled: IsCancelled | None = None,
    ) -> PageExamination:
        """The page in a picture, together with the crops of its digits.

        Args:
            constraint: which numbers each line may be.
            lines: how many lines to keep at most, the likeliest.
            is_cancelled: asked now and then whether to stop.

        Raises CancelledError where `is_cancelled` says True.
        """
        grey = picture.grey
        found = self.finder().lines(grey, normalise(grey), constraint, is_cancelled)
        note = None
        if lines is not None and len(found) != lines:
            note = f"{len(found)} of {lines} lines found"
            if len(found) > lines:
                note = f"{len(found)} lines found, the likeliest {lines} kept"
                kept = sorted(range(len(found)), key=lambda index: -found[index].worth)[:lines]
                found = [found[index] for index in sorted(kept)]
        page = Page(picture.width, picture.height, tuple(self._line(line, constraint, picture) for line in found), note)
        blank = np.zeros((SIDE, SIDE), np.float32)
        images = [digit.crop.image if digit.crop else blank for line in found for digit in line.digits]
        return PageExamination(page, np.stack(images) if images else np.zeros((0, SIDE, SIDE), np.float32))

    def _line(self, found: FoundLine, constraint: Constraint | None, picture: Picture) -> Line:
        """The line, with a note that says what the constraint did."""
        line = self._as_line(found, found.digits, picture)
        if constraint is None:
            return line
        free = self._as_line(found, found.free or (), picture).text if found.free else "nothing"
        if found.is_allowed:
            changed = f"; without it {free}" if line.text != free else ""
            return replace(line, note=f"{constraint.name}{changed}")
        reason = f"no reading has {constraint.name}"
        rejected = tuple(replace(digit, digit=None, reason=reason) for digit in line.digits)
        return replace(line, digits=rejected, confidence=0.0, note=f"{reason}; without it {free}")

    def _as_line(self, found: FoundLine, members: Sequence[FoundDigit], picture: Picture) -> Line:
        non_digits = IN_LINE if len(members) > 1 else IN_PICTURE
        digits = tuple(self._as_digit(digit, non_digits, picture) for digit in members)
        boxes = [digit.box for digit in digits if digit.box]
        edges = np.array([box.edges for box in boxes])
        (left, top), (right, bottom) = edges[:, :2].min(0).tolist(), edges[:, 2:].max(0).tolist()
        return Line(digits, found.confidence, Box(left, top, right - left, bottom - top))

    def _as_digit(self, found: FoundDigit, non_digits: float, picture: Picture) -> Digit:
        eleven = found.probabilities
        rejection = self.finder().rejection(self.rejection)
        is_answered = rejection.accepts(eleven[np.newaxis], non_digits)[0]
        is_answered &= found.is_agreed or rejection.never
        reason = None
        if not is_answered:
            reason = "not a digit" if found.exists < KEPT else f"unsure: {found.digit} or {_other(eleven)}"
        ten = eleven[:NOT_A_DIGIT] / max(float(eleven[:NOT_A_DIGIT].sum()), 1e-30)
        box = picture.box_as_given(*found.edges)
        return Digit(None if reason else found.digit, found.confidence, reason, found.digit, tuple(ten.tolist()), box)


def _other(eleven: answer.Eleven) -> str:
    """What else a digit may be: another digit, or none at all, whichever is likelier."""
    second = int(eleven[:NOT_A_DIGIT].argsort()[-2])
    return "no digit" if eleven[NOT_A_DIGIT] > eleven[second] else str(second)
