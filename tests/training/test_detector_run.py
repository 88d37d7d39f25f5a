import json
import re

import numpy as np
import pytest
import torch
from small_main import SmallMNIST

from digitnet import dataset, main
from digitnet.pages.detect import CLASSES, STRIDE
from digitnet.synthesis.pages import MadeDigit, MadePage
from digitnet.training import detector_run as locating
from digitnet.training.detector import Detector
from digitnet.training.negatives import held_out_glyphs
from digitnet.training.recipes import DETECTOR


def page(*digits):
    return MadePage(np.full((96, 128), 200, np.uint8), digits)


def perfect(heat, centres):
    """The answer of a network that says just what the targets are, (1, 14, h, w)."""
    sure = torch.where(heat >= 1, 12.0, -12.0)
    return torch.cat([sure, centres.nan_to_num()]).unsqueeze(0)


def test_targets_hold_each_digits_place_and_size():
    heat, counted, centres = locating.targets(page(MadeDigit(7, 20, 30, 40, 70, 0), MadeDigit(0, 60, 30, 90, 70, 0)))
    assert heat.shape == (CLASSES, 24, 32)
    assert (heat >= 1).nonzero().tolist() == [[0, 12, 18], [7, 12, 7]]
    assert counted.all()
    across, down, wide, tall = centres[:, 12, 18].tolist()
    assert ((18 + across) * STRIDE, (12 + down) * STRIDE) == (75, 50)
    assert (np.exp(wide) * STRIDE, np.exp(tall) * STRIDE) == (pytest.approx(30), pytest.approx(40))
    assert centres.isfinite().sum() == 2 * 4


@pytest.mark.parametrize(
    "digit",
    [MadeDigit(None, 100, 30, 140, 70, 0), MadeDigit(3, 10, 10, 14, 15, 0), MadeDigit(3, 50, 6, 124, 92, 0)],
)
def test_what_is_cut_off_or_of_no_fit_size_does_not_count(digit):
    heat, counted, centres = locating.targets(page(digit))
    assert not heat.any()
    assert not centres.isfinite().any()
    row, column = 50 // STRIDE, 120 // STRIDE
    assert counted[row, column] == (digit.label == 3 and digit.right < 100)
    assert not counted.all()


def test_there_is_nothing_to_find_in_the_strokes_of_a_far_too_large_digit():
    heat, counted, centres = locating.targets(page(MadeDigit(8, -60, -60, 150, 150, 0)))
    assert counted.all()
    assert not heat.any()
    assert not centres.isfinite().any()


def test_the_loss_is_least_for_the_right_answer_and_grows_with_each_kind_of_error():
    heat, counted, centres = locating.targets(page(MadeDigit(7, 20, 30, 40, 70, 0)))
    right = perfect(heat, centres)
    expected = heat[None], counted[None], centres[None]
    least = float(locating.loss(right, *expected))
    assert least < 0.01
    for place, error in (((0, 7, 12, 7), -12.0), ((0, 3, 2, 2), 12.0), ((0, 3, 12, 7), 12.0), ((0, 13, 12, 7), 5.0)):
        wrong = right.clone()
        wrong[place] = error
        assert float(locating.loss(wrong, *expected)) > least + 0.3


