"""The time from a clone to the last sample by `make run`, and the size of .venv: this commit against another.

Each commit is cloned and set up in a folder of its own, in turn, `--runs` times. pip keeps no cache and downloads all.
This needs the internet, `make` and 8 GB of disk, and takes about 10 minutes.

    python benchmarks/first_minutes.py COMMIT
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", help="the commit to compare with")
    parser.add_argument("--runs", type=int, default=2, help="of each commit (default: %(default)s)")
    arguments = parser.parse_args()
    commits = {"other": commit(arguments.other), "this": commit("HEAD")}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commits}
    for _ in range(arguments.runs):
        for name, identity in commits.items():
            runs[name].append(first_minutes(identity))
    figures = {
        name: {
            "commit": commits[name],
            "seconds": record.spread([run["seconds"] for run in of]),
            "venv_gigabytes": statistics.median(run["venv_gigabytes"] for run in of),
        }
        for name, of in runs.items()
    }
    ratios = [this["seconds"] / other["seconds"] for this, other in zip(runs["this"], runs["other"], strict=True)]
    record.write("first_minutes", {**figures, "this_over_other": record.spread(ratios)})


def commit(name: str) -> str:
    command = ["git", "rev-parse", "--verify", f"{name}^{{commit}}"]
    return subprocess.run(command, check=True, cwd=record.ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()


def first_minutes(identity: str) -> dict[str, float]:
    """Seconds from the clone to the end of `make run`, and the size of .venv in gigabytes."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        # The caches of pip and of the project are empty, and no variable leads to another copy of the project.
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {"PIP_NO_CACHE_DIR": "1", "XDG_CACHE_HOME": str(Path(folder) / "cache")}
        started = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", "--no-checkout", str(record.ROOT), str(clone)], check=True)
        subprocess.run(["git", "checkout", "--quiet", identity], check=True, cwd=clone)
        subprocess.run(["make", "run"], check=True, cwd=clone, env=environment)
        seconds = time.monotonic() - started
        files = (path for path in (clone / ".venv").rglob("*") if path.is_file() and not path.is_symlink())
        return {"seconds": seconds, "venv_gigabytes": sum(path.stat().st_size for path in files) / 1e9}


if __name__ == "__main__":
    main()
