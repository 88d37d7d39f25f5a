"""Confidence that means what it says: what a network's logits are worth, measured on pictures it was not trained on.

Those are the held-out training images of MNIST, as they are and redrawn by `augment`, and things that are no digit:
drawings that training has not seen, and held-out digits spoiled. The test set is never looked at.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from digitnet.augment import augment
from digitnet.dataset import get_validation_loader
from digitnet.doubt import NOT_A_DIGIT, Risk
from digitnet.others import drawings, spoil

SEED = 20261122
DRAWN = 1000
DRAWN_SEED = 8  # another than training's
NEWTON_STEPS = 100
# Thresholds a table holds, as one minus the confidence: twelve a decade from 0.9 down to one in a hundred thousand.
THRESHOLDS = [1 - 0.9 * 10 ** (-step / 12) for step in range(60)]


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities, and what they are worth.

    Attributes:
        temperature: divides the ten logits (Guo et al., 2017).
        none_logit: the logit of "not a digit" beside them.
        risks: how often answers from a confidence upwards are wrong.
    """

    temperature: float
    none_logit: float
    risks: tuple[Risk, ...]


class CalibratedDigitNet(nn.Module):
    """A network that gives its logits (N, 10) and eleven probabilities (N, 11), the last of "not a digit"."""

    def __init__(self, model: nn.Module, calibration: Calibration) -> None:
        super().__init__()
        self.model = model
        self.temperature = calibration.temperature
        self.none_logit = calibration.none_logit

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities for `images` (N, 1, 28, 28) in [0, 1], ink bright on dark."""
        logits = self.model(images)
        return logits, eleven(logits, self.temperature, self.none_logit).softmax(1)


def eleven(logits: Tensor, temperature: Tensor | float, none_logit: Tensor | float) -> Tensor:
    """Calibrated logits (N, 11) from a network's ten (N, 10)."""
    return functional.pad(logits / temperature - none_logit, (0, 1))


def calibrate(model: nn.Module) -> Calibration:
    """Measures `model`, on the CPU.

    Raises DataError where MNIST is not to be had.
    """
    images, labels = unseen_pictures()
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(batch) for batch in images.split(500)])
    logits = logits.clone()  # out of inference mode, so that the fit may differentiate
    temperature, none_logit = fitted(logits, labels)
    return Calibration(temperature, none_logit, risks(eleven(logits, temperature, none_logit).softmax(1), labels))


def unseen_pictures() -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) and labels (N,), 0 to 9 or `NOT_A_DIGIT`, the same at every call."""
    generator = torch.Generator().manual_seed(SEED)
    batches = list(get_validation_loader())
    plain, labels = torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])
    redrawn = augment(plain, labels, generator)
    spoiled = spoil(plain[: len(plain) // 10], labels[: len(plain) // 10], generator)
    drawn = torch.from_numpy(drawings(DRAWN, DRAWN_SEED)).unsqueeze(1).float() / 255
    none = torch.full((len(spoiled) + len(drawn),), NOT_A_DIGIT)
    return torch.cat([plain, redrawn, spoiled, drawn]), torch.cat([labels, labels, none])


def fitted(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """The temperature and the logit of "not a digit" under which the labels (N,) are likeliest."""
    log_temperature, none_logit = torch.zeros((), requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature, none_logit], max_iter=NEWTON_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(eleven(logits, log_temperature.exp(), none_logit), labels)
        value.backward()
        return value

    optimizer.step(loss)
    return float(log_temperature.detach().exp()), float(none_logit.detach())


def risks(answers: Tensor, labels: Tensor) -> tuple[Risk, ...]:
    """The part of answers that is wrong, from each of `THRESHOLDS` upwards, for `answers` (N, 11)."""
    confidence, best = answers[:, :NOT_A_DIGIT].max(1)
    wrong = best != labels
    table = []
    for threshold in THRESHOLDS:
        answered = confidence >= threshold
        if answered.any():
            table.append(Risk(threshold, float(wrong[answered].float().mean())))
    return tuple(table)
