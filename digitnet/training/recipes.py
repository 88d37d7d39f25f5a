"""`Recipe`: the size of a network and how it is trained. Numbers only, so that the command line can list them."""

from dataclasses import dataclass, replace
from typing import Literal

Network = Literal["digitnet", "detector", "line reader"]


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained.

    Attributes:
        name: the value of `--recipe`.
        summary: its purpose, in a few words.
        width, deep: the size of `model.DigitNet`.
        epochs: how many there are; the learning rate falls to 0 on a half cosine (Loshchilov and Hutter, 2017). None
            for a run without an end: its learning rate falls with a power of the steps.
        cooldown_epochs: the last of these epochs. They come after that fall, at a tenth of the learning rate and with
            weaker augmentation.
        peak_learning_rate: the rate at the end of warm-up.
        warmup_steps: the batches of warm-up.
        stroke_digits: how many digits written stroke by stroke each batch gets, relative to the images from MNIST.
        label_smoothing: the share of a label's weight that is spread over all classes, in [0, 1].
        network: what it trains: "digitnet", which reads one digit; "detector", which finds digits on pages; "line
            reader", which reads a line of them.
    """

    name: str
    summary: str
    width: int = 16
    deep: bool = False
    epochs: int | None = None
    cooldown_epochs: int = 0
    peak_learning_rate: float = 6e-3
    warmup_steps: int = 100
    stroke_digits: float = 0.0
    label_smoothing: float = 0.05
    network: Network = "digitnet"

    @property
    def makes_data(self) -> bool:
        """Whether the run makes its own pages or strips; each rank of several then makes its share of a batch."""
        return self.network != "digitnet"


QUICK = Recipe("quick", "a small network, good after a minute, better the longer it trains")
LARGE = Recipe(
    "large",
    "a network four times as costly",
    width=32,
    deep=True,
    epochs=36,
    cooldown_epochs=3,
    peak_learning_rate=3e-3,
    warmup_steps=500,
    stroke_digits=0.3,
    label_smoothing=0.0,
)
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
    epochs=80,
    peak_learning_rate=2e-3,
    warmup_steps=500,
    network="detector",
)
DETECTOR_AGAIN = replace(
    DETECTOR,
    name="detector-again",
    summary="trains a finished detector on, after the made pages have changed",
    epochs=13,  # as above
    peak_learning_rate=1e-3,
)
LINE_READER = Recipe(
    "line-reader",
    "the network that reads a line of digits, trained on made strips",
    epochs=26,
    peak_learning_rate=2.5e-3,
    warmup_steps=300,
    network="line reader",
)
LINE_READER_AGAIN = replace(
    LINE_READER,
    name="line-reader-again",
    summary="trains a finished line reader on, after the made strips have changed",
    epochs=20,  # as above
    peak_learning_rate=1.2e-3,
)
RECIPES = {
    recipe.name: recipe for recipe in (QUICK, LARGE, BEST, DETECTOR, DETECTOR_AGAIN, LINE_READER, LINE_READER_AGAIN)
}
FORMER_NAMES = {"locator": DETECTOR.name}


def current_name(name: str) -> str:
    """The name of a recipe today; commands and saved runs may still use the former one."""
    return FORMER_NAMES.get(name, name)
