"""Imports go down only, reading never needs PyTorch, and the bare install reads."""

import graphlib
import re
import sys
import tomllib

import pytest
from helpers import ROOT, run_python

sys.path.insert(0, str(ROOT / "benchmarks"))
import structure
from structure import FLOORS, MODULES, floor, imports

FIVE_FILES = {"main", "model", "dataset", "train", "test"}
NEEDS_TORCH = FIVE_FILES | {"loop", "training"}
TORCH = {"torch", "torchvision", "onnx", "onnxscript"}
READING_LIBRARIES = set(sys.stdlib_module_names) | {"numpy", "PIL", "cv2", "onnxruntime", "jinja2", "tqdm"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
HIDDEN = [
    re.match(r"\w+", requirement).group()
    for extra in EXTRAS.values()
    for requirement in extra
    if requirement not in PROJECT["dependencies"]
]
WITHOUT_EXTRAS = (
    f"import sys; sys.modules.update(dict.fromkeys({sorted(set(HIDDEN) - {'digitnet'})!r}))\n"
    "from digitnet import cli; sys.exit(cli.main(sys.argv[1:]))"
)


def test_every_file_and_folder_has_its_floor():
    assert {floor(module) for module in MODULES} == set(FLOORS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module):
    inside, _ = imports(module)
    assert [name for name in inside if FLOORS.index(floor(name)) < FLOORS.index(floor(module))] == []


def test_the_picture_in_the_documentation_is_that_of_the_code():
    assert structure.picture() in structure.DESIGN.read_text(), "run: python benchmarks/structure.py"


def test_there_is_no_import_circle():
    graphlib.TopologicalSorter({module: imports(module)[0] for module in MODULES}).prepare()


@pytest.mark.parametrize("module", [name for name in MODULES if floor(name) not in NEEDS_TORCH])
def test_only_training_and_the_five_files_know_torch(module):
    _, outside = imports(module)
    assert not TORCH & outside
    inside, outside = imports(module, lazy=False)
    if module != "cli":  # it lists the options of training, which need no torch
        assert not {name for name in inside if floor(name) in NEEDS_TORCH}
    if not module.startswith(("serving", "archives")):
        assert outside <= READING_LIBRARIES


def test_main_py_does_not_know_the_workshop_of_the_packages_networks():
    known, new = set(), {"main"}
    while new:
        known |= new
        new = {found for module in new for found in imports(module)[0]} - known
    assert {floor(module) for module in known} & {"training", "reader", "cli"} == set()


def test_the_reader_asks_training_for_one_thing_only():
    below = {module: imports(module)[0] for module in ("reader", "onnx_cache")}
    assert {name for names in below.values() for name in names if floor(name) in NEEDS_TORCH} == {"training.export"}


def test_reading_never_loads_torch(tmp_path):
    script = (
        "import sys, digitnet.cli, digitnet.reader, digitnet.reading.drawing\n"
        f"show = ['--show', {str(tmp_path / 'out.png')!r}]\n"
        f"assert digitnet.cli.main(['predict', {str(ROOT / 'samples')!r}, *show]) == 0\n"
        f"assert digitnet.cli.main(['read', {str(ROOT / 'sample_pages')!r}, *show]) == 0\n"
        "assert not {'torch', 'torchvision', 'onnx'} & set(sys.modules), sorted(sys.modules)\n"
    )
    finished = run_python("-c", script)
    assert finished.returncode == 0, finished.stderr


def test_importing_the_package_loads_nothing_else():
    script = (
        "import sys; before = set(sys.modules); import digitnet; new = set(sys.modules) - before\n"
        "assert not {'numpy', 'PIL', 'cv2', 'onnxruntime', 'torch'} & new, new"
    )
    finished = run_python("-c", script)
    assert finished.returncode == 0, finished.stderr


def test_importing_any_module_prints_nothing_and_leaves_no_file(tmp_path):
    names = [f"digitnet.{module}" for module in MODULES if not module.startswith("__")]
    finished = run_python("-c", f"import {', '.join(names)}", cwd=tmp_path)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("train", ["train"]),
        ("train", ["synth", "pages"]),
        ("train", ["export", "model.pth"]),
        ("train", ["predict", "--model", "model.pth", "x.png"]),
        ("serve", ["serve"]),
        ("batch", ["batch", "scans", "--output", "out"]),
    ],
)
def test_without_the_extras_what_needs_them_says_how_to_install_them(extra, command, tmp_path):
    (tmp_path / "model.pth").write_bytes(b"weights")
    finished = run_python("-c", WITHOUT_EXTRAS, *command, cwd=tmp_path)
    assert finished.returncode == 1
    assert f"pip install '.[{extra}]'" in finished.stderr


def test_without_the_extras_every_public_name_can_be_asked_for_and_imported():
    script = WITHOUT_EXTRAS.rpartition("\n")[0] + (
        "\nimport digitnet\nfrom digitnet import *\nassert all(hasattr(digitnet, name) for name in digitnet.__all__)\n"
        "try: batch('scans', 'out')\nexcept digitnet.errors.MissingExtraError as error: print(error)"
    )
    finished = run_python("-c", script)
    assert finished.returncode == 0, finished.stderr
    assert "pip install '.[batch]'" in finished.stdout


def test_without_the_extras_pictures_are_read_and_drawn(tmp_path):
    """.ci/run does the same with a real bare install; here the extras are hidden from the import."""
    sample = ROOT / "samples" / "marker-2.jpg"
    finished = run_python("-c", WITHOUT_EXTRAS, "predict", sample, "--show", tmp_path / "seen.png")
    assert finished.returncode == 0, finished.stderr
    assert ": 2 (" in finished.stdout
    assert (tmp_path / "seen.png").exists()
