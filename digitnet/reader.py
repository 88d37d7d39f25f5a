"""`Reader`: pictures in, digits and pages out. ONNX Runtime does the arithmetic; PyTorch is not needed."""

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from digitnet import __version__
from digitnet.errors import ImageError, MissingExtraError, ModelError, UsageError
from digitnet.imaging.ink import SMALL_SIDE
from digitnet.imaging.load import Picture, Source, load
from digitnet.imaging.normalise import SIDE, NormalisedDigit, normalise, normalise_stack, side_by_side
from digitnet.inference import rejection as rejection
from digitnet.inference.onnx_models import LARGE_MODEL, PACKAGED_DETECTOR, PACKAGED_MODEL, OnnxDigitNet, Probabilities
from digitnet.inference.rejection import DEFAULT_MAX_ERROR, NOT_A_DIGIT
from digitnet.pages.constraints import constrained
from digitnet.pages.page_reader import PageExamination, PageReader
from digitnet.results import Box, Digit, Page

if TYPE_CHECKING:
    from PIL import Image

LARGE = "large"
MAX_MODEL_BYTES = 64 * 2**20
PAGE_SIDE = 1280  # pixels; larger pictures of pages are reduced to this
ALONE = 1 / 3  # of `max_error` is asked of a page's one digit: a page may as well hold one letter, or a picture
BATCH = 128  # pictures that go through the network at once in bulk

NO_PROBABILITIES = (0.1,) * 10
TINY = 1e-30  # keeps ten probabilities that are all 0 from dividing by 0


@dataclass(frozen=True)
class Examination:
    """A picture, what was taken from it, and the answer; `normalised` is None for a blank picture."""

    picture: Picture
    normalised: NormalisedDigit | None
    digit: Digit


