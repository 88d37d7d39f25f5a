"""`TrainingRun`: everything that training carries from batch to batch besides the loop, which is in train.py.

The schedule of a run without an end: the learning rate warms up and then falls with a power of the steps, as in Vaswani
et al. (2017) but faster. The weights that count are an average over the last steps, and this average grows longer with
the run (polynomial-decay averaging, Shamir and Zhang, 2013). So the average is good whenever the user stops: about as
good as a schedule that was planned to end at that moment.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from digitnet.dataset import ShuffledBatches
from digitnet.errors import ModelError
from digitnet.files import checksum
from digitnet.model import DigitNet, with_not_a_digit
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.results import Evaluation
from digitnet.test import evaluate
from digitnet.training.augment import augment
from digitnet.training.hardware import autocast
from digitnet.training.negatives import add_negatives
from digitnet.training.recipes import QUICK, Recipe

DECAY_POWER = 0.75  # the learning rate falls with steps ** -0.75; 0.5 and 1.0 were worse on the held-out images
WEIGHT_DECAY = 0.01
AVERAGING_POWER = 15  # the average then spans about the last 1/16 of all steps
LATE_STEP = 4000  # where the schedule starts for a run that begins with trained weights
COOLDOWN_RATE = 0.1  # of the peak learning rate, where the cooldown epochs begin
COOLDOWN_STRENGTH = 0.6  # the strongest augmentation in cooldown; one digit in six is then more than bent
PLAIN_EPOCHS = 1  # the first epoch is not augmented: the quickest way to a network that works
# Distillation: how a network learns from teachers (Hinton et al., 2015).
TEACHER_TEMPERATURE = 3.0
TEACHER_WEIGHT = 0.7


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
    """

    max_gradient: float | None = None  # the norm of all gradients together; None for any

    def __init__(
        self,
        model: nn.Module,
        device: torch.device | str,
        *,
        seed: int = 0,
        recipe: Recipe = QUICK,
        teachers: Sequence[nn.Module] = (),
    ) -> None:
        self.recipe = recipe
        self.device = device
        self.teacher_checksums = [_weights_checksum(teacher) for teacher in teachers]
        self.model = _placed(model, device)
        self.teachers = [_placed(teacher, device).eval() for teacher in teachers]
        self.average = AveragedModel(model, avg_fn=None, multi_avg_fn=_average_late_steps, use_buffers=True)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY, fused=True
        )
        self.generator = torch.Generator(device).manual_seed(seed)
        self.seed = seed
        self.step = 0
        self.epoch = 0
        self.batch = 0
        self.loss_sum = 0.0
        self.epoch_loss = 0.0
        self.steps_an_epoch = 0  # `batches` learns it from the data

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
        images, labels, are_strokes = add_negatives(images, labels, self.generator, self.recipe.stroke_digits)
        if self.epoch >= PLAIN_EPOCHS:
            strongest = COOLDOWN_STRENGTH if self.in_cooldown else 1.0
            # Stroke digits have their own variants: a second bar, flag or foot would spoil them.
            shapes = labels.masked_fill(are_strokes, NOT_A_DIGIT)
            images = augment(images, shapes, self.generator, strongest=strongest)
        return images, labels

    def loss(self, outputs: Tensor, targets: Any, images: Tensor) -> Tensor:
        """Cross-entropy of logits (N, 10) with the labels (N,) and, where there are teachers, with what they answer."""
        logits = with_not_a_digit(outputs)  # (N, 11)
        from_labels = functional.cross_entropy(
            logits, targets, label_smoothing=self.recipe.label_smoothing, reduction="none"
        )  # (N,)
        if not self.teachers:
            return from_labels.mean()
        from_teachers = functional.cross_entropy(
            logits / TEACHER_TEMPERATURE, self._teacher_probabilities(images), reduction="none"
        )
        from_teachers = TEACHER_TEMPERATURE**2 * from_teachers  # the gradients shrink with its square
        # The labels of negatives are better than the teachers: a teacher may take a strange shape for a digit.
        weight = TEACHER_WEIGHT * (targets != NOT_A_DIGIT)
        return from_labels.lerp(from_teachers, weight).mean()

    def loss_count(self, targets: Any) -> int:
        """How many items `loss` is the mean over. Ranks that share a batch weight their losses with it."""
        return len(targets)

    def before_step(self, loss: Tensor) -> None:
        """Sets the learning rate and shortens the gradient.

        Raises ModelError where the loss is not finite, before it reaches the weights.
        """
        if not math.isfinite(loss.item()):
            raise ModelError(
                f"training diverged: the loss after {self.step:,} batches is {loss.item()}; "
                "the last save is whole, so go on from there or start another run"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        if self.max_gradient is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_gradient)

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

    def evaluate(self, loader: "DataLoader[Any]") -> Evaluation:
        """How well the averaged weights do on `loader`."""
        return evaluate(self.average.module, loader, self.device)

    def network_like(self, weights: dict[str, Tensor]) -> nn.Module:
        """A network of this run's kind. A file is refused where its `weights` do not fit this network."""
        return DigitNet.like(weights)

    @property
    def is_finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        return self.recipe.epochs is not None and self.epoch >= self.recipe.epochs

    @property
    def in_cooldown(self) -> bool:
        """Whether the present epoch is one of the recipe's cooldown epochs, which are its last."""
        return self.recipe.epochs is not None and self.epoch >= self.recipe.epochs - self.recipe.cooldown_epochs

    @property
    def mean_loss(self) -> float:
        """Of the present epoch so far."""
        return self.loss_sum / max(self.batch, 1)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        warm = (self.step + 1) / self.recipe.warmup_steps
        if self.recipe.epochs is None:
            return self.recipe.peak_learning_rate * float(min(warm, warm**-DECAY_POWER))
        steps = max(1, self.steps_an_epoch)  # before the first batch, it is not known how many there are
        batches = self.epoch * steps + (self.batch if self.steps_an_epoch else 0)
        falling = (self.recipe.epochs - self.recipe.cooldown_epochs) * steps
        if batches < falling or not self.recipe.cooldown_epochs:
            return self.recipe.peak_learning_rate * min(warm, _half_cosine(batches / falling))
        done = (batches - falling) / (self.recipe.cooldown_epochs * steps)
        return self.recipe.peak_learning_rate * COOLDOWN_RATE * _half_cosine(done)

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Begins with trained weights, and late in the schedule: a high learning rate would undo them."""
        self.model.load_state_dict(weights)
        self.average.module.load_state_dict(weights)
        self.step = LATE_STEP
        self.epoch = PLAIN_EPOCHS

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, so that loading them runs no code."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "recipe": self.recipe.name,
            "teachers": self.teacher_checksums,
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
        if state["recipe"] != self.recipe.name:
            raise ValueError(f"a run of the recipe {state['recipe']!r}, not {self.recipe.name!r}")
        if state["teachers"] != self.teacher_checksums:
            raise ValueError("a run with other teachers")
        self.seed = state["seed"]
        self.step, self.epoch, self.batch = state["step"], state["epoch"], state["batch"]
        self.loss_sum = state["loss_sum"]

    @torch.no_grad()
    def _teacher_probabilities(self, images: Tensor) -> Tensor:
        """The mean of the teachers' softened probabilities, (N, 11)."""
        with autocast(self.device):
            outputs = [teacher(images) for teacher in self.teachers]
        logits = [with_not_a_digit(output.float()) for output in outputs]
        return torch.stack([(one / TEACHER_TEMPERATURE).softmax(1) for one in logits]).mean(0)


def _weights_checksum(network: nn.Module) -> str:
    return checksum(b"".join(tensor.detach().cpu().numpy().tobytes() for tensor in network.state_dict().values()))


def _half_cosine(done: float) -> float:
    """From 1 to 0 while `done` goes from 0 to 1."""
    return (1 + math.cos(math.pi * min(1.0, done))) / 2


def _placed(model: nn.Module, device: torch.device | str) -> nn.Module:
    placed: nn.Module = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


@torch.no_grad()
def _average_late_steps(averaged: Any, current: Any, averaged_steps: Tensor | int) -> None:
    """Moves the average towards the current weights by (p + 1) / (t + p + 1) after t steps, in place."""
    weight = (AVERAGING_POWER + 1) / (int(averaged_steps) + AVERAGING_POWER + 1)
    for mean, value in zip(averaged, current, strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, weight)
        else:  # batch normalisation counts its batches in integers
            mean.copy_(value)
