"""Augmentation in batches: each digit as another person, pen or camera would have made it.

Some 500 Americans wrote MNIST with pencils, and all its pictures are clean. A network that has seen nothing else fails
on other people's digits. So training changes every batch: it adds shapes that MNIST lacks, other slants and sizes,
other pens, worse cameras, and leftovers of lines and neighbours.

Images are (N, 1, 28, 28), float in [0, 1], ink bright on dark. All random numbers come from the generator that is
passed in, so a run can be repeated to the bit. The generator must be on the images' device.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

SIDE = 28
# Each image has a random strength in [0, 1], which scales how far it is bent. Below this strength nothing else happens
# to it, so half of the images stay clean. Without them, a small network loses on clean digits what it gains on others.
ONLY_BENT = 0.5
STRIP = 4  # pixels; how far a neighbour reaches into an image


def augment(images: Tensor, labels: Tensor, generator: Generator, *, strongest: float = 1.0) -> Tensor:
    """`images` (N, 1, 28, 28) in [0, 1], augmented.

    Args:
        labels: (N,); they decide which other shapes a digit may get.
        strongest: the highest strength, in [0, 1]; up to 0.5, images are only bent.
    """
    chance = Chance(len(images), generator)
    strength = chance.uniform(0, strongest)
    images = vary_shape(images, labels, chance)
    images = bend(images, strength, chance)
    rough = add_leftovers(change_pen(images, chance), chance)
    return torch.where(strength < ONLY_BENT, images, change_camera(rough, chance))


class Chance:
    """Random numbers for a batch, shaped (N, 1, 1, 1), so that each acts on a whole image."""

    def __init__(self, count: int, generator: Generator) -> None:
        self.count = count
        self.generator = generator

    def uniform(self, low: float, high: float) -> Tensor:
        fractions = torch.rand(self.count, 1, 1, 1, generator=self.generator, device=self.generator.device)
        return low + (high - low) * fractions

    def happens(self, probability: float) -> Tensor:
        """True for about `probability` of the images."""
        return self.uniform(0, 1) < probability

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.generator, device=self.generator.device)

    def permutation(self) -> Tensor:
        return torch.randperm(self.count, generator=self.generator, device=self.generator.device)


def vary_shape(images: Tensor, labels: Tensor, chance: Chance) -> Tensor:
    """Gives some 7s a bar, some 1s a flag or a foot and some 0s a slash, as wide as the digit's own strokes."""
    images = images.clone()
    for digit, draw_strokes in ((7, _bar), (1, _flag_and_foot), (0, _slash)):
        chosen = (labels == digit).nonzero().flatten()
        if len(chosen):
            ink = _Ink(images[chosen])
            images[chosen] = draw_strokes(ink, Chance(len(chosen), chance.generator))
    return images


