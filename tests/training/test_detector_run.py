import json
import re

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from digitnet import cli
from digitnet.reading.places import CLASSES, STRIDE
from digitnet.synthesis.glyphs import glyphs
from digitnet.synthesis.pages import MadeDigit, MadePage
from digitnet.train import train
from digitnet.training import detector_run
from digitnet.training.detector import Detector
from digitnet.training.recipes import DETECTOR


def page(*digits):
    return MadePage(np.full((96, 128), 200, np.uint8), digits)


def perfect(heat, centres):
    """The maps of a network that gives exactly what the targets say, (1, 14, h, w)."""
    sure = torch.where(heat >= 1, 12.0, -12.0)
    return torch.cat([sure, centres.nan_to_num()]).unsqueeze(0)


def test_targets_hold_each_digits_place_and_size():
    heat, counted, centres = detector_run.targets(
        page(MadeDigit(7, 20, 30, 40, 70, 0), MadeDigit(0, 60, 30, 90, 70, 0))
    )
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
def test_digits_that_are_cut_off_too_small_or_too_large_do_not_count(digit):
    heat, counted, centres = detector_run.targets(page(digit))
    assert not heat.any()
    assert not centres.isfinite().any()
    row, column = 50 // STRIDE, 120 // STRIDE
    assert counted[row, column] == (digit.label == 3 and digit.right < 100)
    assert not counted.all()


def test_a_far_too_large_digit_is_background():
    heat, counted, centres = detector_run.targets(page(MadeDigit(8, -60, -60, 150, 150, 0)))
    assert counted.all()
    assert not heat.any()
    assert not centres.isfinite().any()


def test_the_loss_is_least_for_the_right_maps_and_grows_with_each_kind_of_error():
    heat, counted, centres = detector_run.targets(page(MadeDigit(7, 20, 30, 40, 70, 0)))
    right = perfect(heat, centres)
    expected = heat[None], counted[None], centres[None]
    least = float(detector_run.detector_loss(right, *expected))
    assert least < 0.01
    for place, error in (((0, 7, 12, 7), -12.0), ((0, 3, 2, 2), 12.0), ((0, 3, 12, 7), 12.0), ((0, 13, 12, 7), 5.0)):
        wrong = right.clone()
        wrong[place] = error
        assert float(detector_run.detector_loss(wrong, *expected)) > least + 0.3


