"""Runs every command and every Python example of README.md and of the pages in docs/, each for a limited time.

Blocks marked `sh` are run line by line, with the programs of `make` on the path. `python` blocks are run as scripts.
Other blocks (for Windows, for output, for long trainings) are not run. A command that trains without an end is
interrupted after a while. It must then end with exit code 130, as it promises. A command that stands on several pages
is run once.

The examples read `seven.jpg`, the reader's own photo. One of the samples takes its place here.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/index.md", "docs/getting-started.md", "docs/training.md", "docs/command-line.md")
ENDLESS = {"python main.py": 30}  # seconds before Ctrl-C
ELSEWHERE = {"make run", "make test", "make docs"}  # .ci/run runs them anyway
LIMIT = 600  # seconds for a command
MADE = ("pages", "report", "digits", "answers")  # folders that the examples make anew
MADE_FILES = ("pages.jsonl", "digits.csv", "mine.onnx", "detector.onnx")
STAND_IN = ROOT / "samples" / "chalk-7.jpg"


def main() -> None:
    # These pages first and in this order: what they train, the others use.
    others = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    photo, done = ROOT / "seven.jpg", set[str]()
    shutil.copy(STAND_IN, photo)
    for folder in MADE:
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    for file in MADE_FILES:
        (ROOT / file).unlink(missing_ok=True)
    try:
        for page in dict.fromkeys((*PAGES, *others)):
            run_page(page, done)
    finally:
        photo.unlink()


def run_page(page: str, done: set[str]) -> None:
    """Runs what `done` does not have yet, and adds it."""
    for kind, block in re.findall(r"^```(sh|python)\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE):
        commands = [[sys.executable, "-c", block]] if kind == "python" else block.splitlines()
        for command in commands:
            shown = "a Python example" if kind == "python" else command.split("#")[0].strip()
            key = block if kind == "python" else shown
            if not shown or shown in ELSEWHERE or key in done:
                continue
            done.add(key)
            print(f"{page}: {shown}", flush=True)
            # "exec" lets the signal reach the program, and its exit code reach us, without a shell between.
            code, expected = run(f"exec {command}" if shown in ENDLESS else command, ENDLESS.get(shown))
            if code != expected:
                sys.exit(f"{page}: {shown}: exit code {code}, expected {expected}")


def run(command: list[str] | str, seconds: float | None) -> tuple[int, int | None]:
    """The exit code of `command`, and the expected one; with `seconds`, it is interrupted after so long."""
    shell = isinstance(command, str)
    environment = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(command, shell=shell, cwd=ROOT, env=environment, start_new_session=True) as process:
        try:
            return process.wait(seconds or LIMIT), 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            return process.wait(60), 130 if seconds else None


if __name__ == "__main__":
    main()
