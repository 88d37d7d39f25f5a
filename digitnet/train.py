"""Training: forward, loss, backward, step.

The schedule has no end, because a run has none. The learning rate warms up and then falls with a power of the steps,
as in Vaswani et al. (2017) but faster, and the weights that count are an average over the last steps whose length
grows with the run (the polynomial-decay averaging of Shamir and Zhang, 2013). Whenever the user stops, that average
is about what a schedule planned to end just then would have given.
"""

import ctypes
import functools
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from digitnet.dataset import ShuffledBatches
from digitnet.errors import ModelError
from digitnet.files import checksum
from digitnet.inference.rejection import NOT_A_DIGIT
from digitnet.model import DigitNet, with_not_a_digit
from digitnet.results import Evaluation
from digitnet.test import evaluate
from digitnet.training.augment import augment
from digitnet.training.negatives import add_negatives
from digitnet.training.recipes import QUICK, Recipe

DECAY_POWER = 0.75  # of one over the steps; 0.5 and 1.0 were worse on the held-out images after ten epochs
WEIGHT_DECAY = 0.01
# The average spans about the last 1/16 of all steps; a small step to 16 more keeps the first ones from counting.
AVERAGING_POWER = 15
LATE_STEP = 4000  # where a run starts that is given trained weights
COOLDOWN_RATE = 0.1  # of the peak rate, where a recipe's calm epochs begin
COOLDOWN_STRENGTH = 0.6  # of redrawing, at most: one digit in six is then more than bent
PLAIN_EPOCHS = 1  # the first epoch sees every image as it is: the quickest way to a net that works


# How a student learns from a teacher (Hinton et al., 2015).
TEACHER_TEMPERATURE = 3.0
TEACHER_WEIGHT = 0.7


