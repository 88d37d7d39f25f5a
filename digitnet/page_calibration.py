"""What a locator's and DigitNet's scores are worth together, measured on pages that neither was trained on.

The pages are made of MNIST's held-out training digits and of letters that training has not seen. Every other one is as
training has them, crowded and hard to read; the others hold a few legible numbers, as people write them to be read.
Half of the pages fit the `Fusion`; the others then tell how often a digit that is read with some confidence is wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from digitnet.calibration import THRESHOLDS
from digitnet.closeup import closeups
from digitnet.doubt import Doubt, Risk
from digitnet.errors import ModelError
from digitnet.fusion import Fusion, evidence, features
from digitnet.line import grouped, read
from digitnet.locate import Find, locate
from digitnet.locating import LARGEST, SMALLEST, page_maker
from digitnet.page import Closer, PageReader
from digitnet.runtime import Answers
from digitnet.synth import MadeDigit, MadePage

PAGES = 600
SIZES = ((192, 256), (192, 256), (64, 224), (448, 576))  # pixels, height and width, one after the other
STREAM = 4  # of random numbers, apart from those of training
SAME_PLACE = 0.45  # of the area of both: a find that shares more with a digit is that digit
NOTHING, UNKNOWN = -1, -2  # instead of a digit
NEWTON_STEPS = 200
WEIGHT_DECAY = 1e-4


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
    """Measures two networks, as `PageReader` has them, on made pages with digits of the MNIST in `data`.

    Raises:
        DataError: MNIST is not to be had.
        ModelError: the locator finds no digits at all.
    """
    made = list(made_pages(data, pages))
    reader = PageReader(session, answers, Fusion(), Doubt(0.0))
    reader = replace(reader, fusion=fitted(reader, made[: pages // 2]))
    return PageCalibration(reader.fusion, risks(reader, made[pages // 2 :]))


def made_pages(data: str | Path | None, count: int) -> Iterator[MadePage]:
    """The same pages at every call."""
    maker = page_maker(None if data is None else str(data), training=False)
    for number in range(count):
        rng = np.random.default_rng([number, STREAM])
        if number % 2:
            yield maker.text(rng, "\n".join(_any_number(rng) for _ in range(rng.integers(1, 5))))
        else:
            yield maker.page(rng, *SIZES[number // 2 % len(SIZES)])


def _any_number(rng: Generator) -> str:
    """One to eight digits, some with a blank between them."""
    digits = "".join(map(str, rng.integers(0, 10, rng.integers(1, 9))))
    blank = int(rng.integers(1, 12))
    return f"{digits[:blank]} {digits[blank:]}".strip()


def fitted(reader: PageReader, pages: Sequence[MadePage]) -> Fusion:
    """The weights under which what the pages hold is likeliest."""
    looks = [
        (finds, answers, _labels(finds, page)) for page in pages for finds, answers in [_look(reader, page)] if finds
    ]
    labels = torch.tensor([label for _, _, labels in looks for label in labels])
    known, is_digit = labels != UNKNOWN, labels >= 0
    if not is_digit.any():
        raise ModelError("the locator finds no digit on any of the made pages; train it longer before exporting it")
    told = zip(*(evidence(finds, answers) for finds, answers, _ in looks), strict=True)
    located, seen, doublings = (torch.from_numpy(np.concatenate(parts))[is_digit] for parts in told)
    fusion = _digit_powers(located, seen, doublings, labels[is_digit])
    rows = np.concatenate(
        [features(finds, answers, fusion.log_probabilities(*evidence(finds, answers))) for finds, answers, _ in looks]
    )
    exists, offset = _log_odds(torch.from_numpy(rows)[known], is_digit[known].double())
    return replace(fusion, exists=exists, offset=offset)


def _look(reader: PageReader, page: MadePage) -> tuple[list[Find], Answers]:
    grey = page.picture.astype(np.float32) / np.float32(255)
    finds = locate(reader.session, grey)
    return finds, reader.answers(closeups(grey, finds)) if finds else np.zeros((0, 11), np.float32)


def _labels(finds: Sequence[Find], page: MadePage) -> list[int]:
    """The digit of each find, `NOTHING` where there is none, `UNKNOWN` where nobody can say."""
    return [
        NOTHING if digit is None else UNKNOWN if digit.label is None else digit.label
        for digit in matched(finds, page.digits)
    ]


def matched(finds: Sequence[Find], digits: Sequence[MadeDigit]) -> list[MadeDigit | None]:
    """The digit that each find is of: for each digit the find that shares most of its area with it, if any does.

    Other finds of a digit that is cut off are of it too, since nobody can say what they are.
    """
    truth: list[MadeDigit | None] = [None] * len(finds)
    for digit in digits:
        shares = [_share(find, digit) for find in finds]
        if digit.label is None or not SMALLEST <= digit.bottom - digit.top <= 4 * LARGEST:
            for index, share in enumerate(shares):
                if share > 0.1:
                    truth[index] = truth[index] or replace(digit, label=None)
        elif max(shares, default=0.0) > SAME_PLACE:
            truth[int(np.argmax(shares))] = digit
    return truth


def _share(find: Find, digit: MadeDigit) -> float:
    """Of the area that a find and a digit cover, the part that both do (intersection over union)."""
    wide = max(0.0, min(find.right, digit.right) - max(find.left, digit.left))
    tall = max(0.0, min(find.bottom, digit.bottom) - max(find.top, digit.top))
    own = (digit.right - digit.left) * (digit.bottom - digit.top)
    return wide * tall / (find.width * find.height + own - wide * tall)


def _digit_powers(located: Tensor, seen: Tensor, doublings: Tensor, labels: Tensor) -> Fusion:
    """The powers under which the labels (N,) are likeliest; the rest of the fusion is as it comes."""
    powers = torch.tensor([1.0, 0.0, 0.5, 0.0], dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        located_power = powers[0] + powers[1] * doublings
        seen_power = powers[2] + powers[3] * doublings
        return functional.cross_entropy(located_power[:, None] * located + seen_power[:, None] * seen, labels)

    _minimise(loss, [powers])
    locator, locator_by_size, digitnet, digitnet_by_size = powers.tolist()
    return Fusion(
        locator=locator, locator_by_size=locator_by_size, digitnet=digitnet, digitnet_by_size=digitnet_by_size
    )


def _log_odds(told: Tensor, there: Tensor) -> tuple[tuple[float, ...], float]:
    """Weights and offset of a logistic regression."""
    weights = torch.zeros(told.shape[1], dtype=torch.float64, requires_grad=True)
    offset = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        odds = told @ weights + offset
        return functional.binary_cross_entropy_with_logits(odds, there) + WEIGHT_DECAY * weights.square().sum()

    _minimise(loss, [weights, offset])
    return tuple(weights.tolist()), float(offset.detach())


def _minimise(loss: Callable[[], Tensor], parameters: list[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=NEWTON_STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimizer.step(closure)


def risks(reader: PageReader, pages: Sequence[MadePage]) -> tuple[Risk, ...]:
    """The part of the digits read that is wrong, from each of `THRESHOLDS` upwards; all of a page count as one."""
    sure, is_wrong, weight = [], [], []
    for page in pages:
        confidences, wrong = [], []
        grey = page.picture.astype(np.float32) / np.float32(255)
        for line in grouped(reader.candidates(grey)):
            digits = read(line).digits
            truth = matched([digit.candidate.find for digit in digits], page.digits)
            for digit, true in zip(digits, truth, strict=True):
                if true is None or true.label is not None:
                    confidences.append(digit.confidence)
                    wrong.append(true is None or true.label != digit.digit)
        sure += confidences
        is_wrong += wrong
        weight += [1 / max(len(wrong), 1)] * len(wrong)
    confidence, error, weights = np.array(sure), np.array(is_wrong, np.float64), np.array(weight)
    return tuple(
        Risk(threshold, float(np.average(error[answered], weights=weights[answered])))
        for threshold in THRESHOLDS
        if (answered := confidence >= threshold).any()
    )
