import errno
import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import encoded
from PIL import Image

from digitnet.errors import BusyError, ImageError, SaveError, UsageError
from digitnet.evaluation.labelled import labels
from digitnet.files import locked
from digitnet.reading.container_limits import MAX_READS
from digitnet.results import Box
from digitnet.serving.corrections import Corrections, crop
from digitnet.serving.problem import Problem

NORMALISED = np.zeros((28, 28), np.float32)


def test_corrections_kept_at_once_all_land(tmp_path, seven):
    corrections = Corrections(tmp_path / "new" / "folder")
    png = encoded(seven, "PNG")
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda number: corrections.keep(png, NORMALISED, number % 10), range(40)))
    assert len(set(names)) == 40
    assert sorted(labels(tmp_path / "new" / "folder")) == sorted((name, n % 10) for n, name in enumerate(names))


def test_a_table_that_was_there_keeps_its_rows_and_columns(tmp_path, seven):
    (tmp_path / "labels.csv").write_text("label,file,who\n3,mine.png,me\n")
    name = Corrections(tmp_path).keep(encoded(seven, "PNG"), NORMALISED, 7)
    assert labels(tmp_path) == [("mine.png", 3), (name, 7)]
    first, second, _ = (tmp_path / "labels.csv").read_text().splitlines()
    assert first.startswith("label,file,who,")
    assert second.startswith("3,mine.png,me,")


def test_a_table_that_a_spreadsheet_saved_goes_on(tmp_path, seven):
    (tmp_path / "labels.csv").write_text("\ufefffile,label\nmine.png,3\n", encoding="utf-8")
    assert labels(tmp_path) == [("mine.png", 3)]
    name = Corrections(tmp_path).keep(encoded(seven, "PNG"), NORMALISED, 7)
    assert labels(tmp_path) == [("mine.png", 3), (name, 7)]


@pytest.mark.parametrize("table", ["file;label\na.png;3\n", "a.png,3\n", "file,label\na.png,3,4\n", "x" * 200_000])
def test_a_table_of_another_form_is_left_as_it_is(tmp_path, seven, table):
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(SaveError, match="move it away"):
        Corrections(tmp_path).keep(encoded(seven, "PNG"), NORMALISED, 7)
    assert (tmp_path / "labels.csv").read_text() == table
    assert list(tmp_path.glob("*.png")) == []


@pytest.mark.parametrize("mode", ["F", "I", "I;16", "I;16B"])
def test_a_deep_picture_is_kept_as_it_looks(mode, seven, reader):
    deep = Image.fromarray(np.asarray(seven).astype(np.uint16) * 257)
    content = io.BytesIO()
    deep.convert("I").convert(mode).save(content, "TIFF")
    assert reader.predict(crop(content.getvalue(), None, "7.tiff")).best_guess == 7


def test_a_full_disk_leaves_everything_as_it_was(tmp_path, seven, monkeypatch):
    corrections = Corrections(tmp_path)
    corrections.keep(encoded(seven, "PNG"), NORMALISED, 7)
    before = sorted(path for path in tmp_path.rglob("*"))
    rows = labels(tmp_path)
    move = os.replace

    def full(source, target):
        if target.name == "labels.csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SaveError, match="No space left"):
        corrections.keep(encoded(seven, "PNG"), NORMALISED, 3)
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert labels(tmp_path) == rows


def test_a_folder_that_another_process_writes_to_is_busy(tmp_path, seven):
    with locked(tmp_path / "labels.csv"), pytest.raises(BusyError):
        Corrections(tmp_path).keep(encoded(seven, "PNG"), NORMALISED, 7)


