"""The documentation is true: its figures, its tree, its commands."""

import argparse
import re
import subprocess
import sys

import pytest
from helpers import ROOT, environment

from digitnet import cli

README = (ROOT / "README.md").read_text()


def test_the_figures_are_those_that_the_benchmarks_wrote():
    command = [sys.executable, str(ROOT / "benchmarks" / "figures.py"), "--check"]
    assert subprocess.run(command, env=environment()).returncode == 0


def test_the_tree_has_a_line_for_every_file_of_the_package():
    for path in (ROOT / "digitnet").glob("*.py"):
        if not path.name.startswith("__"):
            assert re.search(rf"^\s*{re.escape(path.name)}\s+\S", README, re.MULTILINE), path.name


def options(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield name
                yield from options(command)
        else:
            yield from (option for option in action.option_strings if option.startswith("--"))


@pytest.mark.parametrize("name", sorted(set(options(cli._parser())) - {"--help", "--version"}))
def test_every_command_and_option_is_documented(name):
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", README)


def test_every_file_that_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