class Reader:
    """Reads handwritten digits. Making one loads the network once; it may be shared between threads.

    Attributes:
        about: facts about the model, by name: what it is called, the checksum of its weights, its calibration.

    Args:
        model: an .onnx file from `digitnet export`, or a model.pth, which is exported on the fly where PyTorch is
            installed. Without it, the model that the package carries; "large" is the larger one that taught it.
        max_error: how many of the answers may be wrong, as a fraction; what would make them more is withheld. None
            answers whatever holds ink.
        detector: for `read`, another network that detections digits, an .onnx file from `digitnet export detector.pth`.

    Raises:
        ModelError: the file is missing, damaged or not a DigitNet of this version.
        UsageError: `max_error` is outside [0, 1].
        MissingExtraError: a .pth was given and PyTorch is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        max_error: float | None = DEFAULT_MAX_ERROR,
        detector: str | os.PathLike[str] | None = None,
    ) -> None:
        name, content = _model_bytes(model)
        self._network = OnnxDigitNet(content, name)
        self._rejection = rejection.rejection_for(self._network.risks, max_error)
        self._max_error = max_error
        self._detector = Path(PACKAGED_DETECTOR if detector is None else detector)
        if detector is not None:
            self._pages  # noqa: B018  a wrong file is to fail here, not at the first page
        self.about = {"model": name, "version": __version__} | self._network.metadata

    def predict(self, picture: Source, *, name: str | None = None) -> Digit:
        """The one digit in `picture`: a path, bytes, a binary stream, a PIL image or an array (see `picture.load`).

        Args:
            name: what to call the picture in an error, if it has no path.

        Raises:
            ImageError: the picture cannot be read.
        """
        return self.examine(picture, name=name).digit

    def predict_many(self, pictures: Iterable[Source]) -> list[Digit]:
        """One digit a picture, in order, on all cores.

        Raises:
            ImageError: a picture cannot be read; it names the picture by its path or its place in the list.
        """
        sources = list(pictures)
        starts = range(0, len(sources), BATCH)
        workers = min(len(starts), os.cpu_count() or 1)
        if workers <= 1:
            return [digit for start in starts for digit in self._predict_batch(sources, start)]
        from concurrent.futures import ThreadPoolExecutor  # here, since reading one picture need not wait for it

        with ThreadPoolExecutor(workers) as pool:
            batches = pool.map(lambda start: self._predict_batch(sources, start), starts)
            return [digit for batch in batches for digit in batch]

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
        r"""All digits in `picture` (see `picture.load`), line by line.

        What is known of the numbers picks among their likely readings (see `constraint.constrained`); each line's
        `note` says what it did.

        Args:
            name: what to call the picture in an error, if it has no path.
            length: of each line, in digits.
            lines: how many there are; of more, the likeliest are kept.
            pattern: of each line's digits, as in r"\d{3}-\d{4}".
            check: "luhn", "ean", "isbn" or "mod97", what each line's check digit obeys.

        Raises:
            ImageError: the picture cannot be read.
            UsageError: what is asked for cannot be.
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
        is_cancelled: Callable[[], bool] | None = None,
    ) -> PageExamination:
        """The page together with its picture; arguments and errors are those of `read`."""
        if lines is not None and lines < 1:
            raise UsageError(f"{lines} lines cannot be asked for; give 1 or more")
        known = constrained(length, pattern, check)
        loaded = load(source, name, side=PAGE_SIDE)
        examination = self._pages.examine(
            loaded, known if known.constraints else None, lines, is_cancelled
        )
        return replace(examination, page=replace(examination.page, artist=functools.partial(_drawing, loaded)))

    @functools.cached_property
    def _pages(self) -> PageReader:
        """Made when the first page is read, since loading its network takes longer than reading a digit."""
        content, name = _content(self._detector), str(self._detector)
        max_error = self._max_error
        alone = rejection.rejection_for(self._network.risks, None if max_error is None else max_error * ALONE)
        return PageReader.from_onnx(content, name, self._network.probabilities, max_error, alone)

    def explain(self, picture: Source, *, name: str | None = None) -> "Image.Image":
        """A drawing of what the reader saw: the picture with the ink's box, the 28x28, the probabilities as bars."""
        from digitnet.inference.drawing import draw

        return draw(self.examine(picture, name=name))

    def examine(self, source: Source, *, name: str | None = None) -> "Examination":
        """The digit together with what led to it; arguments and errors are those of `predict`."""
        picture = load(source, name)
        normalised = _normalised_as_given(picture)
        return Examination(picture, normalised, self._digits([normalised])[0])

    def examine_many(self, sources: Iterable[Source], names: Iterable[str]) -> "list[Examination | ImageError]":
        """Small pictures together, which is quicker than one by one; an error in the place of one that cannot be read.

        Args:
            names: what to call them in an error.
        """
        loaded = [_loaded(source, name) for source, name in zip(sources, names, strict=True)]
        pictures = [picture for picture in loaded if isinstance(picture, Picture)]
        found = list(_normalised(pictures))
        read = map(Examination, pictures, found, self._digits(found))
        return [next(read) if isinstance(picture, Picture) else picture for picture in loaded]

    def predict_normalised(self, images: npt.NDArray[np.float32]) -> list[Digit]:
        """One digit an image, for `images` (N, 28, 28) in [0, 1] that are as MNIST's are, ink bright on dark."""
        whole = Box(0, 0, SIDE, SIDE)
        return self._digits([NormalisedDigit(image, whole, strength=1.0, several=False) for image in images])

    def _predict_batch(self, sources: Sequence[Source], start: int) -> list[Digit]:
        places = range(start, min(start + BATCH, len(sources)))
        pictures = (load(sources[place], _name(sources[place], place)) for place in places)
        return self._digits(list(_normalised(pictures)))

    def _digits(self, found: Sequence[NormalisedDigit | None]) -> list[Digit]:
        """One digit for each normalised one, blank for None; all arithmetic on whole batches, for speed."""
        inked = [normalised for normalised in found if normalised is not None]
        read: list[Digit] = []
        for start in range(0, len(inked), BATCH):
            batch = inked[start : start + BATCH]
            answers = self._network.probabilities(np.stack([normalised.image for normalised in batch]))
            ten = answers[:, :NOT_A_DIGIT]
            probabilities = (ten / np.maximum(ten.sum(1, keepdims=True), TINY)).tolist()
            sure = self._rejection.accepts(answers)
            rows = zip(batch, answers, ten.argmax(1).tolist(), ten.max(1).tolist(), probabilities, sure, strict=True)
            for normalised, eleven, best, confidence, probability, accepts in rows:
                clear = accepts and (not normalised.several or self._rejection.never)
                reason = None if clear else self._reason(eleven, normalised)
                digit = None if reason else best
                read.append(Digit(digit, confidence, reason, best, tuple(probability), normalised.box))
        answered = iter(read)
        return [_blank() if normalised is None else next(answered) for normalised in found]

    def _reason(self, answers: Probabilities, normalised: NormalisedDigit) -> str:
        """Why the digit is withheld whose eleven probabilities these are."""
        if normalised.several or self._several(normalised):
            return "more than one digit"
        return rejection.reason(answers, normalised.strength)

    def _several(self, normalised: NormalisedDigit) -> bool:
        """Whether what is no digit as a whole is digits side by side."""
        parts = side_by_side(normalised.image)
        return len(parts) > 1 and bool((self._network.probabilities(np.stack(parts))[:, NOT_A_DIGIT] < 0.5).all())


