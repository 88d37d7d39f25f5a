"""The command `digitnet`: data on standard output, messages on standard error, and an exit code that means something.

0  everything was read      1  some input could not be read      2  wrong usage      130  interrupted
"""

import argparse
import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from digitnet import __version__
from digitnet import main as training
from digitnet.doubt import DEFAULT_MAX_ERROR
from digitnet.errors import DigitNetError, ImageError, MissingExtraError, SaveError, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from digitnet.measures import Measures
    from digitnet.reader import Reader
    from digitnet.results import Digit

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
STANDARD_INPUT = "-"
MODEL_HELP = "your own model, .onnx or .pth, or 'large' for the package's larger one, which taught the usual one"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except DigitNetError as error:
        print(f"digitnet: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return training.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; do not complain when Python flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="digitnet",
        description="Read handwritten digits in pictures.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"digitnet {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    predict = commands.add_parser("predict", help="read one digit a picture")
    predict.set_defaults(run=_predict)
    predict.add_argument("pictures", nargs="+", metavar="PICTURE", help="a file, a folder, a pattern, or - (stdin)")
    predict.add_argument("--json", action="store_true", help="one JSON object a line")
    predict.add_argument("--show", type=Path, metavar="FILE", help="draw what the model saw into this picture file")
    _add_reader_arguments(predict)

    test = commands.add_parser("test", help="how well a model reads MNIST's test set and your own labelled pictures")
    test.set_defaults(run=_test)
    _add_reader_arguments(test)
    test.add_argument("--data", type=Path, nargs="+", default=[], metavar="DIR", help="folders with a labels.csv")
    test.add_argument("--report", type=Path, metavar="DIR", help="write a page, metrics.json and MODEL_CARD.md there")

    compare = commands.add_parser("compare", help="two models on the same pictures, with a paired test")
    compare.set_defaults(run=_compare)
    compare.add_argument("models", nargs=2, metavar="MODEL", help=f"two models; {MODEL_HELP}")
    compare.add_argument("--data", type=Path, nargs="+", default=[], metavar="DIR", help="folders with a labels.csv")

    train = commands.add_parser("train", help="train on MNIST until interrupted (needs the extra 'train')")
    train.set_defaults(run=training.run)
    training.add_arguments(train)

    synth = commands.add_parser(
        "synth", help="make pages of numbers in MNIST's training digits (needs the extra 'train')"
    )
    synth.set_defaults(run=_synth)
    synth.add_argument(
        "folder", type=Path, metavar="DIR", help="a new folder for page-0000.png, ..., labels.csv, pages.jsonl"
    )
    synth.add_argument("--pages", type=int, default=100, metavar="N", help="how many (default: 100)")
    synth.add_argument("--width", type=int, default=640, metavar="W", help="in pixels (default: 640)")
    synth.add_argument("--height", type=int, default=480, metavar="H", help="in pixels (default: 480)")
    synth.add_argument("--seed", type=int, default=0, help="the same seed makes the same pages (default: 0)")
    synth.add_argument("--data", type=Path, metavar="DIR", help="the folder with MNIST/raw (default: the one carried)")

    export = commands.add_parser("export", help="write a model.pth as ONNX (needs the extra 'train')")
    export.set_defaults(run=_export)
    export.add_argument("model", type=Path, help="the model.pth")
    export.add_argument("--output", type=Path, metavar="FILE", help="where to write (default: beside it, .onnx)")
    export.add_argument("--data", type=Path, metavar="DIR", help="the folder with MNIST/raw (default: the one carried)")
    return parser


def _add_reader_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
    doubt = parser.add_mutually_exclusive_group()
    doubt.add_argument(
        "--max-error",
        type=float,
        default=DEFAULT_MAX_ERROR,
        metavar="E",
        help=f"answer as much as possible with at most this part of the answers wrong (default: {DEFAULT_MAX_ERROR})",
    )
    doubt.add_argument("--always", action="store_true", help="answer whatever holds ink, however unsure")


def _reader(options: argparse.Namespace) -> "Reader":
    from digitnet.reader import Reader

    return Reader(options.model, max_error=None if options.always else options.max_error)


def _predict(options: argparse.Namespace) -> int:
    show = _checked_drawing_path(options.show)
    reader = _reader(options)
    drawings: list[Image.Image] = []
    failed = False
    for name in _expanded(options.pictures):
        try:
            source = sys.stdin.buffer if name == STANDARD_INPUT else name
            examination = reader.examine(source, name=name)
        except ImageError as error:
            failed = True
            _print_error(name, error, options.json)
        else:
            digit = examination.digit
            print(json.dumps({"file": name, **digit.to_dict()}) if options.json else _sentence(name, digit), flush=True)
            if show:
                from digitnet.explanation import draw

                drawings.append(draw(examination))
    if show and drawings:
        _save_drawing(drawings, show)
    return ImageError.exit_code if failed else 0


def _test(options: argparse.Namespace) -> int:
    from digitnet import labelled, report
    from digitnet.measures import measure
    from digitnet.reader import LARGE

    reader = _reader(options)
    sets = [labelled.mnist_test_set(reader), *(labelled.folder(reader, path) for path in options.data)]
    for answers in sets:
        print(_figures(measure(answers)), flush=True)
    if options.report:
        own = {"training data": "Not recorded in the model.", "protocol": "Not recorded in the model."}
        report.write(options.report, sets, reader.about | ({} if options.model in (None, LARGE) else own))
        print(f"The report is in {options.report / 'index.html'}", file=sys.stderr)
    return 0


def _figures(measures: "Measures") -> str:
    """One set's figures in a line."""
    parts = []
    if measures.accuracy.fraction is not None:
        accuracy, answered, wrong = measures.accuracy, measures.answered, measures.wrong_answers
        parts = [
            f"{accuracy.fraction:.2%} right (95 % interval {accuracy.low:.2%} to {accuracy.high:.2%})",
            f"{answered.fraction:.2%} answered",
            f"{wrong.fraction or 0:.2%} of the answers wrong",
            f"calibration error {measures.calibration.error or 0:.2%}",
        ]
    if measures.rejected.fraction is not None:
        parts.append(f"{measures.rejected.fraction:.2%} of {measures.rejected.total:,} non-digits rejected")
    return f"{measures.name}: {', '.join(parts) or 'no pictures'}"


def _compare(options: argparse.Namespace) -> int:
    from digitnet import labelled, report
    from digitnet.reader import Reader

    readers = [Reader(model, max_error=None) for model in options.models]
    sets = [[labelled.mnist_test_set(reader) for reader in readers]]
    sets += [[labelled.folder(reader, path) for reader in readers] for path in options.data]
    for one, other in sets:
        print(f"{one.name}:")
        print(report.compare(replace(one, name=options.models[0]), replace(other, name=options.models[1])), flush=True)
    return 0


def _sentence(name: str, digit: "Digit") -> str:
    return f"{name}: {digit.reason if digit.digit is None else f'{digit.digit} ({digit.confidence:.1%})'}"


def _print_error(name: str, error: ImageError, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"file": name, "error": str(error)}), flush=True)
    print(f"digitnet: {error}", file=sys.stderr)


