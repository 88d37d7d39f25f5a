"""The time from the start of the process to 99 % on MNIST's test set: main.py against the usual tutorial script.

The tutorial script (plain_pytorch.py) runs until it first reaches 99.0 %. main.py runs its first cycle, until model.pth
is saved, once for each of three seeds. Both are timed as whole processes with their imports, one after the other. This
takes about 12 minutes on two cores.

    python benchmarks/time_to_accuracy.py
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record

from digitnet.dataset import find_mnist

TARGET = 99.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="runs of main.py")
    arguments = parser.parse_args()
    data = find_mnist()
    first_half = [first_cycle(seed) for seed in range(arguments.seeds // 2)]
    plain = plain_script(data)
    runs = first_half + [first_cycle(seed) for seed in range(arguments.seeds // 2, arguments.seeds)]
    seconds = [run["seconds"] for run in runs]
    record.write(
        "time_to_accuracy",
        {
            "target_percent": TARGET,
            "plain": plain,
            "first_cycles": runs,
            "seconds": record.spread(seconds),
            "lowest_test_percent": min(run["test_percent"] for run in runs),
            "times_faster": plain["seconds"] / statistics.median(seconds),
        },
    )


def first_cycle(seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.pth"
        started = time.monotonic()
        command = [sys.executable, "main.py", "--cycles", "1", "--seed", str(seed), "--model", str(model)]
        subprocess.run(command, check=True, cwd=record.ROOT)
        seconds = time.monotonic() - started
        cycle = json.loads((Path(folder) / "model.history.jsonl").read_text())
        return {"seed": seed, "seconds": seconds, "test_percent": 100 * cycle["test_accuracy"]}


def plain_script(data: Path) -> dict[str, float]:
    started = time.monotonic()
    script = Path(__file__).with_name("plain_pytorch.py")
    command = [sys.executable, str(script), str(data), "--until", str(TARGET)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = time.monotonic() - started
    print(output, file=sys.stderr)
    lines = output.splitlines()
    reached = float(lines[-1].split("accuracy ")[1].split(" %")[0])
    return {"seconds": seconds, "epochs": len(lines), "test_percent": reached}


if __name__ == "__main__":
    main()
