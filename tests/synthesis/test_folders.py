import csv
import json

import cv2
import pytest

from digitnet.errors import UsageError
from digitnet.evaluation.labelled import labels
from digitnet.synthesis.folders import write_digits, write_pages


def test_written_pages_come_with_their_texts_and_boxes(maker, tmp_path):
    write_pages(maker, tmp_path / "new" / "pages", 12, 100, 150, seed=3)
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
def test_impossible_pages_are_refused(maker, tmp_path, pages, height, width, seed):
    with pytest.raises(UsageError, match=f"{width}x{height}" if seed >= 0 else "seed of -1"):
        write_pages(maker, tmp_path, pages, height, width, seed=seed)


def test_a_folder_that_is_not_empty_stays_as_it_is(maker, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\nmine.png,7\n")
    with pytest.raises(UsageError, match="is not empty"):
        write_pages(maker, tmp_path, 3, 100, 100)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["file,label\nmine.png,7\n"]


def test_written_digits_come_with_their_labels_and_kinds(tmp_path):
    write_digits(tmp_path / "new" / "digits", 30, seed=3)
    folder = tmp_path / "new" / "digits"
    rows = list(csv.DictReader((folder / "labels.csv").read_text().splitlines(keepends=True)))
    assert labels(folder) == [(row["file"], int(row["label"])) for row in rows]
    assert [row["label"] for row in rows] == list("0123456789" * 3)
    assert all(row["kind"].startswith(row["label"] + " ") for row in rows)
    for row in rows:
        picture = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
        assert picture[0].min() == 255  # paper around the ink
        assert picture.min() < 128


def test_the_same_seed_writes_the_same_digits(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_digits(tmp_path / name, 5, seed=seed)
    one, again, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "again", "other")
    )
    assert one == again
    assert one != other


@pytest.mark.parametrize(("digits", "seed", "said"), [(0, 0, "cannot make 0 digits"), (1, -1, "seed of -1")])
def test_impossible_digits_are_refused(tmp_path, digits, seed, said):
    with pytest.raises(UsageError, match=said):
        write_digits(tmp_path / "digits", digits, seed=seed)
    assert not (tmp_path / "digits").exists()


def test_digits_do_not_overwrite_a_folder(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        write_digits(tmp_path, 3)