def test_a_folder_that_cannot_be_made_is_wrong_usage(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        Corrections(tmp_path / "file")


def test_a_box_is_in_pixels_of_the_upright_picture():
    picture = Image.new("L", (40, 20), 255)
    picture.paste(0, (0, 0, 10, 20))  # the left, which is up after the turn
    turned = Image.Exif()
    turned[0x0112] = 6
    content = encoded(picture, "JPEG", exif=turned.tobytes())
    with Image.open(io.BytesIO(crop(content, Box(0, 0, 20, 8), "x"))) as kept:
        assert kept.size == (20, 13)
        assert kept.getpixel((10, 2)) < 50
        assert not kept.getexif()


def test_what_is_kept_of_a_picture_is_only_its_pixels():
    told = Image.Exif()
    told[0x010F] = "a camera"
    assert b"a camera" not in crop(encoded(Image.new("L", (40, 20)), "JPEG", exif=told.tobytes()), None, "x")


@pytest.mark.parametrize("box", [Box(40, 0, 5, 5), Box(0, 20, 5, 5), Box(5, 5, 0, 5)])
def test_a_box_outside_of_the_picture_is_refused(box):
    with pytest.raises(UsageError, match="not in the picture"):
        crop(encoded(Image.new("L", (40, 20)), "PNG"), box, "x")


def test_what_is_no_picture_is_named():
    with pytest.raises(ImageError, match=r"x\.png: not a picture"):
        crop(b"?", None, "x.png")


def test_a_small_file_that_would_take_long_is_refused_here_too():
    whole = encoded(Image.new("L", (28, 28), 255), "PNG")
    endless = whole[:-12] + b"\0\0\0\0IDAT\x35\xaf\x06\x1e" * MAX_READS + whole[-12:]
    with pytest.raises(ImageError, match=r"^x\.png: .* pieces"):
        crop(endless, None, "x.png")


def test_corrections_are_listed_relabelled_and_deleted(tmp_path, seven):
    corrections = Corrections(tmp_path)
    assert corrections.all() == []
    one, two = (corrections.keep(encoded(seven, "PNG"), NORMALISED, label) for label in (1, 7))
    assert [(correction.file, correction.label) for correction in corrections.all()] == [(one, 1), (two, 7)]
    corrections.relabel(one, 7)
    assert labels(tmp_path) == [(one, 7), (two, 7)]
    corrections.delete(one)
    assert labels(tmp_path) == [(two, 7)]
    assert {path.name for path in tmp_path.rglob("*.png")} == {two}


@pytest.mark.parametrize("name", ["../secret.png", "secret.png", "..", "", "labels.csv", "sub/secret.png", "none.png"])
def test_only_what_the_table_names_in_this_folder_can_be_reached(tmp_path, name):
    folder = tmp_path / "folder"
    corrections = Corrections(folder)
    rows = "../secret.png,3\n..,4\n,5\nsub/secret.png,6\nnone.png,none\nmine.png,7\n"
    (folder / "labels.csv").write_text("file,label\n" + rows)
    (tmp_path / "secret.png").write_text("secret")
    assert [correction.file for correction in corrections.all()] == ["mine.png"]
    for reach in (corrections.path, corrections.delete, lambda name: corrections.relabel(name, 1)):
        with pytest.raises(Problem, match="no correction"):
            reach(name)
    corrections.relabel("mine.png", 8)
    assert (folder / "labels.csv").read_text() == "file,label\n" + rows.replace("mine.png,7", "mine.png,8")
    assert (tmp_path / "secret.png").exists()


def test_a_correction_that_cannot_be_taken_out_of_the_table_keeps_its_pictures(tmp_path, seven, monkeypatch):
    corrections = Corrections(tmp_path)
    name = corrections.keep(encoded(seven, "PNG"), NORMALISED, 7)

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SaveError, match="No space left"):
        corrections.delete(name)
    assert labels(tmp_path) == [(name, 7)]
    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_a_table_that_a_user_edits_counts_at_once(tmp_path, seven):
    corrections = Corrections(tmp_path)
    name = corrections.keep(encoded(seven, "PNG"), NORMALISED, 7)
    assert corrections.path(name).exists()
    (tmp_path / "labels.csv").write_text("file,label\nmine.png,3\n")
    assert [(one.file, one.label) for one in corrections.all()] == [("mine.png", 3)]
    with pytest.raises(Problem):
        corrections.path(name)
    (tmp_path / "labels.csv").unlink()
    assert corrections.all() == []


@pytest.mark.parametrize("box", [None, Box(0, 0, 2400, 2400)])
@pytest.mark.parametrize("mode", ["RGB", "P", "1"])
def test_a_large_picture_is_kept_small(box, mode):
    noise = Image.effect_noise((2400, 2400), 90).convert(mode)
    kept = crop(encoded(noise, "PNG") if mode in "P1" else encoded(noise, "JPEG", quality=95), box, "x")
    with Image.open(io.BytesIO(kept)) as image:
        assert max(image.size) <= 1024
    assert len(kept) < 4 * 2**20


def test_a_folder_takes_no_more_than_its_quota(tmp_path, seven):
    png = encoded(seven, "PNG")
    corrections = Corrections(tmp_path, quota=3 * len(png))
    names = [corrections.keep(png, NORMALISED, 7) for _ in range(2)]
    with pytest.raises(Problem, match="delete some") as refused:
        corrections.keep(png, NORMALISED, 7)
    assert refused.value.status == 507
    assert labels(tmp_path) == [(name, 7) for name in names]
    corrections.delete(names[0])
    corrections.keep(png, NORMALISED, 7)
