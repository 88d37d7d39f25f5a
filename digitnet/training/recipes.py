"""`Recipe`: which network is trained, and how. Numbers only, so that the command line can list them."""

from dataclasses import dataclass
from typing import Literal

Network = Literal["digitnet", "detector", "line reader"]


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained.

    Attributes:
        name: the value of `--recipe`.
        summary: its purpose, in a few words.
        network: what it trains: "digitnet", which reads one digit; "detector", which finds digits on pages; "line
            reader", which reads a line of them.
        deep: whether `model.DigitNet` has two more convolutions.
        epochs: how many there are; the learning rate falls to 0 on a half cosine (Loshchilov and Hutter, 2017). None
            for a run without an end: its learning rate falls with a power of the steps.
        cooldown_epochs: the last of these epochs. They come after that fall, at a tenth of the learning rate and with
            weaker augmentation.
        peak_learning_rate: the rate at the end of warm-up.
        warmup_steps: the batches of warm-up.
        stroke_digits: how many digits written stroke by stroke each batch gets, relative to the images from MNIST.
        label_smoothing: the share of a label's weight that is spread over all classes, in [0, 1].
    """

    name: str
    summary: str
    network: Network = "digitnet"
    deep: bool = False
    epochs: int | None = None
    cooldown_epochs: int = 0
    peak_learning_rate: float = 6e-3
    warmup_steps: int = 100
    stroke_digits: float = 0.0
    label_smoothing: float = 0.05

    @property
    def makes_data(self) -> bool:
        """Whether the run makes its own pages or strips; each rank of several then makes its share of a batch."""
        return self.network != "digitnet"


QUICK = Recipe("quick", "what main.py trains: a small network, good after a minute, better the longer it trains")
BEST = Recipe(
    "best",
    "the network that the package carries",
    deep=True,
    epochs=27,
    cooldown_epochs=3,
    peak_learning_rate=4e-3,
    warmup_steps=500,
    stroke_digits=0.3,
    label_smoothing=0.0,
)
DETECTOR = Recipe(
    "detector",
    "the network that finds digits on pages, trained on made pages",
    network="detector",
    epochs=80,
    peak_learning_rate=2e-3,
    warmup_steps=500,
)
LINE_READER = Recipe(
    "line-reader",
    "the network that reads a line of digits, trained on made strips",
    network="line reader",
    epochs=26,
    peak_learning_rate=2.5e-3,
    warmup_steps=300,
)
RECIPES = {recipe.name: recipe for recipe in (QUICK, BEST, DETECTOR, LINE_READER)}
