"""What each part of training is worth: the quick recipe with the part and without it, from the same seeds.

    python benchmarks/ablation.py [--seeds 4] [--cycles 3] [--parts PART...] [DIR]

For each part, the differences "with minus without" are paired over the seeds. The two runs of a pair begin with the
same weights and see the data in the same order. Accuracy counts best guesses. It is measured on the 5,000 held-out
training images of MNIST, on 5,000 stroke digits and, where DIR is given, on its folders of labelled pictures (see
accuracy.py). MNIST's test set is not used. Parts that were measured before keep their figures.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import record
import torch
from torch.utils.data import DataLoader, TensorDataset

from digitnet import Reader
from digitnet.dataset import HOLD_OUT, get_data_loaders, get_validation_loader
from digitnet.evaluation.labelled import folder
from digitnet.evaluation.metrics import LabelledPredictions, compute_metrics
from digitnet.loop import augment, hardware, run
from digitnet.model import DigitNet
from digitnet.synthesis.strokes import stroke_digits
from digitnet.test import evaluate
from digitnet.train import train
from digitnet.training.export import export

STROKES, STROKE_SEED = 5000, 77  # no training uses this seed
# How to leave a part out: the function to replace, and what replaces it.
PARTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "negatives": (run, "add_negatives", lambda images, labels, *_: (images, labels)),
    "bars, flags and slashes": (augment, "vary_shape", lambda images, labels, chance: images),
    "bending": (augment, "bend", lambda images, strength, chance: images),
    "pens": (augment, "change_pen", lambda images, chance: images),
    "leftovers": (augment, "add_leftovers", lambda images, chance: images),
    "neighbour's edge": (augment, "add_neighbour", lambda images, chance: images),
    "cameras": (augment, "change_camera", lambda images, chance: images),
    "bfloat16": (hardware, "has_bfloat16", lambda: False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {part: [] for part in ("everything", *arguments.parts)}
    for seed in range(arguments.seeds):
        for part, figures in found.items():
            with mock.patch.object(*PARTS[part]) if part in PARTS else mock.MagicMock():
                figures.append(trained(seed, arguments.cycles, arguments.folder))
            print(seed, part, figures[-1], flush=True)
    whole = found.pop("everything")
    everything = {name: statistics.mean(figures[name] for figures in whole) for name in whole[0]}
    parts = {
        part: {"n": arguments.seeds, "cycles": arguments.cycles, "everything": everything, **differences(whole, runs)}
        for part, runs in found.items()
    }
    before = record.read("ablation")["with_minus_without"] if (record.RESULTS / "ablation.json").exists() else {}
    record.write("ablation", {"with_minus_without": before | parts})


def trained(seed: int, cycles: int, pictures: Path | None) -> dict[str, float]:
    """The accuracy of one run in percent, by set, and the seconds that it trained."""
    torch.manual_seed(seed)
    state = run.TrainingRun(DigitNet(), "cpu", seed=seed)
    training, _ = get_data_loaders(hold_out=HOLD_OUT, seed=seed)
    started = time.monotonic()
    train(state.model, training, "cpu", epochs=cycles, run=state)
    figures = {"seconds": time.monotonic() - started}
    figures["validation"] = 100 * evaluate(state.average.module, get_validation_loader(), "cpu").accuracy
    images, labels, _ = stroke_digits(STROKES, STROKE_SEED)
    strokes: Any = TensorDataset(torch.from_numpy(images).unsqueeze(1) / 255, torch.from_numpy(labels))
    figures["stroke digits"] = 100 * evaluate(state.average.module, DataLoader(strokes, 500), "cpu").accuracy
    if pictures:
        figures |= on_folders(state.average.module, pictures)
    return figures


def on_folders(model: torch.nn.Module, pictures: Path) -> dict[str, float]:
    """The accuracy in percent, by folder."""
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "model.pth"
        torch.save(model.state_dict(), weights)
        reader = Reader(export(weights), max_error=None)
    for path in sorted(path.parent for path in pictures.glob("*/labels.csv")):
        predictions = folder(reader, path)
        if isinstance(predictions, LabelledPredictions):  # not pages
            right = compute_metrics(predictions).accuracy.fraction
            if right is not None:
                figures[path.name] = 100 * right
    return figures


def differences(whole: list[dict[str, float]], without: list[dict[str, float]]) -> dict[str, Any]:
    """The mean and standard error of the paired differences, by set."""
    paired = {name: [one[name] - other[name] for one, other in zip(whole, without, strict=True)] for name in whole[0]}
    return {
        name: {
            "mean": statistics.mean(values),
            "standard_error": statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None,
        }
        for name, values in paired.items()
    }


if __name__ == "__main__":
    main()
