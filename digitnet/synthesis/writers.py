"""Writers: everything that is written on one page comes from one writer, in one hand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from digitnet.synthesis.hands import Hand, Pixels, handwritten, random_hand, thinned
from digitnet.synthesis.paper import Array
from digitnet.synthesis.photos import Difficulties
from digitnet.synthesis.stroke_hands import StrokeHand, inked, random_stroke_hand, written
from digitnet.synthesis.variants import Variant, letters

THINNED = 1500  # so many digits are also thinned to lines, which takes about a second
DRAWN = 0.35  # of the stroke hands are those of a drawing program, whose pen is round and always as wide
OWN_LETTERS = 0.7  # of the letters on a page that is written stroke by stroke are written so too
FAINTEST = 0.2  # of the most ink; less is noise around a source digit
COPIED = 0.3  # of the pages of source digits without difficulties show them as enlarged pictures
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
WORDS = [
    *("Name", "Date", "Total", "Amount", "EUR", "USD", "No.", "Code", "Sum", "Score", "Class", "Pos", "Qty", "Price"),
    *("Room", "Team", "Page", "Zip", "Tel.", "Betrag", "Datum", "Nr.", "Answer", "Round", "Points", "Draw", "here"),
    *("Clear", "Predict", "Upload", "kg", "cm", "Account", "Pay", "to", "Order", "the", "of", "OLD", "Loose", "Bonds"),
]


@dataclass(frozen=True)
class Pool:
    """The digits and letters that pages are written with.

    Attributes:
        digits: (N, 28, 28) in bytes, ink bright on dark.
        labels: (N,), 0 to 9.
        negatives: (M, 28, 28) in bytes, letters and signs that are no digits; may be empty.
        thin: the first digits, thinned to lines, (K, 56, 56).
        places: for each label that there is, the places of its digits.
    """

    digits: Pixels
    labels: npt.NDArray[np.integer]
    negatives: Pixels
    thin: Pixels
    places: dict[int, npt.NDArray[np.intp]]

    @classmethod
    def of(cls, digits: Pixels, labels: npt.NDArray[np.integer], negatives: Pixels) -> "Pool":
        places = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
        return cls(digits, labels, negatives, thinned(digits[:THINNED]), places)

    @property
    def choices(self) -> list[int]:
        """The labels that there are."""
        return list(self.places)


@dataclass(frozen=True)
class Writer:
    """Who writes a page.

    Attributes:
        hand: size, slope, gaps; and the shape of source digits.
        strokes: the hand that writes digits stroke by stroke; None writes the pool's digits.
        copied: whether the pool's digits are shown as enlarged pictures, soft or in steps, instead of in the hand.
        shares: (10,), how often each digit is written where the layout does not say which.
        own: for each label the place in the pool of the one digit that is always written; None writes any of them.
    """

    pool: Pool
    hand: Hand
    strokes: StrokeHand | None
    copied: bool
    shares: tuple[float, ...]
    own: Mapping[int, int] | None = None

    def digit(self, rng: Generator, label: int | None = None, hand: Hand | None = None) -> tuple[Array, int]:
        """The ink (h, w) in [0, 1] of a digit, with this label if there is one, and its label.

        Args:
            hand: the writer's own where it is None; another one for another size.
        """
        hand = hand or self.hand
        if label is None:
            label = int(np.searchsorted(self.shares, rng.random()))
        if self.strokes:
            return self._written(self.strokes.variant(label, rng), self.strokes, hand.height, rng), label
        places = self.pool.places[label] if self.own is None else np.array([self.own[label]])
        if self.copied:
            return _enlarged(self.pool.digits[rng.choice(places)], hand.height, rng), label
        if hand.pen is None:
            return handwritten(self.pool.digits[rng.choice(places)], hand), label
        among = places[: np.searchsorted(places, len(self.pool.thin))]
        if not len(among):
            return handwritten(self.pool.digits[rng.choice(places)], replace(hand, pen=None)), label
        return handwritten(self.pool.thin[rng.choice(among)], hand), label

    def letter(self, rng: Generator, hand: Hand | None = None) -> Array:
        """The ink (h, w) in [0, 1] of a letter or sign that is no digit, of the pool or by the writer's pen."""
        hand = hand or self.hand
        if self.strokes and rng.random() < OWN_LETTERS:
            alphabet = letters()
            return self._written(alphabet[rng.integers(len(alphabet))], self.strokes, hand.height, rng)
        return handwritten(self.pool.negatives[rng.integers(len(self.pool.negatives))], hand)

    def _written(self, variant: Variant, strokes: StrokeHand, height: float, rng: Generator) -> Array:
        tall = max(5.0, height * (1 - min(strokes.pen, 0.2)))
        return inked(written(variant, strokes, rng), variant, strokes, tall, rng)


