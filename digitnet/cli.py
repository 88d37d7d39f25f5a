"""The command `digitnet`: data on standard output, messages on standard error, and an exit code that means something.

0  everything was read      1  some input could not be read      2  wrong usage      130  interrupted
"""

import argparse
import contextlib
import difflib
import functools
import glob
import io
import json
import math
import mimetypes
import os
import re
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from digitnet import __version__, spreadsheet
from digitnet.errors import DataError, DigitNetError, ImageError, MissingExtraError, SaveError, UsageError
from digitnet.files import PICTURE_SUFFIXES
from digitnet.interruption import INTERRUPTED
from digitnet.reading.answer import DEFAULT_MAX_ERROR
from digitnet.reading.constraints import CHECKS
from digitnet.training import command as training

if TYPE_CHECKING:
    from PIL import Image

    from digitnet.evaluation.comparison import Labelled
    from digitnet.reader import Reader
    from digitnet.reading.digit_reader import Examination
    from digitnet.results import Digit, Page

Result = TypeVar("Result")
Write = Callable[[str, IO[str]], object]  # a line, and the stream to print it to

STANDARD_INPUT = "-"
READ, NOT_SURE, WITHOUT_A_DIGIT, UNREADABLE = OUTCOMES = ("read", "not sure", "without a digit", "could not be read")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MODEL_HELP = "your own model, .onnx or .pth"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold bytes that the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    options = _parsed(sys.argv[1:] if arguments is None else arguments)
    if options.command is None:
        _parser().print_help(sys.stderr)
        return UsageError.exit_code
    try:
        if vars(options).get("download"):
            _download()
        return int(options.run(options))
    except DigitNetError as error:
        print(f"digitnet: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The program that reads our output has stopped. Python must not complain when it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """The options, or the end with exit code 2, and a guess what a misspelt command or option should be."""
    parser = _parser()
    commands = parser.get_default("commands")
    first = next(iter(arguments), "-")
    if not first.startswith("-") and first not in commands:
        guess = _closest(first, commands) or (f"digitnet predict {first}" if os.path.exists(first) else "")
        parser.error(
            f"there is no command {first!r}; " + (f"did you mean {guess}?" if guess else "see digitnet --help")
        )
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        command = commands.get(options.command, parser)
        guess = _closest(
            unknown[0].partition("=")[0], command.format_usage().replace("[", " ").replace("]", " ").split()
        )
        command.error(f"unrecognized arguments: {' '.join(unknown)}" + (f"; did you mean {guess}?" if guess else ""))
    return options


def _closest(word: str, words: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word, words, 1)), "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="digitnet",
        description="Read handwritten digits in pictures.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"digitnet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, what: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example:\n  digitnet {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    predict = command("predict", "read one digit a picture", "samples/shadow-5.jpg samples/mouse-1.png")
    predict.set_defaults(run=_predict)
    predict.add_argument("pictures", nargs="+", metavar="PICTURE", help="a file, a folder, a pattern, or - (stdin)")
    _add_form(predict, "a table with a row for each picture")
    predict.add_argument("--show", type=Path, metavar="FILE", help="draw what the model saw into this picture file")
    _add_force(predict)
    _add_reader_arguments(predict)
    predict.add_argument(
        "--side-by-side",
        action="store_true",
        help="a table of what your model and the package's answer (needs --model)",
    )

    read = command("read", "read any number of digits a picture, line by line", "sample_pages/sums.jpg")
    read.set_defaults(run=_read)
    read.add_argument("pictures", nargs="+", metavar="PICTURE", help="a file, a folder, a pattern, or - (stdin)")
    _add_form(read, "a table with a row for each line of digits")
    read.add_argument(
        "--show", type=Path, metavar="FILE", help="draw boxes and readings over the picture, into this file"
    )
    _add_force(read)
    _add_constraints(read)
    _add_detector_argument(read)
    _add_reader_arguments(read)

    batch = command(
        "batch",
        "read archives of any size into Parquet (needs the extra 'batch')",
        "samples --output digits.csv --workers 1",
    )
    batch.set_defaults(run=_batch)
    batch.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a folder, pattern, .tar, .zip, list of paths or URLs (.txt, .csv, .parquet), .parquet with a column of "
        "pictures; also as a URL such as s3://",
    )
    batch.add_argument(
        "--output", required=True, metavar="OUT", help="a folder for Parquet parts, or a file .csv or .jsonl"
    )
    batch.add_argument("--task", choices=("predict", "read"), default="predict", help="default: %(default)s")
    batch.add_argument("--workers", type=int, metavar="N", help="processes (default: one for each core)")
    batch.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="work on a Ray cluster (needs the extra 'ray'): one that runs here or is started here, or ray://HOST:10001",
    )
    batch.add_argument("--column", metavar="NAME", help="the column with the paths or the pictures, in tables")
    _add_constraints(batch)
    _add_detector_argument(batch)
    _add_reader_arguments(batch)

    serve = command("serve", "a web page and an HTTP API (needs the extra 'serve')", "--open")
    serve.set_defaults(run=_serve)
    _add_server_arguments(serve)
    _add_detector_argument(serve)
    _add_reader_arguments(serve)

    test = command(
        "test", "score a model on MNIST's test set and on your own labelled pictures", "--data samples --report report"
    )
    test.set_defaults(run=_test)
    _add_reader_arguments(test)
    _add_detector_argument(test)
    _add_data_argument(test)
    _add_download(test)
    test.add_argument(
        "--report", type=_folder, metavar="DIR", help="write a page, metrics.json and MODEL_CARD.md there"
    )
    _add_force(test)

    compare = command(
        "compare", "compare two models on the same pictures, with a paired test", "mine.onnx model.pth --data samples"
    )
    compare.set_defaults(run=_compare)
    compare.add_argument("models", nargs=2, metavar="MODEL", help=f"two models; {MODEL_HELP}")
    _add_data_argument(compare)
    _add_download(compare)

    teach = command(
        "teach", "teach a model your hand, from pictures that you have labelled", "corrections --output mine.onnx"
    )
    teach.set_defaults(run=_teach)
    teach.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="a folder with a labels.csv, such as `serve --corrections` writes it: columns file and label, or file and "
        "text (pages)",
    )
    teach.add_argument("--output", type=Path, required=True, metavar="FILE", help="the taught model, .onnx")
    _add_force(teach)
    _add_reader_arguments(teach)

    train = command(
        "train", "train on MNIST until interrupted (needs the extra 'train')", "--model another.pth --cycles 1 --seed 1"
    )
    train.set_defaults(run=training.run)
    training.add_train_arguments(train)

    synth = command(
        "synth",
        "make pages of numbers from MNIST's training digits (needs the extra 'train'), or single digits",
        "pages --pages 20 --width 800 --height 600 --seed 1",
    )
    synth.set_defaults(run=_synth)
    synth.add_argument(
        "folder",
        type=_folder,
        metavar="DIR",
        help="a new folder for page-0000.png, ..., labels.csv and pages.jsonl; "
        "with --digits for digit-00000.png, ... and labels.csv",
    )
    amount = synth.add_mutually_exclusive_group()
    amount.add_argument("--pages", type=int, default=100, metavar="N", help="how many pages (default: 100)")
    amount.add_argument(
        "--digits",
        type=int,
        metavar="N",
        help="instead of pages, pictures of N single digits that random hands write stroke by stroke (needs no extra)",
    )
    synth.add_argument("--width", type=int, default=640, metavar="W", help="of a page in pixels (default: 640)")
    synth.add_argument("--height", type=int, default=480, metavar="H", help="of a page in pixels (default: 480)")
    synth.add_argument("--seed", type=int, default=0, help="the same seed makes the same pictures (default: 0)")
    synth.add_argument("--data", type=Path, metavar="DIR", help="a folder with MNIST/raw (default: the one carried)")
    _add_download(synth)

    export = command("export", "write a model.pth as ONNX (needs the extra 'train')", "model.pth --output mine.onnx")
    export.set_defaults(run=_export)
    export.add_argument("model", type=Path, help="the model.pth, or a taught .onnx, whose lesson is then merged")
    export.add_argument("--output", type=Path, metavar="FILE", help="where to write (default: beside it, .onnx)")
    _add_force(export)
    export.add_argument("--data", type=Path, metavar="DIR", help="the folder with MNIST/raw (default: the one carried)")
    _add_download(export)
    parser.set_defaults(commands=commands.choices)
    return parser


def _folder(name: str) -> Path:
    """The folder to write into that an argument names; a name such as out.xlsx means a file, not a new folder."""
    path = Path(name)
    if mimetypes.guess_type(path.name)[0] and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{name}: this is the name of a file; name a folder, such as {path.stem}")
    return path


def _add_form(parser: argparse.ArgumentParser, table: str) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a picture, one a line")
    form.add_argument("--csv", action="store_true", help=f"{table}, for spreadsheets")


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace a file that is there; never one that is read")


def _add_download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--download", action="store_true", help="download MNIST once where there is none")


def _add_server_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine only; every other address needs a token)",
    )
    add("--port", type=int, default=8000, help="0 takes a free port (default: %(default)s)")
    add("--open", action="store_true", help="open the web page in a browser")
    add("--corrections", type=_folder, metavar="DIR", help="folder for corrections (default: keep none)")
    add("--learn", action="store_true", help="learn from each correction at once (needs --corrections)")
    add("--allowed-host", action="append", default=[], metavar="NAME", help="another name of this server; repeatable")
    add("--max-megabytes", type=float, default=32, metavar="N", help="size of one request (default: %(default)s)")
    add("--max-megapixels", type=float, default=64, metavar="N", help="one picture (default and maximum: %(default)s)")
    add("--max-files", type=int, default=64, metavar="N", help="files in a form (default: %(default)s)")
    add("--timeout", type=float, default=30, metavar="SECONDS", help="time for one request (default: %(default)s)")
    add("--max-requests", type=int, default=64, metavar="N", help="requests at the same time (default: %(default)s)")


def _add_constraints(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--length", type=int, metavar="N", help="each line has N digits")
    add("--lines", type=int, metavar="N", help="there are N lines; if more are found, the likeliest are kept")
    add("--pattern", metavar="P", help=r"what each line looks like, such as '\d{3}-\d{4}' or '[0-3]\d/1?\d'")
    add("--check", choices=CHECKS, help="the rule for each line's check digit")


def _constraints(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("length", "lines", "pattern", "check")}


def _add_detector_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", metavar="FILE", help="your own network that finds lines, an .onnx file")
    parser.add_argument("--line-reader", metavar="FILE", help="your own network that reads lines, an .onnx file")


def _add_data_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders with a labels.csv: columns file and label (a digit, or the word none), or file and text (pages)",
    )


def _add_reader_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--max-error",
        type=float,
        default=DEFAULT_MAX_ERROR,
        metavar="E",
        help="the fraction of answers that may be wrong; fewer errors mean fewer answers (default: %(default)s)",
    )
    group.add_argument("--always", action="store_true", help="answer every picture that holds ink")


def _reader(options: argparse.Namespace) -> "Reader":
    from digitnet.reader import Reader

    networks = {name: value for name, value in vars(options).items() if name in ("detector", "line_reader")}
    return Reader(options.model, max_error=None if options.always else options.max_error, **networks)


def _download() -> None:
    """Gets MNIST into the user's cache folder, where all commands find it, unless there is a copy already."""
    try:
        from digitnet.dataset import find_mnist
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "MNIST", "train") from error
    find_mnist(download=True)


