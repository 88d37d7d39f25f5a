"""`Reader`: pictures in, digits and pages out. ONNX Runtime runs the networks; PyTorch is not needed."""

import copy
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from digitnet.errors import ImageError, ModelError, UsageError
from digitnet.files import checksum
from digitnet.onnx_cache import cached_onnx
from digitnet.reading.answer import DEFAULT_MAX_ERROR, NOT_A_DIGIT, rejection_for
from digitnet.reading.constraints import constrained
from digitnet.reading.digit_reader import BATCH, NO_PROBABILITIES, DigitReader, Examination, Sight
from digitnet.reading.encoding import jpeg
from digitnet.reading.lines import LineFinder
from digitnet.reading.load import OVERSHOOT, WORKING_SIDE, Picture, Source, load
from digitnet.reading.networks import (
    PACKAGED_DETECTOR,
    PACKAGED_LINE_READER,
    PACKAGED_MODEL,
    OnnxDigitNet,
)
from digitnet.reading.normalise import SIDE, NormalisedDigit
from digitnet.reading.page_reader import PageExamination, PageReader
from digitnet.reading.work import IsCancelled
from digitnet.results import Box, Digit, Page
from digitnet.teaching.lesson import Lesson
from digitnet.version import __version__

if TYPE_CHECKING:
    from PIL import Image

    from digitnet.teaching.teacher import Teacher

T = TypeVar("T")

MAX_MODEL_BYTES = 64 * 2**20
PAGE_SIDE = 1280  # pixels; larger pictures of pages are reduced to this
KEPT_SOURCES = (str, os.PathLike, bytes)  # a page remembers these, to draw on; of others it keeps a small JPEG
DRAWN_SIDE = 280  # pixels; a digit of another source keeps its picture at this size or a little more
MADE_LATER = ("digit_reader", "_finder", "_pages", "_teacher")  # when they are first needed; not pickled