def test_what_does_not_count_costs_nothing():
    heat, counted, centres = detector_run.targets(page(MadeDigit(None, 100, 30, 140, 70, 0)))
    maps = perfect(heat, centres)
    before = float(detector_run.detector_loss(maps, heat[None], counted[None], centres[None]))
    maps[0, 5, 50 // STRIDE, 120 // STRIDE] = 12.0
    assert float(detector_run.detector_loss(maps, heat[None], counted[None], centres[None])) == pytest.approx(before)


class Always(torch.nn.Module):
    """Gives the same maps for every page."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, pages):
        return self.maps.expand(len(pages), -1, -1, -1)


@pytest.mark.parametrize(("change", "accuracy"), [(None, 1.0), ("missed", 2 / 3), ("misnamed", 0.5), ("added", 0.8)])
def test_accuracy_is_f1_of_digits_in_place_in_size_and_named_right(change, accuracy):
    heat, counted, centres = detector_run.targets(
        page(MadeDigit(7, 20, 30, 40, 70, 0), MadeDigit(0, 60, 30, 90, 70, 0))
    )
    maps = perfect(heat, centres)
    if change in ("missed", "misnamed"):
        maps[0, 7, 12, 7] = -12.0
    if change == "misnamed":
        maps[0, 1, 12, 7] = 12.0
    if change == "added":
        maps[0, 4, 3, 3] = 12.0
        maps[0, 12:, 3, 3] = 1.0
    batch = [(torch.zeros(1, 1, 96, 128), heat[None], counted[None], centres[None])]
    assert detector_run.evaluate(Always(maps), batch, "cpu").accuracy == pytest.approx(accuracy)


def test_the_network_gives_maps_with_a_cell_for_four_pixels_and_is_small():
    network = Detector().eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 64, 96)).shape == (2, 14, 16, 24)
    assert 4 * sum(weights.numel() for weights in network.state_dict().values()) < 4_000_000


@pytest.fixture(scope="module")
def few_pages(few_digits):
    """Cycles of two batches of four pages."""
    few_digits.setattr(detector_run, "BATCH", 4)
    few_digits.setattr(detector_run, "PAGES", 8)
    few_digits.setattr(detector_run, "VALIDATION_PAGES", 4)


def test_no_page_comes_twice_and_a_stopped_epoch_goes_on_where_it_was():
    batches = detector_run.FreshBatches(12, 4, seed=3)
    first, second = list(batches), list(batches)
    assert len({number for batch in [*first, *second] for number in batch}) == 24
    again = detector_run.FreshBatches(12, 4, seed=3)
    again.epoch, again.first_batch = 1, 2
    assert list(again) == second[2:]
    other_seed = detector_run.FreshBatches(12, 4, seed=4)
    assert not {number for batch in other_seed for number in batch} & {number for batch in first for number in batch}


def test_training_and_validation_share_no_digit(few_pages):
    training, validation = detector_run.page_maker(), detector_run.page_maker(training=False)
    assert len(training.pool.digits) > len(validation.pool.digits) > 100
    held_out = {glyph.tobytes() for glyph in glyphs(held_out=True)[0]}  # two fonts may have the same
    for both in ((training.pool.digits, validation.pool.digits), (training.pool.negatives, validation.pool.negatives)):
        known, new = ({image.tobytes() for image in images} for images in both)
        assert len(new - held_out) > 100 or new <= held_out
        assert not known & new - held_out


def test_the_recipe_trains_saves_and_goes_on(few_pages, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    try:
        assert cli.main(["train", "--recipe", "detector", "--cycles", "1", "--device", "cpu"]) == 0
        assert cli.main(["train", "--recipe", "detector", "--cycles", "1", "--device", "cpu"]) == 0
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr()
    assert re.search(r"cycle 2: loss [\d.]+, validation [\d.]+%, best validation", printed.out)
    assert "Going on with detector.pth after 2 batches." in printed.err
    history = [json.loads(line) for line in (tmp_path / "detector.history.jsonl").read_text().splitlines()]
    assert [cycle["batches"] for cycle in history] == [2, 4]
    assert "test_accuracy" not in history[0]
    Detector().load_state_dict(torch.load(tmp_path / "detector.pth"))
    assert cli.main(["train", "--recipe", "quick", "--model", "detector.pth", "--cycles", "1"]) == 1
    assert "the weights of another network" in capsys.readouterr().err


def test_a_few_steps_make_the_loss_fall(few_pages):
    torch.manual_seed(0)
    pages = detector_run.Pages(detector_run.page_maker(), stream=1)
    same_four = [pages[number] for number in range(4)]
    run = detector_run.DetectorRun(Detector(), "cpu", recipe=DETECTOR)
    run.step = DETECTOR.warmup_steps  # past warm-up
    sums = [0.0]
    loader = DataLoader(same_four * 6, batch_size=4)
    train(run.model, loader, "cpu", epochs=1, run=run, on_batch=lambda: sums.append(run.loss_sum))
    losses = np.diff(sums)
    assert len(losses) == 6
    assert losses[-1] < 0.7 * losses[0]


def test_a_page_in_a_frame_has_its_digits_where_their_ink_is(few_pages):
    pages = detector_run.Pages(detector_run.page_maker(), stream=1)
    for number in range(12):
        picture, heat, _, centres = pages[number]
        assert picture.shape == (1, detector_run.HEIGHT, detector_run.WIDTH)
        for _, row, column in (heat >= 1).nonzero().tolist():
            across, down, wide, tall = centres[:, row, column].tolist()
            x, y = (column + across) * STRIDE, (row + down) * STRIDE
            half_width, half_height = np.exp(wide) * STRIDE / 2, np.exp(tall) * STRIDE / 2
            box = picture[
                0,
                max(0, round(y - half_height)) : round(y + half_height) + 1,
                max(0, round(x - half_width)) : round(x + half_width) + 1,
            ]
            assert box.abs().max() > 0.5


def test_parts_of_a_training_page_stand_one_below_the_other_with_a_border_around_each():
    ink = np.full((30, 60), 255, np.uint8)
    ink[5:25, 10:20] = 0
    part = MadePage(ink, (MadeDigit(1, 10, 5, 20, 25, 0),))
    picture, seen = detector_run.in_frame([part, part], np.random.default_rng(0))
    assert picture.shape == (detector_run.HEIGHT, detector_run.WIDTH)
    assert [(digit.left, digit.top) for digit in seen.digits] == [(26, 21), (26, 67)]
    for digit in seen.digits:
        assert (picture[int(digit.top) : int(digit.bottom), int(digit.left) : int(digit.right)] < -0.5).all()
    assert not picture[46:62].any()


def test_of_a_wide_part_one_end_is_seen_and_a_digit_at_the_cut_does_not_count():
    digits = tuple(MadeDigit(4, left, 5, left + 40, 45, 0) for left in (0, 180, 360))
    part = MadePage(np.full((50, 400), 200, np.uint8), digits)
    places = set()
    for seed in range(8):
        _, seen = detector_run.in_frame([part], np.random.default_rng(seed))
        places.add(tuple((digit.label, digit.left) for digit in seen.digits))
    assert places == {((4, 16), (None, 196)), ((None, -28), (4, 152))}
