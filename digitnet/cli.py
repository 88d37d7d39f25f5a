"""The command `digitnet`: data on standard output, messages on standard error, and an exit code that means something.

0  everything was read      1  some input could not be read      2  wrong usage      130  interrupted
"""

import argparse
import csv
import functools
import glob
import io
import json
import math
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from digitnet import __version__
from digitnet import main as training
from digitnet.errors import DigitNetError, ImageError, MissingExtraError, SaveError, UsageError
from digitnet.inference.rejection import DEFAULT_MAX_ERROR
from digitnet.pages.constraints import CHECKS

if TYPE_CHECKING:
    from PIL import Image

    from digitnet.evaluation.metrics import Metrics
    from digitnet.reader import Examination, Reader
    from digitnet.results import Digit, Page

Seen = TypeVar("Seen")

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

    read = commands.add_parser("read", help="read any number of digits a picture, line by line")
    read.set_defaults(run=_read)
    read.add_argument("pictures", nargs="+", metavar="PICTURE", help="a file, a folder, a pattern, or - (stdin)")
    form = read.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a picture, one a line")
    form.add_argument("--csv", action="store_true", help="a table with a row for each line of digits")
    read.add_argument(
        "--show", type=Path, metavar="FILE", help="draw boxes and readings over the picture, into this file"
    )
    read.add_argument("--length", type=int, metavar="N", help="each line has so many digits")
    read.add_argument("--lines", type=int, metavar="N", help="there are so many lines; of more, the likeliest are kept")
    read.add_argument("--pattern", metavar="P", help=r"what each line is like, such as '\d{3}-\d{4}' or '[0-3]\d/1?\d'")
    read.add_argument("--check", choices=CHECKS, help="what each line's check digit obeys")
    read.add_argument("--detector", metavar="DETECTOR", help="your own network that detections digits, .onnx")
    _add_reader_arguments(read)

    serve = commands.add_parser("serve", help="a web page and an HTTP API (needs the extra 'serve')")
    serve.set_defaults(run=_serve)
    _add_server_arguments(serve)
    serve.add_argument("--detector", metavar="DETECTOR", help="your own network that detections digits, .onnx")
    _add_reader_arguments(serve)

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


def _add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine only; every other address needs a token)",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free port (default: %(default)s)")
    parser.add_argument("--open", action="store_true", help="open the web page in a browser")
    parser.add_argument("--corrections", type=Path, metavar="DIR", help="folder for corrections (default: keep none)")
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="another name of this server; repeatable"
    )
    parser.add_argument(
        "--max-megabytes", type=float, default=32, metavar="N", help="size of one request (default: %(default)s)"
    )
    parser.add_argument(
        "--max-megapixels", type=float, default=64, metavar="N", help="one picture (default and maximum: %(default)s)"
    )
    parser.add_argument("--max-files", type=int, default=64, metavar="N", help="files in a form (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=30, metavar="SECONDS", help="time for one request (default: %(default)s)"
    )
    parser.add_argument(
        "--max-requests", type=int, default=64, metavar="N", help="requests at the same time (default: %(default)s)"
    )


def _add_reader_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
    rejection = parser.add_mutually_exclusive_group()
    rejection.add_argument(
        "--max-error",
        type=float,
        default=DEFAULT_MAX_ERROR,
        metavar="E",
        help=f"answer as much as possible with at most this part of the answers wrong (default: {DEFAULT_MAX_ERROR})",
    )
    rejection.add_argument("--always", action="store_true", help="answer whatever holds ink, however unsure")


def _reader(options: argparse.Namespace) -> "Reader":
    from digitnet.reader import Reader

    detector = {"detector": options.detector} if "detector" in options else {}
    return Reader(options.model, max_error=None if options.always else options.max_error, **detector)


def _predict(options: argparse.Namespace) -> int:
    def drawn(seen: "Examination") -> "Image.Image":
        from digitnet.inference.drawing import draw  # here, since most runs draw nothing and need not wait for it

        return draw(seen)

    reader = _reader(options)
    return _for_each_picture(
        options,
        reader.examine,
        lambda name, seen: (
            json.dumps({"file": name, **seen.digit.to_dict()}) if options.json else _sentence(name, seen.digit)
        ),
        drawn,
    )


def _read(options: argparse.Namespace) -> int:
    reader = _reader(options)
    known = {"length": options.length, "lines": options.lines, "pattern": options.pattern, "check": options.check}
    if options.csv:
        print("file,line,text,confidence,x,y,width,height,note")
    one = len(options.pictures) == 1 and (options.pictures[0] == STANDARD_INPUT or os.path.isfile(options.pictures[0]))

    def told(name: str, page: "Page") -> str:
        if options.json:
            return json.dumps({"file": name, **page.to_dict()})
        if options.csv:
            return _table(name, page)
        for note in filter(None, [page.note, *(line.note for line in page.lines)]):
            print(f"digitnet: {name}: {note}", file=sys.stderr)
        if not page.lines:
            print(f"digitnet: {name}: no digits found", file=sys.stderr)
        return "\n".join(line.text if one else f"{name}: {line.text}" for line in page.lines)

    return _for_each_picture(options, functools.partial(reader.read, **known), told, lambda page: page.draw())


