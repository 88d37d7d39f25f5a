"""The commands `digitnet test` and `digitnet compare`."""

import json

import numpy as np
import pytest
from helpers import ROOT, run_python

from digitnet import cli
from digitnet.errors import DataError
from digitnet.evaluation.metrics import LabelledPredictions
from digitnet.synthesis.folders import write_pages
from digitnet.synthesis.pages import PageMaker

SAMPLES = ROOT / "samples"
PACKAGED = str(ROOT / "digitnet" / "weights" / "digitnet.onnx")
BARE = (
    "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'platformdirs', 'onnx', 'onnxscript']))\n"
    "from digitnet import cli; sys.exit(cli.main(sys.argv[1:]))"
)


@pytest.fixture
def small_mnist(monkeypatch, mnist_digits):
    """100 of MNIST's test digits stand for all of them."""
    images, labels = mnist_digits[0][:100], mnist_digits[1][:100].astype(int)
    monkeypatch.setattr(
        "digitnet.evaluation.labelled.mnist_test_set",
        lambda reader: LabelledPredictions("MNIST test set", labels, reader.predict_normalised(images), images),
    )


@pytest.fixture
def no_mnist(monkeypatch):
    def fail(reader):
        raise DataError("/nowhere: MNIST was not found")

    monkeypatch.setattr("digitnet.evaluation.labelled.mnist_test_set", fail)


def samples(folder, *rows):
    """A folder with the samples' pictures of a 2 and an 8, and a labels.csv of `rows`."""
    folder.mkdir()
    for name in ("marker-2.jpg", "form-8.jpg"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    (folder / "labels.csv").write_text("\n".join(rows))
    return str(folder)


def test_test_says_how_well_a_model_reads_and_writes_the_report(tmp_path, capsys, small_mnist):
    assert cli.main(["test", "--data", str(SAMPLES), "--report", str(tmp_path / "report")]) == 0
    mnist, lines = capsys.readouterr().out.splitlines()
    assert mnist.startswith("MNIST test set: 100.00% right")
    assert lines.startswith("samples: 100.00% right")
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "MODEL_CARD.md",
        "index.html",
        "metrics.json",
    ]
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert [measured["name"] for measured in metrics["sets"]] == ["MNIST test set", "samples"]
    assert "weights" in metrics["about"]


def test_a_report_replaces_no_file_without_force_and_says_so_before_pictures_are_read(tmp_path, capsys, no_mnist):
    report = tmp_path / "site"
    report.mkdir()
    (report / "index.html").write_text("my site")
    folder = samples(tmp_path / "mine", "file,label", "marker-2.jpg,2")
    arguments = ["test", "--data", folder, "--report", str(report)]
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "index.html: is there already; name another file, or replace this one with --force" in captured.err
    assert [path.name for path in report.iterdir()] == ["index.html"]
    assert (report / "index.html").read_text() == "my site"
    assert cli.main([*arguments, "--force"]) == 0
    assert (report / "index.html").read_text() != "my site"
    assert cli.main(arguments) == 0  # a report of ours is replaced


def test_a_report_that_cannot_be_written_is_said_before_pictures_are_read(capsys, no_mnist):
    assert cli.main(["test", "--data", str(SAMPLES), "--report", "/proc/report"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "/proc/report: cannot be made" in captured.err


def test_compare_pairs_two_models_on_the_same_pictures(capsys, small_mnist):
    assert cli.main(["compare", PACKAGED, PACKAGED, "--data", str(SAMPLES)]) == 0
    output = capsys.readouterr().out
    assert output.count("difference") == 2
    assert output.count("p = 1 ") == 2


@pytest.mark.parametrize("command", [["test"], ["compare", PACKAGED, PACKAGED]])
def test_what_synth_wrote_is_scored_as_pages(tmp_path, capsys, no_mnist, mnist_digits, command):
    images = (mnist_digits[0] * 255).astype(np.uint8)
    write_pages(PageMaker(images, mnist_digits[1], images[:0]), tmp_path / "pages", 2, 100, 200)
    assert cli.main([*command, "--data", str(tmp_path / "pages")]) == 0
    assert "digit error rate " in capsys.readouterr().out


def test_the_report_has_the_metrics_of_pages(tmp_path, capsys, no_mnist):
    report = tmp_path / "report"
    assert cli.main(["test", "--data", str(ROOT / "sample_pages"), "--report", str(report)]) == 0
    assert capsys.readouterr().out.startswith(
        "sample_pages: 60.00% of the pages right (95 % interval 23.07% to 88.24%)"
    )
    (metrics,) = json.loads((report / "metrics.json").read_text())["sets"]
    assert (metrics["accuracy"]["count"], metrics["digits"]) == (3, 59)


@pytest.mark.parametrize("command", [["test"], ["compare", PACKAGED, PACKAGED]])
def test_a_bare_install_scores_its_own_pictures_and_says_that_mnist_is_left_out(tmp_path, command):
    folder = samples(tmp_path / "mine", "file,label", "marker-2.jpg,2", "form-8.jpg,8")
    finished = run_python("-c", BARE, *command, "--data", folder)
    assert finished.returncode == 0
    assert finished.stdout.startswith("mine:")
    assert "100.00% right" in finished.stdout
    (line,) = finished.stderr.splitlines()
    assert line.startswith("digitnet: MNIST's test set was left out: platformdirs is not installed; ")


def test_without_folders_a_missing_mnist_is_an_error(capsys, no_mnist):
    assert cli.main(["test"]) == 1
    assert capsys.readouterr() == ("", "digitnet: /nowhere: MNIST was not found\n")


@pytest.mark.parametrize("command", [["test"], ["compare", PACKAGED, PACKAGED]])
def test_an_unreadable_picture_is_told_once_and_the_others_are_scored(tmp_path, capsys, no_mnist, command):
    folder = samples(tmp_path / "mine", "file,label", "missing.png,1", "marker-2.jpg,2", "form-8.jpg,8")
    assert cli.main([*command, "--data", folder]) == 1
    out, err = capsys.readouterr()
    assert "100.00% right" in out
    missing, _, count = err.splitlines()
    assert missing == f"digitnet: {folder}/missing.png: cannot be opened (No such file or directory)"
    assert count == "digitnet: 1 picture could not be read"


def test_a_wrong_label_in_any_folder_is_told_before_pictures_are_read(tmp_path, capsys, no_mnist):
    first = samples(tmp_path / "first", "file,label", "missing.png,1")
    second = samples(tmp_path / "second", "file,label", "marker-2.jpg,7.")
    assert cli.main(["test", "--data", first, second]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "second/labels.csv, line 2: marker-2.jpg has the label '7.'" in line
