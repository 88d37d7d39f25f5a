"""What a detector's and DigitNet's scores are worth together, measured on pages that neither was trained on.

The pages are made of MNIST's held-out training digits and of letters that training has not seen. Every fifth is as
training has them, crowded and hard to read; the others are photos of what people write to be read: lines of numbers,
one number, one digit, and a few letters. Half of all pages fit the `Fusion`; the photos among the others then tell how
often a digit that is read with some confidence is wrong.
"""

import math
from collections.abc import Callable, Iterator, Sequence
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
from digitnet.pages.detect import Detection, Grey
from digitnet.pages.fusion import FEATURES, Fusion, evidence, features
from digitnet.pages.lattice import grouped, read
from digitnet.pages.page_reader import Closer, PageReader
from digitnet.synthesis.pages import MadeDigit, MadePage, PageMaker
from digitnet.training.calibration import THRESHOLDS
from digitnet.training.detector_run import SMALLEST, page_maker

PAGES = 1200
SIZES = ((192, 256), (96, 128), (64, 224), (448, 576))  # pixels, height and width, one after the other
KINDS = 5  # of pages, the first of them crowded
TOUCHING = 0.2  # of the numbers
LARGEST_PHOTO = 1280  # pixels, as `Reader.read` looks at pictures
GRAIN = 8.0  # of 255, its standard deviation at most
STREAM = 4  # of random numbers, apart from those of training
SAME_PLACE = 0.45  # of the area of both: a detection that shares more with a digit is that digit
NOTHING, UNKNOWN = -1, -2  # instead of a digit
HIDDEN = 48  # hidden_units in the log-odds of a digit
NEWTON_STEPS = 400
WEIGHT_DECAY = 5e-4


@dataclass(frozen=True)
class PageCalibration:
    """What `PageReader` needs besides two networks.

    Attributes:
        fusion: how to weigh what they say.
        risks: how often digits from a confidence upwards are wrong.
    """

    fusion: Fusion
    risks: tuple[Risk, ...]


def calibrate_pages(
    session: onnxruntime.InferenceSession, answers: Closer, data: str | Path | None = None, pages: int = PAGES
) -> PageCalibration:
    """Metrics two networks, as `PageReader` has them, on made pages with digits of the MNIST in `data`.

    Raises:
        DataError: MNIST is not to be had.
        ModelError: the detector detections no digits at all.
    """
    made = list(made_pages(data, pages))
    reader = PageReader(session, answers, Fusion(), Rejection(0.0))
    reader = replace(reader, fusion=fitted(reader, made[0::2]))
    return PageCalibration(
        reader.fusion, risks(reader, [page for number, page in enumerate(made) if number % 2 and number % KINDS])
    )


def made_pages(data: str | Path | None, count: int) -> Iterator[MadePage]:
    """The same pages at every call."""
    maker = page_maker(None if data is None else str(data), training=False)
    letters = PageMaker(maker.negatives, np.zeros(len(maker.negatives), np.int64), maker.negatives)
    for number in range(count):
        rng = np.random.default_rng([number, STREAM])
        kind, turn = number % KINDS, number // KINDS
        if kind == 0:
            yield maker.page(rng, *SIZES[turn % len(SIZES)])
        elif kind == 1:
            yield _photo(maker.text(rng, "\n".join(_any_number(rng) for _ in range(rng.integers(1, 5)))), rng)
        elif kind == 2:
            yield _photo(maker.number(rng, int(rng.integers(1, 11)), touching=rng.random() < TOUCHING), rng)
        elif kind == 3:
            yield _photo(maker.number(rng, 1), rng)
        else:
            yield replace(_photo(letters.text(rng, "0" * int(rng.integers(1, 4))), rng), digits=())


def _photo(page: MadePage, rng: Generator) -> MadePage:
    """The page as a camera has it that was held closer, up to eight times larger, with grain of paper and sensor."""
    factor = min(math.exp(rng.uniform(0, math.log(8))), LARGEST_PHOTO / max(page.picture.shape))
    height, width = (round(side * factor) for side in page.picture.shape)
    picture = cv2.resize(page.picture, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    grain = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), rng.uniform(0.4, 2.5))
    picture += grain / grain.std() * rng.uniform(0, GRAIN)
    digits = (
        replace(
            digit,
            left=digit.left * factor,
            right=digit.right * factor,
            top=digit.top * factor,
            bottom=digit.bottom * factor,
        )
        for digit in page.digits
    )
    return MadePage(np.clip(picture, 0, 255).astype(np.uint8), tuple(digits))


def _any_number(rng: Generator) -> str:
    """One to eight digits, some with a blank between them."""
    digits = "".join(map(str, rng.integers(0, 10, rng.integers(1, 9))))
    blank = int(rng.integers(1, 12))
    return f"{digits[:blank]} {digits[blank:]}".strip()


