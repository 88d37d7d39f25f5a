"""The command `digitnet teach`."""

import sys

import numpy as np
import pytest
from helpers import ROOT, page_of, run_python
from PIL import Image

from digitnet import Reader, cli
from digitnet.teaching.lesson import Lesson, Tally
from digitnet.teaching.teacher import STAGES

BARE = (
    "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'platformdirs', 'onnx', 'onnxscript']))\n"
    "from digitnet import cli; sys.exit(cli.main(sys.argv[1:]))"
)


def written(folder, pictures, rows):
    folder.mkdir()
    for name, image in pictures.items():
        image.save(folder / name)
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]))
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_teacher(reader):
    """All lessons here start from the package's model, so one teacher gives them: to make one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "_teacher", reader._teacher)
        yield


@pytest.fixture
def odd_folder(tmp_path, mnist_digits):
    """Mirrored 2s and 5s, 16 of each."""
    images, labels = mnist_digits
    pictures, rows = {}, []
    for label in (2, 5):
        for number, image in enumerate(images[labels == label][:16]):
            name = f"{label}-{number}.png"
            pictures[name] = Image.fromarray((255 - 255 * image[:, ::-1]).astype(np.uint8))
            rows.append(f"{name},{label}")
    return written(tmp_path / "mine", pictures, rows)


def test_teach_writes_a_model_that_reads_the_hand_better_without_pytorch(odd_folder, tmp_path):
    output = tmp_path / "mine.onnx"
    finished = run_python("-c", BARE, "teach", odd_folder, "--output", output)
    assert finished.returncode == 0, finished.stderr
    assert "32 pictures to learn from" in finished.stdout
    assert "better: " in finished.stdout
    picture = odd_folder / "5-0.png"
    assert Reader().predict(picture).best_guess != 5
    assert Reader(output).predict(picture).best_guess == 5


def test_a_lesson_shows_its_stages_on_a_terminal_and_nothing_elsewhere(tmp_path, seven, capfd, monkeypatch):
    folder = written(tmp_path / "mine", {"a.png": seven}, ["a.png,7"])
    arguments = ["teach", str(folder), "--output", str(tmp_path / "mine.onnx")]
    monkeypatch.setattr(Reader, "_teacher", Stages())
    assert cli.main(arguments) == 1
    assert "learning" not in capfd.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(arguments) == 1
    shown = capfd.readouterr().err
    assert all(f"learning: {stage}" in shown for stage in STAGES)


class Stages:
    """Stands for a teacher that goes through all stages and teaches nothing."""

    def lesson(self, sights, labels, names, *, at_once, on_stage):
        for stage in STAGES[1:]:
            on_stage(stage)
        nothing = Tally(1, 1, 1, 0)
        return Lesson(None, "nothing to learn", 1, nothing, nothing, nothing, nothing)


def test_a_lesson_names_its_stages_in_their_order(reader, mnist_digits, picture):
    five = mnist_digits[0][mnist_digits[1] == 5][0]
    stages = []
    reader.teach([picture(five[:, ::-1])], [5], on_stage=stages.append)
    assert tuple(stages) == STAGES


def test_a_hand_that_is_read_right_writes_no_file_and_says_so(tmp_path, seven, capsys):
    folder = written(tmp_path / "mine", {"a.png": seven}, ["a.png,7"])
    assert cli.main(["teach", str(folder), "--output", str(tmp_path / "mine.onnx")]) == 1
    assert "was not written: nothing to learn: all 1 are read right" in capsys.readouterr().err
    assert not (tmp_path / "mine.onnx").exists()


def test_a_model_that_is_there_stays_when_a_lesson_is_not_kept(tmp_path, seven):
    folder = written(tmp_path / "mine", {"a.png": seven}, ["a.png,7"])
    (tmp_path / "mine.onnx").write_bytes(b"before")
    assert cli.main(["teach", str(folder), "--output", str(tmp_path / "mine.onnx"), "--force"]) == 1
    assert (tmp_path / "mine.onnx").read_bytes() == b"before"


def test_a_model_that_is_there_is_replaced_with_force_only_and_one_that_is_read_never(tmp_path, seven, capsys):
    folder = written(tmp_path / "mine", {"a.png": seven}, ["a.png,7"])
    output = tmp_path / "mine.onnx"
    output.write_bytes((ROOT / "digitnet" / "weights" / "digitnet.onnx").read_bytes())
    before = output.read_bytes()
    assert cli.main(["teach", str(folder), "--output", str(output)]) == 2
    assert "mine.onnx: is there already; name another file, or replace this one with --force" in capsys.readouterr().err
    assert cli.main(["teach", str(folder), "--model", str(output), "--output", str(output), "--force"]) == 2
    assert "mine.onnx: is an input and would be overwritten" in capsys.readouterr().err
    assert output.read_bytes() == before


def test_an_output_that_cannot_be_written_is_said_before_the_pictures_are_read(tmp_path, seven, capsys):
    folder = written(tmp_path / "mine", {"a.png": seven}, ["missing.png,7"])
    assert cli.main(["teach", str(folder), "--output", str(tmp_path / "no" / "mine.onnx")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "mine.onnx: cannot be saved" in line


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_learnt_from(tmp_path, seven, capsys):
    folder = written(tmp_path / "mine", {"a.png": seven}, ["a.png,7", "b.png,3"])
    (folder / "b.png").write_bytes(b"no picture")
    assert cli.main(["teach", str(folder), "--output", str(tmp_path / "mine.onnx")]) == 1
    found = capsys.readouterr()
    assert "b.png" in found.err
    assert "1 picture to learn from" in found.out


@pytest.mark.parametrize(
    ("rows", "message"), [(["a.png,12"], "label '12'"), (["a.png"], "give a file, its label"), ([], "or no rows")]
)
def test_a_wrong_table_is_wrong_usage(tmp_path, seven, capsys, rows, message):
    folder = written(tmp_path / "mine", {"a.png": seven}, rows)
    assert cli.main(["teach", str(folder), "--output", str(tmp_path / "mine.onnx")]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_a_table_and_an_output_of_another_kind_are_wrong_usage(tmp_path, capsys):
    assert cli.main(["teach", str(tmp_path), "--output", str(tmp_path / "mine.onnx")]) == 2
    assert "labels.csv" in capsys.readouterr().err
    assert cli.main(["teach", str(tmp_path), "--output", str(tmp_path / "mine.pth")]) == 2
    assert "mine.onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written_there", "text", "code", "told"),
    [
        (["314", "15"], '"314\n15"', 1, "5 pictures to learn from"),
        (["314"], "3141", 2, "left out"),
    ],
    ids=["as many as were found", "more than were found"],
)
def test_the_digits_of_a_page_are_learnt_from_if_all_of_them_are_found(
    tmp_path, mnist_digits, capsys, written_there, text, code, told
):
    page, _ = page_of(mnist_digits, written_there)
    folder = tmp_path / "pages"
    folder.mkdir()
    Image.fromarray((255 * page).astype(np.uint8)).save(folder / "page.png")
    (folder / "labels.csv").write_text(f"file,text\npage.png,{text}\n")
    assert cli.main(["teach", str(folder), "--output", str(tmp_path / "mine.onnx")]) == code
    found = capsys.readouterr()
    assert told in (found.out if code == 1 else found.err)
