"""The original program: trains on MNIST, cycle after cycle, until interrupted, and saves `model.pth` after each cycle.

torch is imported late, so that Ctrl-C gets a clean answer from the first moment. Where torchrun has started this
program, several processes (ranks) train one network; rank 0 alone touches the files and prints.
"""

import argparse
import contextlib
import functools
import itertools
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitnet.errors import DigitNetError, MissingExtraError, SaveError, UsageError
from digitnet.training.interruption import Interruption, StopTraining
from digitnet.training.progress import curves, progress_bar
from digitnet.training.recipes import QUICK, RECIPES, Recipe, current_name

if TYPE_CHECKING:
    import torch

    from digitnet.training.checkpoint import Checkpoint
    from digitnet.training.distributed import Ranks, SharedRun
    from digitnet.training.run import TrainingRun

Loaders = dict[str, Any]  # by purpose: "train", "validation" and, for DigitNet, "test"

INTERRUPTED = 130  # the exit code that shells give a program ended by Ctrl-C
MODEL_FILES = {"digitnet": "model.pth", "detector": "detector.pth", "line reader": "line-reader.pth"}
TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # the variables that it sets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of training; `digitnet train` has them too."""
    recipes = "; ".join(f"{recipe.name}: {recipe.summary}" for recipe in RECIPES.values())
    parser.add_argument("--recipe", type=current_name, choices=RECIPES, default=QUICK.name, help=recipes)
    parser.add_argument(
        "--teacher",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="trained networks (model.pth) to learn from besides the labels",
    )
    parser.add_argument("--cycles", type=int, metavar="N", help="stop after N cycles (default: never stop)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first of these that is available)")
    parser.add_argument(
        "--model",
        type=Path,
        help="the file to go on with and to save to (default: model.pth, detector.pth or line-reader.pth)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder with MNIST/raw (default: the one carried)")
    parser.add_argument("--seed", type=int, default=0, help="of a new run: weights, order and augmentation")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="also write curves for TensorBoard")


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    parser = argparse.ArgumentParser(prog="main.py", description="Train DigitNet on MNIST until interrupted.")
    add_arguments(parser)
    return run(parser.parse_args(arguments), ("main.py",))


def run(options: argparse.Namespace, program: tuple[str, ...] = ("-m", "digitnet", "train")) -> int:
    """Trains as the options say and returns the exit code.

    Args:
        program: what torchrun must be given to start this program again.
    """
    options.program = program
    interruption = Interruption()
    try:
        with interruption.listening():
            return _prepare_and_train(options, interruption)
    except KeyboardInterrupt:
        if not _by_torchrun() or os.environ["RANK"] == "0":
            print("\nInterrupted before training began; nothing was changed.", file=sys.stderr)
        return INTERRUPTED
    except DigitNetError as error:
        print(f"digitnet: {error}", file=sys.stderr)
        return error.exit_code


def _prepare_and_train(options: argparse.Namespace, interruption: Interruption) -> int:
    if options.cycles is not None and options.cycles < 1:
        raise UsageError(f"--cycles {options.cycles}: give 1 or more")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: give 0 or more")
    try:
        import torch

        import digitnet.training.checkpoint  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "training", "train") from error

    if interruption.requested:  # some imported code swallows every exception, KeyboardInterrupt too
        raise KeyboardInterrupt
    torch.manual_seed(options.seed)
    if not _by_torchrun():
        return _resume_and_train(options, interruption, None)
    from digitnet.training.distributed import joined

    with joined(int(os.environ["LOCAL_RANK"]), interruption) as ranks:
        return _resume_and_train(options, interruption, ranks)


def _by_torchrun() -> bool:
    return all(name in os.environ for name in TORCHRUN)


