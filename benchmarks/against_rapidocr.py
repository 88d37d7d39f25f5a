"""Pages read by DigitNet and by RapidOCR, a general OCR engine, picture by picture in one run.

pip install rapidocr
python benchmarks/against_rapidocr.py MULTI SINGLE      folders as pages.py takes them; of SINGLE, 30 are taken
"""

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import record

from digitnet import Reader

SINGLES = 30  # spread over the folder
REPEATS = 3  # of each picture, of which the median counts


def main() -> None:
    from rapidocr import RapidOCR

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("multi", type=Path)
    parser.add_argument("single", type=Path)
    arguments = parser.parse_args()
    reader, engine = Reader(), RapidOCR(params={"Global.log_level": "critical"})

    def with_digitnet(path: Path) -> str:
        return "".join(str(digit.best_guess) for digit in reader.read(path).digits)

    def with_rapidocr(path: Path) -> str:
        found = engine(path)
        return "".join(character for text in found.txts or () for character in text if character.isdigit())

    multi, single = labelled(arguments.multi), labelled(arguments.single)
    single = single[:: len(single) // SINGLES][:SINGLES]
    with_digitnet(multi[0][0])
    with_rapidocr(multi[0][0])
    figures: dict[str, Any] = {"rapidocr": metadata.version("rapidocr")}
    for name, rows in (("multi", multi), ("single", single)):
        figures[name] = compare(rows, with_digitnet, with_rapidocr)
    record.write("against_rapidocr", figures)


def labelled(folder: Path) -> list[tuple[Path, str]]:
    with open(folder / "labels.csv", newline="") as file:
        return [
            (folder / row["file"], "".join((row.get("text") or row["label"]).split())) for row in csv.DictReader(file)
        ]


def compare(rows: list[tuple[Path, str]], *engines: Callable[[Path], str]) -> dict[str, Any]:
    right, seconds = [0, 0], [[], []]  # type: ignore[var-annotated]
    for path, text in rows:
        for index, engine in enumerate(engines):
            times = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                found = engine(path)
                times.append(time.perf_counter() - start)
            right[index] += found == text
            seconds[index].append(statistics.median(times))
    ratios = [other / own for own, other in zip(*seconds, strict=True)]
    return {
        "n": len(rows),
        "digitnet_right_percent": 100 * right[0] / len(rows),
        "rapidocr_right_percent": 100 * right[1] / len(rows),
        "digitnet_seconds": record.spread(seconds[0]),
        "rapidocr_seconds": record.spread(seconds[1]),
        "times_as_fast": record.spread(ratios),
    }


if __name__ == "__main__":
    main()
