import csv
import itertools
import json

import cv2
import numpy as np
import pytest

from digitnet.errors import UsageError
from digitnet.synthesis import pages as synth
from digitnet.synthesis.pages import PAPERS, Hand, PageMaker


@pytest.fixture(scope="module")
def maker(mnist_digits):
    images = (mnist_digits[0] * 255).astype(np.uint8)
    others = images[:20].transpose(0, 2, 1)
    return PageMaker(images, mnist_digits[1], np.ascontiguousarray(others))


def contrast(page, digit):
    """How uneven the brightness is within a digit's box."""
    return page.picture[int(digit.top) : int(digit.bottom), int(digit.left) : int(digit.right)].astype(float).std()


def test_the_same_seed_makes_the_same_page_and_another_another(maker):
    first, same, other = (maker.page(np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert (first.picture == same.picture).all()
    assert first.digits == same.digits
    assert not (first.picture == other.picture).all()


@pytest.mark.parametrize("size", [(192, 256), (96, 640), (480, 64)])
def test_a_page_has_the_size_asked_for_and_its_digits_lie_on_it(maker, size):
    rng = np.random.default_rng(1)
    for _ in range(20):
        page = maker.page(rng, *size)
        assert page.picture.shape == size
        assert page.picture.dtype == np.uint8
        for digit in page.digits:
            assert digit.left < digit.right
            assert digit.top < digit.bottom
            wide = max(0, min(size[1], digit.right) - max(0, digit.left))
            tall = max(0, min(size[0], digit.bottom) - max(0, digit.top))
            part = wide * tall / ((digit.right - digit.left) * (digit.bottom - digit.top))
            assert (digit.label is not None) == (part >= synth.CUT_OFF)


def test_pages_hold_many_digits_few_and_none_and_of_all_sizes(maker):
    rng = np.random.default_rng(2)
    pages = [maker.page(rng) for _ in range(150)]
    counts = [len(page.digits) for page in pages]
    heights = [digit.bottom - digit.top for page in pages for digit in page.digits if digit.label is not None]
    assert 10 < sum(count == 0 for count in counts) < 60
    assert max(counts) > 30
    assert min(heights) < 14
    assert max(heights) > 80
    assert {digit.label for page in pages for digit in page.digits} == {None, *range(10)}


def test_where_a_digit_is_said_to_be_there_is_ink(maker):
    rng = np.random.default_rng(3)
    clean = PageMaker(maker.digits, maker.labels, maker.others[:0], {"plain": PAPERS["plain"]})
    pages = [clean.number(rng, 4) for _ in range(20)]
    inside = [contrast(page, digit) for page in pages for digit in page.digits]
    corner = [page.picture[:6, :6].astype(float).std() for page in pages]
    assert np.median(inside) > 3 * np.median(corner)


@pytest.mark.parametrize("touching", [False, True])
def test_a_number_has_its_length_and_its_digits_touch_or_do_not(maker, touching):
    rng = np.random.default_rng(6)
    for length in (1, 2, 5, 20):
        page = maker.number(rng, length, touching=touching)
        assert len(page.text) == len(page.digits) == length
        assert page.text == "".join(str(digit.label) for digit in page.digits)
        for left, right in itertools.pairwise(page.digits):
            assert (right.left <= left.right + 1) == touching


def test_the_text_has_a_line_a_line_and_blanks_where_gaps_are_wide():
    digits = (
        synth.MadeDigit(4, 0, 0, 9, 9, line=0),
        synth.MadeDigit(2, 15, 0, 19, 9, line=0),
        synth.MadeDigit(None, 30, 0, 39, 9, line=0),
        synth.MadeDigit(7, 60, 0, 69, 9, line=0),
        synth.MadeDigit(1, 0, 20, 9, 29, line=1),
        synth.MadeDigit(1, 17, 20, 26, 29, line=1),
    )
    assert synth.MadePage(np.zeros((40, 80), np.uint8), digits).text == "42 7\n1 1"


def test_a_maker_without_zeros_makes_pages_all_the_same(maker):
    other = maker.labels != 0
    without = PageMaker(maker.digits[other], maker.labels[other], maker.others)
    rng = np.random.default_rng(0)
    labels = {digit.label for _ in range(60) for digit in without.page(rng).digits}
    assert labels == {None, *range(1, 10)}


@pytest.mark.parametrize("height", [12, 40, 110])
@pytest.mark.parametrize("pen", [None, 0.05, 0.15])
def test_a_digit_is_as_tall_as_the_hand_writes_and_as_thick_as_its_pen(maker, height, pen):
    source = maker.digits if pen is None else maker.thin
    index = int(np.flatnonzero(maker.labels == 0)[0])
    patch = synth.written(source[index], Hand(height, pen=pen))
    assert patch.height == pytest.approx(height, abs=max(2, 0.1 * height))
    if pen and pen * height >= 2:
        strokes = cv2.distanceTransform(np.pad(patch.ink > 0.3, 1).astype(np.uint8), cv2.DIST_L2, 5)
        # In a stroke of width w the distance to its edge, counted from 1, is w / 4 + 1 / 2 on average.
        assert 4 * strokes[strokes > 0].mean() - 2 == pytest.approx(pen * height, abs=1 + 0.25 * pen * height)


def test_thinned_digits_are_lines_that_keep_their_loops(maker):
    zeros = maker.digits[maker.labels == 0]
    lines = synth.thinned(zeros)
    assert all(20 < (line > 0).sum() < 250 for line in lines)
    # What is around the line, and what is in its loop; some zeros were never closed.
    grounds = [cv2.connectedComponents(255 - line, connectivity=4)[0] - 1 for line in lines]
    assert np.mean([count >= 2 for count in grounds]) > 0.8


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_can_be_written_on_at_any_size(name):
    for seed in range(5):
        for size in ((32, 32), (100, 300)):
            paper = PAPERS[name](*size, np.random.default_rng(seed))
            assert paper.shape == size
            assert np.isfinite(paper).all()
            assert 0 < paper.mean() < 1.5


def test_written_pages_come_with_their_texts_and_boxes(maker, tmp_path):
    synth.write_pages(maker, tmp_path / "new" / "pages", 12, 100, 150, seed=3)
    folder = tmp_path / "new" / "pages"
    rows = list(csv.DictReader((folder / "labels.csv").read_text().splitlines(keepends=True)))
    pages = [json.loads(line) for line in (folder / "pages.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == [page["file"] for page in pages] == [f"page-{i:04}.png" for i in range(12)]
    texts = [page["text"] for page in pages]
    assert [row["text"] for row in rows] == texts
    assert any(row["text"] for row in rows)
    for page in pages:
        picture = cv2.imread(str(folder / page["file"]), cv2.IMREAD_GRAYSCALE)
        assert picture.shape == (100, 150)
        assert page["text"].count("\n") <= max([digit["line"] for digit in page["digits"]], default=0)


@pytest.mark.parametrize(
    ("pages", "height", "width", "seed"),
    [(0, 100, 100, 0), (3, 10, 100, 0), (3, 100, 31, 0), (1, 100, 10**5, 0), (1, 100, 100, -1)],
)
def test_pages_that_cannot_be_are_refused(maker, tmp_path, pages, height, width, seed):
    with pytest.raises(UsageError, match=f"{width}x{height}" if seed >= 0 else "seed of -1"):
        synth.write_pages(maker, tmp_path, pages, height, width, seed=seed)


def test_a_folder_that_holds_something_is_left_as_it_is(maker, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\nmine.png,7\n")
    with pytest.raises(UsageError, match="holds something already"):
        synth.write_pages(maker, tmp_path, 3, 100, 100)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["file,label\nmine.png,7\n"]


def test_a_text_is_written_as_it_is_given(maker):
    page = maker.text(np.random.default_rng(3), "0171 23\n\n5 5")
    assert page.text == "0171 23\n5 5"
    assert {digit.line for digit in page.digits} == {0, 2}


@pytest.mark.parametrize("text", ["", "  ", "12a", "1\t2"])
def test_a_text_of_anything_but_digits_is_refused(maker, text):
    with pytest.raises(UsageError, match="cannot be written"):
        maker.text(np.random.default_rng(3), text)


@pytest.mark.parametrize("top", [-20, -5, 0, 35, 60])
def test_what_hangs_over_the_sheet_touches_what_is_on_it_or_stays_where_it_was(top):
    sheet, block = synth.Sheet(40, 100), synth.Patch(np.ones((10, 8), np.float32))
    sheet.add(block, 20, 0)
    left = sheet.touch(block, top, 28)
    assert left == (27 if -10 < top < 10 else 28)