def _resume_and_train(options: argparse.Namespace, interruption: Interruption, ranks: "Ranks | None") -> int:
    from digitnet.training.checkpoint import Checkpoint
    from digitnet.training.hardware import choose_device

    is_first = ranks is None or ranks.is_first
    together = ranks.together if ranks else contextlib.nullcontext
    recipe = RECIPES[options.recipe]
    device = ranks.device(options.device) if ranks else choose_device(options.device)
    with together():
        training, get_loaders = _job(options, recipe, device)
    checkpoint = Checkpoint(options.model or MODEL_FILES[recipe.network])
    if checkpoint.model_path.resolve() in (path.resolve() for path in options.teacher):
        raise UsageError(f"{checkpoint.model_path}: training would overwrite its own teacher; give another --model")
    with contextlib.ExitStack() as lock:
        with together():
            if is_first:
                lock.enter_context(checkpoint.locked())
                _say(checkpoint.resume(training))
        if ranks:
            ranks.follow_first(training)
        code = 0
        if not training.is_finished:
            with together():
                loaders = get_loaders()
            code = _train_cycles(options, training, checkpoint, loaders, interruption, ranks)
    if training.is_finished and code == 0 and is_first:
        _say(
            f"The recipe {recipe.name!r} is finished after {recipe.epochs} cycles; {checkpoint.model_path} holds its "
            "result. Read pictures with that file, or start a new run with another --model."
        )
    return code


def _job(
    options: argparse.Namespace, recipe: Recipe, device: "torch.device"
) -> tuple["TrainingRun", Callable[[], Loaders]]:
    """A run of the recipe, and how to get its data."""
    import torch

    from digitnet import dataset
    from digitnet.model import DigitNet
    from digitnet.training.checkpoint import load_digitnet
    from digitnet.training.run import TrainingRun

    if recipe.makes_data:
        if options.teacher:
            raise UsageError(f"--teacher: the recipe {recipe.name!r} learns from made pages only; leave --teacher out")
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # another process makes the pages
    if recipe.network == "detector":
        from digitnet.training.detector import Detector
        from digitnet.training.detector_run import DetectorRun, get_page_loaders

        run = DetectorRun(Detector(), device, seed=options.seed, recipe=recipe)
        return run, functools.partial(get_page_loaders, options.data, seed=options.seed)
    if recipe.network == "line reader":
        from digitnet.training.line_reader import LineReader
        from digitnet.training.line_reader_run import LineReaderRun, get_strip_loaders

        line_run = LineReaderRun(LineReader(), device, seed=options.seed, recipe=recipe)
        return line_run, functools.partial(get_strip_loaders, options.data, seed=options.seed)

    def get_loaders() -> Loaders:
        train, test = dataset.get_data_loaders(options.data, hold_out=dataset.HOLD_OUT, seed=options.seed)
        return {"train": train, "validation": dataset.get_validation_loader(options.data), "test": test}

    network = DigitNet(recipe.width, deep=recipe.deep)
    teachers = [load_digitnet(path) for path in options.teacher]
    return TrainingRun(network, device, seed=options.seed, recipe=recipe, teachers=teachers), get_loaders


def _train_cycles(
    options: argparse.Namespace,
    training: "TrainingRun",
    checkpoint: "Checkpoint",
    loaders: Loaders,
    interruption: Interruption,
    ranks: "Ranks | None",
) -> int:
    """Trains until the cycles or the recipe are done or a signal arrives, and returns the exit code."""
    saved = True
    shared = ranks.share(training, interruption) if ranks else None
    is_first = ranks is None or ranks.is_first
    cycles_before = len(checkpoint.history)
    with curves(options.tensorboard if is_first else None) as writer, interruption.deferred():
        for cycles_done in itertools.count():
            if cycles_done == options.cycles or training.is_finished:
                break
            try:
                saved = _train_cycle(training, checkpoint, loaders, interruption, writer, shared)
            except StopTraining:
                saved = _save(checkpoint, training) if is_first else True
            # Here the other ranks wait until rank 0 has evaluated and saved.
            if ranks.any(interruption.requested) if ranks else interruption.requested:
                if saved and is_first:
                    command = _command(options, checkpoint.model_path, len(checkpoint.history) - cycles_before)
                    _say(f"Stopped. {checkpoint.model_path} holds everything so far; go on with: {command}")
                return INTERRUPTED
    return 0 if saved else SaveError.exit_code