def _predict(options: argparse.Namespace) -> int:
    if options.side_by_side:
        return _predict_side_by_side(options)

    def tell(name: str, examination: "Examination", write: Write) -> str:
        digit = examination.digit
        if options.json:
            write(json.dumps({"file": name, **digit.to_dict()}), sys.stdout)
        elif options.csv:
            cells = name, digit.digit, round(digit.confidence, 4), digit.reason, digit.best_guess, None
            write(spreadsheet.row(cells), sys.stdout)
        else:
            write(f"{_shown(name)}: {digit.reason or f'{digit.digit} ({digit.confidence:.1%})'}", sys.stdout)
        return _outcome(digit)

    def drawn(examination: "Examination") -> "Image.Image":
        from digitnet.reading.drawing import draw  # imported here, since most runs draw nothing

        return draw(examination.picture, examination.normalised, examination.digit)

    columns = ("file", "digit", "confidence", "reason", "best_guess", "error")
    return _for_each_picture(options, _reader(options).examine, tell, drawn, columns)


def _predict_side_by_side(options: argparse.Namespace) -> int:
    """One row a picture, with a column for each model. The closing line counts the answers of the user's own model."""
    from digitnet.evaluation import side_by_side
    from digitnet.reading.load import load

    if options.model is None or options.json or options.csv:
        raise UsageError(
            "--side-by-side: sets your model beside the package's in a table; give --model, no --json or --csv"
        )
    own = _reader(options)
    package = _reader(argparse.Namespace(**vars(options) | {"model": None}))
    model = _shown(options.model)
    names = [_shown(name) for name in _names(options)]

    def examined(source: Any, name: str) -> "tuple[Examination, Examination]":
        picture = load(source, name)
        one, other = (next(reader.digit_reader.examine([picture])) for reader in (own, package))
        return one, other

    def tell(name: str, pair: "tuple[Examination, Examination]", write: Write) -> str:
        mine, theirs = (side_by_side.answer(seen.digit) for seen in pair)
        write(side_by_side.row(_shown(name), mine, theirs, names, model), sys.stdout)
        return _outcome(pair[0].digit)

    title = side_by_side.row("", model, side_by_side.PACKAGE, names, model)
    return _for_each_picture(options, examined, tell, lambda pair: side_by_side.drawn(*pair, model), title=title)


