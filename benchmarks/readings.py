"""Fits how much each reading of a picture counts (`digitnet/inference/choice.py`), on made pictures.

The pictures hold digits that training has not seen, MNIST's held-out images and stroke digits of another seed, and
shapes that are no digits, each in a random situation (`digitnet/synthesis/situations.py`). Only those count whose first
reading is not sure. A second set of pictures, made with another seed, tells how well the choice does.

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
from digitnet.imaging.ink import is_small
from digitnet.imaging.normalise import normalise
from digitnet.inference import choice
from digitnet.inference.rejection import NOT_A_DIGIT, score
from digitnet.pages.digit_reader import DigitReader, is_sure
from digitnet.synthesis.situations import in_situation
from digitnet.synthesis.strokes import digits_of, stroke_letters
from digitnet.training.calibration import NEGATIVE_SHARE, minimise
from digitnet.training.negatives import drawings, held_out_glyphs

SEEDS = 1, 2  # of the pictures that the weights are fitted on, and of those that they are tried on
LARGE = 112  # pixels; images of 28x28 are enlarged to this before they are set into a situation
KINDS = list(choice.WEIGHTS)
USUAL_WEIGHT, USUAL_POWER = 0.05, 0.0  # before softplus; where a kind of reading is too rare to tell
PULL = 1e-3  # towards them

Images = npt.NDArray[np.float32]


@dataclass
class HardPicture:
    """The readings of a picture: their kinds, the log of their certainties and odds, their digits; and the label."""

    kinds: list[int]
    certainties: list[float]
    odds: npt.NDArray[np.float64]
    digits: Images
    label: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="pictures to fit on, and as many to try on")
    parser.add_argument("--model", help="another model than the package's")
    arguments = parser.parse_args()
    reader = Reader(arguments.model)
    fitted_on, tried_on = (hard_pictures(reader.digit_reader, arguments.count, seed) for seed in SEEDS)
    parameters = fitted(fitted_on, arguments.count)
    logs, raw_powers, certainty_power = parameters
    powers = functional.softplus(raw_powers)
    figures: dict[str, Any] = {
        "model": reader.about,
        "pictures": arguments.count,
        "hard": {"fitted_on": len(fitted_on), "tried_on": len(tried_on)},
        "weights": {
            kind: [float(f"{weight:.2g}"), round(power, 2)]
            for kind, weight, power in zip(KINDS, logs.exp().tolist(), powers.tolist(), strict=True)
        },
        "certainty_power": round(float(certainty_power), 2),
        "fitted": summary(fitted_on, parameters, reader),
        "tried": summary(tried_on, parameters, reader),
    }
    record.write("readings", figures)


def pictures(count: int, seed: int) -> Iterator[tuple[Images, int]]:
    """Pictures (H, W) in [0, 1] with their labels; a third of them shows no digit."""
    rng = np.random.default_rng(seed)
    batches = list(get_validation_loader(None))
    mnist, labels = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
    glyphs, glyph_labels = (tensor.numpy() for tensor in held_out_glyphs())
    letters = glyphs[glyph_labels == NOT_A_DIGIT][:, 0]
    negatives = np.concatenate([letters, drawings(1000, 8), stroke_letters(1000, 1000 + seed)]) / np.float32(255)
    strokes = digits_of(1000 + seed, count // 3 + 1)
    for index in range(count):
        if index % 3 == 0:
            which = rng.integers(len(mnist))
            ink, label = cropped(mnist[which, 0]), int(labels[which])
        elif index % 3 == 1:
            digit = next(strokes)
            ink, label = digit.ink, digit.variant.label
        else:
            ink, label = cropped(negatives[rng.integers(len(negatives))]), NOT_A_DIGIT
        yield in_situation(ink, rng), label


def cropped(image: Images) -> Images:
    """An image (28, 28), enlarged and cropped to its ink."""
    large = cv2.resize(image, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    x, y, width, height = cv2.boundingRect((large > 0.25).astype(np.uint8))
    return np.asarray(large[y : y + height, x : x + width], np.float32)


def hard_pictures(reader: DigitReader, count: int, seed: int) -> list[HardPicture]:
    hard = []
    for grey, label in pictures(count, seed):
        if is_small(grey.shape):
            continue  # the weights of small pictures are not fitted
        first = normalise(grey)
        if first:
            odds = choice.odds(reader.network.probabilities(first.image[np.newaxis]))
            if is_sure(first, float(odds[0]), grey.shape):
                continue
        readings = reader.readings(grey, first)
        if readings:
            probabilities = reader.network.probabilities(np.stack([reading.digit.image for reading in readings]))
            ten = probabilities[:, :NOT_A_DIGIT]
            hard.append(
                HardPicture(
                    [KINDS.index(reading.kind) for reading in readings],
                    np.log([reading.certainty for reading in readings]).tolist(),
                    np.log(choice.odds(probabilities)),
                    ten / np.maximum(ten.sum(1, keepdims=True), choice.LEAST),
                    label,
                )
            )
    return hard


def log_probabilities(hard: list[HardPicture], parameters: list[Tensor]) -> Tensor:
    """(N, 11), as `choice.chosen` gives them."""
    logs, raw_powers, certainty_power = parameters
    powers = functional.softplus(raw_powers)  # above 0: a digit that is likelier never counts for less
    rows = []
    for picture in hard:
        shares = logs[picture.kinds] + certainty_power * torch.tensor(picture.certainties)
        log_odds = torch.tensor(picture.odds)
        shares = shares + powers[picture.kinds] * log_odds + functional.logsigmoid(log_odds)
        digits = torch.tensor(picture.digits).clamp(min=1e-9).log()
        rows.append(torch.cat([torch.logsumexp(shares[:, None] + digits, 0), torch.zeros(1)]))
    return torch.log_softmax(torch.stack(rows), 1)


def fitted(hard: list[HardPicture], count: int) -> list[Tensor]:
    """What makes the labels most likely: the logs of the weights, the powers of the odds, and that of certainty.

    The powers are given before softplus.
    """
    usual = float(np.log(USUAL_WEIGHT))
    parameters = [torch.full((len(KINDS),), usual), torch.full((len(KINDS),), USUAL_POWER), torch.tensor(1.0)]
    labels = torch.tensor([picture.label for picture in hard])
    # Two in three of all made pictures show a digit; people show far more digits than other things.
    counts = torch.where(labels == NOT_A_DIGIT, NEGATIVE_SHARE / (1 - NEGATIVE_SHARE) * 2, 1.0)
    for parameter in parameters:
        parameter.requires_grad_()

    def loss() -> Tensor:
        losses = -log_probabilities(hard, parameters)[range(len(hard)), labels]
        pull = ((parameters[0] - usual) ** 2).mean() + ((parameters[1] - USUAL_POWER) ** 2).mean()
        return (losses * counts).mean() + PULL * pull

    minimise(loss, parameters, 100)
    return [parameter.detach() for parameter in parameters]


def summary(hard: list[HardPicture], parameters: list[Tensor], reader: Reader) -> dict[str, Any]:
    probabilities = log_probabilities(hard, parameters).exp().numpy().astype(np.float32)
    labels = np.array([picture.label for picture in hard])
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
