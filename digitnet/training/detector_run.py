"""How `Detector` is trained: on pages that are made as they are needed, each once.

The loss is that of CenterNet (Zhou et al., 2019): for the heat maps the focal loss of CornerNet (Law and Deng, 2018),
in which cells near a centre count less the nearer they are, and for place and size the absolute error at each centre.
"""

import functools
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from digitnet.dataset import HOLD_OUT, MNIST, ShuffledBatches, find_mnist, split
from digitnet.inference.rejection import NOT_A_DIGIT
from digitnet.pages.detect import (
    BORDER,
    CLASSES,
    STRIDE,
    Detection,
    detection_at,
    distinct,
    framed,
    normalise_contrast,
    peaks,
    same_ink,
)
from digitnet.results import Evaluation
from digitnet.synthesis.pages import MadePage, PageMaker
from digitnet.train import TrainingRun
from digitnet.training.augment import Chance, vary_shape
from digitnet.training.detector import Detector
from digitnet.training.negatives import held_out_glyphs, pools

BATCH = 16  # pages
PAGES = 400 * BATCH  # a cycle
VALIDATION_PAGES = 256
TRAINING, VALIDATION = 1, 2  # streams of random numbers
FOREIGN = 7  # times each digit from a font is put beside MNIST's, which makes them a fifth
HEIGHT, WIDTH = 160, 224  # pixels; of a page
FRAMED = 0.4  # of the pages are smaller, and framed as pictures are before the network looks at them
SMALLEST, LARGEST = 8, 76  # pixels; heights of digits that are to be found
TOO_LARGE = 100  # pixels; such a digit is for a smaller picture to detection, and its loops are no zeros
PLACE_WEIGHT = 2.0  # of place and size in the loss
MAX_GRADIENT = 5.0
SURE = 0.3  # detections above it count in validation


