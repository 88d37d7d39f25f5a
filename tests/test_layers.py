"""The import table of docs/design.md, and what the bare install must do without."""

import ast
import re
import sys
import tomllib

import pytest
from helpers import ROOT, run_python

PACKAGE = ROOT / "digitnet"
WORDS = {"errors", "results", "files"}
PICTURES = {"picture", "parts", "ink", "normalise", "skeleton", "scene", "paper", "synth", "detect", "crop"}
LEARNING = {"recipe", "model", "dataset", "augment", "others", "calibration", "checkpoint", "detector", "locating"}
TRAINING_WORK = {"train", "test", "page_calibration", "export"}
READING_WORK = {"rejection", "constraint", "line", "fusion", "runtime", "page", "reader", "explanation"}
MEASURING_WORK = {"metrics", "labelled", "report"}
SERVING_WORK = {
    "problem",
    "guard",
    "connection",
    "workers",
    "upload",
    "corrections",
    "schemas",
    "manual",
    "api",
    "server",
}
FACES = {"main", "cli", "__init__", "__main__"}
BELOW = {
    **dict.fromkeys(WORDS, WORDS),
    **dict.fromkeys(PICTURES, WORDS | PICTURES),
    **dict.fromkeys(LEARNING, WORDS | LEARNING | {"train", "ink", "normalise", "synth", "detect", "rejection"}),
    **dict.fromkeys(TRAINING_WORK, WORDS | LEARNING | TRAINING_WORK | PICTURES | READING_WORK - {"reader"}),
    **dict.fromkeys(READING_WORK, WORDS | PICTURES | READING_WORK | {"export"}),
    **dict.fromkeys(MEASURING_WORK, WORDS | MEASURING_WORK | {"reader", "dataset", "rejection"}),
    **dict.fromkeys(SERVING_WORK, WORDS | SERVING_WORK | {"picture", "normalise", "reader", "__init__"}),
    **dict.fromkeys(
        FACES, WORDS | PICTURES | LEARNING | TRAINING_WORK | READING_WORK | MEASURING_WORK | SERVING_WORK | FACES
    ),
}
STANDARD = set(sys.stdlib_module_names)
READING_LIBRARIES = STANDARD | {"numpy", "PIL", "cv2", "onnxruntime"}
ALLOWED_LIBRARIES = {
    **dict.fromkeys(WORDS | {"recipe"}, STANDARD),
    **dict.fromkeys(PICTURES | READING_WORK | MEASURING_WORK, READING_LIBRARIES),
}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
HIDDEN = [re.match(r"\w+", requirement).group() for extra in EXTRAS.values() for requirement in extra]
WITHOUT_EXTRAS = (
    f"import sys; sys.modules.update(dict.fromkeys({sorted(set(HIDDEN) - {'digitnet'})!r}))\n"
    "from digitnet import cli; sys.exit(cli.main(sys.argv[1:]))"
)


def imports(module):
    """(modules of the package, libraries) that a file imports, anywhere in it."""
    inside, outside = set(), set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "digitnet":
            names = [f"digitnet.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        for name in names:
            top, _, rest = name.partition(".")
            if top != "digitnet":
                outside.add(top)
            elif (PACKAGE / f"{rest.split('.')[0]}.py").exists():
                inside.add(rest.split(".")[0])
    return inside, outside


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module):
    inside, outside = imports(module)
    assert inside <= BELOW[module] - {module}
    assert outside <= ALLOWED_LIBRARIES.get(module, outside)


def test_reading_never_loads_torch(tmp_path):
    script = (
        "import sys, digitnet.cli, digitnet.reader, digitnet.inference.drawing\n"
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
    ],
)
def test_without_the_extras_what_needs_them_says_how_to_install_them(extra, command, tmp_path):
    finished = run_python("-c", WITHOUT_EXTRAS, *command, cwd=tmp_path)
    assert finished.returncode == 1
    assert f"pip install 'digitnet[{extra}]'" in finished.stderr


def test_without_the_extras_pictures_are_read_and_drawn(tmp_path):
    """.ci/run does the same with a real bare install; here the extras are hidden from the import."""
    sample = ROOT / "samples" / "marker-2.jpg"
    finished = run_python("-c", WITHOUT_EXTRAS, "predict", sample, "--show", tmp_path / "seen.png")
    assert finished.returncode == 0, finished.stderr
    assert ": 2 (" in finished.stdout
    assert (tmp_path / "seen.png").exists()
