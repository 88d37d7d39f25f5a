"""Pictures to rows, without any other process."""

import numpy as np
import pyarrow as pa
import pytest
from helpers import encoded, page_of
from PIL import Image

from digitnet.archives.rows import SCHEMAS, read_batch, task
from digitnet.archives.sources import Item
from digitnet.errors import ImageError, UsageError


def png(grey):
    return encoded(Image.fromarray((255 * grey).astype(np.uint8)), "PNG")


def test_the_rows_of_pictures_say_what_predict_says(reader, pngs, seven):
    pictures = [*pngs, encoded(seven, "JPEG"), png(np.ones((40, 30)))]
    table = read_batch(pa.table({"bytes": pictures, "file": [f"{place}" for place in range(len(pictures))]}))
    assert table.schema == SCHEMAS["predict"]
    for row, picture in zip(table.to_pylist(), pictures, strict=True):
        digit = reader.predict(picture)
        assert (row["digit"], row["best_guess"], row["reason"]) == (digit.digit, digit.best_guess, digit.reason)
        assert row["confidence"] == pytest.approx(digit.confidence, abs=1e-6)
        assert row["probabilities"] == pytest.approx(digit.probabilities, abs=1e-6)
        assert row["box"] == (digit.box and vars(digit.box))
        assert row["error"] is None


def test_the_rows_of_pages_say_what_read_says(reader, mnist_digits):
    page, _ = page_of(mnist_digits, ["314 15", "92"])
    blank = np.ones_like(page)
    rows = read_batch(pa.table({"bytes": [png(page), b"no picture", png(blank)]}), "read", lines=2).to_pylist()
    lines = reader.read(png(page), lines=2).lines
    assert len(lines) == 2
    assert [row["text"] for row in rows] == [*(line.text for line in lines), None, None]
    assert [row["line"] for row in rows] == [1, 2, None, None]
    assert [len(row["digits"]) for row in rows[:2]] == [len(line.digits) for line in lines]
    assert rows[0]["digits"][0]["digit"] == lines[0].digits[0].digit
    assert rows[0]["box"] == vars(lines[0].box)
    assert "not a picture" in rows[2]["error"]
    assert (rows[3]["width"], rows[3]["error"]) == (blank.shape[1], None)


def test_an_error_stands_in_the_row_of_its_picture(reader, pngs):
    contents = [pngs[0], b"", ImageError("the cause"), pngs[1]]
    items = [Item("a.tar", f"{place}.png", place, content) for place, content in enumerate(contents)]
    rows = task("predict", {}).rows(reader, items).to_pylist()
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    assert [row["error"] is None for row in rows] == [True, False, False, True]
    assert "a.tar/1.png" in rows[1]["error"]
    assert rows[2]["error"] == "the cause"
    assert rows[3]["digit"] == reader.predict(pngs[1]).digit


@pytest.mark.parametrize("task", ["predict", "read"])
def test_a_null_or_a_text_among_the_pictures_is_an_error_in_its_row(pngs, task):
    rows = read_batch(pa.table({"bytes": [pngs[0], None, pngs[1]]}), task).to_pylist()
    assert [row["error"] for row in rows if row["error"]] == ["row 1: holds no picture, but None"]
    assert read_batch(pa.table({"bytes": pa.nulls(2)}), task).column("error").null_count == 0
    assert "'a.png'" in read_batch(pa.table({"bytes": ["a.png"]}), task).to_pylist()[0]["error"]


def test_a_name_that_is_no_text_is_kept_readable(reader):
    (row,) = task("predict", {}).rows(reader, [Item("a.tar", "\udcff.png", 0, b"")]).to_pylist()
    assert row["member"] == "\\udcff.png"


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="'bytes'"):
        read_batch(pa.table({"picture": [b""]}))
    with pytest.raises(UsageError, match="length"):
        task("predict", {"length": 3})
    with pytest.raises(UsageError, match="'classify'"):
        task("classify", {})
