"""Training of `LineReader`, on strips that are made when they are needed and used once.

The places of made digits are known. So most of the loss is the cross-entropy of each column with what stands there. A
smaller part is that of CTC (Graves et al., 2006), the probability of the whole text. Several strips stand side by side
in a row of the batch, with paper between them, because strips are of very different widths.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from digitnet.dataset import find_mnist
from digitnet.reading.alphabet import BLANK, OTHER
from digitnet.reading.contrast import Grey
from digitnet.reading.strips import HEIGHT, STRIDE, prepared, resized
from digitnet.synthesis.strips import MadeStrip, StripMaker
from digitnet.test import Evaluation
from digitnet.training.detector_run import FreshBatches, leave_interrupts_to_the_trainer, page_maker
from digitnet.training.line_reader import LineReader
from digitnet.training.recipe_run import RecipeRun

SHEETS = 14  # in a batch; they give some 60 strips
BATCHES = 400  # in a cycle
VALIDATION_SHEETS = 128
TRAINING, VALIDATION = 4, 5  # streams of random numbers
LONG = 0.22  # of the sheets hold long numbers
ROW = 640  # pixels; width of a row of strips
GAP = 32  # pixels of paper between two strips of a row
CORE, RIM = 0.12, 0.45  # of a symbol's width, on either side of its middle: what must be named, what may be
OTHER_CORE = 0.4  # the same for another sign, whose place may be a whole word's
OTHER_WEIGHT = 1.0  # of the columns of another sign; a word has many
CORE_WEIGHT, RIM_WEIGHT = 2.0, 0.4  # blank columns have the weight 1
GAP_WEIGHT = 0.3  # of the blank columns between two strips
COLUMN_WEIGHT, CTC_WEIGHT = 3.0, 0.3

Targets = tuple[Tensor, ...]  # classes, cores, weights, texts and lengths; see `batch_of`


@dataclass(frozen=True)
class Row:
    """Strips side by side.

    Attributes:
        picture: (48, W).
        classes: (W/4,), what each column shows; beside the middle of a symbol it may be blank as well.
        is_core: (W/4,), whether it must be this class.
        weights: (W/4,), how much each column counts.
        text: the classes for CTC; None where it is not known.
    """

    picture: Grey
    classes: "np.typing.NDArray[np.int64]"
    is_core: "np.typing.NDArray[np.bool_]"
    weights: "np.typing.NDArray[np.float32]"
    text: tuple[int, ...] | None


class Strips(Dataset[list[MadeStrip]]):
    """The strips of made sheets, by the number of the sheet. The same number always gives the same strips."""

    def __init__(self, maker: StripMaker, stream: int) -> None:
        self.maker = maker
        self.stream = stream

    def __getitem__(self, number: int) -> list[MadeStrip]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([number, self.stream])
        return self.maker.strips(rng, long=rng.random() < LONG)


NO_STRIP = Row(np.zeros((HEIGHT, 0), np.float32), np.zeros(0, int), np.zeros(0, bool), np.zeros(0, np.float32), ())


def row_of(strip: MadeStrip) -> Row | None:
    """A row with one strip, None where it is too wide or too short for its text."""
    picture = prepared(resized(strip.picture))
    scale = picture.shape[1] / strip.picture.shape[1] / STRIDE
    width = -(-picture.shape[1] // STRIDE) * STRIDE
    picture = np.pad(picture, ((0, 0), (0, width - picture.shape[1])))
    columns = width // STRIDE
    classes, is_core, weights = np.full(columns, BLANK), np.ones(columns, bool), np.ones(columns, np.float32)
    text = [symbol for symbol, _ in strip.symbols]
    repeats = sum(one == other for one, other in itertools.pairwise(text))
    if width > ROW or columns < len(text) + repeats + 1:
        return None
    for left, right in strip.unknown:
        first, last = _columns((left + right) / 2 * scale, (right - left) * scale / 2, columns)
        weights[first : last + 1] = 0
    nearest = np.full(columns, np.inf)
    for symbol, span in strip.symbols:
        middle, wide = (span[0] + span[1]) / 2 * scale, (span[1] - span[0]) * scale
        first, last = _columns(middle, RIM * wide, columns)
        away = np.abs(np.arange(first, last + 1) - middle) / max(wide, 1)
        is_nearer = away < nearest[first : last + 1]
        here = np.arange(first, last + 1)[is_nearer]
        nearest[here], classes[here], is_core[here] = away[is_nearer], symbol, False
        weights[here] = np.minimum(weights[here], RIM_WEIGHT)
    for symbol, span in strip.symbols:
        middle, wide = (span[0] + span[1]) / 2 * scale, (span[1] - span[0]) * scale
        first, last = _columns(middle, (OTHER_CORE if symbol == OTHER else CORE) * wide, columns)
        classes[first : last + 1], is_core[first : last + 1] = symbol, True
        weights[first : last + 1] = OTHER_WEIGHT if symbol == OTHER else CORE_WEIGHT
    return Row(picture, classes, is_core, weights, None if strip.unknown else tuple(text))


def _columns(middle: float, reach: float, count: int) -> tuple[int, int]:
    """The first and the last column within `reach` of a place, both in columns; at least one."""
    first, last = round(middle - reach), round(middle + reach)
    return max(0, min(first, count - 1)), max(0, min(max(first, last), count - 1))


def packed(rows: Sequence[Row]) -> Iterator[Row]:
    """Rows of up to `ROW` pixels with several strips each, `GAP` pixels apart; those whose text is unknown apart."""
    waiting: dict[bool, list[Row]] = {True: [], False: []}
    for row in rows:
        others = waiting[row.text is None]
        if others and sum(one.picture.shape[1] + GAP for one in others) + row.picture.shape[1] > ROW:
            yield _joined(others)
            others.clear()
        others.append(row)
    for others in waiting.values():
        if others:
            yield _joined(others)


def _joined(rows: Sequence[Row]) -> Row:
    gap = GAP // STRIDE
    pictures, classes, cores, weights = [], [], [], []
    for row in rows:
        pictures.append(np.pad(row.picture, ((0, 0), (0, GAP))))
        classes.append(np.pad(row.classes, (0, gap), constant_values=BLANK))
        cores.append(np.pad(row.is_core, (0, gap), constant_values=True))
        weights.append(np.pad(row.weights, (0, gap), constant_values=GAP_WEIGHT))
    texts = [row.text for row in rows]
    text = None if None in texts else tuple(symbol for one in texts for symbol in one or ())
    columns = ROW // STRIDE
    return Row(
        np.hstack(pictures)[:, :ROW],
        np.hstack(classes)[:columns],
        np.hstack(cores)[:columns],
        np.hstack(weights)[:columns],
        text,
    )


def batch_of(rows: Sequence[Row]) -> tuple[Tensor, ...]:
    """Rows as tensors: pictures (N, 1, 48, W), classes, cores and weights (N, W/4), texts (N, L), lengths (N,).

    Texts are padded with -1. The length is -1 where the text is unknown.
    """
    width = max(row.picture.shape[1] for row in rows)
    longest = max((len(row.text or ()) for row in rows), default=0)
    pictures = np.zeros((len(rows), 1, HEIGHT, width), np.float32)
    classes = np.full((len(rows), width // STRIDE), BLANK)
    cores = np.ones((len(rows), width // STRIDE), bool)
    weights = np.zeros((len(rows), width // STRIDE), np.float32)
    texts = np.full((len(rows), max(longest, 1)), -1)
    lengths = np.full(len(rows), -1)
    for index, row in enumerate(rows):
        columns = len(row.classes)
        pictures[index, 0, :, : row.picture.shape[1]] = row.picture
        classes[index, :columns], cores[index, :columns] = row.classes, row.is_core
        weights[index, :columns] = row.weights
        if row.text is not None:
            texts[index, : len(row.text)], lengths[index] = row.text, len(row.text)
    return tuple(map(torch.from_numpy, (pictures, classes, cores, weights, texts, lengths)))


def together(sheets: Sequence[list[MadeStrip]]) -> tuple[Tensor, ...]:
    """The strips of some sheets as a batch of packed rows.

    Sheets without a strip give a row of blank paper, since a rank must take every step with the others.
    """
    rows = [row for strips in sheets for strip in strips if (row := row_of(strip))]
    return batch_of(list(packed(rows)) or [_joined([NO_STRIP])])


def one_a_row(sheets: Sequence[list[MadeStrip]]) -> tuple[Tensor, ...]:
    """The strips of some sheets whose texts are known, as a batch with a row each."""
    rows = [row for strips in sheets for strip in strips if (row := row_of(strip)) and row.text is not None]
    return batch_of(rows)


class LineReaderRun(RecipeRun):
    """A training run whose batches are rows of strips."""

    max_gradient = 5.0

    def network_like(self, weights: dict[str, Tensor]) -> nn.Module:
        return LineReader()

    def evaluate(self, loader: "DataLoader[Any]") -> Evaluation:
        return evaluate(self.average.module, loader, self.device)

    def prepare(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Targets]:
        """Rows (N, 1, 48, W) and their targets (see `batch_of`), on the device."""
        pictures, *targets = (tensor.to(self.device) for tensor in batch)
        return pictures.contiguous(memory_format=torch.channels_last), tuple(targets)

    def loss(self, outputs: Tensor, targets: Targets, images: Tensor) -> Tensor:
        return line_loss(outputs, *targets)

    def loss_count(self, targets: Targets) -> int:
        return max(round(float(targets[2].sum())), 1)


def line_loss(
    logits: Tensor, classes: Tensor, cores: Tensor, weights: Tensor, texts: Tensor, lengths: Tensor
) -> Tensor:
    """The loss of `logits` (N, T, 22), given what `batch_of` says of the rows."""
    log_probs = functional.log_softmax(logits, 2)
    of_class = log_probs.gather(2, classes.unsqueeze(2)).squeeze(2)  # (N, T)
    either = torch.logaddexp(of_class, log_probs[:, :, BLANK])
    by_column = -torch.where(cores, of_class, either)
    loss = COLUMN_WEIGHT * (by_column * weights).sum() / weights.sum().clamp(min=1)
    known = lengths > 0
    if known.any():
        columns = torch.full((int(known.sum()),), logits.shape[1])
        ctc = functional.ctc_loss(
            log_probs[known].transpose(0, 1),
            texts[known],
            columns,
            lengths[known],
            blank=BLANK,
            zero_infinity=True,
        )
        loss = loss + CTC_WEIGHT * ctc
    return loss


def greedy(classes: Sequence[int]) -> str:
    """The digits of the likeliest class of each column: repeats count once, and all but digits are left out."""
    kept = [one for place, one in enumerate(classes) if place == 0 or classes[place - 1] != one]
    return "".join(str(one) for one in kept if one < 10)


@torch.inference_mode()
def evaluate(model: nn.Module, loader: "DataLoader[tuple[Tensor, ...]]", device: torch.device | str) -> Evaluation:
    """Of how many of the loader's strips `model` reads all digits right."""
    was_training = model.training
    model.to(device).eval()
    right, total, losses = 0, 0, []
    for pictures, *targets in loader:
        logits = model(pictures.to(device)).cpu()
        losses.append(float(line_loss(logits, *targets)))
        for best, text, length in zip(logits.argmax(2).tolist(), targets[3].tolist(), targets[4].tolist(), strict=True):
            right += greedy(best) == "".join(str(symbol) for symbol in text[:length] if symbol < 10)
            total += 1
    model.train(was_training)
    return Evaluation(correct=right, total=total, loss=sum(losses) / max(len(losses), 1))


def get_strip_loaders(root: str | None = None, *, seed: int = 0) -> "dict[str, DataLoader[Any]]":
    """For "train", a loader of ever new strips, made by another process; for "validation", the same few strips.

    MNIST is downloaded where it is missing.
    """
    root = str(find_mnist(root, download=True))
    validation = Strips(StripMaker(page_maker(root, training=False).pool), VALIDATION)
    return {
        "train": DataLoader(
            Strips(StripMaker(page_maker(root).pool), TRAINING),
            batch_sampler=FreshBatches(BATCHES * SHEETS, SHEETS, seed),
            collate_fn=together,
            num_workers=1,
            prefetch_factor=8,
            persistent_workers=True,
            worker_init_fn=leave_interrupts_to_the_trainer,
        ),
        "validation": DataLoader(
            [validation[number] for number in range(VALIDATION_SHEETS)],  # type: ignore[arg-type]
            batch_size=SHEETS,
            collate_fn=one_a_row,
        ),
    }