class Pages(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Made pages by number, and what the network is to say of them; the same number gives the same page."""

    def __init__(self, maker: PageMaker, stream: int) -> None:
        self.maker = maker
        self.stream = stream

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The page (1, H, W), normalise_contrast, and its `targets`."""
        rng = np.random.default_rng([number, self.stream])
        if rng.random() >= FRAMED:
            page = self.maker.page(rng, HEIGHT, WIDTH)
            return torch.from_numpy(normalise_contrast(page.picture)).unsqueeze(0), *targets(page)
        height, width = int(rng.integers(40, HEIGHT - 2 * BORDER + 1)), int(rng.integers(96, WIDTH - 2 * BORDER + 1))
        page = self.maker.page(rng, height, width)
        seen = framed(normalise_contrast(page.picture), HEIGHT, WIDTH)
        return torch.from_numpy(seen).unsqueeze(0), *targets(in_frame(page))


class FreshBatches(ShuffledBatches):
    """Numbers of pages that no other batch has."""

    def __iter__(self) -> Iterator[list[int]]:
        begin = (self.seed * 10**6 + self.epoch) * self.length
        for start in range(self.first_batch * self.batch_size, self.length, self.batch_size):
            yield list(range(begin + start, begin + start + self.batch_size))
        self.epoch += 1
        self.first_batch = 0


class DetectorRun(TrainingRun):
    """A run whose batches are pages."""

    def network_like(self, weights: dict[str, Tensor]) -> nn.Module:
        return Detector()

    def evaluate(self, loader: "DataLoader[Any]") -> Evaluation:
        return evaluate(self.average.module, loader, self.device)

    def batch_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Of normalise_contrast pages (N, 1, H, W) and their targets, one batch dimension before each."""
        pages, heat, counted, centres = (part.to(self.device) for part in batch)
        answer = self.answer(pages.contiguous(memory_format=torch.channels_last))  # (N, 14, H/4, W/4)
        return loss(answer, heat, counted, centres)

    def update(self, loss: float) -> None:
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT)
        super().update(loss)


def in_frame(page: MadePage) -> MadePage:
    """The page's digits where `detect.framed` moves them, on a page of (HEIGHT, WIDTH)."""
    digits = (
        replace(
            digit,
            left=digit.left + BORDER,
            right=digit.right + BORDER,
            top=digit.top + BORDER,
            bottom=digit.bottom + BORDER,
        )
        for digit in page.digits
    )
    return MadePage(np.zeros((HEIGHT, WIDTH), np.uint8), tuple(digits))


def targets(page: MadePage) -> tuple[Tensor, Tensor, Tensor]:
    """What the network is to say of a page of (H, W) pixels.

    Returns:
        heat maps (10, H/4, W/4), 1 at each digit's centre and falling like a Gaussian around it;
        which cells count (H/4, W/4), boolean: not those of digits that are cut off or that need not be found;
        at each centre (4, H/4, W/4) its place in its cell and the logarithms of width and height in cells, NaN
        elsewhere.
    """
    height, width = (side // STRIDE for side in page.picture.shape)
    heat = np.zeros((CLASSES, height, width), np.float32)
    counted = np.ones((height, width), bool)
    centres = np.full((4, height, width), np.nan, np.float32)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    certain = []
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
        certain.append((row, column))
        centres[:, row, column] = x - column, y - row, np.log(max(wide, 0.5)), np.log(max(tall, 0.5))
    for row, column in certain:  # whatever is cut off beside it
        counted[row, column] = True
    return torch.from_numpy(heat), torch.from_numpy(counted), torch.from_numpy(centres)


def loss(answer: Tensor, heat: Tensor, counted: Tensor, centres: Tensor) -> Tensor:
    """Of `answer` (N, 14, h, w) against targets (N, 10, h, w), (N, h, w) and (N, 4, h, w), a digit."""
    logits, places = answer[:, :CLASSES], answer[:, CLASSES:]
    sure = logits.sigmoid()
    is_centre = heat >= 1
    found = (1 - sure) ** 2 * functional.logsigmoid(logits)
    left_alone = (1 - heat) ** 4 * sure**2 * functional.logsigmoid(-logits) * counted.unsqueeze(1)
    digits = is_centre.sum().clamp(min=1)
    shape_known = centres.isfinite()
    misplaced = (places - centres.nan_to_num()).abs()[shape_known].sum() / (4 * digits)
    return -torch.where(is_centre, found, left_alone).sum() / digits + PLACE_WEIGHT * misplaced


@functools.cache
def page_maker(root: str | None = None, *, training: bool = True) -> PageMaker:
    """Writes with MNIST's training digits and the fonts' digits and letters; for validation, with those held out."""
    mnist = MNIST(find_mnist(root), train=True)
    chosen = split(len(mnist), HOLD_OUT)[0 if training else 1]
    digits, labels = mnist.data[chosen], mnist.targets[chosen]
    generator = torch.Generator().manual_seed(0)
    varied = vary_shape(digits.unsqueeze(1).float() / 255, labels, Chance(len(digits), generator))
    foreign, foreign_labels, others = pools() if training else _held_out_pools()
    all_digits = torch.cat([(varied * 255).byte(), *[foreign] * FOREIGN])[:, 0]
    all_labels = torch.cat([labels, *[foreign_labels] * FOREIGN])
    order = torch.randperm(len(all_labels), generator=generator)
    return PageMaker(all_digits[order].numpy(), all_labels[order].numpy(), others[:, 0].numpy())


def _leave_interrupts_to_the_trainer(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _held_out_pools() -> tuple[Tensor, Tensor, Tensor]:
    """As `others.pools`, of what training never sees."""
    glyphs, labels = held_out_glyphs()
    digits = labels != NOT_A_DIGIT
    return glyphs[digits], labels[digits], glyphs[~digits]


def get_page_loaders(root: str | None = None, *, seed: int = 0) -> tuple[DataLoader, DataLoader]:  # type: ignore[type-arg]
    """Loaders of training pages, without end, made by another process, and of the same few pages for validation."""
    training, validation = Pages(page_maker(root), TRAINING), Pages(page_maker(root, training=False), VALIDATION)
    fresh = FreshBatches(PAGES, BATCH, seed)
    fixed = [list(range(start, start + BATCH)) for start in range(0, VALIDATION_PAGES, BATCH)]
    return (
        DataLoader(
            training,
            batch_sampler=fresh,
            num_workers=1,
            prefetch_factor=4,
            persistent_workers=True,
            worker_init_fn=_leave_interrupts_to_the_trainer,
        ),
        DataLoader(validation, batch_sampler=fixed),
    )


@torch.inference_mode()
def evaluate(model: nn.Module, loader: "DataLoader[tuple[Tensor, ...]]", device: torch.device | str) -> Evaluation:
    """How well the digits of the loader's pages are found.

    The accuracy is F1: twice the digits found at their place, in their size and named right, of all written and all
    found together. What is cut off is neither.
    """
    was_training = model.training
    model.to(device).eval()
    hits, total, losses = 0, 0, []
    for pages, *expected in loader:
        answer = model(pages.to(device)).cpu()
        losses.append(float(loss(answer, *expected)))
        for one_answer, heat, counted, centres in zip(
            answer.numpy(), *(part.numpy() for part in expected), strict=True
        ):
            written = list(truth(heat, centres))
            found = [
                detection
                for detection in distinct(peaks(one_answer))
                if detection.score >= SURE and _counts(detection, counted)
            ]
            named = np.array([[one.digit == detection.digit for detection in found] for one in written], np.bool_)
            hits += int((named.reshape(len(written), len(found)) & same_ink(written, found)).any(1).sum())
            total += len(written) + len(found)
    model.train(was_training)
    return Evaluation(correct=2 * hits, total=total, loss=sum(losses) / max(len(losses), 1))


def truth(heat: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]) -> Iterator[Detection]:
    """The digits that `targets` tell of."""
    rows, columns = np.nonzero(np.isfinite(centres[0]))
    sure = np.where(heat >= 1, 20.0, -20.0)
    answer = np.concatenate([sure, centres]).astype(np.float32)
    yield from (detection_at(answer, row, column) for row, column in zip(rows.tolist(), columns.tolist(), strict=True))


def _counts(detection: Detection, counted: npt.NDArray[np.bool_]) -> bool:
    row, column = (
        (a + b) / 2 / STRIDE for a, b in ((detection.top, detection.bottom), (detection.left, detection.right))
    )
    height, width = counted.shape
    return bool(counted[min(max(int(row), 0), height - 1), min(max(int(column), 0), width - 1)])
