import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import ROOT, environment, page_of, run_python
from PIL import Image, ImageDraw

from digitnet import Reader, cli
from digitnet.files import PICTURE_SUFFIXES
from digitnet.reading import drawing

SAMPLES = ROOT / "samples"


def digitnet(*arguments, **options):
    return run_python("-m", "digitnet", *arguments, **options)


def test_json_is_one_object_a_line_in_input_order_with_the_fields_of_the_contract(capsys):
    names = [str(SAMPLES / "marker-2.jpg"), "missing.jpg", str(SAMPLES / "form-8.jpg")]
    assert cli.main(["predict", "--json", *names]) == 1
    captured = capsys.readouterr()
    first, second, third = map(json.loads, captured.out.splitlines())
    assert list(first) == ["file", "digit", "confidence", "reason", "best_guess", "probabilities"]
    assert (first["file"], first["digit"], first["best_guess"], first["reason"]) == (names[0], 2, 2, None)
    assert len(first["probabilities"]) == 10
    assert first["probabilities"][2] >= first["confidence"] > 0.9
    assert second == {"file": "missing.jpg", "error": "missing.jpg: cannot be opened (No such file or directory)"}
    assert (third["file"], third["digit"]) == (names[2], 8)
    assert captured.err.splitlines() == [
        "digitnet: missing.jpg: cannot be opened (No such file or directory)",
        "digitnet: 2 read, 1 could not be read",
    ]