def _expanded(names: Iterable[str]) -> Iterator[str]:
    """The pictures that the arguments stand for; a name that matches nothing is kept, to fail under its own name."""
    for name in names:
        if name == STANDARD_INPUT or os.path.isfile(name):
            yield name
        elif os.path.isdir(name):
            inside = sorted(path for path in Path(name).rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
            if not inside:
                raise UsageError(
                    f"{name}: no pictures in this folder; give one with {', '.join(sorted(PICTURE_SUFFIXES))}"
                )
            yield from map(str, inside)
        else:
            yield from sorted(glob.glob(name, recursive=True)) or [name]


def _checked_drawing_path(path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(f"--show {path}: name a picture file, such as {path.with_suffix('.png')}")
    return path


def _save_drawing(drawings: list["Image.Image"], path: Path) -> None:
    from digitnet.explanation import stack

    try:
        stack(drawings).save(path)
    except OSError as error:
        raise SaveError(f"{path}: cannot be saved ({error.strerror or error}); choose another file") from error


def _synth(options: argparse.Namespace) -> int:
    from digitnet.synth import check_request, write_pages

    size = options.pages, options.height, options.width
    check_request(options.folder, *size, options.seed)
    try:
        from digitnet.locating import page_maker
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed; making pages needs: pip install 'digitnet[train]'"
        ) from error
    write_pages(page_maker(options.data), options.folder, *size, seed=options.seed)
    return 0


def _export(options: argparse.Namespace) -> int:
    try:
        from digitnet.export import export
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed; exporting needs: pip install 'digitnet[train]'"
        ) from error
    print(export(options.model, options.output, data=options.data))
    return 0