def _read(options: argparse.Namespace) -> int:
    one = len(options.pictures) == 1 and (options.pictures[0] == STANDARD_INPUT or os.path.isfile(options.pictures[0]))

    def tell(name: str, page: "Page", write: Write) -> str:
        if options.json:
            write(json.dumps({"file": name, **page.to_dict()}), sys.stdout)
        elif options.csv:
            for number, line in enumerate(page.lines, 1):
                cells = name, number, line.text, round(line.confidence, 4), *astuple(line.box), line.note, None
                write(spreadsheet.row(cells), sys.stdout)
        else:
            notes = [page.note, *(line.note for line in page.lines), None if page.lines else "no digits found"]
            for note in filter(None, notes):
                write(f"digitnet: {_shown(name)}: {note}", sys.stderr)
            for line in page.lines:
                write(line.text if one else f"{_shown(name)}: {line.text}", sys.stdout)
        if not page.lines:
            return WITHOUT_A_DIGIT
        return NOT_SURE if any(digit.digit is None for digit in page.digits) else READ

    columns = ("file", "line", "text", "confidence", "x", "y", "width", "height", "note", "error")
    read = functools.partial(_reader(options).read, **_constraints(options))
    return _for_each_picture(options, read, tell, lambda page: page.draw(), columns)


