"""Accuracy on MNIST's test set over several seeds of a recipe. Each run counts once, after its last epoch.

    python benchmarks/mnist.py --recipe best --seeds 5 [--folder DIR]

Each seed is a run of `digitnet train` in DIR and takes hours. You can stop the benchmark at any time; the same command
goes on. A test accuracy is noted after every cycle; only the last one is used, and it chooses nothing.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import record

from digitnet.training.recipes import RECIPES, Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recipe",
        choices=[name for name, recipe in RECIPES.items() if recipe.epochs and not recipe.makes_data],
        required=True,
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds: 0, 1, ...")
    parser.add_argument("--folder", type=Path, default=record.ROOT / "runs", help="where the runs are kept")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.recipe]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.seeds):
        run(recipe, seed, arguments.folder)
        record.write(f"mnist_{recipe.name}", summary(recipe, arguments.folder, arguments.seeds))


def run(recipe: Recipe, seed: int, folder: Path) -> None:
    """Trains one seed to its end, from where it stands now."""
    command = [sys.executable, "-m", "digitnet", "train", "--recipe", recipe.name, "--seed", str(seed)]
    command += ["--model", str(folder / f"{recipe.name}{seed}.pth")]
    finished = subprocess.run(command, check=False)
    if finished.returncode:
        sys.exit(finished.returncode)


def summary(recipe: Recipe, folder: Path, seeds: int) -> dict[str, Any]:
    """For the finished runs: each seed's figures after its last epoch, their mean and standard deviation."""
    finished = {}
    for seed in range(seeds):
        history = folder / f"{recipe.name}{seed}.history.jsonl"
        cycles = [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else []
        if len(cycles) == recipe.epochs:
            finished[seed] = cycles
    tests = [100 * cycles[-1]["test_accuracy"] for cycles in finished.values()]
    return {
        "recipe": recipe.name,
        "epochs": recipe.epochs,
        "n": len(tests),
        "mean_percent": statistics.mean(tests) if tests else None,
        "standard_deviation": statistics.stdev(tests) if len(tests) > 1 else None,
        "seeds": {
            seed: {
                "test_percent": 100 * cycles[-1]["test_accuracy"],
                "validation_percent": 100 * cycles[-1]["validation_accuracy"],
                "minutes": sum(cycle["seconds"] for cycle in cycles) / 60,
            }
            for seed, cycles in finished.items()
        },
    }


if __name__ == "__main__":
    main()
