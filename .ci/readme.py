"""Runs every command and every Python example of the README, in order, each for a bounded time.

Blocks marked `sh` are run line by line, with the environment of `make` on the path; `python` blocks as scripts. Other
blocks (those for Windows, and output) are not run. A command that trains without an end is interrupted after a while
and must then end as it promises, with exit code 130.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENDLESS = {"python main.py": 45}  # seconds before Ctrl-C
ELSEWHERE = {"make test"}  # .ci/run does it anyway
LIMIT = 600


def main() -> None:
    text = (ROOT / "README.md").read_text()
    environment = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for kind, block in re.findall(r"^```(sh|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        commands = [[sys.executable, "-c", block]] if kind == "python" else block.splitlines()
        for command in commands:
            shown = "a Python example" if kind == "python" else command.split("#")[0].strip()
            if not shown or shown in ELSEWHERE:
                continue
            print(f"README: {shown}", flush=True)
            # exec, so that the signal reaches the program and its exit code us, without a shell between
            run(f"exec {command}" if shown in ENDLESS else command, shown, environment)


def run(command: list[str] | str, shown: str, environment: dict[str, str]) -> None:
    shell = isinstance(command, str)
    with subprocess.Popen(command, shell=shell, cwd=ROOT, env=environment, start_new_session=True) as process:
        try:
            code = process.wait(ENDLESS.get(shown, LIMIT))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            code = process.wait(60)
            expected = 130 if shown in ENDLESS else None
        else:
            expected = 0
    if code != expected:
        sys.exit(f"README: {shown}: exit code {code}, expected {expected}")


if __name__ == "__main__":
    main()
