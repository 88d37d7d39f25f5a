"""How well a model reads a labelled set."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader


@dataclass(frozen=True)
class Evaluation:
    """How many of `total` images a model reads right, and its mean cross-entropy with the labels."""

    correct: int
    total: int
    loss: float

    @property
    def accuracy(self) -> float:
        """The fraction of images that were read right, in [0, 1]."""
        return self.correct / self.total if self.total else 0.0


def evaluate(
    model: nn.Module, test_loader: "DataLoader[tuple[Tensor, Tensor]]", device: torch.device | str
) -> Evaluation:
    """Reads every image of `test_loader` with `model` in evaluation mode; afterwards the model is in its former mode.

    The loader gives batches of images (N, 1, 28, 28) in [0, 1] and labels (N,).
    """
    was_training = model.training
    model.to(device).eval()
    correct, total, loss = 0, 0, 0.0
    with torch.inference_mode():
        for images, labels in test_loader:
            labels = labels.to(device)
            logits = model(images.to(device))  # (N, 10)
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += int((logits.argmax(1) == labels).sum())
            total += len(labels)
    model.train(was_training)
    return Evaluation(correct=correct, total=total, loss=loss / max(total, 1))


def test(model: nn.Module, test_loader: "DataLoader[tuple[Tensor, Tensor]]", device: torch.device | str) -> float:
    """The accuracy of `model` on `test_loader`: the fraction of images that it reads correctly, in [0, 1]."""
    return evaluate(model, test_loader, device).accuracy