def _normalised(pictures: Iterable[Picture]) -> Iterator[NormalisedDigit | None]:
    """Each picture's digit, its box in pixels of the picture as it was given.

    Small neighbours of one size go together; a large picture is let go before the next one is loaded.
    """
    for shape, group in itertools.groupby(pictures, key=lambda picture: picture.grey.shape):
        if max(shape) <= SMALL_SIDE:
            yield from normalise_stack(np.stack([picture.grey for picture in group]))
        else:
            yield from (_normalised_as_given(picture) for picture in group)


def _normalised_as_given(picture: Picture) -> NormalisedDigit | None:
    normalised = normalise(picture.grey)
    if normalised is None or picture.scale == 1:
        return normalised
    return replace(normalised, box=_box_as_given(normalised.box, picture))


def _loaded(source: Source, name: str) -> Picture | ImageError:
    try:
        return load(source, name)
    except ImageError as error:
        return error


def _name(source: Source, place: int) -> str | None:
    return None if isinstance(source, (str, os.PathLike)) else f"picture {place}"


def _blank() -> Digit:
    return Digit(digit=None, confidence=0.0, reason="blank", best_guess=None, probabilities=NO_PROBABILITIES)


def _box_as_given(box: Box, picture: Picture) -> Box:
    """The box in pixels of the picture as it was given, before it was reduced."""
    scale = picture.scale
    left, top = int(box.x * scale), int(box.y * scale)
    right = min(picture.width, round((box.x + box.width) * scale))
    bottom = min(picture.height, round((box.y + box.height) * scale))
    return Box(left, top, right - left, bottom - top)


def _model_bytes(model: str | os.PathLike[str] | None) -> tuple[str, bytes]:
    """What to call the model, and its ONNX content."""
    if model is None:
        return "the package's model", PACKAGED_MODEL.read_bytes()
    if os.fspath(model) == LARGE:
        return "the package's large model", LARGE_MODEL.read_bytes()
    path = Path(model)
    if path.suffix in (".pth", ".pt"):
        try:
            from digitnet.training.export import to_onnx
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"{path}: reading PyTorch weights needs PyTorch; install it with pip install 'digitnet[train]', "
                f"or run where it is installed: digitnet export {path}"
            ) from error
        return str(path), to_onnx(path)
    return str(path), _content(path)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError(f"{path}: larger than {MAX_MODEL_BYTES // 2**20} MiB, so not a DigitNet; choose another")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _drawing(picture: Picture, page: Page) -> "Image.Image":
    from digitnet.inference.drawing import draw_page

    return draw_page(picture, page)
