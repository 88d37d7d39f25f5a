"""`LineReader`, the network that reads a line of digits: 0.8 million weights."""

import torch
from torch import Tensor, nn

from digitnet.reading.alphabet import BLANK, CLASSES
from digitnet.training.detector import Residual, convolution

CHANNELS = 128  # of a column


class LineReader(nn.Module):
    """A convolutional network that says what each column of a strip shows.

    Two-dimensional convolutions reduce the height of the strip to 1 and its width to a quarter. Dilated
    one-dimensional ones (Yu and Koltun, 2016) then see what stands beside a column. The scores are read with the
    blank of CTC (Graves et al., 2006).
    """

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            convolution(1, 16, size=5, stride=2),
            Residual(16),
            convolution(16, 32, stride=2),
            Residual(32),
            Residual(32),
            convolution(32, 64, stride=(2, 1)),
            Residual(64),
            Residual(64),
            convolution(64, 96, stride=(2, 1)),
            Residual(96),
        )
        self.flattened = nn.Sequential(
            nn.Conv2d(96, CHANNELS, 3, padding=(0, 1), bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU()
        )
        self.beside = nn.ModuleList(_along(CHANNELS, dilation) for dilation in (1, 2, 1))
        self.head = nn.Conv1d(CHANNELS, CLASSES, 1)
        likely = torch.zeros(CLASSES)
        likely[BLANK] = 4.0  # most columns are blank
        self.head.bias = nn.Parameter(likely)

    def forward(self, strips: Tensor) -> Tensor:
        """The logits (N, W/4, 22) of `strips` (N, 1, 48, W), made by `strips.prepared`; see `alphabet` for classes."""
        columns = self.flattened(self.maps(strips))[:, :, 0]  # (N, 128, W/4)
        for layer in self.beside:
            columns = columns + layer(columns)
        logits: Tensor = self.head(columns).transpose(1, 2)
        return logits


def _along(channels: int, dilation: int) -> nn.Sequential:
    convolved = nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation, bias=False)
    return nn.Sequential(convolved, nn.BatchNorm1d(channels), nn.ReLU())
