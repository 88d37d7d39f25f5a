"""Confidence that means what it says: what a network's logits are worth, measured on pictures it was not trained on.

Those are the held-out training images of MNIST, as they are and redrawn by `augment`, held-out letters from fonts,
and other things that are no digit: drawings that training has not seen, and held-out digits spoiled. The test set is
never looked at.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from digitnet.dataset import get_validation_loader
from digitnet.inference.rejection import NOT_A_DIGIT, Risk, score
from digitnet.training.augment import augment
from digitnet.training.negatives import drawings, held_out_glyphs, spoil

SEED = 20261122
DRAWN = 1000
DRAWN_SEED = 8  # another than training's
# How many of the pictures that people show to a reader of digits are of none, whatever their share here is. Counted as
# they come, they would make every digit look doubtful.
NONE_SHARE = 0.01
NEWTON_STEPS = 100
# Thresholds a table holds, as one minus the score: twelve a decade from 0.9 down to one in a hundred thousand.
THRESHOLDS = [1 - 0.9 * 10 ** (-step / 12) for step in range(60)]


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities, and what they are worth.

    Attributes:
        temperature: divides the ten logits (Guo et al., 2017).
        slope, offset: from the ten logits' log-sum-exp, which says how much of a digit there is, to the log-odds of its
            being one (Platt, 1999).
        risks: how often answers from a score upwards are wrong.
    """

    temperature: float
    slope: float
    offset: float
    risks: tuple[Risk, ...]


class CalibratedDigitNet(nn.Module):
    """A network that gives its logits (N, 10) and eleven probabilities (N, 11), the last of "not a digit"."""

    def __init__(self, model: nn.Module, calibration: Calibration) -> None:
        super().__init__()
        self.model = model
        self.scales = (calibration.temperature, calibration.slope, calibration.offset)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities for `images` (N, 1, 28, 28) in [0, 1], ink bright on dark."""
        logits = self.model(images)
        return logits, eleven(logits, *self.scales).softmax(1)


def eleven(logits: Tensor, temperature: Tensor | float, slope: Tensor | float, offset: Tensor | float) -> Tensor:
    """Calibrated logits (N, 11) from a network's ten (N, 10); the last is 0 and stands for "not a digit"."""
    odds = slope * logits.logsumexp(1, keepdim=True) + offset  # (N, 1), of being a digit
    return functional.pad((logits / temperature).log_softmax(1) + odds, (0, 1))


def calibrate(model: nn.Module, data: str | Path | None = None) -> Calibration:
    """Metrics `model`, on the CPU, with MNIST from the folder `data` or from the usual places.

    Raises DataError where MNIST is not to be had.
    """
    images, labels = unseen_pictures(data)
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(batch) for batch in images.split(500)])
    logits = logits.clone()  # out of inference mode, so that the fit may differentiate
    scales = fitted(logits, labels)
    return Calibration(*scales, risks(eleven(logits, *scales).softmax(1), labels))


def unseen_pictures(data: str | Path | None = None) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) and labels (N,), 0 to 9 or `NOT_A_DIGIT`, the same at every call."""
    generator = torch.Generator().manual_seed(SEED)
    batches = list(get_validation_loader(data))
    plain, labels = torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])
    redrawn = augment(plain, labels, generator)
    spoiled = spoil(plain[: len(plain) // 10], labels[: len(plain) // 10], generator)
    drawn = torch.from_numpy(drawings(DRAWN, DRAWN_SEED)).unsqueeze(1).float() / 255
    glyphs, glyph_labels = held_out_glyphs()
    letters = glyphs[glyph_labels == NOT_A_DIGIT].float() / 255
    none = torch.full((len(spoiled) + len(drawn) + len(letters),), NOT_A_DIGIT)
    letters = augment(letters, none[: len(letters)], generator)
    return torch.cat([plain, redrawn, spoiled, drawn, letters]), torch.cat([labels, labels, none])


def weights(labels: Tensor) -> Tensor:
    """How much each picture counts, (N,), so that `NONE_SHARE` of all is of no digit."""
    none = labels == NOT_A_DIGIT
    digits_for_one = (~none).sum() / none.sum().clamp(min=1)
    return torch.where(none, NONE_SHARE / (1 - NONE_SHARE) * digits_for_one, 1.0)


def fitted(logits: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """The temperature, slope and offset under which the labels (N,) are likeliest."""
    parameters = [torch.zeros((), requires_grad=True) for _ in range(3)]
    optimizer = torch.optim.LBFGS(parameters, max_iter=NEWTON_STEPS, line_search_fn="strong_wolfe")

    def scales() -> tuple[Tensor, Tensor, Tensor]:
        log_temperature, log_slope, offset = parameters
        return log_temperature.exp(), log_slope.exp(), offset

    def loss() -> Tensor:
        optimizer.zero_grad()
        losses = functional.cross_entropy(eleven(logits, *scales()), labels, reduction="none")
        value = (losses * weights(labels)).mean()
        value.backward()
        return value

    optimizer.step(loss)
    temperature, slope, offset = (float(scale.detach()) for scale in scales())
    return temperature, slope, offset


def risks(answers: Tensor, labels: Tensor) -> tuple[Risk, ...]:
    """The part of answers that is wrong, from each of `THRESHOLDS` upwards, for `answers` (N, 11)."""
    sure = torch.from_numpy(score(answers.numpy()))
    wrong = answers[:, :NOT_A_DIGIT].argmax(1) != labels
    table = []
    for threshold in THRESHOLDS:
        answered = sure >= threshold
        if answered.any():
            table.append(Risk(threshold, float(wrong[answered].float().mean())))
    return tuple(table)
