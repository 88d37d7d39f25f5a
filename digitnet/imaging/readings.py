"""Readings of a picture of one digit: several ways to tell its ink from everything else.

`ink` assumes one digit on one paper, of which the picture shows little else. Where a desk, a frame or a window stands
around the digit, or where it was cut out tightly, this finds the wrong ink. Then other readings are made, each with an
assumption of its own, and DigitNet tells which one looks like a digit (`inference.choice`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from digitnet.imaging.ink import FAINTEST, Array
from digitnet.imaging.normalise import SIDE, NormalisedDigit, normalise, normalise_flat
from digitnet.results import Box

Numbers = npt.NDArray[np.float64]

BORDER = 0.08  # of the shorter side; without so much of it on each side, a frame along the picture's edge is gone
AROUND = 0.25  # of a detection's size; what the ink finder sees of its surroundings
LEAST_SIDE = 8  # pixels; a smaller piece of a picture shows no digit


@dataclass(frozen=True)
class Reading:
    """One way to read a picture.

    Attributes:
        kind: the name of the assumption, a key of `choice.WEIGHTS`.
        digit: what DigitNet is shown.
        certainty: how sure the detector is that a digit is there, in (0, 1]; 1 where it did not find this reading.
        logits: (10,), what the detector says of which digit it is; None where it did not find this reading.
        off_centre: how far the detector's box is from the middle of the picture, in [0, 1]; 1 is a corner.
    """

    kind: str
    digit: NormalisedDigit
    certainty: float = 1.0
    logits: Numbers | None = None
    off_centre: float = 0.0


# How each assumption finds ink in a part of a picture.
FINDERS: dict[str, Callable[[Array], NormalisedDigit | None]] = {
    "ink": normalise,
    "opposite": lambda grey: normalise(grey, opposite=True),
    "flat dark": lambda grey: normalise_flat(grey, dark=True),
    "flat light": lambda grey: normalise_flat(grey, dark=False),
}


def readings_of_whole(grey: Array) -> Iterator[Reading]:
    """The readings of a whole picture (H, W) in [0, 1] other than the first one: as it is, and without its border."""
    height, width = grey.shape
    yield from _found(grey, Box(0, 0, width, height), "", ("opposite", "flat dark", "flat light"))
    if height == width == SIDE and np.ptp(grey) > FAINTEST:  # as MNIST has it, or its negative
        whole = Box(0, 0, SIDE, SIDE)
        yield Reading("as it is", NormalisedDigit(np.ascontiguousarray(grey), whole, 1.0, several=False))
        yield Reading("as its negative", NormalisedDigit(1 - grey, whole, 1.0, several=False))
    border = max(2, round(BORDER * min(height, width)))
    inner = Box(border, border, width - 2 * border, height - 2 * border)
    yield from _found(grey, inner, "inside ", ("ink", "opposite"))


def readings_near(grey: Array, box: Box) -> Iterator[Reading]:
    """The readings of a piece of a picture (H, W) in [0, 1]: a detection's box and what lies around it."""
    around = round(AROUND * max(box.width, box.height))
    x, y = max(0, box.x - around), max(0, box.y - around)
    height, width = grey.shape
    right, bottom = min(width, box.x + box.width + around), min(height, box.y + box.height + around)
    yield from _found(grey, Box(x, y, right - x, bottom - y), "near ", ("ink",))


def _found(grey: Array, area: Box, where: str, finders: tuple[str, ...]) -> Iterator[Reading]:
    if min(area.width, area.height) < LEAST_SIDE and area.width < grey.shape[1]:
        return  # too little is left
    part = np.ascontiguousarray(grey[area.y : area.y + area.height, area.x : area.x + area.width])
    for name in finders:
        found = FINDERS[name](part)
        if found is not None:
            box = replace(found.box, x=found.box.x + area.x, y=found.box.y + area.y)
            yield Reading(where + name, replace(found, box=box))