def _outcome(digit: "Digit") -> str:
    """One of `OUTCOMES`."""
    if digit.digit is not None:
        return READ
    return WITHOUT_A_DIGIT if digit.reason in ("blank", "not a digit") else NOT_SURE


def _names(options: argparse.Namespace) -> list[str]:
    """All pictures that the command line names."""
    return [picture for name in options.pictures for picture in _expanded(name)]


def _for_each_picture(
    options: argparse.Namespace,
    read: Callable[..., Result],
    tell: Callable[[str, Result, Write], str],
    drawn: Callable[[Result], "Image.Image"],
    columns: tuple[str, ...] = (),
    *,
    title: str | None = None,
) -> int:
    """Reads the pictures of the command line, tells each result, and draws it for --show.

    Args:
        tell: writes a result, and returns one of `OUTCOMES`.
        columns: of the table for --csv; the first is the picture's name, and the last why it cannot be read.
        title: a line above the results.
    """
    names = _names(options)
    sheets = None
    if options.show:
        if options.show.suffix.lower() not in PICTURE_SUFFIXES:
            raise UsageError(f"--show {options.show}: name a picture file, such as {options.show.with_suffix('.png')}")
        from digitnet.outputs import Drawings  # imported here, since most runs draw nothing

        sheets = Drawings(options.show, [*names, options.model, vars(options).get("detector")], force=options.force)
    if options.csv:
        if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
            sys.stdout.reconfigure(encoding=spreadsheet.ENCODING, errors="backslashreplace")
        print(spreadsheet.row(columns))
    if title:
        print(title, flush=True)
    outcomes: Counter[str] = Counter()
    unsaved: SaveError | None = None
    with _progress(len(names)) as (advance, write):
        for name in names:
            try:
                result = read(sys.stdin.buffer if name == STANDARD_INPUT else name, name=name)
                outcomes[tell(name, result, write)] += 1
                if sheets and not unsaved:
                    sheets.add(drawn(result))
            except ImageError as error:
                outcomes[UNREADABLE] += 1
                if options.json:
                    write(json.dumps({"file": name, "error": str(error)}), sys.stdout)
                elif options.csv:
                    write(spreadsheet.row((name, *[None] * (len(columns) - 2), str(error))), sys.stdout)
                write(f"digitnet: {_shown(str(error))}", sys.stderr)
            except SaveError as error:  # of a drawing; the other pictures are still read
                unsaved = error
            advance()
    if len(names) > 1:
        counts = [f"{outcomes[kind]:,} {kind}" for kind in OUTCOMES if outcomes[kind] or kind == READ]
        print(f"digitnet: {', '.join(counts)}", file=sys.stderr)
    if unsaved:
        raise unsaved
    if sheets:
        sheets.save()
        if len(sheets.paths) > 1:
            print(f"digitnet: the drawings are in {sheets.paths[0]} to {sheets.paths[-1]}", file=sys.stderr)
    return ImageError.exit_code if outcomes[UNREADABLE] else 0


