"""`DigitNet`, the network: four convolutions and one linear layer, 92 thousand weights, 4 million multiply-adds."""

from torch import Tensor, nn

# The mean and standard deviation of all pixels of MNIST's training images, pixels in [0, 1].
MNIST_MEAN = 0.1307
MNIST_STD = 0.3081


class DigitNet(nn.Module):
    """A convolutional network that reads one digit, in the manner of LeCun et al. (1998) with batch normalisation.

    Each stage looks at larger parts of the digit: strokes, then corners and arcs, then loops and crossings. Pooling
    halves the picture twice (28, 14, 7), and comes before normalisation and ReLU because all three commute in effect
    and the later two then touch a quarter of the numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=5, padding=2, bias=False),  # (N, 16, 28, 28)
            nn.MaxPool2d(2),  # (N, 16, 14, 14)
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1, bias=False),  # (N, 32, 14, 14)
            nn.MaxPool2d(2),  # (N, 32, 7, 7)
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3, padding=1, bias=False),  # (N, 64, 7, 7)
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel_size=3, padding=1, bias=False),  # (N, 64, 7, 7)
            nn.BatchNorm2d(64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64 * 7 * 7, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) for `images` (N, 1, 28, 28), ink bright on dark, in [0, 1]."""
        standardised = (images - MNIST_MEAN) / MNIST_STD
        maps = self.features(standardised)  # (N, 64, 7, 7)
        logits: Tensor = self.head(maps.flatten(1))
        return logits
