"""What the package's model reads and what it withholds: MNIST's test set, and folders of other people's pictures.

Each folder holds pictures of one digit and a labels.csv with the columns file and label; one without a labels.csv
holds pictures of no digit at all. Folders whose names begin alike, as far as a `_`, are also measured together.

    python benchmarks/accuracy.py DIR [--model MODEL] [--max-error E]      DIR holds such folders
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import record

from digitnet import Reader
from digitnet.cli import PICTURE_SUFFIXES
from digitnet.errors import UsageError
from digitnet.evaluation.labelled import folder, mnist_test_set
from digitnet.evaluation.metrics import LabelledPredictions, Metrics, Share, compute_metrics
from digitnet.inference.rejection import DEFAULT_MAX_ERROR, NOT_A_DIGIT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="another model than the package's usual one; 'large' is the package's other")
    parser.add_argument("--max-error", type=float, default=DEFAULT_MAX_ERROR)
    arguments = parser.parse_args()
    reader = Reader(arguments.model, max_error=arguments.max_error)
    sets = [mnist_test_set(reader)]
    for path in sorted(path for path in arguments.folder.iterdir() if path.is_dir()):
        try:
            sets.append(folder(reader, path) if (path / "labels.csv").exists() else no_digits(reader, path))
        except UsageError:
            continue  # a folder of numbers, not of digits
    for _, alike in itertools.groupby(sets[1:], key=lambda answers: answers.name.split("_")[0]):
        if len(group := list(alike)) > 1:
            sets.append(together(group))
    figures = {}
    for answers in sets:
        figures[answers.name] = summary(compute_metrics(answers))
        print(answers.name, figures[answers.name], flush=True)
    name = "accuracy" if arguments.model is None else f"accuracy_{Path(arguments.model).stem}"
    record.write(name, {"model": reader.about, "max_error": arguments.max_error, "sets": figures})


def no_digits(reader: Reader, path: Path) -> LabelledPredictions:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
    return LabelledPredictions(path.name, [NOT_A_DIGIT] * len(files), reader.predict_many(files))


def together(sets: list[LabelledPredictions]) -> LabelledPredictions:
    return LabelledPredictions(
        f"{sets[0].name.split('_')[0]}_* together",
        [int(label) for answers in sets for label in answers.labels],
        [digit for answers in sets for digit in answers.digits],
    )


def summary(metrics: Metrics) -> dict[str, Any]:
    """Percentages; of what a set does not hold, None."""
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
