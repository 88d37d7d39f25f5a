"""Labelled pictures, read: MNIST's test set, and folders of pictures with a labels.csv.

A labels.csv has the columns `file` and `label`; a label that is not one of 0 to 9 says that the picture shows no digit.
"""

import csv
from pathlib import Path

import numpy as np

from digitnet.errors import MissingExtraError, UsageError
from digitnet.evaluation.metrics import LabelledPredictions
from digitnet.inference.rejection import NOT_A_DIGIT
from digitnet.reader import Reader

TABLE = "labels.csv"


def mnist_test_set(reader: Reader, root: Path | None = None) -> LabelledPredictions:
    """MNIST's 10,000 test images as they are, since they are normalised already.

    Raises:
        DataError: MNIST is not to be had.
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


def folder(reader: Reader, path: Path) -> LabelledPredictions:
    """The pictures of a folder that its labels.csv names.

    Raises:
        UsageError: there is no such table, or it has not the columns.
        ImageError: a picture cannot be read.
    """
    pairs = labels(path)
    examinations = [reader.examine(path / file) for file, _ in pairs]
    return LabelledPredictions(
        path.name,
        [label for _, label in pairs],
        [examination.digit for examination in examinations],
        [examination.normalised.image if examination.normalised else None for examination in examinations],
        [file for file, _ in pairs],
    )


def labels(path: Path) -> list[tuple[str, int]]:
    """File and label of each row of a folder's labels.csv; `NOT_A_DIGIT` for any label but 0 to 9.

    Raises UsageError where there is no such table, or it has not the columns.
    """
    try:
        with open(path / TABLE, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path / TABLE}: cannot be read ({error}); give a folder with such a file") from error
    if not rows or not {"file", "label"} <= rows[0].keys():
        raise UsageError(f"{path / TABLE}: no columns 'file' and 'label'; name a picture and its digit in each row")
    return [(row["file"], int(row["label"]) if row["label"] in set("0123456789") else NOT_A_DIGIT) for row in rows]
