"""`DigitNet`, the network: four convolutions and one linear layer, 92 thousand weights, 4 million multiply-adds."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

# The mean and standard deviation of all pixels of MNIST's training images, pixels in [0, 1].
MNIST_MEAN = 0.1307
MNIST_STD = 0.3081
MAX_WIDTH = 64  # twice the largest recipe; a damaged file that claims more would fill the memory


class DigitNet(nn.Module):
    """A convolutional network that reads one digit, similar to LeCun et al. (1998), with batch normalisation.

    Each stage sees a larger piece of the digit: strokes, then corners and arcs, then loops and crossings. Pooling
    halves the picture twice (28, 14, 7). It comes before normalisation and ReLU, so that these two have only a quarter
    of the numbers to work on.

    Args:
        width: the number of maps in the first stage; the second stage has twice as many, the third four times.
        deep: whether the second and the third stage have one more convolution each.
    """

    def __init__(self, width: int = 16, *, deep: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_stage(1, width, kernel_size=5, pool=True),  # (N, w, 14, 14)
            *(_stage(width, 2 * width) if deep else ()),  # (N, 2w, 14, 14)
            *_stage(2 * width if deep else width, 2 * width, pool=True),  # (N, 2w, 7, 7)
            *_stage(2 * width, 4 * width),  # (N, 4w, 7, 7)
            *_stage(4 * width, 4 * width),  # (N, 4w, 7, 7)
            *(_stage(4 * width, 4 * width) if deep else ()),  # (N, 4w, 7, 7)
        )
        self.head = nn.Linear(4 * width * 7 * 7, 10)

    @classmethod
    def like(cls, weights: dict[str, Tensor]) -> "DigitNet":
        """A network of the same size as the one that `weights` come from; of the usual size if that was no DigitNet."""
        first = weights.get("features.0.weight")
        width = len(first) if first is not None and first.dim() == 4 and len(first) <= MAX_WIDTH else 16
        kernels = [name for name, tensor in weights.items() if name.startswith("features") and tensor.dim() == 4]
        return cls(width, deep=len(kernels) > 4)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) for `images` (N, 1, 28, 28), ink bright on dark, in [0, 1]."""
        logits: Tensor = self.head(self.last_features(images))
        return logits

    def last_features(self, images: Tensor) -> Tensor:
        """What the last layer sees, (N, 196w), for images as in `forward`."""
        standardised = (images - MNIST_MEAN) / MNIST_STD
        maps: Tensor = self.features(standardised)  # (N, 4w, 7, 7)
        return maps.flatten(1)


def with_not_a_digit(logits: Tensor) -> Tensor:
    """Logits (N, 11) of the ten digits and, last, of "not a digit", from the logits (N, 10) of the digits.

    Softmax depends only on the differences between logits, so one of eleven may be fixed: "not a digit" always has the
    logit 0. The network makes all ten logits small when it sees no digit, and needs no eleventh output.
    """
    return functional.pad(logits, (0, 1))


def _stage(inputs: int, outputs: int, kernel_size: int = 3, *, pool: bool = False) -> Iterator[nn.Module]:
    yield nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False)
    if pool:
        yield nn.MaxPool2d(2)
    yield nn.BatchNorm2d(outputs)
    yield nn.ReLU()
