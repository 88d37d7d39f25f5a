"""Predictions for labelled pictures: MNIST's test set, and folders of pictures with a labels.csv.

A labels.csv has the columns `file` and `label` (one digit a picture) or `file` and `text` (pages, as `digitnet synth`
writes them). A `label` is a digit, 0 to 9. For a picture without a digit it is the word `none`, or any other word of
at least two letters that says what the picture shows, such as `greek_letter`. A `text` is the digits of a page, with
blanks and line breaks as on the page. For a page without digits it is empty or such a word. Other columns are ignored.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from digitnet.errors import ImageError, MissingExtraError, UsageError
from digitnet.evaluation.metrics import Image, LabelledPredictions
from digitnet.evaluation.page_metrics import LabelledPages, best_guess_text
from digitnet.reader import Reader
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.digit_reader import Sight

TABLE = "labels.csv"
DIGITS = frozenset("0123456789")
DIGIT_WORDS = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}  # each means a digit
ALLOWED = {
    "label": "give one digit, 0 to 9, or the word none for a picture without a digit "
    "(pages of several digits need the column 'text' instead)",
    "text": "give the digits of the page, with blanks and line breaks only, or the word none for a page without digits",
}


def mnist_test_set(reader: Reader, root: Path | None = None) -> LabelledPredictions:
    """Predictions for MNIST's 10,000 test images, without normalisation, because they are normalised already.

    Raises:
        DataError: MNIST was not found or is damaged.
        MissingExtraError: the extra 'train' is not installed.
    """
    try:
        from digitnet.dataset import MNIST, find_mnist
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "MNIST's test set", "train") from error
    mnist = MNIST(find_mnist(root), train=False)
    images = mnist.data.numpy().astype(np.float32) / np.float32(255)  # (10000, 28, 28)
    return LabelledPredictions(
        "MNIST test set", mnist.targets.tolist(), reader.predict_normalised(images), list(images)
    )


def folder(
    reader: Reader, path: Path, on_error: Callable[[ImageError], None] | None = None
) -> LabelledPredictions | LabelledPages:
    """Predictions for the pictures of a folder that its labels.csv names; a terminal shows a progress bar.

    Args:
        on_error: called for each picture that cannot be read. The picture is then left out and counted as
            `unreadable`. Without `on_error`, the error is raised.

    Raises:
        UsageError: there is no such table, or it is wrong (see `labels`).
        ImageError: a picture cannot be read, and there is no `on_error`.
    """
    rows = labels(path)
    are_pages = isinstance(rows[0][1], str)

    def answered(picture: Path) -> tuple[Any, Any]:
        if are_pages:
            page = reader.read(picture)
            return page.text, best_guess_text(page)
        seen = reader.examine(picture)
        return seen.digit, seen.normalised and seen.normalised.image

    read = []
    for file, label in tqdm(rows, desc=path.name, unit=" pictures", disable=None, leave=False):
        try:
            read.append((label, *answered(path / file), file))
        except ImageError as error:
            if on_error is None:
                raise
            on_error(error)
    written, one, other, files = map(list, zip(*read, strict=True)) if read else ([], [], [], [])
    kind = LabelledPages if are_pages else LabelledPredictions
    return kind(path.name, written, one, other, files, len(rows) - len(read))


def digits_to_learn(
    reader: Reader, path: Path, on_error: Callable[[str], None]
) -> Iterator[tuple[Sight | Image, int, str]]:
    """The single digits of a folder that its labels.csv names: what DigitNet sees of each, its label, what to call it.

    A page gives what DigitNet sees of each digit, if the reader finds as many digits in each line as its text has.

    Args:
        on_error: called with a message for each picture that cannot be read or used.

    Raises UsageError: there is no such table, or it is wrong (see `labels`).
    """
    for file, label in tqdm(labels(path), desc=path.name, unit=" pictures", disable=None, leave=False):
        try:
            if isinstance(label, int):
                yield reader.sight(path / file), label, file
                continue
            seen = reader.examine_page(path / file)
        except ImageError as error:
            on_error(str(error))
            continue
        written, found = ("".join(line.split()) for line in label.splitlines()), best_guess_text(seen.page)
        expected = [line for line in written if line]
        if list(map(len, expected)) != [len("".join(line.split())) for line in found.splitlines()]:
            on_error(
                f"{path / file}: left out, because its lines have other numbers of digits than its text; crop them"
            )
            continue
        for number, (digit, crop) in enumerate(zip("".join(expected), seen.crops, strict=True), 1):
            yield crop, int(digit), f"{file}, digit {number}"


def labels(path: Path) -> list[tuple[str, int | str]]:
    """The file and the label of each row of a folder's labels.csv.

    A label is a number where a picture shows one digit or, as `NOT_A_DIGIT`, none. It is a string where a picture is a
    page: the digits written there, "" for none. A table holds labels of one kind only.

    Raises UsageError where there is no such table, it lacks a column, or a row is wrong.
    """
    table = path / TABLE
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            reader.fieldnames = columns = [name.strip() for name in reader.fieldnames or ()]
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{table}: cannot be read ({error}); give a folder with such a file") from error
    kind = "label" if "label" in columns else "text"
    if not rows or not {"file", kind} <= set(columns):
        raise UsageError(
            f"{table}: no columns 'file' and 'label' (for pages 'file' and 'text'), or no rows; "
            "name a picture and its digit in each row, with a comma between them"
        )
    found = []
    for line, row in rows:
        name, written = (row["file"] or "").strip(), row[kind]
        if not name or written is None or None in row:
            cells = [cell for cell in row.values() if cell is not None]
            raise UsageError(
                f"{table}, line {line}: found {cells}; give a file, its {kind}, and a cell for each column"
            )
        label = _label(kind, written.strip())
        if label is None:
            raise UsageError(f"{table}, line {line}: {name} has the {kind} {written!r}; {ALLOWED[kind]}")
        found.append((name, label))
    return found


def _label(kind: str, written: str) -> int | str | None:
    """The label that is written in a column of this kind; None where it is not allowed there."""
    if kind == "label" and written in DIGITS:
        return int(written)
    if kind == "text" and set(written) - {" ", "\n", "\r"} <= DIGITS:
        return written
    is_word = sum(map(str.isalpha, written)) >= 2 and not any(map(str.isdigit, written))
    if is_word and not set(written.lower().split()) <= DIGIT_WORDS:
        return NOT_A_DIGIT if kind == "label" else ""
    return None