def test_a_blank_picture_is_an_answer_and_no_failure(tmp_path, capsys):
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    assert cli.main(["predict", "--json", str(tmp_path / "blank.png")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["digit"], answer["reason"], answer["best_guess"]) == (None, "blank", None)
    assert len(answer["probabilities"]) == 10


def test_plain_output_is_a_line_a_picture(tmp_path, capsys):
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    assert cli.main(["predict", str(SAMPLES / "marker-2.jpg"), str(tmp_path / "blank.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{SAMPLES / 'marker-2.jpg'}: 2 (")
    assert lines[1] == f"{tmp_path / 'blank.png'}: blank"


def test_standard_input_a_folder_and_a_pattern_are_read(tmp_path, capsys):
    content = (SAMPLES / "marker-2.jpg").read_bytes()
    piped = subprocess.run(
        [sys.executable, "-m", "digitnet", "predict", "-"], input=content, capture_output=True, env=environment()
    )
    assert piped.stdout.startswith(b"-: 2 (")
    (tmp_path / "deep").mkdir()
    for name in ("b.JPG", "a.jpg", "deep/c.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(content)
    for argument, names in ((tmp_path, ["a.jpg", "b.JPG", "deep/c.jpg"]), (tmp_path / "*.jpg", ["a.jpg"])):
        assert cli.main(["predict", "--json", str(argument)]) == 0
        files = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
        assert sorted(files) == sorted(str(tmp_path / name) for name in names)


def test_a_pattern_that_matches_a_folder_reads_the_pictures_in_it(tmp_path, capsys):
    (tmp_path / "scans" / "one").mkdir(parents=True)
    (tmp_path / "scans" / "empty").mkdir()
    for name in ("scans/a.jpg", "scans/one/b.jpg"):
        (tmp_path / name).write_bytes((SAMPLES / "marker-2.jpg").read_bytes())
    assert cli.main(["predict", "--json", str(tmp_path / "scans" / "*")]) == 0
    files = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
    assert files == [str(tmp_path / "scans" / "a.jpg"), str(tmp_path / "scans" / "one" / "b.jpg")]


def test_a_file_name_that_is_no_text_is_read_and_shown_on_any_terminal(tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xe9.jpg"
    with open(name, "wb") as file:
        file.write((SAMPLES / "marker-2.jpg").read_bytes())
    for encoding in ("utf-8", "ascii"):
        for form in ([], ["--json"]):
            finished = subprocess.run(
                [sys.executable, "-m", "digitnet", "predict", *form, name, b"/no/\xff.png"],
                capture_output=True,
                env={**environment(), "PYTHONIOENCODING": f"{encoding}:strict"},
            )
            assert finished.returncode == 1
            assert rb"\udcff" in finished.stdout
            assert rb"\udcff.png: cannot be opened" in finished.stderr


def test_the_command_alone_shows_its_help(capsys):
    assert cli.main([]) == 2
    assert "predict" in capsys.readouterr().err


def test_many_pictures_have_a_progress_bar_on_a_terminal_and_none_elsewhere(capfd, monkeypatch):
    names = [str(SAMPLES / "marker-2.jpg")] * 3
    assert cli.main(["predict", *names]) == 0
    assert capfd.readouterr().err == "digitnet: 3 read\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(["predict", *names]) == 0
    captured = capfd.readouterr()
    assert "3/3" in captured.err or "2/3" in captured.err
    assert len(captured.out.splitlines()) == 3
    assert cli.main(["predict", names[0]]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["predict"],
        ["nonsense"],
        ["predict", "--show", "out.txt", "x.png"],
        ["train", "--cycles", "0"],
        ["train", "--recipe", "nonsense"],
        ["train", "--seed", "-1"],
        ["synth", "pages", "--pages", "0"],
        ["synth", "pages", "--width", "20"],
        ["synth", "pages", "--seed", "-1"],
        ["synth", "digits", "--digits", "0"],
        ["synth", "digits", "--digits", "3", "--seed", "-1"],
        ["synth", "digits", "--digits", "3", "--pages", "3"],
        ["predict", "--max-error", "2", "x.png"],
        ["predict", "--max-error", "0.1", "--always", "x.png"],
        ["test", "--data", "nowhere"],
        ["predict", "."],
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(arguments, tmp_path):
    finished = digitnet(*arguments, cwd=tmp_path)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr


def test_the_user_sets_the_trade_between_answers_and_errors(tmp_path, capsys):
    cross = Image.new("L", (200, 200), 255)
    for line in ([(50, 50), (150, 150)], [(50, 150), (150, 50)]):
        ImageDraw.Draw(cross).line(line, fill=0, width=9)
    cross.save(tmp_path / "cross.png")
    answers = []
    for options in ([], ["--max-error", "0.001"], ["--always"]):
        assert cli.main(["predict", "--json", *options, str(tmp_path / "cross.png")]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert [answer["reason"] for answer in answers] == ["not a digit", "not a digit", None]
    assert answers[2]["digit"] == answers[0]["best_guess"]


def test_synth_writes_pages_the_same_for_the_same_seed(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / "new" / name
        assert cli.main(["synth", str(folder), "--pages", "3", "--width", "200", "--height", "100"]) == 0
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / "new" / name).iterdir()} for name in ("one", "two")
    )
    assert sorted(first) == ["labels.csv", "page-0000.png", "page-0001.png", "page-0002.png", "pages.jsonl"]
    assert first == second


def test_synth_writes_labelled_digits_that_test_can_score(tmp_path, capsys):
    assert cli.main(["synth", "--digits", "20", str(tmp_path / "digits")]) == 0
    assert cli.main(["test", "--data", str(tmp_path / "digits")]) == 0
    assert "digits: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "guess"),
    [
        (["predcit", "x.jpg"], "there is no command 'predcit'; did you mean predict?"),
        (["raed"], "there is no command 'raed'; did you mean read?"),
        ([str(SAMPLES)], f"did you mean digitnet predict {SAMPLES}?"),
        (["xyzzy"], "there is no command 'xyzzy'; see digitnet --help"),
        (["predict", "--jsn", "x.jpg"], "unrecognized arguments: --jsn; did you mean --json?"),
        (["read", "--patern=7", "x.jpg"], "did you mean --pattern?"),
        (["train", "xyzzy"], "unrecognized arguments: xyzzy\n"),
    ],
)
def test_a_misspelt_command_or_option_is_told_with_the_one_that_was_meant(arguments, guess, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert guess in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["predict"], ["train"], ["export"], ["test"], ["compare"], ["synth"]])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([*command, "--help"])
    assert exit_.value.code == 0
    assert "usage: digitnet" in capsys.readouterr().out


def test_show_draws_every_picture_that_was_read(tmp_path, capsys):
    target = tmp_path / "out.png"
    names = [str(SAMPLES / "marker-2.jpg"), "missing.jpg", str(SAMPLES / "form-8.jpg")]
    assert cli.main(["predict", "--show", str(target), *names]) == 1
    with Image.open(target) as two:
        assert cli.main(["predict", "--show", str(target), names[0]]) == 0
        with Image.open(target) as one:
            assert two.size == (one.width, 2 * one.height)


@pytest.fixture
def doubtful(tmp_path):
    """The package's model in a file of one's own, without a table of risks: it abstains always."""
    network = onnx.load(ROOT / "digitnet" / "weights" / "digitnet.onnx")
    (risks,) = (entry for entry in network.metadata_props if entry.key == "digitnet.risks")
    risks.value = "[]"
    onnx.save(network, tmp_path / "doubtful.onnx")
    return str(tmp_path / "doubtful.onnx")


def test_side_by_side_answers_each_picture_with_both_models_and_draws_both(doubtful, tmp_path, capsys):
    names = [str(SAMPLES / "marker-2.jpg"), str(SAMPLES / "pen-0.jpg")]
    one, both = tmp_path / "one.png", tmp_path / "both.png"
    assert cli.main(["predict", "--side-by-side", "--model", doubtful, *names, "--show", str(both)]) == 0
    captured = capsys.readouterr()
    title, marker, pen = captured.out.splitlines()
    own, package = title.index(doubtful), title.index("the package's model")
    for row, name, digit in ((marker, names[0], "2"), (pen, names[1], "0")):
        assert row[:own].strip() == name
        assert row[own:package].startswith(f"unsure: {digit} or ")
        assert row[package:].startswith(f"{digit} (")
    assert captured.err == "digitnet: 0 read, 2 not sure\n"
    assert cli.main(["predict", *names, "--show", str(one)]) == 0
    with Image.open(one) as three_panels, Image.open(both) as four_panels:
        assert four_panels.width == three_panels.width + drawing.PANEL + drawing.MARGIN


def test_side_by_side_reads_standard_input_once_and_goes_on_after_an_unreadable_picture(doubtful):
    arguments = ["predict", "--side-by-side", "--model", doubtful, "-", "missing.jpg"]
    with open(SAMPLES / "marker-2.jpg", "rb") as picture:
        finished = digitnet(*arguments, stdin=picture)
    assert finished.returncode == 1
    assert finished.stdout.splitlines()[1].endswith("%)")
    assert "missing.jpg: cannot be opened" in finished.stderr


@pytest.mark.parametrize("more", [[], ["--model", "mine.onnx", "--json"], ["--model", "mine.onnx", "--csv"]])
def test_side_by_side_needs_a_model_and_has_one_form(more, capsys):
    assert cli.main(["predict", "--side-by-side", str(SAMPLES), *more]) == 2
    assert "--side-by-side" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".webp", ".jpg", ".gif"])
def test_more_drawings_than_one_file_holds_go_on_in_a_second_one(suffix, tmp_path, capsys, monkeypatch):
    Image.new("L", (30, 30), 255).save(tmp_path / "blank.png")
    target = tmp_path / f"out{suffix}"
    assert cli.main(["predict", "--show", str(target), *[str(tmp_path / "blank.png")] * 60]) == 0
    with Image.open(target) as first, Image.open(tmp_path / f"out-2{suffix}") as second:
        assert first.height <= drawing.SHEET_HEIGHT
        assert first.height + second.height == 60 * Reader().predict(np.ones((30, 30))).draw().height
    assert "out-2" in capsys.readouterr().err


def test_a_full_sheet_that_cannot_be_saved_does_not_stop_the_answers(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("digitnet.files.os.fsync", full)
    names = [str(SAMPLES / "marker-2.jpg")] * 60
    assert cli.main(["predict", "--show", str(tmp_path / "out.png"), *names]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 60
    assert captured.err.count("cannot be saved") == 1


def full(descriptor):
    raise OSError(28, "No space left on device")


def test_a_drawing_that_cannot_be_saved_leaves_the_one_before_whole(tmp_path, capsys, monkeypatch):
    target = tmp_path / "out.png"
    arguments = ["predict", "--show", str(target), str(SAMPLES / "marker-2.jpg")]
    assert cli.main(arguments) == 0
    before = target.read_bytes()
    monkeypatch.setattr("digitnet.files.os.fsync", full)
    assert cli.main(arguments) == 1
    assert target.read_bytes() == before
    assert "No space left" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize("place", ["/proc/out.png", "no/out.png"])
def test_a_drawing_that_cannot_be_written_is_said_before_any_picture_is_read(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in ("predict", "read"):
        assert cli.main([command, "--show", place, str(SAMPLES / "marker-2.jpg")]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert f"{place}: cannot be saved" in captured.err


@pytest.mark.parametrize("command", ["predict", "read"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_input_is_never_overwritten_by_its_drawing(command, force, tmp_path, capsys):
    photo, link = tmp_path / "x.jpg", tmp_path / "y.jpg"
    photo.write_bytes((SAMPLES / "marker-2.jpg").read_bytes())
    link.symlink_to(photo)
    before = photo.read_bytes()
    for show, given in ((photo, photo), (tmp_path / "." / "x.jpg", tmp_path), (link, photo), (photo, link)):
        assert cli.main([command, str(given), "--show", str(show), *force]) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("is an input and would be overwritten")) == ("", 1)
    assert photo.read_bytes() == before


def test_an_input_is_not_overwritten_by_the_second_sheet_of_drawings(tmp_path, capsys):
    Image.new("L", (30, 30), 255).save(tmp_path / "out-2.png")
    before = (tmp_path / "out-2.png").read_bytes()
    arguments = [*[str(tmp_path / "out-2.png")] * 60, "--show", str(tmp_path / "out.png"), "--force"]
    assert cli.main(["predict", *arguments]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 60
    assert "out-2.png: is an input and would be overwritten" in captured.err
    assert (tmp_path / "out-2.png").read_bytes() == before


def test_another_picture_is_replaced_by_a_drawing_with_force_only(tmp_path, capsys):
    Image.new("L", (30, 30)).save(tmp_path / "cat.png")
    before = (tmp_path / "cat.png").read_bytes()
    arguments = ["predict", str(SAMPLES / "marker-2.jpg"), "--show", str(tmp_path / "cat.png")]
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cat.png: is there already; name another file, or replace this one with --force" in captured.err
    assert (tmp_path / "cat.png").read_bytes() == before
    assert cli.main([*arguments, "--force"]) == 0
    with Image.open(tmp_path / "cat.png") as image:
        assert image.width > 800


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES))
def test_a_drawing_of_ours_is_replaced_and_is_a_picture_that_can_be_read(suffix, tmp_path, capsys):
    target = str(tmp_path / f"seen{suffix}")
    for _ in range(2):
        assert cli.main(["predict", str(SAMPLES / "marker-2.jpg"), "--show", target]) == 0
    assert cli.main(["predict", target]) == 0


def test_export_overwrites_neither_its_input_nor_without_force_another_file(tmp_path, weights_path, capsys):
    (tmp_path / "model.onnx").write_bytes(b"precious")
    (tmp_path / "model.pth").write_bytes(weights_path.read_bytes())
    for arguments, message in (
        (["model.pth"], "model.onnx: is there already"),
        (["model.pth", "--output", "model.onnx"], "model.onnx: is there already"),
        (["model.onnx", "--output", "model.onnx", "--force"], "model.onnx: is an input"),
        (["model.pth", "--output", "out.xlsx"], "name an .onnx file, such as out.onnx"),
        (["model.pth", "--output", "model.pth", "--force"], "name an .onnx file"),
    ):
        with contextlib.chdir(tmp_path):
            assert cli.main(["export", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "model.onnx").read_bytes() == b"precious"
    assert (tmp_path / "model.pth").read_bytes() == weights_path.read_bytes()
    with contextlib.chdir(tmp_path):
        assert cli.main(["export", "model.pth", "--output", "/proc/model.onnx"]) == 1
    assert "/proc/model.onnx: cannot be saved" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.pth"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["test", "--data", str(SAMPLES), "--report", "out.html"],
        ["serve", "--corrections", "out.csv"],
        ["synth", "--digits", "1", "out.zip"],
    ],
)
def test_a_folder_that_is_called_like_a_file_is_wrong_usage(arguments, tmp_path, capsys):
    with contextlib.chdir(tmp_path), pytest.raises(SystemExit) as exit_:
        cli._parser().parse_args(arguments)
    assert exit_.value.code == 2
    assert "this is the name of a file; name a folder, such as out" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_refused_ends_with_1_and_a_message(tmp_path, capsys):
    (tmp_path / "mine.onnx").write_bytes(b"hello")
    assert cli.main(["predict", "--model", str(tmp_path / "mine.onnx"), str(SAMPLES / "marker-2.jpg")]) == 1
    assert "mine.onnx" in capsys.readouterr().err


def test_a_reader_of_our_output_that_stops_early_is_no_error():
    names = [str(SAMPLES / "marker-2.jpg")] * 3
    with subprocess.Popen(
        [sys.executable, "-m", "digitnet", "predict", *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_same_pixels_from_a_file_and_from_python_give_the_same_answer(tmp_path, reader, capsys, mnist_digits):
    pixels = (mnist_digits[0][3] * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    cli.main(["predict", "--json", str(tmp_path / "digit.png")])
    assert json.loads(capsys.readouterr().out)["probabilities"] == list(reader.predict(pixels).probabilities)


@pytest.fixture
def pages(tmp_path, mnist_digits):
    """Two pages, a.png with 0123 over 45 and b.png with nothing."""
    grey, _ = page_of(mnist_digits, ["0123", "45"])
    Image.fromarray((grey * 255).astype(np.uint8)).save(tmp_path / "a.png")
    Image.new("L", (200, 100), 220).save(tmp_path / "b.png")
    return str(tmp_path / "a.png"), str(tmp_path / "b.png")


def test_a_page_is_read_as_plain_lines_and_several_under_their_names(pages, capsys):
    page, empty = pages
    assert cli.main(["read", "--always", page]) == 0
    assert capsys.readouterr().out == "0123\n45\n"
    assert cli.main(["read", "--always", page, empty]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{page}: 0123\n{page}: 45\n"
    assert captured.err == f"digitnet: {empty}: no digits found\ndigitnet: 1 read, 1 without a digit\n"


def test_a_page_on_standard_input_is_read(pages):
    piped = subprocess.run(
        [sys.executable, "-m", "digitnet", "read", "--always", "-"],
        input=Path(pages[0]).read_bytes(),
        capture_output=True,
        env=environment(),
    )
    assert (piped.returncode, piped.stdout) == (0, b"0123\n45\n")


def test_pages_as_json_are_an_object_a_picture_and_bad_ones_do_not_stop_the_others(pages, capsys):
    page, empty = pages
    assert cli.main(["read", "--json", "--always", page, "missing.png", empty]) == 1
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == ["file", "width", "height", "note", "lines"]
    assert list(first["lines"][0]) == ["text", "confidence", "box", "note", "digits"]
    assert (first["file"], [line["text"] for line in first["lines"]]) == (page, ["0123", "45"])
    assert second == {"file": "missing.png", "error": "missing.png: cannot be opened (No such file or directory)"}
    assert (third["file"], third["lines"], third["width"], third["height"]) == (empty, [], 200, 100)


def table(output):
    """The rows of a table that begins with a byte order mark."""
    assert output[0] == "\ufeff"
    return list(csv.DictReader(io.StringIO(output[1:], newline="")))


def test_pages_as_csv_have_a_row_a_line(pages, capsys):
    assert cli.main(["read", "--csv", "--always", "--length", "9", *pages]) == 0
    rows = table(capsys.readouterr().out)
    assert [(row["file"], row["line"], row["text"]) for row in rows] == [
        (pages[0], "1", "????"),
        (pages[0], "2", "??"),
    ]
    assert rows[1]["note"] == "no reading has length 9; without it 45"
    assert all(float(rows[0][field]) > 0 for field in ("x", "y", "width", "height"))


@pytest.mark.parametrize("command", ["predict", "read"])
def test_a_table_has_every_name_as_it_is_and_a_row_for_what_cannot_be_read(command, tmp_path, capsys):
    names = ["a\nb.jpg", "=1+1.jpg", "Müller, 7.jpg", "bad.jpg"]
    for name in names[:3]:
        (tmp_path / name).write_bytes((SAMPLES / "marker-2.jpg").read_bytes())
    with contextlib.chdir(tmp_path):
        assert cli.main([command, "--csv", "--always", *names]) == 1
    *rows, last = table(capsys.readouterr().out)
    assert [row["file"] for row in rows] == ["a\nb.jpg", "'=1+1.jpg", "Müller, 7.jpg"]
    assert [row["digit" if command == "predict" else "text"] for row in rows] == ["2"] * 3
    assert [row["error"] for row in rows] == [""] * 3
    assert (last["file"], last["confidence"]) == ("bad.jpg", "")
    assert last["error"].startswith("bad.jpg: cannot be opened")


def test_a_table_is_utf_8_whatever_the_terminal_is():
    finished = subprocess.run(
        [sys.executable, "-m", "digitnet", "predict", "--csv", "é.jpg"],
        capture_output=True,
        env={**environment(), "PYTHONIOENCODING": "latin-1"},
    )
    assert finished.stdout.splitlines()[1].decode().startswith("é.jpg,,,,,é.jpg: cannot be opened")


def test_a_digit_as_csv_has_its_answer_or_the_reason_why_there_is_none(tmp_path, capsys):
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    assert cli.main(["predict", "--csv", str(SAMPLES / "marker-2.jpg"), str(tmp_path / "blank.png")]) == 0
    first, second = table(capsys.readouterr().out)
    assert list(first) == ["file", "digit", "confidence", "reason", "best_guess", "error"]
    assert (first["digit"], first["reason"], first["best_guess"]) == ("2", "", "2")
    assert (second["digit"], second["reason"], second["best_guess"]) == ("", "blank", "")


@pytest.mark.parametrize("command", ["predict", "read"])
def test_a_name_with_a_line_break_or_a_control_character_stays_on_its_line(command, tmp_path, capsys):
    names = ["a\nb.jpg", "\x1b[31m.jpg"]
    for name in names:
        (tmp_path / name).write_bytes((SAMPLES / "marker-2.jpg").read_bytes())
    with contextlib.chdir(tmp_path):
        assert cli.main([command, "--always", *names, "no\nsuch.jpg"]) == 1
    captured = capsys.readouterr()
    first, second = captured.out.splitlines()
    assert first.startswith(r"a\nb.jpg: 2")
    assert second.startswith(r"\x1b[31m.jpg: 2")
    assert captured.err.splitlines()[0].startswith(r"digitnet: no\nsuch.jpg: cannot be opened")


def test_a_closing_line_says_how_many_were_read_and_how_many_not(tmp_path, capsys):
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    names = [str(SAMPLES / "marker-2.jpg"), str(tmp_path / "blank.png"), "missing.jpg"]
    assert cli.main(["predict", "--max-error", "0", "--json", *names]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "digitnet: 0 read, 1 not sure, 1 without a digit, 1 could not be read"


def test_what_a_constraint_did_is_said_on_standard_error(pages, capsys):
    page, _ = pages
    assert cli.main(["read", "--always", "--pattern", r"\d\d4?\d?", "--lines", "3", page]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1] == "45"
    assert f"digitnet: {page}: 2 of 3 lines found" in captured.err
    assert r"pattern \d\d4?\d?" in captured.err


def test_what_is_said_of_pages_goes_around_the_progress_bar(pages, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(["read", "--always", *pages]) == 0
    captured = capfd.readouterr()
    assert captured.out.splitlines() == [f"{pages[0]}: 0123", f"{pages[0]}: 45"]
    assert f"\rdigitnet: {pages[1]}: no digits found\n" in captured.err  # at the start of a line of its own


def test_pages_are_drawn(pages, tmp_path):
    assert cli.main(["read", *pages, "--show", str(tmp_path / "seen.png")]) == 0
    with Image.open(tmp_path / "seen.png") as drawing:
        assert min(drawing.size) >= 400


@pytest.mark.parametrize(
    "options", [["--lines", "0"], ["--length", "0"], ["--pattern", "x"], ["--show", "seen.txt"], ["--max-error", "2"]]
)
def test_what_cannot_be_asked_of_a_page_is_wrong_usage(pages, options, capsys):
    assert cli.main(["read", *pages, *options]) == 2
    assert capsys.readouterr().err.startswith("digitnet: ")


@pytest.mark.parametrize("kind", ["detector", "line-reader"])
def test_a_network_of_ones_own_must_be_one(pages, tmp_path, capsys, kind):
    (tmp_path / "own.onnx").write_bytes(b"none")
    assert cli.main(["read", *pages, f"--{kind}", str(tmp_path / "own.onnx")]) == 1
    assert f"own.onnx: not a {kind.replace('-', ' ')}" in capsys.readouterr().err
