"""Calibration of DigitNet: makes its confidence honest, with pictures that it was not trained on.

These pictures are MNIST's held-out training images, stroke digits by other hands than in training, held-out digits
from fonts, all of them plain and augmented, held-out letters from fonts, letters by the pens of the stroke digits,
and other negatives: drawings that training has not seen, and held-out digits spoiled. The test set is never used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from digitnet.dataset import get_validation_loader
from digitnet.loop.augment import augment
from digitnet.loop.negatives import spoil
from digitnet.model import DigitNet
from digitnet.reading.answer import NOT_A_DIGIT, Risk, score
from digitnet.synthesis.drawings import drawings
from digitnet.synthesis.glyphs import glyphs
from digitnet.synthesis.strokes import stroke_digits, stroke_letters

SEED = 20261122
DRAWN = 1000
DRAWN_SEED = 8  # training has another one
STROKE_DIGITS = 3000
STROKE_LETTERS = 1500
STROKE_SEED = 10  # training has another one
# The share of pictures without a digit among those that people show to a digit reader. The calibration pictures hold
# more of them; without this weight, every digit would look doubtful.
NEGATIVE_SHARE = 0.01
FIT_STEPS = 100
# The scores in a table of risks: one minus the score falls from 0.9 to 0.00001 in twelve steps a decade.
THRESHOLDS = [1 - 0.9 * 10 ** (-step / 12) for step in range(60)]


@dataclass(frozen=True)
class Calibration:
    """What turns logits into honest probabilities.

    Attributes:
        temperature: the ten logits are divided by it (Guo et al., 2017).
        slope, offset: turn the log-sum-exp of the ten logits into the log-odds that a digit is there (Platt, 1999).
        risks: how often answers are wrong, for each lowest score.
    """

    temperature: float
    slope: float
    offset: float
    risks: tuple[Risk, ...]


class CalibratedDigitNet(nn.Module):
    """A network that gives logits (N, 10), probabilities (N, 11) and features (N, F).

    The last probability is of "not a digit". The features are what the last layer sees; lessons change that layer only.
    """

    def __init__(self, model: DigitNet, calibration: Calibration) -> None:
        super().__init__()
        self.model = model
        self.scales = (calibration.temperature, calibration.slope, calibration.offset)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, probabilities and features for `images` (N, 1, 28, 28) in [0, 1], ink bright on dark."""
        features = self.model.last_features(images)
        logits = self.model.head(features)
        return logits, eleven(logits, *self.scales).softmax(1), features


def eleven(logits: Tensor, temperature: Tensor | float, slope: Tensor | float, offset: Tensor | float) -> Tensor:
    """Calibrated logits (N, 11) from a network's ten (N, 10). The last one is 0 and stands for "not a digit"."""
    log_odds = slope * logits.logsumexp(1, keepdim=True) + offset  # (N, 1), that a digit is there
    return functional.pad((logits / temperature).log_softmax(1) + log_odds, (0, 1))


def calibrate(model: nn.Module, data: str | Path | None = None) -> Calibration:
    """Calibrates `model`, on the CPU, with the MNIST in the folder `data`; None looks in the usual places.

    Raises DataError where MNIST was not found.
    """
    images, labels = calibration_pictures(data)
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(batch) for batch in images.split(500)])
    logits = logits.clone()  # a tensor made in inference mode cannot be differentiated
    scales = fitted(logits, labels)
    return Calibration(*scales, risks(eleven(logits, *scales).softmax(1), labels))


def calibration_pictures(data: str | Path | None = None) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) and labels (N,), 0 to 9 or `NOT_A_DIGIT`; the same at every call."""
    generator = torch.Generator().manual_seed(SEED)
    batches = list(get_validation_loader(data))
    mnist, mnist_labels = torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])
    strokes, stroke_labels, _ = map(torch.from_numpy, stroke_digits(STROKE_DIGITS, STROKE_SEED))
    images, image_labels = map(torch.from_numpy, glyphs(held_out=True))
    of_fonts, letters = images[image_labels < NOT_A_DIGIT], images[image_labels == NOT_A_DIGIT].unsqueeze(1)
    foreign = torch.cat([strokes, of_fonts]).unsqueeze(1).float() / 255
    labels = torch.cat([mnist_labels, stroke_labels, image_labels[image_labels < NOT_A_DIGIT]])
    plain = torch.cat([mnist, foreign])
    shapes = torch.cat([mnist_labels, torch.full((len(foreign),), NOT_A_DIGIT)])  # only MNIST needs other shapes
    augmented = augment(plain, shapes, generator)
    spoiled = spoil(mnist[: len(mnist) // 10], mnist_labels[: len(mnist) // 10], generator)
    drawn = torch.from_numpy(drawings(DRAWN, DRAWN_SEED)).unsqueeze(1).float() / 255
    written = torch.from_numpy(stroke_letters(STROKE_LETTERS, STROKE_SEED)).unsqueeze(1).float() / 255
    negative = torch.full((len(spoiled) + len(drawn) + len(letters) + len(written),), NOT_A_DIGIT)
    letters = augment(letters.float() / 255, negative[: len(letters)], generator)
    return torch.cat([plain, augmented, spoiled, drawn, letters, written]), torch.cat([labels, labels, negative])


def weights(labels: Tensor) -> Tensor:
    """How much each picture counts, (N,), so that pictures without a digit make up `NEGATIVE_SHARE` of the whole."""
    negative = labels == NOT_A_DIGIT
    digits_per_negative = (~negative).sum() / negative.sum().clamp(min=1)
    return torch.where(negative, NEGATIVE_SHARE / (1 - NEGATIVE_SHARE) * digits_per_negative, 1.0)


def fitted(logits: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """The temperature, slope and offset that make the labels (N,) most likely."""
    parameters = [torch.zeros((), requires_grad=True) for _ in range(3)]

    def scales() -> tuple[Tensor, Tensor, Tensor]:
        log_temperature, log_slope, offset = parameters
        return log_temperature.exp(), log_slope.exp(), offset

    def loss() -> Tensor:
        losses = functional.cross_entropy(eleven(logits, *scales()), labels, reduction="none")
        return (losses * weights(labels)).mean()

    minimise(loss, parameters, FIT_STEPS)
    temperature, slope, offset = (float(scale.detach()) for scale in scales())
    return temperature, slope, offset


def minimise(loss: Callable[[], Tensor], parameters: list[Tensor], steps: int) -> None:
    """Changes `parameters` in place until `loss` is least, or for so many steps (L-BFGS, Liu and Nocedal, 1989)."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimizer.step(closure)


def risks(probabilities: Tensor, labels: Tensor) -> tuple[Risk, ...]:
    """The table of risks of `probabilities` (N, 11) whose right answers are `labels` (N,)."""
    wrong = probabilities[:, :NOT_A_DIGIT].argmax(1) != labels
    return risk_table(score(probabilities.numpy()), wrong.float().numpy())


def risk_table(scores: npt.NDArray[np.floating], wrong: npt.NDArray[np.floating]) -> tuple[Risk, ...]:
    """For each of `THRESHOLDS`, the part of the answers with at least this score that is wrong.

    Args:
        scores: (N,) in [0, 1].
        wrong: (N,), 1 where the answer is wrong, else 0.
    """
    return tuple(
        Risk(threshold, float(wrong[answered].mean()))
        for threshold in THRESHOLDS
        if (answered := scores >= threshold).any()
    )
