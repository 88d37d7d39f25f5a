import csv
import json

import cv2
import pytest

from digitnet.errors import UsageError
from digitnet.synthesis.folders import write_pages


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