def random_writer(pool: Pool, rng: Generator, difficulties: Difficulties, strokes: float = 0.0) -> Writer:
    """A random writer, who writes evenly unless the difficulties say otherwise.

    Args:
        strokes: the share of the writers that write stroke by stroke.
    """
    hand = random_hand(rng)
    hand = replace(hand, joined=rng.uniform(0.1, 0.7) if "touching" in difficulties and rng.random() < 0.4 else 0.0)
    if "touching" in difficulties:
        hand = replace(hand, gap=rng.uniform(-0.22, 0.06))
    elif hand.gap < 0.06:
        hand = replace(hand, gap=rng.uniform(0.06, 0.5))
    if "slope" in difficulties:
        hand = replace(hand, slope=rng.uniform(0.06, 0.36) * rng.choice([-1, 1]))
    else:
        hand = replace(hand, slope=float(np.clip(hand.slope, -0.04, 0.04)) * rng.uniform())
    copied = not difficulties and rng.random() < COPIED
    stroke_hand = _stroke_hand(hand, rng) if rng.random() < strokes else None
    return Writer(pool, hand, stroke_hand, copied, _shares(pool.choices, rng))


def printed(rng: Generator, height: float) -> Array:
    """The ink (h, w) in [0, 1] of a printed word with capitals of this height in pixels."""
    word = WORDS[rng.integers(len(WORDS))]
    if rng.random() < 0.2:
        word = word.upper()
    font, scale = FONTS[rng.integers(len(FONTS))], height / 22
    thick = max(1, round(height * rng.uniform(0.06, 0.16)))
    (wide, tall), below = cv2.getTextSize(word, font, scale, thick)
    mask = np.zeros((tall + below + 2, wide + 2), np.uint8)
    cv2.putText(mask, word, (1, tall + 1), font, scale, 255, thick, cv2.LINE_AA)
    return np.multiply(mask, np.float32(1 / 255), dtype=np.float32)


def _stroke_hand(hand: Hand, rng: Generator) -> StrokeHand:
    own = random_stroke_hand(rng)
    if rng.random() < DRAWN:
        pen = math.exp(rng.uniform(math.log(2), math.log(12))) / max(hand.height, 16)
        own = replace(own, pen_kind="round", broken=0.0, pen=min(pen, 0.2))
    return replace(own, turn=own.turn + math.degrees(math.atan(hand.slope)))


def _shares(labels: list[int], rng: Generator) -> tuple[float, ...]:
    """The running sums of the shares of each digit: even, many zeros as in amounts, or many 1s and 7s."""
    shares, kind = np.zeros(10), rng.random()
    shares[labels] = 1
    if kind < 0.08:
        shares[0] *= 12
    elif kind < 0.25:
        shares[[1, 7]] *= (6, 2)
    sums = np.cumsum(shares / shares.sum())
    sums[max(labels) :] = 1
    return tuple(sums.tolist())


def _enlarged(source: Pixels, height: float, rng: Generator) -> Array:
    """A digit of the source enlarged as a picture, with soft edges or in steps."""
    left, top, wide, tall = cv2.boundingRect((source > 255 * FAINTEST).astype(np.uint8))
    if not wide:
        return np.zeros((1, 1), np.float32)
    scale = height / max(tall, 0.7 * wide)
    size = max(2, round(wide * scale)), max(3, round(tall * scale))
    ways = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    way = cv2.INTER_AREA if scale < 1 else ways[rng.integers(3)]
    ink = cv2.resize(source[top : top + tall, left : left + wide].astype(np.float32) / 255, size, interpolation=way)
    return np.asarray(np.clip((ink - FAINTEST) / (1 - FAINTEST), 0, 1), np.float32)
