"""`TrainingRun`: everything that training carries from batch to batch besides the loop, which is in train.py.

The schedule of a run without an end: the learning rate warms up and then falls with a power of the steps, as in Vaswani
et al. (2017) but faster. The weights that count are an average over the last steps, and this average grows longer with
the run (polynomial-decay averaging, Shamir and Zhang, 2013). So the average is good whenever the user stops: about as
good as a schedule that was planned to end at that moment.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from digitnet.dataset import ShuffledBatches
from digitnet.errors import ModelError
from digitnet.loop.augment import augment
from digitnet.loop.negatives import add_negatives
from digitnet.model import DigitNet, with_not_a_digit
from digitnet.test import Evaluation, evaluate

DECAY_POWER = 0.75  # the learning rate falls with steps ** -0.75; 0.5 and 1.0 were worse on the held-out images
WEIGHT_DECAY = 0.01
AVERAGING_POWER = 15  # the average then spans about the last 1/16 of all steps
LATE_STEP = 4000  # where the schedule starts for a run that begins with trained weights
PLAIN_EPOCHS = 1  # the first epoch is not augmented: the quickest way to a network that works


class TrainingRun:
    """The state of a run. It is enough to go on after any batch and to end with the same bits.

    Attributes:
        model: the network that is trained.
        average: its averaged weights; `average.module` is a network like `model`.
        seed: of the order of the data and of augmentation. A resumed run keeps the seed that it began with.
        step: batches that were trained on so far.
        epoch, batch: whole epochs so far, and batches of the present epoch so far.
        loss_sum: over the batches of the present epoch.
        epoch_loss: the mean loss of the last whole epoch.
        steps_an_epoch: batches in an epoch; 0 until `batches` has seen the data.
    """

    recipe_name = "quick"  # a run goes on only as a run of the same recipe
    peak_learning_rate = 6e-3
    warmup_steps = 100
    label_smoothing = 0.05  # the share of a label's weight that is spread over all classes

    def __init__(self, model: nn.Module, device: torch.device | str, *, seed: int = 0) -> None:
        self.device = device
        self.model: nn.Module = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(model, avg_fn=None, multi_avg_fn=_average_late_steps, use_buffers=True)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY, fused=True
        )
        self.generator = torch.Generator(device).manual_seed(seed)
        self.seed = seed
        self.step = self.epoch = self.batch = self.steps_an_epoch = 0
        self.loss_sum = self.epoch_loss = 0.0

    # What the loop in train.py calls, in this order.

    def batches(self, loader: "DataLoader[Any]") -> Iterator[tuple[Tensor, ...]]:
        """The batches of the present epoch that are still to come."""
        self.steps_an_epoch = len(loader)
        if isinstance(loader.batch_sampler, ShuffledBatches):
            loader.batch_sampler.seed = self.seed
            loader.batch_sampler.epoch = self.epoch
            loader.batch_sampler.first_batch = self.batch
        yield from loader

    def prepare(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        """Images (N, 1, 28, 28) and labels (N,), on the device, with negatives added; augmented after the first epoch.

        The label of a negative is 10.
        """
        images, labels = (tensor.to(self.device) for tensor in batch)
        images, labels = add_negatives(images, labels, self.generator)
        if self.epoch >= PLAIN_EPOCHS:
            images = augment(images, labels, self.generator)
        return images, labels

    def loss(self, outputs: Tensor, targets: Any, images: Tensor) -> Tensor:
        """Cross-entropy of logits (N, 10) with the labels (N,)."""
        logits = with_not_a_digit(outputs)  # (N, 11)
        losses = functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing, reduction="none")
        return losses.mean()

    def before_step(self, loss: Tensor) -> None:
        """Sets the learning rate. Raises ModelError where the loss is not finite, before it reaches the weights."""
        if not math.isfinite(loss.item()):
            raise ModelError(
                f"training diverged: the loss after {self.step:,} batches is {loss.item()}; "
                "the last save is whole, so go on from there or start another run"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate

    def after_step(self, loss: Tensor) -> None:
        """Updates the averaged weights and the counters."""
        self.average.update_parameters(self.model)
        self.step += 1
        self.batch += 1
        self.loss_sum += loss.item()

    def end_epoch(self) -> None:
        self.epoch_loss = self.mean_loss
        self.epoch, self.batch, self.loss_sum = self.epoch + 1, 0, 0.0

    # What the rest of the program asks.

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        warm = (self.step + 1) / self.warmup_steps
        return self.peak_learning_rate * float(min(warm, warm**-DECAY_POWER))

    @property
    def mean_loss(self) -> float:
        """Of the present epoch so far."""
        return self.loss_sum / max(self.batch, 1)

    def evaluate(self, loader: "DataLoader[Any]") -> Evaluation:
        """How well the averaged weights do on `loader`."""
        return evaluate(self.average.module, loader, self.device)

    def network_like(self, weights: dict[str, Tensor]) -> nn.Module:
        """A network of this run's kind. A file is refused where its `weights` do not fit this network."""
        return DigitNet.like(weights)

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Begins with trained weights, and late in the schedule: a high learning rate would undo them."""
        self.model.load_state_dict(weights)
        self.average.module.load_state_dict(weights)
        self.step = LATE_STEP
        self.epoch = PLAIN_EPOCHS

    def can_follow(self, state: dict[str, Any]) -> bool:
        """Whether this run goes on from a saved state; if not, it only begins with the weights beside that.

        Raises ValueError where the state is of a run of another kind, which is not to be lost.
        """
        if state["recipe"] != self.recipe_name:
            raise ValueError(
                f"a run of the recipe {state['recipe']!r}, not {self.recipe_name!r}; "
                f"go on with: digitnet train --recipe {state['recipe']}"
            )
        return True

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, so that loading them runs no code."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "recipe": self.recipe_name,
            "seed": self.seed,
            "step": self.step,
            "epoch": self.epoch,
            "batch": self.batch,
            "loss_sum": self.loss_sum,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        self.seed = state["seed"]
        self.step, self.epoch, self.batch = state["step"], state["epoch"], state["batch"]
        self.loss_sum = state["loss_sum"]


@torch.no_grad()
def _average_late_steps(averaged: Any, current: Any, averaged_steps: Tensor | int) -> None:
    """Moves the average towards the current weights by (p + 1) / (t + p + 1) after t steps, in place."""
    weight = (AVERAGING_POWER + 1) / (int(averaged_steps) + AVERAGING_POWER + 1)
    for mean, value in zip(averaged, current, strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, weight)
        else:  # batch normalisation counts its batches in integers
            mean.copy_(value)