def _train_cycle(
    training: "TrainingRun",
    checkpoint: "Checkpoint",
    loaders: Loaders,
    interruption: Interruption,
    writer: Any,
    shared: "SharedRun | None",
) -> bool:
    """Trains one epoch, evaluates the averaged weights, saves and prints a line. Returns whether the save succeeded.

    On many ranks, all train, and rank 0 does the rest.
    """
    from digitnet.train import train

    number, started, loader = len(checkpoint.history) + 1, time.monotonic(), loaders["train"]
    batch_size = loader.batch_sampler.batch_size
    is_first = shared is None or shared.ranks.is_first
    bar_of = functools.partial(progress_bar, batch_size=batch_size, first=training.batch, shown=is_first)
    with bar_of(f"cycle {number}", len(loader)) as bar:

        def on_batch() -> None:
            bar.set_postfix_str(f"loss {training.mean_loss:.4f}", refresh=False)
            bar.update()
            if writer and training.step % 20 == 0:
                writer.add_scalar("loss/train", training.mean_loss, training.step)
            # A signal that has reached any rank stops all of them, after the same batch.
            if shared.is_interrupted if shared else interruption.requested:
                raise StopTraining

        run, model = (shared, shared.model) if shared else (training, training.model)
        train(model, loader, training.device, epochs=1, run=run, on_batch=on_batch)

    if not is_first:
        return True
    results = {name: training.evaluate(loader) for name, loader in loaders.items() if name != "train"}
    cycle = {
        "cycle": number,
        "batches": training.step,
        "loss": training.epoch_loss,
        "validation_loss": results["validation"].loss,
        **{f"{name}_accuracy": result.accuracy for name, result in results.items()},
        "learning_rate": training.learning_rate,
        "seconds": time.monotonic() - started,
    }
    checkpoint.history.append(cycle)
    saved = _save(checkpoint, training)
    print(_summary(checkpoint) + (f", saved {checkpoint.model_path}" if saved else ", not saved"), flush=True)
    if writer:
        for name in cycle:
            if name not in ("cycle", "batches", "loss", "seconds"):
                writer.add_scalar(name.replace("_", "/", 1), cycle[name], training.step)
        writer.flush()
    return saved


def _summary(checkpoint: "Checkpoint") -> str:
    """The last cycle in a line, with the best validation accuracy so far."""
    cycle = checkpoint.history[-1]
    best = max(checkpoint.history, key=lambda past: past["validation_accuracy"])
    accuracies = [
        f"{name.removesuffix('_accuracy')} {value:.2%}" for name, value in cycle.items() if name.endswith("_accuracy")
    ]
    return (
        f"cycle {cycle['cycle']}: loss {cycle['loss']:.4f}, {', '.join(accuracies)}, "
        f"best validation {best['validation_accuracy']:.2%} (cycle {best['cycle']}), {cycle['seconds']:.1f} s"
    )


def _save(checkpoint: "Checkpoint", training: "TrainingRun") -> bool:
    """Saves. Where that fails, it says so and training goes on, because the next save may succeed."""
    try:
        checkpoint.save(training)
    except SaveError as error:
        _say(f"digitnet: {error}")
        return False
    return True


def _command(options: argparse.Namespace, model: Path, cycles_done: int) -> str:
    """The command that goes on with this run, for a shell."""
    given = {
        "--recipe": [options.recipe] if options.recipe != QUICK.name else [],
        "--teacher": options.teacher,
        "--model": [model],
        "--data": [options.data] if options.data else [],
        "--device": [options.device] if options.device else [],
        "--tensorboard": [options.tensorboard] if options.tensorboard else [],
        "--cycles": [options.cycles - cycles_done] if options.cycles and options.cycles > cycles_done else [],
    }
    words = [str(word) for option, values in given.items() if values for word in (option, *values)]
    return shlex.join([*_started_by(options.program), *words])


def _started_by(program: tuple[str, ...]) -> list[str]:
    """The command that started this program; torchrun's options are found again in the variables that it sets."""
    if not _by_torchrun():
        return list(program[1:]) if program[0] == "-m" else ["python", *program]
    ranks = int(os.environ["WORLD_SIZE"])
    on_each = int(os.environ.get("LOCAL_WORLD_SIZE", ranks))
    command = ["torchrun", f"--nproc-per-node={on_each}"]
    if ranks > on_each:  # the others are on other machines, and the one with rank 0 is the first
        address, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
        command += [
            f"--nnodes={ranks // on_each}",
            "--node-rank=0",
            f"--master-addr={address}",
            f"--master-port={port}",
        ]
    return [*command, *program]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
