"""How well the package's model reads MNIST's test set and folders of other people's pictures, and when it abstains.

Each folder holds pictures of one digit and a labels.csv (see digitnet/evaluation/labelled.py). Pictures of no digit at
all need no labels.csv. Folders of pages are left out. Folders whose names begin with the same word, up to a `_`, are
also scored together.

    python benchmarks/accuracy.py DIR [--model MODEL] [--max-error E]      DIR holds such folders
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import record

from digitnet import Reader
from digitnet.evaluation.labelled import TABLE, folder, mnist_test_set
from digitnet.evaluation.metrics import LabelledPredictions, Metrics, Share, compute_metrics
from digitnet.files import PICTURE_SUFFIXES
from digitnet.reading.answer import DEFAULT_MAX_ERROR, NOT_A_DIGIT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="another model than the package's")
    parser.add_argument("--max-error", type=float, default=DEFAULT_MAX_ERROR)
    arguments = parser.parse_args()
    reader = Reader(arguments.model, max_error=arguments.max_error)
    sets = [mnist_test_set(reader)]
    for path in sorted(path for path in arguments.folder.iterdir() if path.is_dir()):
        predictions = folder(reader, path) if (path / TABLE).exists() else no_digits(reader, path)
        if isinstance(predictions, LabelledPredictions):  # not pages
            sets.append(predictions)
    for _, alike in itertools.groupby(sets[1:], key=lambda predictions: predictions.name.split("_")[0]):
        if len(group := list(alike)) > 1:
            sets.append(together(group))
    figures = {}
    for predictions in sets:
        figures[predictions.name] = summary(compute_metrics(predictions))
        print(predictions.name, figures[predictions.name], flush=True)
    name = "accuracy" if arguments.model is None else f"accuracy_{Path(arguments.model).stem}"
    record.write(name, {"model": reader.about, "max_error": arguments.max_error, "sets": figures})


def no_digits(reader: Reader, path: Path) -> LabelledPredictions:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
    return LabelledPredictions(path.name, [NOT_A_DIGIT] * len(files), reader.predict_many(files))


def together(sets: list[LabelledPredictions]) -> LabelledPredictions:
    return LabelledPredictions(
        f"{sets[0].name.split('_')[0]}_* together",
        [int(label) for predictions in sets for label in predictions.labels],
        [digit for predictions in sets for digit in predictions.digits],
    )


def summary(metrics: Metrics) -> dict[str, Any]:
    """Percentages; None for a kind of picture that the set does not hold."""
    return {
        "n": metrics.accuracy.total,
        "percent": percent(metrics.accuracy),
        "answered_percent": percent(metrics.answered),
        "wrong_of_answered_percent": percent(metrics.wrong_answers),
        "calibration_error_percent": 100 * metrics.calibration.error if metrics.calibration.error is not None else None,
        "n_no_digits": metrics.rejected.total,
        "rejected_percent": percent(metrics.rejected),
    }


def percent(share: Share) -> float | None:
    return None if share.fraction is None else 100 * share.fraction


if __name__ == "__main__":
    main()
