"""Kills a training run with SIGKILL at random moments, and checks after each kill that the model survived.

The run is main.py on a few images of MNIST, five batches a cycle, so that it saves most of the time. After each kill,
model.pth must load, it must not be older than the last reported cycle, and the next run must go on from it.

    python benchmarks/crash.py
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import record
import torch

sys.path.insert(0, str(record.ROOT / "tests"))
import small_main  # the tests' way of making main.py small

from digitnet import main as program
from digitnet.loop.weights import load_untrusted, load_weights

LONGEST = 1.0  # seconds from the run's first save to the kill, at most; a few more saves fit in


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    small_main.install(training=740, test=100, hold_out=100)
    small_main.find_mnist()
    torch.set_num_threads(1)  # a process that has started threads of its own cannot be forked safely
    rng = random.Random(arguments.seed)
    # A fork after the imports saves each run the six seconds that they take.
    context = multiprocessing.get_context("fork")
    corrupt = lost = half_written = 0
    steps = 0
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.pth"
        training = Path(folder) / "model.train.pth"
        for _ in range(arguments.kills):
            process = context.Process(target=train, args=(model, Path(folder) / "log"))
            process.start()
            saved_before = saves(Path(folder))
            while saves(Path(folder)) == saved_before and process.is_alive():
                time.sleep(0.01)
            time.sleep(rng.uniform(0, LONGEST))
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            half_written += len(list(Path(folder).glob(".*.partial")))
            if not training.exists():
                continue  # killed before the first save
            try:
                if model.exists():
                    load_weights(model)
                found = load_untrusted(training)["run"]["step"]
            except Exception as error:
                print(f"corrupt: {error}", file=sys.stderr)
                corrupt += 1
                continue
            lost += found < steps
            steps = found
    if not steps:
        sys.exit("No run lived long enough to save, so nothing was measured. Use a quieter machine.")
    record.write(
        "crash",
        {
            "kills": arguments.kills,
            "corrupt": corrupt,
            "lost": lost,
            "killed_while_writing": half_written,
            "steps": steps,
        },
    )


def saves(folder: Path) -> int:
    """The number of cycles in the history."""
    history = folder / "model.history.jsonl"
    return len(history.read_text().splitlines()) if history.exists() else 0


def train(model: Path, log: Path) -> None:
    with open(log, "a") as file:
        sys.stdout = sys.stderr = file
        os._exit(program.main(["--model", str(model), "--device", "cpu"]))


if __name__ == "__main__":
    main()
