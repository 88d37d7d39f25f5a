"""Fits how much each reading of a picture counts (`digitnet/inference/choice.py`), on made pictures.

A quarter of the pictures are digits that training has not seen, MNIST's held-out images and stroke digits of another
seed, each in a random situation (`digitnet/synthesis/situations.py`). Half are digits cut out of made numbers, with
what lies around them. The others are no digits. Only those pictures count whose first reading is not sure. A second
set of pictures, made with another seed, tells how well the choice does.

    python benchmarks/readings.py [--count N] [--model MODEL]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import record
import torch
from torch import Tensor
from torch.nn import functional

from digitnet import Reader
from digitnet.dataset import get_validation_loader
from digitnet.reading.normalise import normalise
from digitnet.reading.readings import Reading
from digitnet.reading import choice
from digitnet.reading.answer import NOT_A_DIGIT, score
from digitnet.reading.digit_reader import DigitReader, Sight, is_alone, is_sure
from digitnet.synthesis.pages import PageMaker
from digitnet.synthesis.situations import in_situation
from digitnet.synthesis.strokes import digits_of, stroke_letters
from digitnet.training.calibration import NEGATIVE_SHARE, minimise
from digitnet.training.negatives import drawings, held_out_glyphs

SEEDS = 1, 2  # of the pictures that the weights are fitted on, and of those that they are tried on
LARGE = 112  # pixels; images of 28x28 are enlarged to this before they are set into a situation
STROKES = 0.6  # of the made numbers are written stroke by stroke
TOUCHING = 0.2  # of the made numbers
AROUND = -0.02, 0.45  # sizes of a digit; what is cut out on each side of it
CUT_SIDES = 20, 110  # pixels; the longer side of what is cut out
SIGN_SIDES = 12, 60  # pixels; the longer side of signs that fill their picture
KINDS = list(choice.LARGE.kinds)
USUAL_WEIGHT, USUAL_POWER = 1.0, 0.5  # where a kind of reading is too rare to tell
USUAL_CERTAINTY, USUAL_CENTRE = 3.0, 3.0
PULL = 1e-3  # towards them
STEPS = 60

Images = npt.NDArray[np.float32]
Picture = tuple[Images, int]  # (H, W) in [0, 1] and its label


@dataclass
class HardPicture:
    """The readings of a picture and what DigitNet says of them, (N, 11); and the label."""

    sight: Sight
    probabilities: npt.NDArray[np.float32]
    label: int


class Parameters:
    """What is fitted, with its usual values.

    Attributes:
        logs: the logarithms of the weights of `KINDS`.
        raw_powers: the powers of the odds, before softplus keeps them above 0.
        certainty, centre: as in `choice.Weights`.
    """

    def __init__(self) -> None:
        self.logs = torch.full((len(KINDS),), float(np.log(USUAL_WEIGHT)), dtype=torch.float64)
        self.raw_powers = torch.full((len(KINDS),), float(np.log(np.expm1(USUAL_POWER))), dtype=torch.float64)
        self.certainty = torch.tensor(USUAL_CERTAINTY, dtype=torch.float64)
        self.centre = torch.tensor(USUAL_CENTRE, dtype=torch.float64)

    @property
    def all(self) -> list[Tensor]:
        return [self.logs, self.raw_powers, self.certainty, self.centre]

    @torch.no_grad()
    def weights(self, factor: float) -> choice.Weights:
        """The weights, `factor` times as large as they were fitted."""
        counts, powers = (factor * self.logs.exp()).tolist(), functional.softplus(self.raw_powers).tolist()
        return choice.Weights(
            {
                kind: (float(f"{count:.2g}"), round(power, 2))
                for kind, count, power in zip(KINDS, counts, powers, strict=True)
            },
            round(float(self.certainty), 2),
            round(float(self.centre), 2),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="pictures to fit on, and as many to try on")
    parser.add_argument("--model", help="another model than the package's")
    arguments = parser.parse_args()
    reader = Reader(arguments.model)
    fitted_on, tried_on = (hard_pictures(reader.digit_reader, arguments.count, seed) for seed in SEEDS)
    figures: dict[str, Any] = {"model": reader.about, "pictures": arguments.count}
    for name, now in (("large", choice.LARGE), ("crowded", choice.CROWDED)):
        hard = [picture for picture in fitted_on if picture.sight.weights is now]
        weights = fitted(hard)
        new = [picture for picture in tried_on if picture.sight.weights is now]
        figures[name] = {
            "weights": {kind: list(pair) for kind, pair in weights.kinds.items()},
            "certainty": weights.certainty,
            "centre": weights.centre,
            "fitted": summary(hard, weights, reader),
            "tried": summary(new, weights, reader),
            "tried_with_the_packages_weights": summary(new, now, reader),
        }
        print(name, figures[name], flush=True)
    record.write("readings", figures)


def pictures(count: int, seed: int) -> Iterator[Picture]:
    """The made pictures: of four, one has a digit in a situation, two a digit among others, and one has no digit."""
    rng = np.random.default_rng(seed)
    batches = list(get_validation_loader(None))
    mnist, labels = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
    glyphs, glyph_labels = (tensor.numpy() for tensor in held_out_glyphs())
    letters = glyphs[glyph_labels == NOT_A_DIGIT][:, 0]
    negatives = np.concatenate([letters, drawings(1000, 8), stroke_letters(1000, 1000 + seed)])
    maker = PageMaker(np.rint(mnist[:, 0] * 255).astype(np.uint8), labels, letters, strokes=STROKES)
    strokes = digits_of(1000 + seed, count // 8 + 1)
    for index in range(count):
        if index % 4 == 3:
            yield no_digit(cropped(negatives[rng.integers(len(negatives))] / np.float32(255)), rng), NOT_A_DIGIT
        elif index % 4:
            yield among_others(maker, rng)
        elif index % 8:
            which = rng.integers(len(mnist))
            yield in_situation(cropped(mnist[which, 0]), rng), int(labels[which])
        else:
            digit = next(strokes)
            yield in_situation(digit.ink, rng), digit.variant.label


def among_others(maker: PageMaker, rng: np.random.Generator) -> Picture:
    """A digit cut out of a made number, with parts of its neighbours and whatever else is near."""
    while True:
        length, touching = int(rng.integers(1, 5)), bool(rng.random() < TOUCHING)
        page = maker.number(rng, max(2, length) if touching else length, touching=touching)
        digit = page.digits[rng.integers(len(page.digits))]
        height, width = digit.bottom - digit.top, digit.right - digit.left
        above, below, left, right = rng.uniform(*AROUND, 4)
        across = max(width, height / 2)
        top, bottom = max(0, int(digit.top - above * height)), int(digit.bottom + below * height)
        start, end = max(0, int(digit.left - left * across)), int(digit.right + right * across)
        cut = page.picture[top:bottom, start:end].astype(np.float32) / np.float32(255)
        if digit.label is not None and min(cut.shape) >= 8:
            return scaled(cut, CUT_SIDES, rng), digit.label


def no_digit(ink: Images, rng: np.random.Generator) -> Images:
    """A sign in a situation, or one that fills its picture."""
    if rng.random() < 0.5:
        return in_situation(ink, rng)
    return 1 - np.pad(scaled(ink, SIGN_SIDES, rng), int(rng.integers(0, 5)))


def scaled(picture: Images, sides: tuple[int, int], rng: np.random.Generator) -> Images:
    """The picture with a longer side in this range, and a shorter one of at least 8 pixels."""
    scale = float(np.exp(rng.uniform(*np.log(sides)))) / max(picture.shape)
    height, width = (max(8, round(scale * side)) for side in picture.shape)
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=smooth).clip(0, 1), np.float32)


def cropped(image: Images) -> Images:
    """An image (28, 28), enlarged and cropped to its ink."""
    large = cv2.resize(image, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    x, y, width, height = cv2.boundingRect((large > 0.25).astype(np.uint8))
    return np.asarray(large[y : y + height, x : x + width], np.float32)


def hard_pictures(reader: DigitReader, count: int, seed: int) -> list[HardPicture]:
    """Those of the made pictures whose first reading is not sure, but for small ones that hold nothing else."""
    hard = []
    for grey, label in pictures(count, seed):
        first = normalise(grey)
        if is_alone(first, grey.shape):
            continue
        if first:
            odds = choice.odds(reader.cascade.probabilities(first.image[np.newaxis]))
            if is_sure(first, float(odds[0]), grey.shape):
                continue
        sight = Sight(grey.shape, tuple(reader.readings(grey, first)), is_complete=True)
        if sight.readings:
            images = np.stack([reading.digit.image for reading in sight.readings])
            hard.append(HardPicture(sight, reader.cascade.probabilities(images), label))
    return hard


def log_probabilities(hard: list[HardPicture], parameters: Parameters) -> Tensor:
    """(N, 11), as `choice.chosen` gives them."""
    powers = functional.softplus(parameters.raw_powers)  # above 0: a digit that is likelier never counts for less
    rows = []
    for picture in hard:
        readings = picture.sight.readings
        kinds = [KINDS.index(reading.kind) for reading in readings]
        log_odds = torch.from_numpy(np.log(choice.odds(picture.probabilities)))
        shares = parameters.logs[kinds] + powers[kinds] * log_odds + functional.logsigmoid(log_odds)
        shares = shares + parameters.certainty * column(readings, "certainty").log()
        shares = shares - parameters.centre * column(readings, "off_centre") ** 2
        digits = torch.from_numpy(choice.of_digits(readings, picture.probabilities)).clamp(min=1e-9).log()
        rows.append(torch.cat([torch.logsumexp(shares[:, None] + digits, 0), torch.zeros(1)]))
    return torch.log_softmax(torch.stack(rows), 1)


def column(readings: tuple[Reading, ...], name: str) -> Tensor:
    return torch.tensor([getattr(reading, name) for reading in readings], dtype=torch.float64)


def fitted(hard: list[HardPicture]) -> choice.Weights:
    """What makes the labels most likely.

    All pictures count equally, so that the choice learns from as many pictures without a digit as there are. People
    show fewer of them, so the weights are then raised to what Bayes' rule asks for `NEGATIVE_SHARE`.
    """
    parameters = Parameters()
    usual = [parameter.clone() for parameter in parameters.all]
    labels = torch.tensor([picture.label for picture in hard])
    for parameter in parameters.all:
        parameter.requires_grad_()

    def loss() -> Tensor:
        losses = -log_probabilities(hard, parameters)[range(len(hard)), labels]
        pull = sum(((now - then) ** 2).mean() for now, then in zip(parameters.all, usual, strict=True))
        return losses.mean() + PULL * pull

    minimise(loss, parameters.all, STEPS)
    # One made picture in four has no digit.
    return parameters.weights((1 - NEGATIVE_SHARE) / NEGATIVE_SHARE / 3)


def summary(hard: list[HardPicture], weights: choice.Weights, reader: Reader) -> dict[str, Any]:
    found = [choice.chosen(picture.sight.readings, picture.probabilities, weights)[1] for picture in hard]
    probabilities, labels = np.stack(found), np.array([picture.label for picture in hard])
    right = probabilities[:, :NOT_A_DIGIT].argmax(1) == labels
    answered = score(probabilities) >= reader._rejection.threshold
    digits = labels != NOT_A_DIGIT
    return {
        "digits": int(digits.sum()),
        "right_percent": 100 * float(right[digits].mean()),
        "answered_percent": 100 * float(answered[digits].mean()),
        "wrong_answers": int((answered & digits & ~right).sum()),
        "no_digits": int((~digits).sum()),
        "no_digits_answered": int((answered & ~digits).sum()),
    }


if __name__ == "__main__":
    main()
