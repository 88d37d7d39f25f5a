"""From a picture of any number of digits to a `Page`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

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
        images = [one.crops[one.shown].image if one.crops else blank for line in found for one in line.digits]
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
        eleven = np.stack([digit.probabilities for digit in members])  # (N, 11)
        boxes = picture.boxes_as_given(np.array([digit.edges for digit in members]))
        rejection = self.finder().rejection(self.rejection)
        accepted = rejection.accepts(eleven, IN_LINE if len(members) > 1 else IN_PICTURE)
        ten, none = eleven[:, :NOT_A_DIGIT], eleven[:, NOT_A_DIGIT]
        order = ten.argsort(1)[:, ::-1]  # the likeliest digit first
        shares = ten / np.maximum(ten.sum(1, keepdims=True), 1e-30)
        digits = []
        for row, (member, (best, second, *_)) in enumerate(zip(members, order.tolist(), strict=True)):
            reason = None
            if not (accepted[row] and (member.is_agreed or rejection.never)):
                other = "no digit" if none[row] > ten[row, second] else second
                reason = "not a digit" if 1 - none[row] < KEPT else f"unsure: {best} or {other}"
            answer = None if reason else best
            sure = float(ten[row, best])
            digits.append(Digit(answer, sure, reason, best, tuple(shares[row].tolist()), boxes[row]))
        edges = np.array([box.edges for box in boxes])
        (left, top), (right, bottom) = edges[:, :2].min(0).tolist(), edges[:, 2:].max(0).tolist()
        return Line(tuple(digits), found.confidence, Box(left, top, right - left, bottom - top))