class Reader:
    """Reads handwritten digits.

    Making a reader loads the network once. Threads may share it, and it can be pickled for worker processes.

    Attributes:
        about: facts about the model, by name: what it is called, the checksum of its weights, its calibration.
        max_error: as it was given.

    Args:
        model: an .onnx file from `digitnet export` or `digitnet teach`, or a model.pth, which is exported first; this
            needs PyTorch. None takes the package's model.
        max_error: the fraction of answers that may be wrong, in [0, 1]. The reader abstains where it expects more.
            None answers every picture that holds ink.
        detector: another network that finds lines: an .onnx file from `digitnet export detector.pth`.
        line_reader: another network that reads lines: an .onnx file from `digitnet export line-reader.pth`.
        threads: how many cores one call may use; None for all. A process beside others of its kind takes 1.

    Raises:
        ModelError: the file is missing, damaged or not a network of this version.
        UsageError: `max_error` is outside [0, 1].
        MissingExtraError: a .pth was given and PyTorch is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        max_error: float | None = DEFAULT_MAX_ERROR,
        detector: str | os.PathLike[str] | None = None,
        line_reader: str | os.PathLike[str] | None = None,
        threads: int | None = None,
    ) -> None:
        name, content = _model_bytes(model)
        self.max_error = max_error
        self._threads = threads
        self._networks = {
            "detector": _Given(PACKAGED_DETECTOR, detector),
            "line reader": _Given(PACKAGED_LINE_READER, line_reader),
        }
        self._set_network(OnnxDigitNet(content, name), name)
        if detector is not None or line_reader is not None:
            self._finder  # noqa: B018  a wrong file fails here, not at the first page

    def _set_network(self, network: OnnxDigitNet, name: str) -> None:
        self._network = network
        self._rejection = rejection_for(network.risks, self.max_error)
        self.about = {"model": name, "version": __version__} | network.metadata

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in MADE_LATER}

    @property
    def checksums(self) -> dict[str, str]:
        """The SHA-256 of the content of each network: "model", "detector" and "line reader"."""
        others = {name: checksum(given.content) for name, given in self._networks.items()}
        return {"model": checksum(self._network.content)} | others

    def predict(self, picture: Source, *, name: str | None = None) -> Digit:
        """The one digit in `picture`: a path, bytes, a binary stream, a PIL image, an array or a tensor.

        Args:
            picture: see `reading.load.load` for formats, shapes and ranges.
            name: what an error calls the picture, if it has no path.

        Raises:
            ImageError: the picture cannot be read.
        """
        seen = self.examine(picture, name=name)
        return replace(seen.digit, artist=_artist(picture, seen))

    def predict_many(self, pictures: Iterable[Source]) -> list[Digit]:
        """One digit a picture, in order, on all cores.

        Raises:
            ImageError: a picture cannot be read. The error names its path or its place in the list.
            UsageError: `pictures` is one path, or the bytes or the stream of one picture.
        """
        sources = _several(pictures)

        def predicted(start: int) -> list[Digit]:
            batch = sources[start : start + BATCH]
            loaded = (load(source, _name(source, place)) for place, source in enumerate(batch, start))
            return [examination.digit for examination in self.digit_reader.examine(loaded)]

        starts = range(0, len(sources), BATCH)
        workers = min(len(starts), self._threads or os.cpu_count() or 1)
        if workers <= 1:
            return [digit for start in starts for digit in predicted(start)]
        from concurrent.futures import ThreadPoolExecutor  # imported here, since one picture does not need it

        with ThreadPoolExecutor(workers) as pool:
            return [digit for digits in pool.map(predicted, starts) for digit in digits]

    def predict_normalised(self, images: npt.NDArray[np.float32]) -> list[Digit]:
        """One digit an image, for `images` (N, 28, 28) in [0, 1] as in MNIST: centred, bright ink on dark.

        Raises ImageError for another shape or range.
        """
        images = np.asarray(images, np.float32)
        if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
            raise ImageError(f"shape {images.shape} is not that of normalised images; give (N, {SIDE}, {SIDE})")
        if images.size and not -OVERSHOOT <= images.min() <= images.max() <= 1 + OVERSHOOT:
            raise ImageError(f"values from {images.min():.4g} to {images.max():.4g}; use [0, 1], as in images / 255")
        whole, blank = Box(0, 0, SIDE, SIDE), Digit(None, 0.0, "blank", None, NO_PROBABILITIES)
        has_ink = [bool(np.ptp(image)) for image in images]
        inked = itertools.compress(images, has_ink)
        digits = iter(self.digit_reader.digits([NormalisedDigit(image, whole, 1.0, several=False) for image in inked]))
        return [next(digits) if ink else blank for ink in has_ink]

    def examine(
        self, source: Source, *, name: str | None = None, is_cancelled: IsCancelled | None = None
    ) -> Examination:
        """The digit together with what led to it. Arguments and errors are those of `predict`.

        Args:
            is_cancelled: asked while the picture is loaded. Where it says True, CancelledError is raised.
        """
        return next(self.digit_reader.examine([load(source, name, is_cancelled=is_cancelled)]))

    def examine_many(self, sources: Iterable[Source], names: Iterable[str]) -> Iterator[Examination | ImageError]:
        """`examine` for each picture, in order, in this thread; small neighbours of one size are computed together.

        A picture that cannot be read has an ImageError in its place. One large picture is in memory at a time.

        Args:
            names: what the errors call the pictures.
        """
        errors: dict[int, ImageError] = {}  # by their place; pictures are loaded some places ahead

        def pictures() -> Iterator[Picture]:
            for place, (source, name) in enumerate(zip(sources, names, strict=True)):
                try:
                    yield load(source, name)
                except ImageError as error:
                    errors[place] = error

        place = 0
        for examination in self.digit_reader.examine(pictures()):
            while place in errors:
                yield errors.pop(place)
                place += 1
            yield examination
            place += 1
        yield from errors.values()

    def teach(
        self,
        pictures: Iterable[Source | Sight],
        labels: Iterable[int],
        *,
        names: Iterable[str] | None = None,
        at_once: bool = False,
        on_stage: Callable[[str], object] = lambda stage: None,
    ) -> Lesson:
        """What the model learns from pictures of one digit each; `taught` gives a reader that has learnt it.

        The last layer is adapted to them. This needs no PyTorch and takes up to a minute. The lesson is kept only if it
        helps beyond chance and does no harm that can be measured (see `Lesson`). This reader does not change.

        Args:
            pictures: as for `predict`, or what `sight` gives; 20 are few, 200 are many.
            labels: what each shows: 0 to 9, or 10 for no digit.
            names: what the lesson calls the pictures; None takes their paths or their places.
            at_once: keep the lesson without waiting for proof by cross-validation, for the first few corrections. It
                must do no harm, and these pictures must be read better than before.
            on_stage: called with the name of each stage (`teaching.teacher.STAGES`) when it begins.

        Raises:
            ImageError: a picture cannot be read.
            UsageError: there is no picture, a label is no digit, or the numbers of pictures and labels differ.
            ModelError: the model was exported by an earlier version, so it cannot be taught.
        """
        sources, wanted = _several(pictures), list(labels)
        if names is None:
            called = [_name(source, place) or str(source) for place, source in enumerate(sources)]
        else:
            called = list(names)
        if not sources or not len(sources) == len(wanted) == len(called):
            raise UsageError(
                f"{len(sources):,} pictures and {len(wanted):,} labels; give one label a picture, at least one"
            )
        for name, label in zip(called, wanted, strict=True):
            if label not in range(NOT_A_DIGIT + 1):
                raise UsageError(f"{name}: {label!r} is no label; give 0 to 9, or {NOT_A_DIGIT} for no digit")
        sights = [
            source if isinstance(source, Sight) else self.sight(source, name=name)
            for source, name in zip(sources, called, strict=True)
        ]
        from digitnet.teaching.teacher import STAGES

        on_stage(STAGES[0])
        return self._teacher.lesson(sights, wanted, called, at_once=at_once, on_stage=on_stage)

    def sight(self, picture: Source, *, name: str | None = None) -> Sight:
        """What DigitNet sees in `picture` before it judges; repeated lessons need not look again if they get it.

        Arguments and errors are those of `predict`.
        """
        return self.digit_reader.sight(load(picture, name).grey)

    def chosen(self, sight: Sight) -> NormalisedDigit | None:
        """The digit in what `sight` gave, as the network sees it; None in a blank picture."""
        images = np.array([digit.image for digit in sight.digits], np.float32).reshape(-1, SIDE, SIDE)
        return self.digit_reader.chosen(sight, self._network.probabilities(images)).digit

    def taught(self, lesson: Lesson | bytes) -> "Reader":
        """A reader that has learnt a lesson; this reader itself where the lesson was not kept.

        Args:
            lesson: from `teach` or, to use it again later, its `model`.

        Raises ModelError where the lesson started from another model.
        """
        content = lesson.model if isinstance(lesson, Lesson) else lesson
        if content is None:
            return self
        other, name = copy.copy(self), self.about["model"]
        network = OnnxDigitNet(content, name)
        if network.base != self._network.base:
            raise ModelError(f"{name}: the lesson is of another model; teach this one")
        other._set_network(network, name)
        if "_finder" in self.__dict__:  # its networks are shared; a lesson leaves them as they are
            other._finder = self._finder.with_lesson(network.probabilities, network.before_lessons)
        return other

    def with_max_error(self, max_error: float | None) -> "Reader":
        """A reader with the same networks and lessons, and another `max_error`.

        Raises UsageError where `max_error` is outside [0, 1].
        """
        other = copy.copy(self)
        other.max_error = max_error
        other._set_network(self._network, self.about["model"])
        return other

    def read(
        self,
        picture: Source,
        *,
        name: str | None = None,
        length: int | None = None,
        lines: int | None = None,
        pattern: str | None = None,
        check: str | None = None,
    ) -> Page:
        r"""All digits in `picture` (see `reading.load.load`), line by line.

        `length`, `pattern` and `check` are constraints: they re-rank the readings of each line (see
        `reading.constraints.constrained`). Each line's `note` says what they did.

        Args:
            name: what an error calls the picture, if it has no path.
            length: digits in each line.
            lines: how many lines there are. If more are found, the likeliest are kept.
            pattern: of each line's digits, for example r"\d{3}-\d{4}".
            check: the rule for each line's check digit: "luhn", "ean", "isbn" or "mod97".

        Raises:
            ImageError: the picture cannot be read.
            UsageError: a constraint makes no sense.
        """
        return self.examine_page(picture, name=name, length=length, lines=lines, pattern=pattern, check=check).page

    def examine_page(
        self,
        source: Source,
        *,
        name: str | None = None,
        length: int | None = None,
        lines: int | None = None,
        pattern: str | None = None,
        check: str | None = None,
        is_cancelled: IsCancelled | None = None,
    ) -> PageExamination:
        """The page together with what the network saw of each digit. Arguments and errors are those of `read`.

        Args:
            is_cancelled: asked while the picture is loaded and between the steps of the work. Where it says True,
                CancelledError is raised.
        """
        if lines is not None and lines < 1:
            raise UsageError(f"{lines} lines cannot be asked for; give 1 or more")
        constraint = constrained(length, pattern, check)
        picture = load(source, name, side=PAGE_SIDE, is_cancelled=is_cancelled)
        examination = self._pages.examine(picture, constraint, lines, is_cancelled)
        # The page keeps a path, bytes or a small file of its picture, so that thousands of pages fit into memory.
        kept = source if isinstance(source, KEPT_SOURCES) else jpeg(picture.grey)
        artist = functools.partial(_drawing, kept, _version(kept))
        return replace(examination, page=replace(examination.page, artist=artist))

    @functools.cached_property
    def digit_reader(self) -> DigitReader:
        """Reads pictures of one digit."""
        return DigitReader(self._network, self._rejection, lambda: self._finder)

    @functools.cached_property
    def _teacher(self) -> "Teacher":
        from digitnet.teaching.teacher import Teacher  # imported here, since reading needs none

        return Teacher(self.digit_reader)

    @functools.cached_property
    def _finder(self) -> LineFinder:
        """Made when it is first needed, since loading its networks takes longer than reading a digit."""
        contents = {name: (given.content, str(given.path)) for name, given in self._networks.items()}
        is_own = self._network.base != _usual_content()
        finder = LineFinder.from_onnx(
            contents["detector"],
            contents["line reader"],
            self._network.probabilities,
            max_error=self.max_error,
            names_alone=is_own,
            threads=self._threads,
        )
        return finder.with_lesson(self._network.probabilities, self._network.before_lessons)

    @functools.cached_property
    def _pages(self) -> PageReader:
        return PageReader(lambda: self._finder, self._rejection)


class _Given:
    """A network's file. One that a user gave is kept, for processes elsewhere; the package's is read when needed."""

    def __init__(self, packaged: Path, given: str | os.PathLike[str] | None) -> None:
        self.path = packaged if given is None else Path(given)
        self._content = None if given is None else _content(self.path)

    @property
    def content(self) -> bytes:
        return self._content or _content(self.path)


@functools.cache
def _usual_content() -> bytes:
    """The ONNX file of the package's network."""
    return PACKAGED_MODEL.read_bytes()