def _for_each_picture(
    options: argparse.Namespace,
    look: Callable[..., Seen],
    told: Callable[[str, Seen], str],
    drawn: Callable[[Seen], "Image.Image"],
) -> int:
    """Looks at the pictures of the command line, prints what there is to tell of each, and draws it for --show."""
    show = _checked_drawing_path(options.show)
    drawings: list[Image.Image] = []
    failed = False
    for name in _expanded(options.pictures):
        try:
            seen = look(sys.stdin.buffer if name == STANDARD_INPUT else name, name=name)
        except ImageError as error:
            failed = True
            _print_error(name, error, options.json)
        else:
            if text := told(name, seen):
                print(text, flush=True)
            if show:
                drawings.append(drawn(seen))
    if show and drawings:
        _save_drawing(drawings, show)
    return ImageError.exit_code if failed else 0


def _table(name: str, page: "Page") -> str:
    """A row for each line, as CSV."""
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    for number, line in enumerate(page.lines, 1):
        box = line.box
        place = (box.x, box.y, box.width, box.height)
        table.writerow((name, number, line.text, round(line.confidence, 4), *place, line.note or ""))
    return rows.getvalue().rstrip("\n")


def _serve(options: argparse.Namespace) -> int:
    try:
        from digitnet.serving import server
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "serving", "serve") from error
    from digitnet.imaging.load import MAX_PIXELS
    from digitnet.serving.corrections import Corrections
    from digitnet.serving.guard import Limits

    sizes = (options.max_megabytes, options.max_megapixels, options.max_files, options.timeout, options.max_requests)
    if not all(0 < size < math.inf for size in sizes):
        raise UsageError("a limit must be a number greater than 0")
    if options.max_megabytes * 2**20 < 1 or options.max_megapixels * 10**6 < 1:
        raise UsageError("a limit of less than one byte or one pixel would refuse everything; give more")
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port {options.port}: there is no such port; choose one from 0 to 65535")
    address = server.Address(options.host, options.port, options.allowed_host)
    given = os.environ.get("DIGITNET_TOKEN", "").strip()
    if not given.isascii():
        raise UsageError("DIGITNET_TOKEN has characters that an HTTP header cannot hold; use ASCII only")
    token = given or (None if address.is_loopback else secrets.token_urlsafe())
    server.run(
        _reader(options),
        address,
        limits=Limits(
            bytes=round(options.max_megabytes * 2**20),
            pixels=min(MAX_PIXELS, round(options.max_megapixels * 10**6)),
            files=options.max_files,
            seconds=options.timeout,
            requests=options.max_requests,
        ),
        corrections=options.corrections and Corrections(options.corrections),
        token=token,
        browse=options.open,
    )
    return 0


def _test(options: argparse.Namespace) -> int:
    from digitnet.evaluation import labelled, report
    from digitnet.evaluation.metrics import compute_metrics
    from digitnet.reader import LARGE

    reader = _reader(options)
    sets = [labelled.mnist_test_set(reader), *(labelled.folder(reader, path) for path in options.data)]
    for answers in sets:
        print(_figures(compute_metrics(answers)), flush=True)
    if options.report:
        own = {"training data": "Not recorded in the model.", "protocol": "Not recorded in the model."}
        report.write(options.report, sets, reader.about | ({} if options.model in (None, LARGE) else own))
        print(f"The report is in {options.report / 'index.html'}", file=sys.stderr)
    return 0


def _figures(metrics: "Metrics") -> str:
    """One set's figures in a line."""
    parts = []
    if metrics.accuracy.fraction is not None:
        accuracy, answered, wrong = metrics.accuracy, metrics.answered, metrics.wrong_answers
        parts = [
            f"{accuracy.fraction:.2%} right (95 % interval {accuracy.low:.2%} to {accuracy.high:.2%})",
            f"{answered.fraction:.2%} answered",
            f"{wrong.fraction or 0:.2%} of the answers wrong",
            f"calibration error {metrics.calibration.error or 0:.2%}",
        ]
    if metrics.rejected.fraction is not None:
        parts.append(f"{metrics.rejected.fraction:.2%} of {metrics.rejected.total:,} non-digits rejected")
    return f"{metrics.name}: {', '.join(parts) or 'no pictures'}"


def _compare(options: argparse.Namespace) -> int:
    from digitnet.evaluation import labelled, report
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
    from digitnet.inference.drawing import stack

    try:
        stack(drawings).save(path)
    except OSError as error:
        raise SaveError(f"{path}: cannot be saved ({error.strerror or error}); choose another file") from error


def _synth(options: argparse.Namespace) -> int:
    from digitnet.synthesis.pages import check_request, write_pages

    size = options.pages, options.height, options.width
    check_request(options.folder, *size, options.seed)
    try:
        from digitnet.training.detector_run import page_maker
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "making pages", "train") from error
    write_pages(page_maker(options.data), options.folder, *size, seed=options.seed)
    return 0


def _export(options: argparse.Namespace) -> int:
    try:
        from digitnet.training.export import export
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "exporting", "train") from error
    print(export(options.model, options.output, data=options.data))
    return 0