def test_what_does_not_count_costs_nothing():
    heat, counted, centres = locating.targets(page(MadeDigit(None, 100, 30, 140, 70, 0)))
    answer = perfect(heat, centres)
    before = float(locating.loss(answer, heat[None], counted[None], centres[None]))
    answer[0, 5, 50 // STRIDE, 120 // STRIDE] = 12.0
    assert float(locating.loss(answer, heat[None], counted[None], centres[None])) == pytest.approx(before)


class Always(torch.nn.Module):
    """Gives one answer to everything."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, pages):
        return self.answer.expand(len(pages), -1, -1, -1)


@pytest.mark.parametrize(("change", "accuracy"), [(None, 1.0), ("missed", 2 / 3), ("misnamed", 0.5), ("added", 0.8)])
def test_accuracy_is_f1_of_digits_in_place_in_size_and_named_right(change, accuracy):
    heat, counted, centres = locating.targets(page(MadeDigit(7, 20, 30, 40, 70, 0), MadeDigit(0, 60, 30, 90, 70, 0)))
    answer = perfect(heat, centres)
    if change in ("missed", "misnamed"):
        answer[0, 7, 12, 7] = -12.0
    if change == "misnamed":
        answer[0, 1, 12, 7] = 12.0
    if change == "added":
        answer[0, 4, 3, 3] = 12.0
        answer[0, 12:, 3, 3] = 1.0
    batch = [(torch.zeros(1, 1, 96, 128), heat[None], counted[None], centres[None])]
    assert locating.evaluate(Always(answer), batch, "cpu").accuracy == pytest.approx(accuracy)


def test_the_network_answers_a_cell_of_four_pixels_and_is_small():
    network = Detector().eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 64, 96)).shape == (2, 14, 16, 24)
    assert 4 * sum(weights.numel() for weights in network.state_dict().values()) < 4_000_000


@pytest.fixture
def few_pages(monkeypatch):
    """Cycles of two batches of four pages, on the first images of MNIST."""
    monkeypatch.setattr(dataset, "MNIST", SmallMNIST)
    monkeypatch.setattr(locating, "MNIST", SmallMNIST)
    monkeypatch.setattr(locating, "HOLD_OUT", 500)
    monkeypatch.setattr(locating, "BATCH", 4)
    monkeypatch.setattr(locating, "PAGES", 8)
    monkeypatch.setattr(locating, "VALIDATION_PAGES", 4)
    locating.page_maker.cache_clear()
    yield
    locating.page_maker.cache_clear()


def test_no_page_comes_twice_and_a_stopped_epoch_goes_on_where_it_was():
    batches = locating.FreshBatches(12, 4, seed=3)
    first, second = list(batches), list(batches)
    assert len({number for batch in [*first, *second] for number in batch}) == 24
    again = locating.FreshBatches(12, 4, seed=3)
    again.epoch, again.first_batch = 1, 2
    assert list(again) == second[2:]
    other_seed = locating.FreshBatches(12, 4, seed=4)
    assert not {number for batch in other_seed for number in batch} & {number for batch in first for number in batch}


def test_training_and_validation_share_no_digit(few_pages):
    training, validation = locating.page_maker(), locating.page_maker(training=False)
    assert len(training.digits) > len(validation.digits) > 100
    glyphs = {glyph.numpy().tobytes() for glyph in held_out_glyphs()[0]}  # two fonts may have the same
    for both in ((training.digits, validation.digits), (training.others, validation.others)):
        known, new = ({image.tobytes() for image in images} for images in both)
        assert len(new - glyphs) > 100 or new <= glyphs
        assert not known & new - glyphs


def test_the_recipe_trains_saves_and_goes_on(few_pages, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    try:
        assert main.main(["--recipe", "detector", "--cycles", "1", "--device", "cpu"]) == 0
        assert main.main(["--recipe", "detector", "--cycles", "1", "--device", "cpu"]) == 0
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr()
    assert re.search(r"cycle 2: loss [\d.]+, validation [\d.]+%, best validation", printed.out)
    assert "Going on with detector.pth after 2 batches." in printed.err
    history = [json.loads(line) for line in (tmp_path / "detector.history.jsonl").read_text().splitlines()]
    assert [cycle["batches"] for cycle in history] == [2, 4]
    assert "test_accuracy" not in history[0]
    Detector().load_state_dict(torch.load(tmp_path / "detector.pth"))
    assert main.main(["--recipe", "quick", "--model", "detector.pth", "--cycles", "1"]) == 1
    assert "the weights of another network" in capsys.readouterr().err


def test_a_teacher_has_nothing_to_teach_it(few_pages, tmp_path, weights_path, capsys):
    arguments = ["--recipe", "detector", "--teacher", str(weights_path), "--model", str(tmp_path / "l.pth")]
    assert main.main(arguments) == 2
    assert "--teacher" in capsys.readouterr().err


def test_a_few_steps_make_the_loss_fall(few_pages):
    torch.manual_seed(0)
    training, _ = locating.get_page_loaders()
    run = locating.DetectorRun(Detector(), "cpu", recipe=DETECTOR)
    run.steps_an_epoch = 10
    run.step = DETECTOR.warmup_steps  # past warm-up
    batch = next(iter(training))
    losses = []
    for _ in range(6):
        loss = run.batch_loss(batch)
        run.optimizer.zero_grad()
        loss.backward()
        run.update(loss.item())
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_page_in_a_frame_has_its_digits_where_their_ink_is(few_pages):
    pages = locating.Pages(locating.page_maker(), stream=1)
    for number in range(12):
        seen, heat, _, centres = pages[number]
        assert seen.shape == (1, locating.HEIGHT, locating.WIDTH)
        for _, row, column in (heat >= 1).nonzero().tolist():
            across, down, wide, tall = centres[:, row, column].tolist()
            x, y = (column + across) * STRIDE, (row + down) * STRIDE
            half_width, half_height = np.exp(wide) * STRIDE / 2, np.exp(tall) * STRIDE / 2
            box = seen[
                0,
                max(0, round(y - half_height)) : round(y + half_height) + 1,
                max(0, round(x - half_width)) : round(x + half_width) + 1,
            ]
            assert box.abs().max() > 0.5