def fitted(reader: PageReader, pages: Sequence[MadePage]) -> Fusion:
    """The weights under which what the pages hold is likeliest."""
    looks = [
        (detections, answers, _labels(detections, page))
        for page in pages
        for detections, _, answers in [reader.looks(_grey(page))]
        if detections
    ]
    labels = torch.tensor([label for _, _, labels in looks for label in labels])
    known, is_digit = labels != UNKNOWN, labels >= 0
    if not is_digit.any():
        raise ModelError(
            "the detector detections no digit on any of the made pages; train it longer before exporting it"
        )
    told = zip(*(evidence(detections, answers) for detections, answers, _ in looks), strict=True)
    located, seen, doublings = (torch.from_numpy(np.concatenate(parts))[is_digit] for parts in told)
    fusion = _digit_powers(located, seen, doublings, labels[is_digit])
    rows = np.concatenate(
        [
            features(detections, answers, fusion.log_probabilities(*evidence(detections, answers)))
            for detections, answers, _ in looks
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
    """The digit that each detection is of: for each digit the detection that shares most of its area with it, if any does.

    Other detections of a digit that is cut off are of it too, since nobody can say what they are.
    """
    truth: list[MadeDigit | None] = [None] * len(detections)
    for digit in digits:
        shares = [_share(detection, digit) for detection in detections]
        if digit.label is None or digit.bottom - digit.top < SMALLEST:
            for index, share in enumerate(shares):
                if share > 0.1:
                    truth[index] = truth[index] or replace(digit, label=None)
        elif max(shares, default=0.0) > SAME_PLACE:
            truth[int(np.argmax(shares))] = digit
    return truth


def _share(detection: Detection, digit: MadeDigit) -> float:
    """Of the area that a detection and a digit cover, the part that both do (intersection over union)."""
    wide = max(0.0, min(detection.right, digit.right) - max(detection.left, digit.left))
    tall = max(0.0, min(detection.bottom, digit.bottom) - max(detection.top, digit.top))
    own = (digit.right - digit.left) * (digit.bottom - digit.top)
    return wide * tall / (detection.width * detection.height + own - wide * tall)


def _digit_powers(located: Tensor, seen: Tensor, doublings: Tensor, labels: Tensor) -> Fusion:
    """The powers under which the labels (N,) are likeliest; the rest of the fusion is as it comes."""
    powers = torch.tensor([1.0, 0.0, 0.5, 0.0], dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        located_power = powers[0] + powers[1] * doublings
        seen_power = powers[2] + powers[3] * doublings
        logits = located_power[:, None] * located + seen_power[:, None] * seen
        return functional.cross_entropy(logits, labels)

    _minimise(loss, [powers])
    detector, detector_by_size, digitnet, digitnet_by_size = powers.tolist()
    return Fusion(
        detector=detector, detector_by_size=detector_by_size, digitnet=digitnet, digitnet_by_size=digitnet_by_size
    )


def _with_log_odds(fusion: Fusion, told: Tensor, there: Tensor) -> Fusion:
    """The fusion with the weights under which what is `there` (N,) is likeliest, given `told` (N, 16), and small."""
    mean, spread = told.mean(0), told.std(0).clamp_min(1e-6)
    straight = (told - mean) / spread
    generator = torch.Generator().manual_seed(0)
    inward = torch.randn(FEATURES, HIDDEN, generator=generator, dtype=torch.float64) / FEATURES**0.5
    outward = torch.randn(HIDDEN, generator=generator, dtype=torch.float64) / HIDDEN**0.5
    slopes, offset = torch.zeros(FEATURES, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    offsets = torch.zeros(HIDDEN, dtype=torch.float64)
    parameters = [inward, outward, slopes, offset, offsets]
    for parameter in parameters:
        parameter.requires_grad_()

    def loss() -> Tensor:
        odds = straight @ slopes + offset + torch.tanh(straight @ inward + offsets) @ outward
        large = sum(part.square().sum() for part in (inward, outward, slopes))
        return functional.binary_cross_entropy_with_logits(odds, there) + WEIGHT_DECAY * large

    _minimise(loss, parameters)
    with torch.no_grad():
        slopes, inward = slopes / spread, inward / spread[:, None]
        offset, offsets = offset - mean @ slopes, offsets - mean @ inward
        hidden_units = torch.cat([inward, offsets[None], outward[None]]).T
    return replace(
        fusion,
        exists=tuple(slopes.tolist()),
        offset=float(offset),
        hidden_units=tuple(map(tuple, hidden_units.tolist())),
    )


def _minimise(loss: Callable[[], Tensor], parameters: list[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=NEWTON_STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimizer.step(closure)


def risks(reader: PageReader, pages: Sequence[MadePage]) -> tuple[Risk, ...]:
    """The part of the digits read that is wrong, from each of `THRESHOLDS` upwards."""
    sure, is_wrong = [], []
    for page in pages:
        for line in grouped(reader.candidates(_grey(page))):
            digits = read(line).digits
            truth = matched([digit.candidate.detection for digit in digits], page.digits)
            for digit, true in zip(digits, truth, strict=True):
                if true is None or true.label is not None:
                    sure.append(digit.confidence)
                    is_wrong.append(true is None or true.label != digit.digit)
    confidence, wrong = np.array(sure), np.array(is_wrong, np.float64)
    return tuple(
        Risk(threshold, float(wrong[answered].mean()))
        for threshold in THRESHOLDS
        if (answered := confidence >= threshold).any()
    )