class TrainingRun:
    """What a run carries from batch to batch besides the weights: enough to go on to the bit after any of them.

    Attributes:
        average: the averaged weights, `average.module` a model like the one that is trained.
        seed: of the order of the data and of augmentation; a run that goes on keeps the one it began with.
        step: batches trained on so far.
        epoch, batch: the place in the data, whole epochs done and batches of the present one.
        loss_sum: of the batches of the present epoch.
        epoch_loss: the mean loss of the last whole epoch.
    """

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
        self.distilled_from = [_fingerprint(teacher) for teacher in teachers]
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
        self.steps_an_epoch = 0  # known once the data is

    def network_like(self, weights: dict[str, Tensor]) -> nn.Module:
        """A network that a file with these weights may be for; where it does not fit, the file is refused."""
        return DigitNet.like(weights)

    def evaluate(self, loader: "DataLoader[Any]") -> Evaluation:
        """How the averaged weights do on `loader`."""
        return evaluate(self.average.module, loader, self.device)

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
        batches = self.epoch * self.steps_an_epoch + self.batch
        falling = (self.recipe.epochs - self.recipe.cooldown_epochs) * self.steps_an_epoch
        if batches < falling or not self.recipe.cooldown_epochs:
            return self.recipe.peak_learning_rate * min(warm, _half_cosine(batches / falling))
        done = (batches - falling) / (self.recipe.cooldown_epochs * self.steps_an_epoch)
        return self.recipe.peak_learning_rate * COOLDOWN_RATE * _half_cosine(done)

    @property
    def calm(self) -> bool:
        """Whether the present epoch is one of the recipe's last, calm ones."""
        return self.recipe.epochs is not None and self.epoch >= self.recipe.epochs - self.recipe.cooldown_epochs

    def batch_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Of images (N, 1, 28, 28) and labels (N,), with others added, and redrawn but in the first epoch."""
        images, labels = (part.to(self.device) for part in batch)
        images, labels = add_negatives(images, labels, self.generator)
        if self.epoch >= PLAIN_EPOCHS:
            strongest = COOLDOWN_STRENGTH if self.calm else 1.0
            images = augment(images, labels, self.generator, strongest=strongest)
        return self.loss(self.answer(images), labels, images)

    def loss(self, logits: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """Cross-entropy with the labels (N,), 10 for no digit, and with what teachers see in the images."""
        answers = with_not_a_digit(logits)  # (N, 11)
        truth = functional.cross_entropy(
            answers, labels, label_smoothing=self.recipe.label_smoothing, reduction="none"
        )  # (N,)
        if not self.teachers:
            return truth.mean()
        with torch.no_grad():
            opinions = [with_not_a_digit(self._answer_of(teacher, images)) for teacher in self.teachers]
            taught = torch.stack([(opinion / TEACHER_TEMPERATURE).softmax(1) for opinion in opinions]).mean(0)
        # The soft answers' gradients shrink with the square of the temperature.
        lesson = TEACHER_TEMPERATURE**2 * functional.cross_entropy(
            answers / TEACHER_TEMPERATURE, taught, reduction="none"
        )
        # What is no digit is better known from its label: a teacher may take a thing that it never saw for a digit.
        weight = TEACHER_WEIGHT * (labels != NOT_A_DIGIT)
        return truth.lerp(lesson, weight).mean()

    def answer(self, images: Tensor) -> Tensor:
        """What the network under training says of `images`."""
        return self._answer_of(self.model, images)

    def _answer_of(self, network: nn.Module, images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=images.device.type == "cpu" and has_bfloat16()):
            answer: Tensor = network(images)
        return answer.float()

    def batches(self, loader: "DataLoader[tuple[Tensor, Tensor]]") -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of the present epoch."""
        self.steps_an_epoch = len(loader)
        if isinstance(loader.batch_sampler, ShuffledBatches):
            loader.batch_sampler.seed = self.seed
            loader.batch_sampler.epoch = self.epoch
            loader.batch_sampler.first_batch = self.batch
        yield from loader

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Begins with weights that are trained already: late in the schedule, which would otherwise undo them."""
        self.model.load_state_dict(weights)
        self.average.module.load_state_dict(weights)
        self.step = LATE_STEP
        self.epoch = PLAIN_EPOCHS

    def update(self, loss: float) -> None:
        """Takes the optimiser's step, and the average's.

        Raises ModelError, before any weight is touched, where the loss is not finite.
        """
        if not math.isfinite(loss):
            raise ModelError(
                f"training diverged: the loss after {self.step:,} batches is {loss}; "
                "what was saved last is whole, so go on from there or start another run"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        self.batch += 1
        self.loss_sum += loss

    def end_epoch(self) -> None:
        self.epoch_loss = self.mean_loss
        self.epoch, self.batch, self.loss_sum = self.epoch + 1, 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers only, so that it loads without running code."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "recipe": self.recipe.name,
            "teachers": self.distilled_from,
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
        if state["teachers"] != self.distilled_from:
            raise ValueError("a run with other teachers")
        self.seed = state["seed"]
        self.step, self.epoch, self.batch = state["step"], state["epoch"], state["batch"]
        self.loss_sum = state["loss_sum"]


def train(
    model: nn.Module,
    train_loader: "DataLoader[tuple[Tensor, Tensor]]",
    device: torch.device | str,
    *,
    epochs: int = 3,
    run: TrainingRun | None = None,
    on_batch: Callable[[], None] | None = None,
) -> None:
    """Trains `model` in place until `epochs` more epochs are done, on batches of images (N, 1, 28, 28) in [0, 1].

    Args:
        run: the run to go on with; `model` then holds the weights under training and `run.average` those that count.
            Without it a run of its own is made, and `model` ends with the averaged weights.
        on_batch: called after each step, when model and run are whole; it may raise to end training.
    """
    keep_memory()
    going_on = run is not None
    run = run or TrainingRun(model, device)
    model.train()
    last_epoch = run.epoch + epochs
    while run.epoch < last_epoch:
        for batch in run.batches(train_loader):
            loss = run.batch_loss(batch)
            run.optimizer.zero_grad()
            loss.backward()
            run.update(loss.item())
            if on_batch:
                on_batch()
        run.end_epoch()
    if not going_on:
        model.load_state_dict(run.average.module.state_dict())


@functools.cache
def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; then a step takes half the time, else several times longer."""
    ask: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # torch has had it since 2026
    able = ask()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def keep_memory() -> None:
    """Asks glibc to keep the memory that a step gives back, since the next step wants it again.

    By default each large buffer is mapped afresh and its pages faulted in one by one, which costs more than a small
    network's arithmetic. It does nothing where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def _fingerprint(network: nn.Module) -> str:
    """The same for the same weights only."""
    return checksum(b"".join(tensor.detach().cpu().numpy().tobytes() for tensor in network.state_dict().values()))


def _half_cosine(done: float) -> float:
    """From 1 to 0 while `done` goes from 0 to 1."""
    return (1 + math.cos(math.pi * min(1.0, done))) / 2


def _placed(model: nn.Module, device: torch.device | str) -> nn.Module:
    placed: nn.Module = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


@torch.no_grad()
def _average_late_steps(averaged: Any, current: Any, averaged_steps: Tensor | int) -> None:
    """Moves the average towards the current weights by (p + 1) / (t + p + 1), in place."""
    weight = (AVERAGING_POWER + 1) / (int(averaged_steps) + AVERAGING_POWER + 1)
    for mean, value in zip(averaged, current, strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, weight)
        else:  # batch normalisation's count of batches
            mean.copy_(value)
