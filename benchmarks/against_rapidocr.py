"""DigitNet and RapidOCR, a general OCR engine, read the same pages, picture by picture in one run.

pip install rapidocr
python benchmarks/against_rapidocr.py MULTI SINGLE      folders as for pages.py; 30 pictures of SINGLE are read
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import record

from digitnet import Reader
from digitnet.evaluation.labelled import labels
from digitnet.evaluation.page_metrics import only_digits

SINGLES = 30  # pictures, spread over the folder
REPEATS = 3  # of each picture; the median counts


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
    """The pictures of a folder and the digits that are written there, without blanks."""
    return [(folder / file, only_digits(str(label))) for file, label in labels(folder)]


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