def _shown(name: str) -> str:
    """A name on one line: a line break in it would end the line, and other control characters act on a terminal."""
    return CONTROL.sub(lambda character: repr(character[0])[1:-1], name)


@contextlib.contextmanager
def _progress(count: int) -> Iterator[tuple[Callable[[], object], Write]]:
    """A progress bar on a terminal: what moves it on, and what prints a line without breaking it."""
    if count < 2 or not sys.stderr.isatty():
        yield (lambda: None), (lambda text, stream: print(text, file=stream, flush=True))
        return
    from tqdm import tqdm  # imported here, since one picture does not need it

    with tqdm(total=count, unit=" pictures", leave=False, dynamic_ncols=True) as bar:
        yield bar.update, (lambda text, stream: bar.write(text, file=stream))


@contextlib.contextmanager
def _stages() -> Iterator[Callable[[str], object]]:
    """A progress bar for the stages of a lesson on a terminal: what moves it on."""
    from tqdm import tqdm

    from digitnet.teaching.teacher import STAGES

    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=len(STAGES), disable=None, leave=False, bar_format=form) as bar:

        def on_stage(stage: str) -> None:
            bar.n = STAGES.index(stage)
            bar.set_description_str(f"learning: {stage}")

        yield on_stage


def _batch(options: argparse.Namespace) -> int:
    try:
        from digitnet.archives.batch import batch
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "batch", "batch") from error
    summary = batch(
        options.sources,
        options.output,
        task=options.task,
        workers=options.workers,
        ray=options.ray,
        model=options.model,
        max_error=None if options.always else options.max_error,
        detector=options.detector,
        line_reader=options.line_reader,
        column=options.column,
        **_constraints(options),
    )
    print(
        f"digitnet: {summary.pictures:,} pictures in {options.output}, {summary.errors:,} of them could not be read",
        file=sys.stderr,
    )
    if not summary.is_complete:
        print("digitnet: interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    return ImageError.exit_code if summary.errors else 0


def _serve(options: argparse.Namespace) -> int:
    try:
        from digitnet.serving import server
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "serving", "serve") from error
    from digitnet.reading.load import MAX_PIXELS
    from digitnet.serving.corrections import Corrections
    from digitnet.serving.guard import Limits

    sizes = (options.max_megabytes, options.max_megapixels, options.max_files, options.timeout, options.max_requests)
    if not all(0 < size < math.inf for size in sizes):
        raise UsageError("a limit must be a number greater than 0")
    if options.max_megabytes * 2**20 < 1 or options.max_megapixels * 10**6 < 1:
        raise UsageError("a limit of less than one byte or one pixel would refuse everything; give more")
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port {options.port}: there is no such port; choose one from 0 to 65535")
    if options.learn and options.corrections is None:
        raise UsageError("--learn learns from corrections; name a folder for them with --corrections DIR")
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
        learn=options.learn,
        token=token,
        browse=options.open,
    )
    return 0


def _test(options: argparse.Namespace) -> int:
    from digitnet.evaluation.summary import describe

    if options.report:
        from digitnet.evaluation import report  # here, since most runs write none and need not wait for Jinja2
        from digitnet.outputs import check_output

        report.make(options.report)
        force = options.force or report.is_report(options.report)
        for name in report.FILES:
            check_output(options.report / name, [options.model, options.detector], force=force)
    reader = _reader(options)
    sets = [of for (of,) in _labelled([reader], options.data)]
    for of in sets:
        print(describe(of), flush=True)
    if options.report:
        own = {"training data": "Not recorded in the model.", "protocol": "Not recorded in the model."}
        report.write(options.report, sets, reader.about | ({} if options.model is None else own))
        print(f"The report is in {options.report / 'index.html'}", file=sys.stderr)
    return _exit_code(sets)