class _Ink:
    """Where the ink of each image lies; all attributes are (N, 1, 1, 1), in pixels."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        rows = torch.arange(SIDE, device=images.device).view(1, 1, SIDE, 1)
        inked = images.amax(3, keepdim=True) > 0.4
        self.top = torch.where(inked, rows, SIDE - 1).amin(2, keepdim=True).float()
        self.bottom = torch.where(inked, rows, 0).amax(2, keepdim=True).float()
        self.height = (self.bottom - self.top).clamp(min=1)
        self.mass = images.sum((1, 2, 3), keepdim=True)

    def half_pen(self, stroke_length: float) -> Tensor:
        """Half the width of the strokes: the ink divided by their length, which is given in heights of the digit."""
        return (self.mass / (stroke_length * self.height)).clamp(1.2, 4.0) / 2

    def column_at(self, row: Tensor) -> Tensor:
        """The mean column of the ink in a row."""
        index = row.round().long().clamp(0, SIDE - 1).expand(-1, -1, -1, SIDE)
        line = self.images.gather(2, index) + 1e-6
        columns = torch.arange(SIDE, device=self.images.device)
        return (line * columns).sum(3, keepdim=True) / line.sum(3, keepdim=True)

    def add(self, stroke: Tensor, where: Tensor) -> Tensor:
        return torch.where(where, torch.maximum(self.images, stroke), self.images)


def _bar(ink: _Ink, chance: Chance) -> Tensor:
    y = ink.top + ink.height * chance.uniform(0.42, 0.62)
    x = ink.column_at(y)
    reach, tilt = ink.height * chance.uniform(0.16, 0.34), ink.height * chance.uniform(-0.08, 0.14)
    return ink.add(segment(x - reach, y + tilt, x + reach, y - tilt, ink.half_pen(1.6)), chance.happens(0.35))


def _flag_and_foot(ink: _Ink, chance: Chance) -> Tensor:
    pen = ink.half_pen(1.0)
    y = ink.top + pen
    x = ink.column_at(y)
    # The angle to the stem, in radians; a flatter flag would turn the 1 into a 7.
    reach, angle = ink.height * chance.uniform(0.2, 0.62), chance.uniform(0.5, 1.05)
    flag = segment(x, y, x - reach * angle.sin(), y + reach * angle.cos(), pen)
    flagged = ink.add(flag, chance.happens(0.2))
    y = ink.bottom - pen
    x = ink.column_at(y)
    left, right = ink.height * chance.uniform(0.1, 0.35), ink.height * chance.uniform(0.1, 0.35)
    foot = segment(x - left, y, x + right, y, pen)
    return torch.where(chance.happens(0.12), torch.maximum(flagged, foot), flagged)


def _slash(ink: _Ink, chance: Chance) -> Tensor:
    y = ink.top + ink.height / 2
    x, reach = ink.column_at(y), ink.height * chance.uniform(0.2, 0.45)
    slash = segment(x - reach * 0.7, y + reach, x + reach * 0.7, y - reach, ink.half_pen(2.5))
    return ink.add(slash, chance.happens(0.03))


def segment(x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, half_width: Tensor) -> Tensor:
    """A straight stroke with soft edges, (N, 1, 28, 28); every argument (N, 1, 1, 1), in pixels."""
    axis = torch.arange(SIDE, device=x0.device, dtype=torch.float32)
    columns, rows = axis.view(1, 1, 1, -1), axis.view(1, 1, -1, 1)
    dx, dy = x1 - x0, y1 - y0
    along = ((columns - x0) * dx + (rows - y0) * dy) / (dx * dx + dy * dy).clamp(min=1e-3)
    along = along.clamp(0, 1)
    distance = torch.hypot(columns - x0 - along * dx, rows - y0 - along * dy)
    return (half_width + 0.5 - distance).clamp(0, 1)


def bend(images: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    """Rotates, scales, slants, shifts and distorts the images about the centre of their ink, in one resampling.

    `strength` (N, 1, 1, 1) in [0, 1] scales every amount. The distortion is elastic as in Simard et al. (2003); its
    smooth displacement is interpolated from a coarse random grid.
    """
    axis = torch.arange(SIDE, device=images.device, dtype=torch.float32)
    mass = images.sum((1, 2, 3)).clamp(min=1e-3)
    centre_x = (images.sum((1, 2)) * axis).sum(1) / mass  # (N,)
    centre_y = (images.sum((1, 3)) * axis).sum(1) / mass
    # From pixels to the coordinates of grid_sample, where the centre of pixel i lies at (2 i + 1) / 28 - 1.
    centre = torch.stack([2 * centre_x + 1, 2 * centre_y + 1], 1) / SIDE - 1

    def draw(low: float, high: float) -> Tensor:
        return (strength * chance.uniform(low, high)).flatten()

    angle = draw(-15, 15) * (math.pi / 180)
    scale_x, scale_y = draw(-0.18, 0.18).exp(), draw(-0.18, 0.18).exp()
    slant = draw(-0.25, 0.25)
    cos, sin = angle.cos(), angle.sin()
    rows = [cos / scale_x, (slant - sin) / scale_x, sin / scale_y, cos / scale_y]
    linear = torch.stack(rows, 1).view(-1, 2, 2)
    shift = torch.stack([draw(-0.15, 0.15), draw(-0.15, 0.15)], 1)
    # MNIST centres its ink on pixel 14, which is half a pixel off the middle of the grid.
    translation = centre + shift - (linear @ torch.full((2, 1), 1 / SIDE, device=images.device)).flatten(1)
    grid = functional.affine_grid(
        torch.cat([linear, translation.unsqueeze(2)], 2), list(images.shape), align_corners=False
    )  # (N, 28, 28, 2)
    coarse = 0.06 * strength * chance.normal(2, 5, 5)
    waves = functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    return functional.grid_sample(
        images, grid + waves.permute(0, 2, 3, 1), mode="bilinear", padding_mode="zeros", align_corners=False
    )


def change_pen(images: Tensor, chance: Chance) -> Tensor:
    """Makes strokes thicker or thinner, softer or harder, stronger or fainter towards their edges."""
    which, amount = chance.uniform(0, 1), chance.uniform(0, 1)
    thick = functional.max_pool2d(images, 3, 1, 1)
    thin = -functional.max_pool2d(-images, 3, 1, 1)
    images = torch.where(which < 0.2, images.lerp(thick, amount), images)
    images = torch.where((which > 0.8), images.lerp(thin, 0.8 * amount), images)

    which = chance.uniform(0, 1)
    soft = blur(images, chance.uniform(0.3, 1.2))
    images = torch.where(which < 0.2, soft, images)
    images = torch.where(which > 0.85, (images + 1.5 * (images - soft)).clamp(0, 1), images)
    images = torch.where(chance.happens(0.12), ((images - 0.4) * 6 + 0.5).clamp(0, 1), images)
    # An outline: a thick stroke minus a thin one.
    images = torch.where(chance.happens(0.04), (1.5 * (thick - thin)).clamp(0, 1), images)
    return images.clamp(1e-4, 1) ** chance.uniform(-0.6, 0.6).exp()


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """A Gaussian blur of `sigma` pixels, (N, 1, 1, 1), a different one for each image."""
    offsets = torch.arange(-2.0, 3.0, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma.view(-1, 1)) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)  # (N, 5)
    count = len(images)
    one_group_each = images.permute(1, 0, 2, 3)  # (1, N, 28, 28)
    vertical = functional.conv2d(one_group_each, kernel.view(count, 1, 5, 1), padding=(2, 0), groups=count)
    both = functional.conv2d(vertical, kernel.view(count, 1, 1, 5), padding=(0, 2), groups=count)
    return both.permute(1, 0, 2, 3)


def add_leftovers(images: Tensor, chance: Chance) -> Tensor:
    """Adds what normalisation may leave: pieces of ruled lines, a neighbour's edge, a gap in the stroke."""
    axis = torch.arange(SIDE, device=images.device, dtype=torch.float32)
    columns, rows = axis.view(1, 1, 1, -1), axis.view(1, 1, -1, 1)

    for _ in range(3):
        angle, offset = chance.uniform(0, math.pi), chance.uniform(-13, 13)
        distance = (across(angle) - offset).abs()
        line = (chance.uniform(0.8, 1.8) - distance).clamp(0, 1) * chance.uniform(0, 1)
        images = torch.where(chance.happens(0.08), torch.maximum(images, line), images)

    images = add_neighbour(images, chance)

    x, y = chance.uniform(0, SIDE), chance.uniform(0, SIDE)
    hole = ((columns - x).abs() < chance.uniform(1, 3.5)) & ((rows - y).abs() < chance.uniform(1, 3.5))
    return torch.where(chance.happens(0.08) & hole, 0.0, images)


