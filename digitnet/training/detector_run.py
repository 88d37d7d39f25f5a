"""Training of `Detector`, on pages that are made when they are needed and used once.

The loss is that of CenterNet (Zhou et al., 2019). For the heat maps it is the focal loss of CornerNet (Law and Deng,
2018), which weakens a cell the more, the nearer it is to a centre. For place and size it is the absolute error at each
centre.
"""

import functools
import itertools
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset

from digitnet.dataset import HOLD_OUT, MNIST, ShuffledBatches, find_mnist, split
from digitnet.loop.augment import Chance, vary_shape
from digitnet.loop.negatives import pools
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.boxes import edges, middles, same_ink
from digitnet.reading.contrast import Grey, normalise_contrast
from digitnet.reading.places import BORDER, CLASSES, STRIDE, distinct, framed, peaks
from digitnet.synthesis.glyphs import glyphs
from digitnet.synthesis.pages import MadeDigit, MadePage, PageMaker
from digitnet.synthesis.photos import Difficulties, random_difficulties
from digitnet.synthesis.sheets import windowed
from digitnet.test import Evaluation
from digitnet.training.detector import Detector
from digitnet.training.recipe_run import RecipeRun

BATCH = 16  # pages
PAGES = 400 * BATCH  # in a cycle
VALIDATION_PAGES = 256
TRAINING, VALIDATION = 1, 2  # streams of random numbers
FOREIGN = 7  # times each digit from a font is put beside MNIST's; they are then a fifth of all
HEIGHT, WIDTH = 160, 224  # pixels; of a page
CUT_OUT = 0.34  # of the pages are a number cut out tightly, framed as `places.framed` frames pictures
PATTERNED = 0.4  # of those are on patterned paper, as amounts on cheques are
FRAMED = 0.7  # of the pages, together with those, are smaller than the network's input, and are framed
STROKES = 0.35  # of the pages are written stroke by stroke
SMALLEST, LARGEST = 8, 76  # pixels; heights of the digits that the network must find
TOO_LARGE = 100  # pixels; a digit from this height on is background, so that its loops are not found as zeros
PLACE_WEIGHT = 2.0  # of place and size in the loss
CONFIDENT = 0.3  # validation counts detections from this score on

Targets = tuple[Tensor, Tensor, Tensor]  # heat maps, the cells that count, places and sizes; see `targets`


