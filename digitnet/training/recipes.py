"""`Recipe`: the size of a network and how it is trained; numbers only, so that the command line can list them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained.

    Attributes:
        name: what `--recipe` calls it.
        summary: what it is for, in a few words.
        width, deep: the size of `model.DigitNet`.
        epochs: how many, the learning rate falling to 0 on a half cosine (Loshchilov and Hutter, 2017); None for a run
            without an end, whose rate falls with a power of the steps.
        cooldown_epochs: how many of these come after that fall, at a tenth of the rate and with digits redrawn less.
        peak_learning_rate: what warm-up ends at.
        warmup_steps: batches until then.
        pages: whether it is for `detector.Detector`, which detections digits on pages, rather than DigitNet, which reads one.
        label_smoothing: how much of a label's weight is spread over all classes, in [0, 1].
    """

    name: str
    summary: str
    width: int = 16
    deep: bool = False
    epochs: int | None = None
    cooldown_epochs: int = 0
    peak_learning_rate: float = 6e-3
    warmup_steps: int = 100
    label_smoothing: float = 0.05
    pages: bool = False


QUICK = Recipe("quick", "a small network, good after a minute, better for as long as you let it run")
LARGE = Recipe(
    "large",
    "a network four times as costly, the teacher of 'best'",
    width=32,
    deep=True,
    epochs=36,
    peak_learning_rate=3e-3,
    warmup_steps=500,
    label_smoothing=0.0,
)
BEST = Recipe(
    "best",
    "the network that the package carries; give it a --teacher",
    deep=True,
    epochs=27,
    cooldown_epochs=3,
    peak_learning_rate=4e-3,
    warmup_steps=500,
    label_smoothing=0.0,
)
DETECTOR = Recipe(
    "detector",
    "the network that detections digits on pages, trained on made ones",
    epochs=80,
    peak_learning_rate=2e-3,
    warmup_steps=500,
    pages=True,
)
RECIPES = {recipe.name: recipe for recipe in (QUICK, LARGE, BEST, DETECTOR)}