def add_neighbour(images: Tensor, chance: Chance) -> Tensor:
    """Adds the near side of another digit's ink at the left or right edge of some images."""
    neighbours = images[chance.permutation()]
    at_left = chance.happens(0.5)
    columns = torch.arange(SIDE, device=images.device).view(1, 1, 1, -1)
    inked = neighbours.amax(2, keepdim=True) > 0.4  # (N, 1, 1, 28)
    first = torch.where(inked, columns, SIDE - 1).amin(3, keepdim=True)
    last = torch.where(inked, columns, 0).amax(3, keepdim=True)
    # A neighbour on the left shows its last columns of ink, and one on the right its first.
    shown = columns + torch.where(at_left, last - (STRIP - 1), first - (SIDE - STRIP))
    strips = neighbours.gather(3, shown.clamp(0, SIDE - 1).expand_as(images))
    edge = torch.where(at_left, columns < STRIP, columns >= SIDE - STRIP)
    return torch.where(chance.happens(0.08) & edge, torch.maximum(images, strips), images)


def across(angle: Tensor) -> Tensor:
    """How far each pixel lies from the image's middle, (N, 1, 28, 28), in the direction of `angle` (N, 1, 1, 1)."""
    axis = torch.arange(SIDE, device=angle.device, dtype=torch.float32) - 13.5
    return axis.view(1, 1, 1, -1) * angle.cos() + axis.view(1, 1, -1, 1) * angle.sin()


def change_camera(images: Tensor, chance: Chance) -> Tensor:
    """Weakens the contrast of some images, lights or inverts a part of some, and adds noise to some."""
    images = torch.where(chance.happens(0.15), images * chance.uniform(0.5, 1.0), images)
    angle, offset = chance.uniform(0, 2 * math.pi), chance.uniform(-10, 10)
    gain = chance.uniform(0.3, 1.0)
    lit = gain * images + (1 - gain) * chance.uniform(0, 1)
    lit = torch.where(chance.happens(0.5), 1 - lit, lit)
    images = torch.where(chance.happens(0.08) & (across(angle) > offset), lit, images)
    strength = torch.where(chance.happens(0.15), chance.uniform(0, 0.2), 0.0)
    return (images + strength * chance.normal(1, SIDE, SIDE)).clamp(0, 1)
