import json
import re

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from digitnet import cli
from digitnet.reading.alphabet import BLANK, CLASSES, OTHER
from digitnet.reading.strips import HEIGHT, STRIDE
from digitnet.synthesis.strips import MadeStrip
from digitnet.train import train
from digitnet.training import detector_run, line_reader_run
from digitnet.training.line_reader import LineReader
from digitnet.training.line_reader_run import GAP, ROW, LineReaderRun, batch_of, greedy, line_loss, packed, row_of
from digitnet.training.recipes import LINE_READER


def strip(*symbols, width=120, unknown=(), height=HEIGHT):
    """A strip with a dark bar in the columns of each symbol: (class, left, right)."""
    picture = np.full((height, width), 220, np.uint8)
    for _, left, right in symbols:
        picture[height // 6 : -height // 6, left:right] = 30
    return MadeStrip(picture, tuple((symbol, (left, right)) for symbol, left, right in symbols), tuple(unknown))


ONE_TWO = strip((1, 20, 32), (2, 60, 84))


def perfect(batch):
    """Logits (N, T, 22) that say exactly what the targets of a batch are."""
    classes = batch[1]
    return torch.where(torch.nn.functional.one_hot(classes, CLASSES) > 0, 12.0, -12.0)


def test_the_middle_of_each_symbol_must_be_named_and_its_rim_may_be_blank():
    row = row_of(ONE_TWO)
    assert row.picture.shape == (HEIGHT, 120)
    assert len(row.classes) == len(row.is_core) == len(row.weights) == 120 // STRIDE
    assert row.text == (1, 2)
    assert (row.classes[6], row.classes[18]) == (1, 2)
    assert row.is_core[[6, 18]].all()
    assert row.weights[[6, 18]].tolist() == [2.0, 2.0]
    # From the middle outwards: must be a 2, may be a 2, must be blank.
    assert [(int(row.classes[column]), bool(row.is_core[column])) for column in (18, 20, 24)] == [
        (2, True),
        (2, False),
        (BLANK, True),
    ]


def test_symbols_keep_their_columns_whatever_the_size_of_the_picture():
    large = strip((1, 80, 128), (2, 240, 336), width=480, height=4 * HEIGHT)
    assert np.array_equal(row_of(large).classes, row_of(ONE_TWO).classes)


def test_what_is_cut_off_counts_for_nothing_and_its_text_is_unknown():
    row = row_of(strip((1, 20, 32), unknown=((90, 120),)))
    assert row.text is None
    assert not row.weights[24:29].any()
    assert row.weights[6] > 1


def test_a_word_is_named_over_most_of_its_width():
    row = row_of(strip((OTHER, 20, 100)))
    assert (row.classes[8:22] == OTHER).all()
    assert row.is_core[8:22].all()


def test_a_strip_that_is_too_wide_or_too_short_for_its_text_is_left_out():
    assert row_of(strip(width=ROW + 8)) is None
    crowded = tuple((1, 2 * place, 2 * place + 2) for place in range(8))
    assert row_of(strip(*crowded, width=40)) is None  # eight equal digits need fifteen columns


def test_packing_keeps_the_columns_and_the_ink_of_every_symbol():
    strips = [
        strip((digit, 20, 32), (9 - digit, 60, 80), width=100 + 12 * digit, unknown=((90, 98),) * (digit == 3))
        for digit in range(10)
    ]
    rows = [row_of(one) for one in strips]
    joined = list(packed(rows))
    assert len(joined) < len(rows)
    assert all(row.picture.shape == (HEIGHT, STRIDE * len(row.classes)) for row in joined)
    assert all(row.picture.shape[1] <= ROW for row in joined)
    known = [symbol for row in joined if row.text is not None for symbol in row.text]
    assert sorted(known) == sorted(symbol for row in rows if row.text is not None for symbol in row.text)
    named = 0
    for row in joined:
        of_row = [int(row.classes[column]) for column in np.flatnonzero(row.is_core & (row.classes != BLANK))]
        assert row.text is None or greedy([*np.where(row.is_core, row.classes, BLANK)]) == "".join(map(str, row.text))
        named += len(of_row)
        for column in np.flatnonzero(row.is_core & (row.classes != BLANK)):
            assert row.picture[HEIGHT // 2, STRIDE * column : STRIDE * (column + 1)].min() < -0.5
    assert named == sum(int((row.is_core & (row.classes != BLANK)).sum()) for row in rows)


def test_strips_of_a_row_stand_apart():
    (row,) = packed([row_of(ONE_TWO), row_of(ONE_TWO)])
    start = 120 // STRIDE
    assert (row.classes[start : start + GAP // STRIDE] == BLANK).all()
    assert not row.picture[:, 120 : 120 + GAP].any()
    assert row.text == (1, 2, 1, 2)


def test_where_a_ranks_sheets_hold_no_strip_it_learns_from_blank_paper():
    pictures, *targets = line_reader_run.together([[], [strip(width=ROW + 8)]])
    assert len(pictures) == 1
    assert not pictures.any()
    assert (targets[0] == BLANK).all()
    network = LineReader()
    loss = line_loss(network(pictures), *targets)
    loss.backward()
    assert loss.isfinite()
    assert all(weights.grad.isfinite().all() for weights in network.parameters())


def test_a_batch_is_as_wide_as_its_widest_row_and_what_is_beyond_a_row_does_not_count():
    pictures, classes, cores, weights, texts, lengths = batch_of([row_of(ONE_TWO), row_of(strip((3, 8, 20), width=40))])
    assert pictures.shape == (2, 1, HEIGHT, 120)
    assert classes.shape == cores.shape == weights.shape == (2, 120 // STRIDE)
    assert not weights[1, 10:].any()
    assert lengths.tolist() == [2, 1]
    assert texts.tolist() == [[1, 2], [3, -1]]


def test_the_loss_is_least_for_what_stands_there_and_grows_with_each_kind_of_error():
    batch = batch_of([row_of(ONE_TWO)])
    right = perfect(batch)
    least = float(line_loss(right, *batch[1:]))
    assert least < 0.1
    for column, wrong in ((6, 7), (6, BLANK), (12, 3), (18, OTHER)):
        logits = right.clone()
        logits[0, column] = -12
        logits[0, column, wrong] = 12
        assert float(line_loss(logits, *batch[1:])) > least + 0.3
    # The rim of a symbol may be blank.
    logits = right.clone()
    logits[0, 20:22] = -12
    logits[0, 20:22, BLANK] = 12
    assert float(line_loss(logits, *batch[1:])) == pytest.approx(least, abs=0.05)


def test_columns_of_what_is_cut_off_cost_nothing():
    batch = batch_of([row_of(strip((1, 20, 32), unknown=((90, 120),)))])
    logits = perfect(batch)
    before = float(line_loss(logits, *batch[1:]))
    logits[0, 26] = -12
    logits[0, 26, 5] = 12
    assert float(line_loss(logits, *batch[1:])) == pytest.approx(before)


def test_repeats_count_once_and_all_but_digits_are_left_out():
    assert greedy([1, 1, BLANK, 1, 12, 3, OTHER, 3, BLANK]) == "1133"
    assert greedy([]) == ""


class Always(torch.nn.Module):
    """Gives the same logits, row by row."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, strips):
        return self.logits[: len(strips)]


def test_validation_counts_the_strips_whose_digits_are_all_right():
    batch = batch_of([row_of(ONE_TWO), row_of(ONE_TWO), row_of(strip((OTHER, 20, 100)))])
    logits = perfect(batch)
    right = line_reader_run.evaluate(Always(logits), [batch], "cpu")
    assert (right.correct, right.total) == (3, 3)
    logits[1, 6] = -12
    logits[1, 6, 7] = 12
    wrong = line_reader_run.evaluate(Always(logits), [batch], "cpu")
    assert (wrong.correct, wrong.total) == (2, 3)
    assert wrong.loss > right.loss


def test_the_network_gives_a_column_for_four_pixels_and_is_small():
    network = LineReader().eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, HEIGHT, 96)).shape == (2, 24, CLASSES)
        assert network(torch.zeros(1, 1, HEIGHT, STRIDE)).shape == (1, 1, CLASSES)
        untrained = network(torch.zeros(1, 1, HEIGHT, 64)).softmax(2)
    assert (untrained.argmax(2) == BLANK).all()
    assert 4 * sum(weights.numel() for weights in network.state_dict().values()) < 4_000_000


@pytest.fixture(scope="module")
def few_strips(few_digits):
    """Cycles of two batches of two sheets."""
    few_digits.setattr(line_reader_run, "SHEETS", 2)
    few_digits.setattr(line_reader_run, "BATCHES", 2)
    few_digits.setattr(line_reader_run, "VALIDATION_SHEETS", 4)


def test_the_same_sheet_gives_the_same_strips_and_other_streams_others(few_strips):
    maker = line_reader_run.StripMaker(detector_run.page_maker().pool)
    one, again, other = (line_reader_run.Strips(maker, stream)[3] for stream in (1, 1, 2))
    assert [strip.symbols for strip in one] == [strip.symbols for strip in again]
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(one, again, strict=True))
    assert [strip.symbols for strip in one] != [strip.symbols for strip in other]


def test_the_recipe_trains_saves_and_goes_on(few_strips, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    try:
        assert cli.main(["train", "--recipe", "line-reader", "--cycles", "1", "--device", "cpu"]) == 0
        assert cli.main(["train", "--recipe", "line-reader", "--cycles", "1", "--device", "cpu"]) == 0
        printed = capsys.readouterr()
        assert re.search(r"cycle 2: loss [\d.]+, validation [\d.]+%, best validation", printed.out)
        assert "Going on with line-reader.pth after 2 batches." in printed.err
        together = ["train", "--recipe", "line-reader", "--cycles", "2", "--device", "cpu", "--model", "together.pth"]
        assert cli.main(together) == 0
    finally:
        torch.set_num_threads(threads)
    history = [json.loads(line) for line in (tmp_path / "line-reader.history.jsonl").read_text().splitlines()]
    assert [cycle["batches"] for cycle in history] == [2, 4]
    assert "test_accuracy" not in history[0]
    stopped, whole = (torch.load(tmp_path / f"{name}.pth", weights_only=True) for name in ("line-reader", "together"))
    LineReader().load_state_dict(stopped)
    assert all(torch.equal(stopped[name], whole[name]) for name in whole)
    assert cli.main(["train", "--recipe", "quick", "--model", "line-reader.pth", "--cycles", "1"]) == 1
    assert "the weights of another network" in capsys.readouterr().err


def test_a_few_steps_make_the_loss_fall(few_strips):
    torch.manual_seed(0)
    strips = line_reader_run.Strips(line_reader_run.StripMaker(detector_run.page_maker().pool), stream=1)
    same_two = [strips[number] for number in range(2)]
    run = LineReaderRun(LineReader(), "cpu", recipe=LINE_READER)
    run.step = LINE_READER.warmup_steps  # past warm-up
    sums = [0.0]
    loader = DataLoader(same_two * 6, batch_size=2, collate_fn=line_reader_run.together)
    train(run.model, loader, "cpu", epochs=1, run=run, on_batch=lambda: sums.append(run.loss_sum))
    losses = np.diff(sums)
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]


def test_the_losses_of_rows_with_and_without_a_known_text_are_finite():
    batch = batch_of([row_of(ONE_TWO), row_of(strip((1, 20, 32), unknown=((90, 120),))), row_of(strip())])
    loss = line_loss(torch.randn(3, 120 // STRIDE, CLASSES), *batch[1:])
    assert loss.isfinite()
    assert line_loss(torch.randn(1, 10, CLASSES), *batch_of([row_of(strip(width=40))])[1:]).isfinite()
