"""Accuracy on folders of labelled pictures of one digit: other people's handwriting, which no training has seen.

Each folder holds pictures and a labels.csv with the columns file and label.

    python benchmarks/accuracy.py DIR [--model FILE]      DIR holds such folders, or is one
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import record

from digitnet import Reader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, help="another model than the package's")
    arguments = parser.parse_args()
    reader = Reader(arguments.model)
    folders = [arguments.folder, *sorted(arguments.folder.iterdir())]
    sets = {folder.name: measured(reader, folder) for folder in folders if labels(folder)}
    for name, figures in sets.items():
        print(f"{name:16} {figures['percent']:6.2f} %  n = {figures['n']}, wrong: {' '.join(figures['wrong'][:12])}")
    record.write("accuracy", {"model": str(arguments.model or "the package's"), "sets": sets})


def labels(folder: Path) -> list[tuple[Path, int]]:
    """The pictures of single digits in a folder, and what they show."""
    table = folder / "labels.csv"
    if not table.is_file():
        return []
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [(folder / row["file"], int(row["label"])) for row in rows if row.get("label", "").isdigit()]


def measured(reader: Reader, folder: Path) -> dict[str, Any]:
    pairs = labels(folder)
    digits = reader.predict_many([path for path, _ in pairs])
    wrong = [path.name for (path, label), digit in zip(pairs, digits, strict=True) if digit.best_guess != label]
    return {"n": len(pairs), "percent": 100 * (1 - len(wrong) / len(pairs)), "wrong": wrong}


if __name__ == "__main__":
    main()