def _labelled(readers: "list[Reader]", folders: list[Path]) -> "list[list[Labelled]]":
    """Each set as each reader reads it: MNIST's test set, then the folders. With folders, MNIST may be missing."""
    from tqdm import tqdm

    from digitnet.evaluation import labelled

    def told(error: ImageError) -> None:
        tqdm.write(f"digitnet: {error}", file=sys.stderr)

    for path in folders:
        labelled.labels(path)  # a mistake in any table should be found before the long work begins
    # The same pictures are unreadable for every reader, so only the first one reports them.
    sets = [
        [labelled.folder(reader, path, told if reader is readers[0] else lambda _: None) for reader in readers]
        for path in folders
    ]
    try:
        return [[labelled.mnist_test_set(reader) for reader in readers], *sets]
    except (DataError, MissingExtraError) as error:
        if not folders:
            raise
        print(f"digitnet: MNIST's test set was left out: {error}", file=sys.stderr)
        return sets


def _exit_code(sets: "Iterable[Labelled]") -> int:
    """1 where pictures could not be read; says how many."""
    failed = sum(of.unreadable for of in sets)
    if failed:
        print(f"digitnet: {failed:,} {'picture' if failed == 1 else 'pictures'} could not be read", file=sys.stderr)
    return ImageError.exit_code if failed else 0


def _compare(options: argparse.Namespace) -> int:
    from digitnet.evaluation.summary import compare
    from digitnet.reader import Reader

    sets = _labelled([Reader(model, max_error=None) for model in options.models], options.data)
    for of_models in sets:
        print(f"{of_models[0].name}:")
        print(
            compare(*(replace(of, name=name) for of, name in zip(of_models, options.models, strict=True))), flush=True
        )
    return _exit_code(of for of, _ in sets)


def _teach(options: argparse.Namespace) -> int:
    from digitnet.evaluation import summary
    from digitnet.evaluation.labelled import digits_to_learn
    from digitnet.files import write_atomically

    _check_onnx(options.output, [options.model], options.force)
    reader = _reader(options)
    unread: list[str] = []

    def told(message: str) -> None:
        unread.append(message)
        print(f"digitnet: {message}", file=sys.stderr)

    digits = [digit for folder in options.folders for digit in digits_to_learn(reader, folder, told)]
    if not digits:
        raise UsageError(f"{options.folders[0]}: none of its pictures can be learnt from; see the messages above")
    pictures, labels, names = zip(*digits, strict=True)
    with _stages() as on_stage:
        lesson = reader.teach(pictures, labels, names=names, on_stage=on_stage)
    print(summary.describe_lesson(lesson))
    if lesson.model is None:
        print(f"digitnet: {options.output} was not written: {summary.why_not_kept(lesson)}", file=sys.stderr)
        return DigitNetError.exit_code
    write_atomically(options.output, lesson.model)
    print(f"digitnet: the taught model is in {options.output}", file=sys.stderr)
    return ImageError.exit_code if unread else 0


def _expanded(name: str) -> list[str]:
    """The pictures that an argument names: a file, the pictures in a folder, or the matches of a pattern.

    A name that matches nothing is kept, so that its error names it.

    Raises UsageError for a folder without pictures.
    """
    is_there = name == STANDARD_INPUT or os.path.exists(name)
    matches = [name] if is_there else sorted(glob.glob(name, recursive=True)) or [name]
    pictures = [picture for match in matches for picture in _pictures_at(match)]
    if not pictures and os.path.isdir(name):
        raise UsageError(f"{name}: no pictures in this folder; give one with {', '.join(sorted(PICTURE_SUFFIXES))}")
    return pictures


def _pictures_at(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    return sorted(str(inside) for inside in Path(path).rglob("*") if inside.suffix.lower() in PICTURE_SUFFIXES)


def _synth(options: argparse.Namespace) -> int:
    from digitnet.synthesis.folders import check_request, write_digits, write_pages

    if options.digits is not None:
        write_digits(options.folder, options.digits, seed=options.seed)
        return 0
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
    target = options.output
    if target is None and options.model.suffix != ".onnx":  # for which there is no default
        target = options.model.with_suffix(".onnx")
    if target is not None:
        _check_onnx(target, [options.model], options.force)
    print(export(options.model, target, data=options.data))
    return 0


def _check_onnx(path: Path, inputs: list[str | Path | None], force: bool) -> None:
    """Raises UsageError or SaveError where no ONNX file can be written at `path`, or another one would be lost."""
    from digitnet.outputs import check_output

    if path.suffix != ".onnx":
        raise UsageError(f"--output {path}: name an .onnx file, such as {path.with_suffix('.onnx')}")
    check_output(path, inputs, force=force)
