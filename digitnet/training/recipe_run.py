"""`RecipeRun`: a training run as a recipe plans it. It ends after some epochs, and may train other networks."""

import functools
import math
import os
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from digitnet.loop.augment import augment
from digitnet.loop.negatives import StrokePool, add_negatives
from digitnet.loop.run import PLAIN_EPOCHS, TrainingRun
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.synthesis.strokes import stroke_digits, stroke_letters
from digitnet.training.recipes import Recipe

COOLDOWN_RATE = 0.1  # of the peak learning rate, where the cooldown epochs begin
COOLDOWN_STRENGTH = 0.6  # the strongest augmentation in cooldown; one digit in six is then more than bent
STROKE_DIGITS = 120_000
STROKE_LETTERS = 9_000
STROKE_SEED = 9


class RecipeRun(TrainingRun):
    """A run of a recipe.

    Args:
        epochs, rate: to train for so many epochs, from this peak learning rate, instead of what the recipe says. A
            network whose training is finished is then trained on.
    """

    max_gradient: float | None = None  # the norm of all gradients together; None for any

    def __init__(
        self,
        model: nn.Module,
        device: torch.device | str,
        *,
        recipe: Recipe,
        seed: int = 0,
        epochs: int | None = None,
        rate: float | None = None,
    ) -> None:
        super().__init__(model, device, seed=seed)
        self.plan = {name: value for name, value in (("epochs", epochs), ("peak_learning_rate", rate)) if value}
        self._follow(replace(recipe, **self.plan))  # type: ignore[arg-type]
        self.first_epoch = 0  # a run that begins with trained weights has no plain epoch

    def _follow(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.recipe_name = recipe.name
        self.peak_learning_rate, self.warmup_steps = recipe.peak_learning_rate, recipe.warmup_steps
        self.label_smoothing = recipe.label_smoothing

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done."""
        return self.recipe.epochs is not None and self.epoch >= self.first_epoch + self.recipe.epochs

    @property
    def in_cooldown(self) -> bool:
        """Whether the present epoch is one of the recipe's cooldown epochs, which are its last."""
        recipe = self.recipe
        return recipe.epochs is not None and self.epoch >= self.first_epoch + recipe.epochs - recipe.cooldown_epochs

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        recipe = self.recipe
        if recipe.epochs is None:
            return super().learning_rate
        steps = max(1, self.steps_an_epoch)  # before the first batch, it is not known how many there are
        batches = (self.epoch - self.first_epoch) * steps + (self.batch if self.steps_an_epoch else 0)
        falling = (recipe.epochs - recipe.cooldown_epochs) * steps
        if batches < falling or not recipe.cooldown_epochs:
            warm = (self.step + 1) / recipe.warmup_steps
            return recipe.peak_learning_rate * min(warm, _half_cosine(batches / falling))
        done = (batches - falling) / (recipe.cooldown_epochs * steps)
        return recipe.peak_learning_rate * COOLDOWN_RATE * _half_cosine(done)

    def prepare(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        """As for any run, with the recipe's share of stroke digits."""
        images, labels = (tensor.to(self.device) for tensor in batch)
        count, strokes = len(images), round(self.recipe.stroke_digits * len(images))
        pool = _stroke_pool(images.device) if strokes else None
        images, labels = add_negatives(images, labels, self.generator, pool, self.recipe.stroke_digits)
        if self.epoch >= PLAIN_EPOCHS:
            # Stroke digits have their own variants: a second bar, flag or foot would spoil them.
            shapes = labels.clone()
            shapes[count : count + strokes] = NOT_A_DIGIT
            images = augment(images, shapes, self.generator, strongest=COOLDOWN_STRENGTH if self.in_cooldown else 1.0)
        return images, labels

    def loss_count(self, targets: Any) -> int:
        """How many items `loss` is the mean over. Ranks that share a batch weight their losses with it."""
        return len(targets)

    def before_step(self, loss: Tensor) -> None:
        """As for any run; also shortens the gradient."""
        super().before_step(loss)
        if self.max_gradient is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_gradient)

    def start_from(self, weights: dict[str, Tensor]) -> None:
        super().start_from(weights)
        self.first_epoch = self.epoch

    def can_follow(self, state: dict[str, Any]) -> bool:
        """As for any run. A finished run is not gone on with if other epochs or another rate are asked for.

        Raises ValueError also where such a run is not finished.
        """
        super().can_follow(state)
        saved = self._planned(state)
        if all(getattr(saved, name) == value for name, value in self.plan.items()):
            return True
        if saved.epochs is not None and state["epoch"] >= state.get("first_epoch", 0) + saved.epochs:
            return False
        length = f"of {saved.epochs} epochs" if saved.epochs else "without an end"
        raise ValueError(
            f"a run {length} from the rate {saved.peak_learning_rate:g}, not finished; "
            "go on with it without --epochs and --rate"
        )

    def _planned(self, state: dict[str, Any]) -> Recipe:
        """The recipe as the run of a saved state follows it."""
        names = [name for name in ("epochs", "peak_learning_rate") if name in state]
        return replace(self.recipe, **{name: state[name] for name in names})

    def state_dict(self) -> dict[str, Any]:
        recipe = self.recipe
        plan = {"epochs": recipe.epochs, "peak_learning_rate": recipe.peak_learning_rate}
        return {**super().state_dict(), **plan, "first_epoch": self.first_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._follow(self._planned(state))
        self.first_epoch = state.get("first_epoch", 0)  # main.py's own runs have none


@functools.cache
def _stroke_pool(device: torch.device) -> StrokePool:
    """All cores write it, which takes a minute."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # of torchrun; each of them writes all digits
    digits, labels, _ = stroke_digits(STROKE_DIGITS, STROKE_SEED, workers=max(1, (os.cpu_count() or 1) // ranks))
    letters = stroke_letters(STROKE_LETTERS, STROKE_SEED)
    digit_images, letter_images = (torch.from_numpy(pool).unsqueeze(1).to(device) for pool in (digits, letters))
    return digit_images, torch.from_numpy(labels).to(device), letter_images


def _half_cosine(done: float) -> float:
    """From 1 to 0 while `done` goes from 0 to 1."""
    return (1 + math.cos(math.pi * min(1.0, done))) / 2
