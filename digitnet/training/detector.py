"""`Detector`, the network that finds digits on a page: 0.9 million weights, 9 thousand multiply-adds a pixel."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from digitnet.reading.places import CLASSES

MAPS = CLASSES + 4  # one a digit, then place and size


class Detector(nn.Module):
    """A fully convolutional network that says, for each cell of a page, which digit has its centre there, if any.

    Digits are points with a size, as in CenterNet (Zhou et al., 2019, "Objects as Points"). There are ten heat maps,
    one a digit, with a peak at each centre. More maps give the place of the centre in its cell and the digit's size.
    Coarse stages see what stands around a digit. They are added to finer ones on the way up (feature pyramid, Lin et
    al., 2017).
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_2 = convolution(1, 16, size=5, stride=2)
        self.at_4 = nn.Sequential(convolution(16, 32, stride=2), Residual(32))
        self.at_8 = nn.Sequential(convolution(32, 64, stride=2), Residual(64), Residual(64))
        self.at_16 = nn.Sequential(convolution(64, 96, stride=2), Residual(96))
        self.at_32 = nn.Sequential(convolution(96, 112, stride=2), Residual(112))
        self.side_32, self.side_16 = nn.Conv2d(112, 80, 1), nn.Conv2d(96, 80, 1)
        self.side_8, self.side_4 = nn.Conv2d(64, 80, 1), nn.Conv2d(32, 48, 1)
        self.up_16, self.up_8 = convolution(80, 80), convolution(80, 80)
        self.narrowed = nn.Conv2d(80, 48, 1)
        self.up_4 = nn.Sequential(convolution(48, 48), convolution(48, 48))
        self.head = nn.Conv2d(48, MAPS, 1)
        rare = torch.zeros(MAPS)
        rare[:CLASSES] = -4.6  # a probability of 0.01, since most cells hold no centre (Lin et al., 2017b)
        self.head.bias = nn.Parameter(rare)

    def forward(self, pages: Tensor) -> Tensor:
        """The detector maps (N, 14, H/4, W/4) of `pages` (N, 1, H, W), made by `contrast.normalise_contrast`.

        The first ten maps are logits of the digits. Then come the centre's place in its cell, across and down in
        [0, 1], and the logarithms of the digit's width and height in cells. H and W are multiples of 32.
        """
        quarter = self.at_4(self.at_2(pages))
        eighth = self.at_8(quarter)
        sixteenth = self.at_16(eighth)
        coarsest = self.at_32(sixteenth)
        sixteenth = self.up_16(self.side_16(sixteenth) + _doubled(self.side_32(coarsest)))
        eighth = self.up_8(self.side_8(eighth) + _doubled(sixteenth))
        maps: Tensor = self.head(self.up_4(self.side_4(quarter) + _doubled(self.narrowed(eighth))))
        return maps


class Residual(nn.Module):
    """Two convolutions with a connection past them (He et al., 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(maps + self.norm(self.second(self.first(maps))))


def convolution(inputs: int, outputs: int, *, size: int = 3, stride: int | tuple[int, int] = 1) -> nn.Sequential:
    """A convolution with batch normalisation (Ioffe and Szegedy, 2015) and a rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _doubled(maps: Tensor) -> Tensor:
    return functional.interpolate(maps, scale_factor=2, mode="nearest")
