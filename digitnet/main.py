"""The original program: trains on MNIST, cycle after cycle, until interrupted, and saves `model.pth` after each cycle.

torch is imported late, so that Ctrl-C gets a clean answer from the first moment.
"""

import argparse
import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitnet.errors import MissingExtraError, SaveError, UsageError
from digitnet.interruption import INTERRUPTED, Interruption, StopTraining, exit_code_of
from digitnet.loop.progress import progress_bar, say, say_stopped, summary

if TYPE_CHECKING:
    from digitnet.loop.checkpoint import Checkpoint
    from digitnet.loop.run import TrainingRun


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    parser = argparse.ArgumentParser(prog="main.py", description="Train DigitNet on MNIST until interrupted.")
    add_arguments(parser)
    parser.add_argument("--model", type=Path, default="model.pth", help="the file to go on with and to save to")
    options = parser.parse_args(arguments)
    return exit_code_of(lambda interruption: train_until_interrupted(options, interruption))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every training has."""
    parser.add_argument("--cycles", type=int, metavar="N", help="stop after N cycles (default: never stop)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first of these that is available)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder with MNIST/raw (default: the one carried)")
    parser.add_argument("--seed", type=int, default=0, help="of a new run: weights, order and augmentation")


def train_until_interrupted(options: argparse.Namespace, interruption: Interruption) -> int:
    """Trains DigitNet as the options say and returns the exit code."""
    prepare(options, interruption)
    from digitnet import dataset
    from digitnet.loop.checkpoint import Checkpoint
    from digitnet.loop.hardware import choose_device
    from digitnet.loop.run import TrainingRun
    from digitnet.model import DigitNet

    run = TrainingRun(DigitNet(), choose_device(options.device), seed=options.seed)
    checkpoint = Checkpoint(options.model)
    with checkpoint.locked():
        say(checkpoint.resume(run))  # loads model.pth if it is there
        train_loader, test_loader = dataset.get_data_loaders(options.data, hold_out=dataset.HOLD_OUT, seed=options.seed)
        loaders = {"validation": dataset.get_validation_loader(options.data), "test": test_loader}
        with interruption.deferred():
            for cycle in itertools.count(1):
                saved = train_cycle(run, checkpoint, train_loader, loaders, interruption)
                if interruption.requested:
                    if saved:
                        say_stopped(checkpoint.model_path)
                    return INTERRUPTED
                if cycle == options.cycles:
                    break
    return 0 if saved else SaveError.exit_code


def prepare(options: argparse.Namespace, interruption: Interruption) -> None:
    """Checks the options, imports torch and seeds it."""
    if options.cycles is not None and options.cycles < 1:
        raise UsageError(f"--cycles {options.cycles}: give 1 or more")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: give 0 or more")
    try:
        import torch

        import digitnet.loop.checkpoint  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "training", "train") from error
    if interruption.requested:  # some imported code swallows every exception, KeyboardInterrupt too
        raise KeyboardInterrupt
    torch.manual_seed(options.seed)


def train_cycle(
    run: "TrainingRun", checkpoint: "Checkpoint", train_loader: Any, loaders: dict[str, Any], interruption: Interruption
) -> bool:
    """Trains one epoch, evaluates on the other loaders, saves and prints. Returns whether the save succeeded."""
    started = time.monotonic()
    try:
        train_epoch(run, f"cycle {len(checkpoint.history) + 1}", train_loader, interruption)
    except StopTraining:
        return save(checkpoint, run)
    return end_cycle(run, checkpoint, loaders, started)


def train_epoch(run: Any, title: str, loader: Any, interruption: Any, *, shown: bool = True) -> None:
    """Trains one epoch, with a progress bar. Raises StopTraining after the batch in which a signal has arrived.

    `run` and `interruption` may also be what stands for them on one of many machines.
    """
    from digitnet.train import train

    batch_size = loader.batch_sampler.batch_size
    with progress_bar(title, len(loader), batch_size=batch_size, first=run.batch, shown=shown) as bar:

        def on_batch() -> None:
            bar.set_postfix_str(f"loss {run.mean_loss:.4f}", refresh=False)
            bar.update()
            if interruption.requested:
                raise StopTraining

        train(run.model, loader, run.device, epochs=1, run=run, on_batch=on_batch)


def end_cycle(run: "TrainingRun", checkpoint: "Checkpoint", loaders: dict[str, Any], started: float) -> bool:
    """Evaluates the averaged weights, saves and prints a line. Returns whether the save succeeded."""
    results = {name: run.evaluate(loader) for name, loader in loaders.items()}
    checkpoint.add_cycle(run, results, time.monotonic() - started)
    saved = save(checkpoint, run)
    print(summary(checkpoint.history) + (f", saved {checkpoint.model_path}" if saved else ", not saved"), flush=True)
    return saved


def save(checkpoint: "Checkpoint", run: "TrainingRun") -> bool:
    """Saves. Where that fails, it says so and training goes on, because the next save may succeed."""
    try:
        checkpoint.save(run)
    except SaveError as error:
        say(f"digitnet: {error}")
        return False
    return True