class Pages(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Made pages with their targets, by number. The same number always gives the same page."""

    def __init__(self, maker: PageMaker, stream: int) -> None:
        self.maker = maker
        self.stream = stream

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The page (1, H, W), its contrast normalised, and its `targets`."""
        rng = np.random.default_rng([number, self.stream])
        kind = rng.random()
        if kind >= FRAMED:
            page = self.maker.page(rng, HEIGHT, WIDTH)
            return torch.from_numpy(normalise_contrast(page.picture)).unsqueeze(0), *targets(page)
        if kind < CUT_OUT:
            parts = list(self._cut_outs(rng))
        else:
            height, width = (
                int(rng.integers(40, HEIGHT - 2 * BORDER + 1)),
                int(rng.integers(96, WIDTH - 2 * BORDER + 1)),
            )
            parts = [self.maker.page(rng, height, width)]
        picture, page = in_frame(parts, rng)
        return torch.from_numpy(picture).unsqueeze(0), *targets(page)

    def _cut_outs(self, rng: np.random.Generator) -> Iterator[MadePage]:
        """Numbers cut out tightly, as many as fit one below the other."""
        free = HEIGHT - BORDER
        while free > 0:
            paper: Difficulties = frozenset({"paper"}) if rng.random() < PATTERNED else frozenset()
            page = self.maker.cut_out(rng, SMALLEST, LARGEST, random_difficulties(rng) | paper)
            free -= len(page.picture) + BORDER
            if free >= 0:
                yield page


def in_frame(parts: Sequence[MadePage], rng: np.random.Generator) -> tuple[Grey, MadePage]:
    """Pages as the detector sees them, (`HEIGHT`, `WIDTH`) pixels of normalised contrast, and their digits.

    They stand one below the other with `BORDER` pixels around each, as `places.framed` frames a picture. Of a page that
    is too wide, the left or the right end is seen.
    """
    picture = np.zeros((HEIGHT, WIDTH), np.float32)
    digits: list[MadeDigit] = []
    top = BORDER
    for part in parts:
        framed_part = framed(normalise_contrast(part.picture), width=WIDTH)
        left = (framed_part.shape[1] - WIDTH) * int(rng.integers(2))
        height = len(part.picture)
        picture[top : top + height] = framed_part[BORDER : BORDER + height, left : left + WIDTH]
        moved = [replace(digit, left=digit.left + BORDER, right=digit.right + BORDER) for digit in part.digits]
        seen = windowed(moved, left, 0, WIDTH, height)
        digits += [replace(digit, top=digit.top + top, bottom=digit.bottom + top) for digit in seen]
        top += height + BORDER
    return picture, MadePage(np.zeros((HEIGHT, WIDTH), np.uint8), tuple(digits))


class FreshBatches(ShuffledBatches):
    """Batches of page numbers; no number comes twice."""

    def order(self) -> list[int]:
        begin = (self.seed * 10**6 + self.epoch) * self.length
        return list(range(begin, begin + self.length))


class DetectorRun(RecipeRun):
    """A training run whose batches are pages."""

    max_gradient = 5.0

    def network_like(self, weights: dict[str, Tensor]) -> nn.Module:
        return Detector()

    def evaluate(self, loader: "DataLoader[Any]") -> Evaluation:
        return evaluate(self.average.module, loader, self.device)

    def prepare(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Targets]:
        """Pages (N, 1, H, W) and their `targets`, each with a batch dimension first, on the device."""
        pages, heat, counted, centres = (tensor.to(self.device) for tensor in batch)
        return pages.contiguous(memory_format=torch.channels_last), (heat, counted, centres)

    def loss(self, detector_maps: Tensor, targets: Targets, pages: Tensor) -> Tensor:
        return detector_loss(detector_maps, *targets)

    def loss_count(self, targets: Targets) -> int:
        return max(int((targets[0] >= 1).sum()), 1)  # digits, as in `detector_loss`


def targets(page: MadePage) -> Targets:
    """What the network should give for a page of (H, W) pixels.

    Returns:
        heat maps (10, H/4, W/4), 1 at each digit's centre and falling like a Gaussian around it;
        the cells that count (H/4, W/4), boolean: all but those of digits that are cut off, too small or too large;
        (4, H/4, W/4): at each centre its place in its cell and the logarithms of width and height in cells, and NaN
        elsewhere.
    """
    height, width = (side // STRIDE for side in page.picture.shape)
    heat = np.zeros((CLASSES, height, width), np.float32)
    counted = np.ones((height, width), bool)
    centres = np.full((4, height, width), np.nan, np.float32)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    for digit in page.digits:
        x, y = (digit.left + digit.right) / 2 / STRIDE, (digit.top + digit.bottom) / 2 / STRIDE
        wide, tall = (digit.right - digit.left) / STRIDE, (digit.bottom - digit.top) / STRIDE
        column, row = int(x), int(y)
        inside = 0 <= column < width and 0 <= row < height
        if tall * STRIDE > TOO_LARGE:
            continue
        if digit.label is None or not inside or not SMALLEST <= tall * STRIDE <= LARGEST:
            top, left = max(0, int(digit.top / STRIDE)), max(0, int(digit.left / STRIDE))
            counted[top : int(digit.bottom / STRIDE) + 1, left : int(digit.right / STRIDE) + 1] = False
            continue
        spread_x, spread_y = max(0.16 * wide, 0.5), max(0.16 * tall, 0.5)
        bump = np.exp(-((columns - column) ** 2) / (2 * spread_x**2) - (rows - row) ** 2 / (2 * spread_y**2))
        np.maximum(heat[digit.label], bump, out=heat[digit.label])
        centres[:, row, column] = x - column, y - row, np.log(max(wide, 0.5)), np.log(max(tall, 0.5))
    counted[np.isfinite(centres[0])] = True  # even where a cut-off digit overlaps a centre
    return torch.from_numpy(heat), torch.from_numpy(counted), torch.from_numpy(centres)


def detector_loss(detector_maps: Tensor, heat: Tensor, counted: Tensor, centres: Tensor) -> Tensor:
    """The loss per digit of `detector_maps` (N, 14, h, w), given the `targets` of N pages."""
    logits, places = detector_maps[:, :CLASSES], detector_maps[:, CLASSES:]
    scores = logits.sigmoid()
    is_centre = heat >= 1
    at_centres = (1 - scores) ** 2 * functional.logsigmoid(logits)
    elsewhere = (1 - heat) ** 4 * scores**2 * functional.logsigmoid(-logits) * counted.unsqueeze(1)
    digits = is_centre.sum().clamp(min=1)
    has_place = centres.isfinite()
    misplaced = (places - centres.nan_to_num()).abs()[has_place].sum() / (4 * digits)
    return -torch.where(is_centre, at_centres, elsewhere).sum() / digits + PLACE_WEIGHT * misplaced


@functools.cache
def page_maker(root: str | None = None, *, training: bool = True) -> PageMaker:
    """A maker that writes MNIST's training digits and the fonts' digits and letters; not `training`: the held-out ones.

    Raises DataError where MNIST was not found.
    """
    mnist = MNIST(find_mnist(root), train=True)
    chosen = split(len(mnist), HOLD_OUT)[0 if training else 1]
    digits, labels = mnist.data[chosen], mnist.targets[chosen]
    generator = torch.Generator().manual_seed(0)
    varied = vary_shape(digits.unsqueeze(1).float() / 255, labels, Chance(len(digits), generator))
    foreign, foreign_labels, negatives = pools() if training else held_out_pools()
    all_digits = torch.cat([(varied * 255).byte(), *[foreign] * FOREIGN])[:, 0]
    all_labels = torch.cat([labels, *[foreign_labels] * FOREIGN])
    order = torch.randperm(len(all_labels), generator=generator)
    return PageMaker(all_digits[order].numpy(), all_labels[order].numpy(), negatives[:, 0].numpy(), strokes=STROKES)


def leave_interrupts_to_the_trainer(worker: int) -> None:
    """A worker process of a loader: Ctrl-C is the trainer's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def held_out_pools() -> tuple[Tensor, Tensor, Tensor]:
    """Like `negatives.pools`, of the glyphs that training never sees."""
    images, labels = map(torch.from_numpy, glyphs(held_out=True))
    digits, images = labels != NOT_A_DIGIT, images.unsqueeze(1)
    return images[digits], labels[digits], images[~digits]


def get_page_loaders(root: str | None = None, *, seed: int = 0) -> "dict[str, DataLoader[Any]]":
    """For "train", a loader of ever new pages, made by another process; for "validation", the same few pages.

    MNIST is downloaded where it is missing.
    """
    root = str(find_mnist(root, download=True))
    return {
        "train": DataLoader(
            Pages(page_maker(root), TRAINING),
            batch_sampler=FreshBatches(PAGES, BATCH, seed),
            num_workers=1,
            prefetch_factor=4,
            persistent_workers=True,
            worker_init_fn=leave_interrupts_to_the_trainer,
        ),
        "validation": DataLoader(
            Subset(Pages(page_maker(root, training=False), VALIDATION), range(VALIDATION_PAGES)), batch_size=BATCH
        ),
    }


@torch.inference_mode()
def evaluate(model: nn.Module, loader: "DataLoader[tuple[Tensor, ...]]", device: torch.device | str) -> Evaluation:
    """How well `model` finds the digits of the loader's pages.

    The accuracy is F1: twice the number of digits found in the right place and size with the right name, divided by the
    number of digits written and found together. Digits that are cut off count on neither side.
    """
    was_training = model.training
    model.to(device).eval()
    hits, total, losses = 0, 0, []
    for pages, *batch_targets in loader:
        detector_maps = model(pages.to(device)).cpu()
        losses.append(float(detector_loss(detector_maps, *batch_targets)))
        for maps, heat, counted, centres in zip(
            detector_maps.numpy(), *(tensor.numpy() for tensor in batch_targets), strict=True
        ):
            sure = np.where(heat >= 1, 20.0, -20.0)
            written = list(peaks(np.concatenate([sure, centres]).astype(np.float32)))
            found = [one for one in distinct(peaks(maps)) if one.score >= CONFIDENT]
            column, row = (middles(edges(found)) / STRIDE).astype(int).T
            height, width = counted.shape
            counts = counted[row.clip(0, height - 1), column.clip(0, width - 1)]
            found = list(itertools.compress(found, counts))
            in_place = same_ink(edges(written)[:, np.newaxis], edges(found))
            is_right = in_place & np.equal.outer([one.digit for one in written], [one.digit for one in found])
            hits += int(is_right.any(1).sum())
            total += len(written) + len(found)
    model.train(was_training)
    return Evaluation(correct=2 * hits, total=total, loss=sum(losses) / max(len(losses), 1))
