"""The documentation is true: its figures, its commands, its links, and the notebook."""

import argparse
import itertools
import json
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib

import pytest
from helpers import ROOT, environment

from digitnet import cli

README = (ROOT / "README.md").read_text()
COMMAND_LINE = (ROOT / "docs" / "command-line.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").glob("*.md")])


def test_the_figures_are_those_that_the_benchmarks_wrote():
    command = [sys.executable, str(ROOT / "benchmarks" / "figures.py"), "--check"]
    assert subprocess.run(command, env=environment()).returncode == 0


def test_the_readme_can_be_read_in_one_go():
    assert len(README.splitlines()) <= 150


def test_the_readme_shows_the_loop_that_trains():
    (loop,) = re.findall(r"```text\n(for batch .*?)```", README, flags=re.DOTALL)
    assert textwrap.indent(loop, 8 * " ") in (ROOT / "digitnet" / "train.py").read_text()


def commands():
    parser = cli._parser()
    (subparsers,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return subparsers.choices


def sections():
    """The text of each command's section of the page, with the options that several commands share."""
    shared, *parts = re.split(r"^## (?=[a-z])", COMMAND_LINE, flags=re.MULTILINE)
    return {part.split("\n")[0]: shared.partition("## Options for reading")[2] + part for part in parts}


def options():
    for name, command in commands().items():
        for action in command._actions:
            yield from ((name, option) for option in action.option_strings if option.startswith("--"))


def test_every_command_has_a_section_and_every_section_a_command():
    assert set(sections()) == set(commands())


@pytest.mark.parametrize(("command", "option"), sorted(set(options())))
def test_every_option_is_documented_with_its_command(command, option):
    assert option == "--help" or re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", sections()[command])


@pytest.mark.parametrize("command", sorted(commands()))
def test_the_help_of_every_command_has_a_sentence_and_an_example_of_its_page(command):
    parser = commands()[command]
    assert re.fullmatch(r"[A-Z].{20,}\.", parser.description)
    title, example = parser.epilog.split("\n")
    assert title == "example:"
    assert example.strip() in sections()[command]
    cli._parser().parse_args(shlex.split(example)[1:])


def anchors(text):
    """What headings can be linked to as, by the rule of MkDocs and of most Git servers."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_has_its_target(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = page.parent / target if target else page
        assert path.exists(), link
        assert not anchor or anchor in anchors(path.read_text()), link


def test_the_design_page_names_every_folder_of_the_package():
    design = (ROOT / "docs" / "design.md").read_text()
    folders = {path.parent.name for path in (ROOT / "digitnet").glob("*/__init__.py")}
    assert [folder for folder in sorted(folders) if f"{folder}/" not in design] == []


def test_every_page_of_the_site_is_in_its_menu():
    menu = (ROOT / "mkdocs.yml").read_text()
    pages = (path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))
    assert [str(path) for path in pages if f": {path.as_posix()}\n" not in menu] == []


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_nothing_says_to_install_a_package_of_this_name_from_the_index():
    suffixes = {".py", ".md", ".ipynb", ".html", ".js"}
    files = [path for top in ("digitnet", "docs", "samples") for path in (ROOT / top).rglob("*")] + PAGES
    wrong = re.compile(r"install ['\"`]*digitnet|digitnet\[")
    texts = {path: path.read_text() for path in files if path.suffix in suffixes}
    assert [str(path) for path, text in texts.items() if wrong.search(text)] == []


def pinned(file):
    lines = [line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return {re.match(r"[\w-]+", line).group().lower(): line for line in lines if line and not line.startswith("-")}


def test_what_training_and_reading_need_is_pinned_and_nothing_else_and_the_rest_is_pinned_for_development():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def names(requirements):
        found = {re.match(r"[\w-]+", requirement).group().lower() for requirement in requirements}
        return found - {"digitnet"}

    first, second = pinned("requirements.txt"), pinned("requirements-dev.txt")
    assert set(first) == names([*project["dependencies"], *extras["train"]])
    assert set(second) == names(itertools.chain(*extras.values())) - set(first)
    assert all("==" in line for line in [*first.values(), *second.values()])
    assert "--requirement requirements.txt" in (ROOT / "requirements-dev.txt").read_text()
