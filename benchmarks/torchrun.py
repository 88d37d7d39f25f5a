"""Training of the detector on two ranks (torchrun) against one process with two threads: speed and held-out figures.

Both get the same machine. They take turns, two cycles at a time, and the second of these is timed with its evaluation
and save. The first has the start of the process that makes the pages. Then a small run is stopped and goes on with
2, 1 and 2 ranks, and its pages are compared with those of a run that one process made without a stop. With the default
numbers it takes about an hour on two cores.

    python benchmarks/torchrun.py
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import record

WHOLE = ["-m", "digitnet", "train"]
SPIED = [str(record.ROOT / "tests" / "spied_main.py")]  # it trains on a few pages, with a log of what it trains on
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="runs of each kind; they show the noise")
    parser.add_argument("--turns", type=int, default=2, help="of two cycles, for each run")
    arguments = parser.parse_args()
    cycles: dict[int, list[list[dict[str, Any]]]] = {1: [], 2: []}  # by ranks, then by seed
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for _ in range(arguments.turns):
                for ranks in cycles:
                    options = ["--cycles", "2", "--seed", str(seed), "--model", f"{ranks}.pth"]
                    train(folder, ranks, WHOLE, *options)
            for ranks, runs in cycles.items():
                lines = (folder / f"{ranks}.history.jsonl").read_text().splitlines()
                runs.append([json.loads(line) for line in lines])
    speeds = {ranks: record.spread(list(map(steps_a_second, timed(runs)))) for ranks, runs in cycles.items()}
    record.write(
        "torchrun",
        {
            "seeds": arguments.seeds,
            "cycles": 2 * arguments.turns,
            "steps_a_second": {"one_process_two_threads": speeds[1], "two_ranks": speeds[2]},
            "times_faster": speeds[2]["median"] / speeds[1]["median"],
            "validation_accuracy": {
                ranks: [run[-1]["validation_accuracy"] for run in cycles[ranks]] for ranks in cycles
            },
            "validation_loss": {ranks: [run[-1]["validation_loss"] for run in cycles[ranks]] for ranks in cycles},
            "resumed_2_1_2": resumed(),
        },
    )


def train(folder: Path, ranks: int, program: list[str], *options: str) -> None:
    """Trains the detector in `folder` on one process with two threads, or on several ranks with one thread each."""
    launcher = [sys.executable] if ranks == 1 else [*TORCHRUN, f"--nproc-per-node={ranks}"]
    subprocess.run(
        [*launcher, *program, "--recipe", "detector", "--device", "cpu", *options],
        check=True,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(record.ROOT),
            "OMP_NUM_THREADS": "2" if ranks == 1 else "1",
            "SPY": json.dumps({"log": "log"}),
        },
    )


def timed(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The second cycle of each turn, with the number of its batches."""
    pairs = [pair for run in runs for pair in zip(run[::2], run[1::2], strict=True)]
    return [{**second, "batches": second["batches"] - first["batches"]} for first, second in pairs]


def steps_a_second(cycle: dict[str, Any]) -> float:
    return float(cycle["batches"] / cycle["seconds"])


def resumed() -> dict[str, Any]:
    """What a run on 2, then 1, then 2 ranks trains on, compared with a run of one process."""
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as stopped:
        train(Path(whole), 1, SPIED, "--cycles", "3")
        for ranks in (2, 1, 2):
            train(Path(stopped), ranks, SPIED, "--cycles", "1")
        expected, found = numbers(Path(whole)), numbers(Path(stopped))
        return {"cycles": len(expected), "batches": sum(map(len, expected.values())), "same_pages": expected == found}


def numbers(folder: Path) -> dict[int, list[list[int]]]:
    """The numbers of the pages in each batch of each epoch, whichever rank made them."""
    logs = [map(json.loads, path.read_text().splitlines()) for path in sorted(folder.glob("log.*"))]
    shares = [[entry[1:] for entry in log if entry[0] == "numbers"] for log in logs]
    epochs: dict[int, list[list[int]]] = {}
    for epoch in sorted({epoch for share in shares for epoch, _ in share}):
        of_ranks = [[batch for number, batch in share if number == epoch] for share in shares]
        batches = range(max(map(len, of_ranks)))
        epochs[epoch] = [sorted(itertools.chain(*(share[batch] for share in of_ranks if share))) for batch in batches]
    return epochs


if __name__ == "__main__":
    main()
