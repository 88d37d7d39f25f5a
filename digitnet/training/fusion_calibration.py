"""Calibration of page reading: how to weigh the detector's and DigitNet's scores together.

It is fitted on made pages of MNIST's held-out training digits and of letters that training has not seen, so neither
network was trained on them. Every sixth page is as in training. The others look like pictures of what people write
to be read: lines of numbers, one number, most cut out tightly, one digit, a few letters, or an amount on a cheque.
Half of all pages fit the `Fusion`. The photos among the other half then tell how often a digit is wrong that was read
with some score, and how often a line is wrong that was read with some confidence.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from digitnet.errors import ModelError
from digitnet.inference.rejection import Rejection, Risk
from digitnet.pages.boxes import areas, edges, intersection_over_union, placed, shared_areas
from digitnet.pages.detect import Detection, Grey
from digitnet.pages.fusion import FEATURES, Fusion, evidence, features, line_log_odds
from digitnet.pages.lattice import LIKELIER_NOT, ReadDigit, Reading, grouped, read
from digitnet.pages.page_reader import Classify, PageReader
from digitnet.synthesis.pages import MadeDigit, MadePage, PageMaker
from digitnet.synthesis.photos import Difficulties, random_difficulties
from digitnet.synthesis.strokes import stroke_letters
from digitnet.training.calibration import minimise, risk_table
from digitnet.training.detector_run import SMALLEST, held_out_pools, page_maker

PAGES = 2880
SIZES = ((192, 256), (96, 128), (64, 224), (448, 576))  # pixels, height and width, one after the other
KINDS = 6  # of pages; the first is that of training
TOUCHING = 0.2  # of the numbers are written with touching digits
CUT_OUT_HEIGHTS = (16.0, 64.0)  # pixels; of the digits in numbers that are cut out tightly
LARGEST_PHOTO = 1280  # pixels; `Reader.read` reduces larger pictures to this
PATTERNED: Difficulties = frozenset({"paper"})
LETTERS = 600  # by the pens of stroke digits, besides those of the held-out fonts
LETTERS_SEED = 11  # training has another one
GRAIN = 8.0  # of 255, its standard deviation at most
STREAM = 4  # of random numbers; training has other ones
SAME_PLACE = 0.25  # intersection over union; the detection that has most with a digit, if more than this, is that digit
OVERLAPPING = 0.1  # intersection over union; a detection that has more with a cut-off digit may be part of it
NOTHING, UNKNOWN = -1, -2  # labels of detections that are not a digit, or that nobody can name
HIDDEN = 48  # hidden units in the log-odds of a digit
FIT_STEPS = 400
WEIGHT_DECAY = 5e-4


def calibrate_pages(
    session: onnxruntime.InferenceSession,
    probabilities: Classify,
    second: Classify,
    data: str | Path | None = None,
    pages: int = PAGES,
) -> tuple[Fusion, tuple[Risk, ...]]:
    """What `PageReader` needs besides the detector in `session` and a DigitNet, which gives `probabilities`.

    Returns how to weigh the two networks, and how often digits are wrong for each lowest score, on made pages.

    Args:
        second: another DigitNet, which has a say in which made digits are legible; see `read_lines`.
        data: the folder of MNIST; None looks in the usual places.

    Raises:
        DataError: MNIST was not found and could not be downloaded.
        ModelError: the detector finds no digit at all.
    """
    made = list(made_pages(data, pages))
    reader = PageReader(session, probabilities, Fusion(), Rejection(0.0))
    for_fusion, for_risks = ([page for number, page in enumerate(made) if _half(number) == half] for half in (0, 1))
    reader = replace(reader, fusion=fitted(reader, for_fusion))
    photos = [page for number, page in enumerate(for_risks) if number % KINDS]
    lines = read_lines(reader, photos, second)
    return with_line_confidence(reader.fusion, lines), risks(lines)


def _half(number: int) -> int:
    """Which half of the pages this one belongs to; both halves have as many of each kind."""
    return number // KINDS % 2


@dataclass(frozen=True)
class ReadLine:
    """A line read on a made page, and the digits that its own digits show; see `matched`."""

    page: MadePage
    reading: Reading
    truth: list[MadeDigit | None]

    @property
    def is_right(self) -> bool | None:
        """Whether all is right and no digit of the line was missed; None where nobody can name all of its digits."""
        written = [digit for digit in self.truth if digit]
        numbers = {digit.line for digit in written}
        whole = [digit for digit in self.page.digits if digit.line in numbers]
        if any(digit.label is None for digit in (*written, *whole)):
            return None
        read_right = (
            true is not None and true.label == digit.digit
            for digit, true in zip(self.reading.digits, self.truth, strict=True)
        )
        return all(read_right) and len(written) == len(whole)


def made_pages(data: str | Path | None, count: int) -> Iterator[MadePage]:
    """Pages for calibration, the same at every call."""
    maker = page_maker(None if data is None else str(data), training=False)
    negatives = np.concatenate([held_out_pools()[2][:, 0].numpy(), stroke_letters(LETTERS, LETTERS_SEED)])
    letters = PageMaker(negatives, np.zeros(len(negatives), np.int64), negatives)
    for number in range(count):
        rng = np.random.default_rng([number, STREAM])
        kind, turn = number % KINDS, number // KINDS
        if kind == 0:
            yield maker.page(rng, *SIZES[turn // 2 % len(SIZES)])
        elif kind == 1:
            lines = "\n".join(_any_number(rng) for _ in range(rng.integers(1, 5)))
            yield _photo(maker.text(rng, lines, difficulties=random_difficulties(rng)), rng)
        elif kind == 2 and turn % 3:
            yield _photo(maker.cut_out(rng, *CUT_OUT_HEIGHTS), rng)
        elif kind == 5:
            patterned = random_difficulties(rng) | PATTERNED
            yield _photo(maker.cut_out(rng, *CUT_OUT_HEIGHTS, patterned), rng)
        elif kind in (2, 3):
            length = int(rng.integers(1, 11)) if kind == 2 else 1
            touching = rng.random() < TOUCHING
            yield _photo(maker.number(rng, length, touching=touching, difficulties=random_difficulties(rng)), rng)
        else:
            made = (
                letters.cut_out(rng, *CUT_OUT_HEIGHTS)
                if turn % 3 == 0
                else letters.text(rng, "0" * int(rng.integers(1, 4)), difficulties=random_difficulties(rng))
            )
            yield replace(_photo(made, rng), digits=())


def _photo(page: MadePage, rng: Generator) -> MadePage:
    """The page as a camera shows it from nearer, up to eight times larger, with the grain of paper and sensor."""
    factor = min(math.exp(rng.uniform(0, math.log(8))), LARGEST_PHOTO / max(page.picture.shape))
    height, width = (round(side * factor) for side in page.picture.shape)
    picture = cv2.resize(page.picture, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    grain = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), rng.uniform(0.4, 2.5))
    picture += grain / grain.std() * rng.uniform(0, GRAIN)
    return MadePage(np.clip(picture, 0, 255).astype(np.uint8), tuple(placed(digit, factor) for digit in page.digits))


def _any_number(rng: Generator) -> str:
    """One to eight digits, some with a blank between them."""
    digits = "".join(map(str, rng.integers(0, 10, rng.integers(1, 9))))
    blank = int(rng.integers(1, 12))
    return f"{digits[:blank]} {digits[blank:]}".strip()


def fitted(reader: PageReader, pages: Sequence[MadePage]) -> Fusion:
    """The weights that make the digits of the pages most likely."""
    examined = [
        (detections, probabilities, _labels(detections, page))
        for page in pages
        for detections, _, probabilities in [reader.classified(_grey(page))]
        if detections
    ]
    labels = torch.tensor([label for *_, page_labels in examined for label in page_labels])
    known, is_digit = labels != UNKNOWN, labels >= 0
    if not is_digit.any():
        raise ModelError("the detector finds no digit on any of the made pages; train it longer before exporting it")
    inputs = zip(*(evidence(detections, probabilities) for detections, probabilities, _ in examined), strict=True)
    of_digits = [torch.from_numpy(np.concatenate(pages))[is_digit] for pages in inputs]
    fusion = _digit_powers(*of_digits, labels=labels[is_digit])
    rows = np.concatenate(
        [
            features(detections, probabilities, fusion.log_probabilities(*evidence(detections, probabilities)))
            for detections, probabilities, _ in examined
        ]
    )
    return _with_log_odds(fusion, torch.from_numpy(rows)[known].double(), is_digit[known].double())


def _grey(page: MadePage) -> Grey:
    return page.picture.astype(np.float32) / np.float32(255)


def _labels(detections: Sequence[Detection], page: MadePage) -> list[int]:
    """The digit of each detection, `NOTHING` where there is none, `UNKNOWN` where nobody can say."""
    return [
        NOTHING if digit is None else UNKNOWN if digit.label is None else digit.label
        for digit in matched(detections, page.digits)
    ]


def matched(detections: Sequence[Detection], digits: Sequence[MadeDigit]) -> list[MadeDigit | None]:
    """The digit that each detection shows, or None.

    Each digit goes to the detection that overlaps it most, if the two are in the same place. A digit that is cut off or
    too small goes to all detections that overlap it, without its label, since nobody can say what they show.
    """
    truth: list[MadeDigit | None] = [None] * len(detections)
    overlaps = intersection_over_union(edges(detections)[:, np.newaxis], edges(digits))  # (detections, digits)
    for overlap, digit in zip(overlaps.T, digits, strict=True):
        if digit.label is None or digit.bottom - digit.top < SMALLEST:
            for index in np.flatnonzero(overlap > OVERLAPPING):
                truth[index] = truth[index] or replace(digit, label=None)
        elif overlap.max(initial=0.0) > SAME_PLACE:
            truth[int(overlap.argmax())] = digit
    return truth


def _digit_powers(
    by_detector: Tensor, by_digitnet: Tensor, doublings: Tensor, free: Tensor, *, labels: Tensor
) -> Fusion:
    """A fusion with the powers that make the labels (N,) most likely; its log-odds are not yet fitted.

    The other arguments are those that `evidence` gives.
    """
    powers = torch.tensor([1.0, 0.0, 0.5, 0.0, 0.0], dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        detector_power = powers[0] + powers[1] * doublings
        digitnet_power = powers[2] + powers[3] * doublings + powers[4] * free
        logits = detector_power[:, None] * by_detector + digitnet_power[:, None] * by_digitnet
        return functional.cross_entropy(logits, labels)

    minimise(loss, [powers], FIT_STEPS)
    detector, detector_by_size, digitnet, digitnet_by_size, digitnet_by_freedom = powers.tolist()
    return Fusion(
        detector=detector,
        detector_by_size=detector_by_size,
        digitnet=digitnet,
        digitnet_by_size=digitnet_by_size,
        digitnet_by_freedom=digitnet_by_freedom,
    )


def _with_log_odds(fusion: Fusion, inputs: Tensor, exists: Tensor) -> Fusion:
    """The fusion, its log-odds fitted to whether a digit `exists` (N,), 0 or 1, given the features `inputs` (N, 18)."""
    mean, spread = inputs.mean(0), inputs.std(0).clamp_min(1e-6)
    standardised = (inputs - mean) / spread
    generator = torch.Generator().manual_seed(0)
    inward = torch.randn(FEATURES, HIDDEN, generator=generator, dtype=torch.float64) / FEATURES**0.5
    outward = torch.randn(HIDDEN, generator=generator, dtype=torch.float64) / HIDDEN**0.5
    slopes, offset = torch.zeros(FEATURES, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    biases = torch.zeros(HIDDEN, dtype=torch.float64)
    parameters = [inward, outward, slopes, offset, biases]
    for parameter in parameters:
        parameter.requires_grad_()

    def loss() -> Tensor:
        odds = standardised @ slopes + offset + torch.tanh(standardised @ inward + biases) @ outward
        large = sum(weights.square().sum() for weights in (inward, outward, slopes))
        return functional.binary_cross_entropy_with_logits(odds, exists) + WEIGHT_DECAY * large

    minimise(loss, parameters, FIT_STEPS)
    with torch.no_grad():  # weights for features that are not standardised
        slopes, inward = slopes / spread, inward / spread[:, None]
        offset, biases = offset - mean @ slopes, biases - mean @ inward
        hidden_units = torch.cat([inward, biases[None], outward[None]]).T
    return replace(
        fusion,
        exists=tuple(slopes.tolist()),
        offset=float(offset),
        hidden_units=tuple(map(tuple, hidden_units.tolist())),
    )


def read_lines(reader: PageReader, pages: Sequence[MadePage], second: Classify) -> list[ReadLine]:
    """Every line that the reader reads on the pages, likely digits or not, beside the truth.

    Some made digits have lost their shape: a 9 without a loop is a 4 to anybody. And a stray line among digits may look
    like a 1. So where a second network reads a digit as the reader does, and not as it was meant, nobody can say which
    digit it is.
    """
    lines = []
    for page in pages:
        for group in grouped(reader.candidates(_grey(page))):
            reading = read(group)
            truth = matched([digit.candidate.detection for digit in reading.digits], page.digits)
            known = [
                unknown if (unknown := _look_alike(digit, true, page, second)) else true
                for digit, true in zip(reading.digits, truth, strict=True)
            ]
            lines.append(ReadLine(page, reading, known))
    return lines


def _look_alike(digit: ReadDigit, true: MadeDigit | None, page: MadePage, second: Classify) -> MadeDigit | None:
    """The digit without its label if it was read as what it looks like to the second network, too; otherwise None.

    What was written as a letter, or is a piece of a digit, is never a digit.
    """
    crop, place = digit.candidate.crop, digit.candidate.detection
    if crop is None or (true and true.label in (None, digit.digit)):
        return None
    if true is None:
        box = edges([place])
        if not page.digits or shared_areas(box[:, np.newaxis], edges(page.digits)).max() > OVERLAPPING * areas(box)[0]:
            return None
        true = MadeDigit(0, place.left, place.top, place.right, place.bottom, line=0)
    return replace(true, label=None) if second(crop[np.newaxis])[0, digit.digit] > 0.5 else None


def risks(lines: Sequence[ReadLine]) -> tuple[Risk, ...]:
    """How often the digits of these lines are wrong, for each lowest score."""
    scores, wrong = [], []
    for line in lines:
        for digit, true in zip(line.reading.digits, line.truth, strict=True):
            if true is None or true.label is not None:
                scores.append(digit.score)
                wrong.append(true is None or true.label != digit.digit)
    return risk_table(np.array(scores), np.array(wrong, np.float64))


def with_line_confidence(fusion: Fusion, lines: Sequence[ReadLine]) -> Fusion:
    """The fusion, with its confidence of a line fitted to whether each of these lines is right as a whole."""
    answered = [line for line in lines if any(digit.exists >= LIKELIER_NOT for digit in line.reading.digits)]
    told = [(line.reading.confidence, is_right) for line in answered if (is_right := line.is_right) is not None]
    if not told:
        return fusion
    odds = torch.tensor([line_log_odds(confidence) for confidence, _ in told], dtype=torch.float64)
    right = torch.tensor([is_right for _, is_right in told], dtype=torch.float64)
    log_slope, offset = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2))

    def loss() -> Tensor:
        return functional.binary_cross_entropy_with_logits(log_slope.exp() * odds + offset, right)

    minimise(loss, [log_slope, offset], FIT_STEPS)
    return replace(fusion, line=float(log_slope.exp().detach()), line_offset=float(offset.detach()))
