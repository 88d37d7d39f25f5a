"""Metrics of labelled pages: how many pages are read without a mistake, and how many digits are wrong.

Blanks and line breaks do not count: only the digits are compared, in reading order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digitnet.evaluation.metrics import Flags, Share, check_lengths, ratio, share_of
from digitnet.results import Page


@dataclass(frozen=True)
class LabelledPages:
    """One model's readings of a set of pages, with what is written there.

    Attributes:
        name: of the set or, in a comparison, of the model.
        labels: the digits written on each page. Blanks and line breaks may separate them.
        texts: what was read, with "?" for each abstained digit.
        best_guesses: what was read, with the best guess for each abstained digit.
        files: the names of the pictures.
        unreadable: how many pictures were left out because they could not be read.

    Raises UsageError where the lengths differ.
    """

    name: str
    labels: Sequence[str]
    texts: Sequence[str]
    best_guesses: Sequence[str]
    files: Sequence[str] | None = None
    unreadable: int = 0

    def __post_init__(self) -> None:
        check_lengths(self.name, self.labels, texts=self.texts, best_guesses=self.best_guesses, files=self.files)

    @property
    def is_right(self) -> Flags:
        """(N,): whether the page's best guesses are exactly the digits written."""
        pairs = zip(self.best_guesses, self.labels, strict=True)
        return np.array([only_digits(guess) == only_digits(label) for guess, label in pairs], bool)


@dataclass(frozen=True)
class PageMetrics:
    """All metrics of a set of pages.

    Attributes:
        accuracy: the pages whose best guesses are exactly the digits written.
        answered: the pages with digits and without any "?".
        wrong_answers: the wrong ones among the answered pages.
        digits: how many digits are written on all pages.
        digit_errors: how many digits must be inserted, removed or changed to correct all best guesses.
        digit_error_rate: `digit_errors / digits`; None where nothing is written. It can exceed 1.
    """

    name: str
    unreadable: int
    accuracy: Share
    answered: Share
    wrong_answers: Share
    digits: int
    digit_errors: int
    digit_error_rate: float | None


def compute_page_metrics(pages: LabelledPages) -> PageMetrics:
    """All metrics of a set of pages."""
    labels, texts, best_guesses = (
        [only_digits(text) for text in group] for group in (pages.labels, pages.texts, pages.best_guesses)
    )
    answered = [bool(text) and "?" not in text for text in texts]
    digits = sum(map(len, labels))
    errors = sum(map(edit_distance, best_guesses, labels))
    return PageMetrics(
        name=pages.name,
        unreadable=pages.unreadable,
        accuracy=share_of(pages.is_right),
        answered=share_of(answered),
        wrong_answers=share_of(
            text != label for text, label, flag in zip(texts, labels, answered, strict=True) if flag
        ),
        digits=digits,
        digit_errors=errors,
        digit_error_rate=ratio(errors, digits),
    )


def only_digits(text: str) -> str:
    """`text` without blanks and line breaks."""
    return "".join(text.split())


def best_guess_text(page: Page) -> str:
    """`page.text` with the best guess in the place of each "?"."""
    digits = iter(page.digits)
    return "".join(mark if mark.isspace() else str(next(digits).best_guess) for mark in page.text)


def edit_distance(one: str, other: str) -> int:
    """The least number of characters to insert, remove or change that turns `one` into `other` (Levenshtein, 1966)."""
    row = list(range(len(other) + 1))
    for index, a in enumerate(one, 1):
        before, row = row, [index]
        for column, b in enumerate(other, 1):
            row.append(min(before[column] + 1, row[-1] + 1, before[column - 1] + (a != b)))
    return row[-1]
