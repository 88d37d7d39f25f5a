"""Negatives and foreign digits: what training adds to each batch of MNIST.

A network that has seen only digits calls everything a digit, with high confidence. So a part of each batch is
negatives: letters, signs, scribbles, filled shapes, and digits that are spoiled. Their label is `NOT_A_DIGIT`
(outlier exposure, Hendrycks et al., 2019). Foreign digits are digits by other hands.

The letters, of some sixty scripts, and foreign digits by a hundred hands come from fonts (`synthesis.glyphs`).
Scribbles and shapes are drawn (`synthesis.drawings`). Images are (N, 1, 28, 28), float in [0, 1], ink bright on dark.
"""

import functools

import torch
from torch import Generator, Tensor
from torch.nn import functional

from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.normalise import SIDE
from digitnet.synthesis.drawings import drawings
from digitnet.synthesis.glyphs import glyphs

DRAWN = 6000  # scribbles and shapes; so many that none is seen often
DRAWN_SEED = 7

# Numbers of images that are added, relative to the images from MNIST.
FOREIGN_DIGITS = 0.1
NEGATIVES = 0.13
SPOILED = 0.07
LETTERS = 0.3  # for each stroke digit

StrokePool = tuple[Tensor, Tensor, Tensor]  # digits, as bytes, that are written stroke by stroke; labels; such letters


def add_negatives(
    images: Tensor,
    labels: Tensor,
    generator: Generator,
    strokes: StrokePool | None = None,
    stroke_share: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The batch, then stroke digits, digits from fonts, and negatives.

    Returns images (M, 1, 28, 28) and labels (M,), 0 to 9 or `NOT_A_DIGIT`.

    Args:
        strokes: where stroke digits and letters by the same pens come from; None for a batch without them.
        stroke_share: the number of stroke digits, relative to the images of the batch.
    """
    count = len(images)
    digits, digit_labels, negatives = _pools_on(images.device)

    def pick(available: int, part: float) -> Tensor:
        size = (round(part * count),)
        return torch.randint(available, size, generator=generator, device=generator.device)

    chosen_digits = pick(len(digits), FOREIGN_DIGITS)
    added = torch.cat([digits[chosen_digits], negatives[pick(len(negatives), NEGATIVES)]])
    if strokes:
        stroke_digits, stroke_labels, letters = strokes
        chosen = pick(len(stroke_digits), stroke_share)
        images = torch.cat([images, stroke_digits[chosen].float() / 255])
        labels = torch.cat([labels, stroke_labels[chosen]])
        added = torch.cat([added, letters[pick(len(letters), LETTERS * stroke_share)]])
    chosen = pick(len(images), SPOILED * len(images) / count)
    spoiled = spoil(images[chosen], labels[chosen], generator)
    are_none = labels.new_full((len(added) - len(chosen_digits) + len(spoiled),), NOT_A_DIGIT)
    return (
        torch.cat([images, added.float() / 255, spoiled]),
        torch.cat([labels, digit_labels[chosen_digits], are_none]),
    )


def spoil(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Images of digits (N, 1, 28, 28), made into negatives: a quarter each overlaid, paired, turned, mirrored.

    A turned zero is still a zero, and some digits are still digits when mirrored. These are paired instead.
    """
    which = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
    partners = images[torch.randperm(len(images), generator=generator, device=images.device)]
    overlaid = torch.maximum(images.roll(-5, dims=3), partners.roll(5, dims=3))
    paired = torch.zeros_like(images)
    half = SIDE // 2
    paired[:, :, half // 2 : half // 2 + half, :half] = functional.avg_pool2d(images, 2)
    paired[:, :, half // 2 : half // 2 + half, half:] = functional.avg_pool2d(partners, 2)
    paired = (1.5 * paired).clamp(max=1)  # thin lines lose ink when they shrink
    changed_by_mirror = torch.isin(labels, torch.tensor([3, 4, 6, 7, 9], device=labels.device)).view(-1, 1, 1, 1)
    turned = torch.where(labels.view(-1, 1, 1, 1) == 0, paired, images.rot90(1, (2, 3)))
    mirrored = torch.where(changed_by_mirror, images.flip(3), paired)
    spoiled = torch.where(which < 0.75, turned, mirrored)
    spoiled = torch.where(which < 0.5, paired, spoiled)
    return torch.where(which < 0.25, overlaid, spoiled)


@functools.cache
def pools() -> tuple[Tensor, Tensor, Tensor]:
    """Foreign digits (N, 1, 28, 28) uint8, their labels (N,) int64, and negatives (M, 1, 28, 28) uint8."""
    images, labels = map(torch.from_numpy, glyphs(held_out=False))
    digits = labels != NOT_A_DIGIT
    drawn = torch.from_numpy(drawings(DRAWN, DRAWN_SEED))
    return images[digits].unsqueeze(1), labels[digits], torch.cat([images[~digits], drawn]).unsqueeze(1)


@functools.cache
def _pools_on(device: torch.device) -> tuple[Tensor, ...]:
    """The pools, copied to the device once."""
    return tuple(pool.to(device) for pool in pools())