def _several(pictures: Iterable[T]) -> list[T]:
    """Raises UsageError for one picture, because its letters, bytes or lines would be taken for pictures."""
    if isinstance(pictures, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(pictures, "read"):
        name = f" {pictures}" if isinstance(pictures, (str, os.PathLike)) else ""
        raise UsageError(f"a {type(pictures).__name__}{name} is one picture or folder; give a list of pictures")
    return list(pictures)


def _name(source: Source | Sight, place: int) -> str | None:
    return None if isinstance(source, (str, os.PathLike)) else f"picture {place}"


def _artist(source: Source, seen: Examination) -> "Callable[[Digit], Image.Image]":
    """Draws the digit that was seen. It keeps a path, bytes or a small picture, so that thousands fit into memory."""
    kept = source
    if not isinstance(source, KEPT_SOURCES):
        every = max(1, max(seen.picture.grey.shape) // DRAWN_SIDE)
        kept = (255 * seen.picture.grey[::every, ::every]).round().astype(np.uint8)
    return functools.partial(_drawn_digit, kept, _version(kept), seen.picture.width, seen.normalised)


def _version(source: Source) -> tuple[int, int] | None:
    """What changes when the file at a path does; None where there is none, and for other sources."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    try:
        state = os.stat(source)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def _again(source: Source, version: tuple[int, int] | None, side: int) -> Picture:
    """A picture that was read, loaded once more. Raises ImageError where its file is gone or not the same any more."""
    if _version(source) != version:
        raise ImageError(f"{source!s:.200}: is gone or has changed since it was read; read it again to draw it")
    return load(source, side=side)


def _drawn_digit(
    source: Source,
    version: tuple[int, int] | None,
    width: int,
    normalised: NormalisedDigit | None,
    digit: Digit,
) -> "Image.Image":
    from digitnet.reading.drawing import draw

    picture = _again(source, version, WORKING_SIDE)
    if normalised and picture.width != width:
        scale = picture.width / width
        shown = Box.within((edge * scale for edge in normalised.box.edges), picture.width, picture.height)
        normalised = replace(normalised, box=shown)
    return draw(picture, normalised, digit)


def _drawing(source: Source, version: tuple[int, int] | None, page: Page) -> "Image.Image":
    from digitnet.reading.drawing import draw_page

    return draw_page(_again(source, version, PAGE_SIDE).grey, page)


def _model_bytes(model: str | os.PathLike[str] | None) -> tuple[str, bytes]:
    """What messages call the model, and its ONNX content."""
    if model is None:
        return "the package's model", _usual_content()
    path = Path(model)
    if path.suffix in (".pth", ".pt"):
        return str(path), cached_onnx(path)
    return str(path), _content(path)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError(f"{path}: larger than {MAX_MODEL_BYTES // 2**20} MiB, so not a DigitNet; choose another")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check the path") from error
