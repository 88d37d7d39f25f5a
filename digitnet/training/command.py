"""`digitnet train`: trains as a recipe says, on one process or on many, and can write curves for TensorBoard.

Where torchrun has started this program, several processes (ranks) train one network; rank 0 alone touches the files
and prints. torch is imported late, so that Ctrl-C gets a clean answer from the first moment.
"""

import argparse
import contextlib
import functools
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitnet.errors import MissingExtraError, SaveError, UsageError
from digitnet.interruption import INTERRUPTED, Interruption, StopTraining, exit_code_of
from digitnet.loop.progress import say, say_stopped
from digitnet.main import add_arguments, end_cycle, prepare, save, train_epoch
from digitnet.training.recipes import QUICK, RECIPES

if TYPE_CHECKING:
    import torch

    from digitnet.loop.checkpoint import Checkpoint
    from digitnet.training.ranks import Ranks
    from digitnet.training.recipe_run import RecipeRun

Loaders = dict[str, Any]  # by purpose: "train", "validation" and, for DigitNet, "test"

MODEL_FILES = {"digitnet": "model.pth", "detector": "detector.pth", "line reader": "line-reader.pth"}
TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # the variables that it sets


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `digitnet train`."""
    recipes = "; ".join(f"{recipe.name}: {recipe.summary}" for recipe in RECIPES.values())
    parser.add_argument("--recipe", choices=RECIPES, default=QUICK.name, help=recipes)
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's; trains a finished file on")
    parser.add_argument("--rate", type=float, metavar="R", help="the highest learning rate, instead of the recipe's")
    parser.add_argument(
        "--model",
        type=Path,
        help="the file to go on with and to save to (default: model.pth, detector.pth or line-reader.pth)",
    )
    add_arguments(parser)
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="also write curves for TensorBoard")


def run(options: argparse.Namespace) -> int:
    """Trains as the options say and returns the exit code."""
    return exit_code_of(functools.partial(_train, options))


def _train(options: argparse.Namespace, interruption: Interruption) -> int:
    try:
        if options.epochs is not None and options.epochs < 1:
            raise UsageError(f"--epochs {options.epochs}: give 1 or more")
        if options.rate is not None and not 0 < options.rate < 1:
            raise UsageError(f"--rate {options.rate:g}: give a number between 0 and 1, such as 5e-4")
        prepare(options, interruption)
        if not _by_torchrun():
            return _resume_and_train(options, interruption, None)
        from digitnet.training.ranks import joined

        with joined(int(os.environ["LOCAL_RANK"])) as ranks:
            return _resume_and_train(options, interruption, ranks)
    except KeyboardInterrupt:
        if _by_torchrun() and os.environ["RANK"] != "0":
            raise SystemExit(INTERRUPTED) from None  # rank 0 says what happened
        raise


def _by_torchrun() -> bool:
    return all(name in os.environ for name in TORCHRUN)


def _resume_and_train(options: argparse.Namespace, interruption: Interruption, ranks: "Ranks | None") -> int:
    from digitnet.loop.checkpoint import Checkpoint
    from digitnet.loop.hardware import choose_device

    is_first = ranks is None or ranks.is_first
    together = ranks.together if ranks else contextlib.nullcontext
    device = ranks.device(options.device) if ranks else choose_device(options.device)
    training, get_loaders = _job(options, device)
    checkpoint = Checkpoint(options.model or MODEL_FILES[training.recipe.network])
    with contextlib.ExitStack() as lock:
        with together():
            if is_first:
                lock.enter_context(checkpoint.locked())
                say(checkpoint.resume(training))
        if ranks:
            ranks.follow_first(training)
        code = 0
        if not training.is_finished:
            with together():
                loaders = get_loaders()
            code = _train_cycles(options, training, checkpoint, loaders, interruption, ranks)
    if training.is_finished and code == 0 and is_first:
        say(
            f"The recipe {training.recipe.name!r} is finished after {training.recipe.epochs} epochs; "
            f"{checkpoint.model_path} holds its result. Read pictures with that file, train it on with --epochs and "
            "--rate, or start a new run with another --model."
        )
    return code


def _job(options: argparse.Namespace, device: "torch.device") -> tuple["RecipeRun", Callable[[], Loaders]]:
    """A run of the recipe, and how to get its data."""
    import torch

    from digitnet import dataset
    from digitnet.model import DigitNet
    from digitnet.training.recipe_run import RecipeRun

    recipe = RECIPES[options.recipe]
    settings: dict[str, Any] = {"recipe": recipe, "seed": options.seed, "epochs": options.epochs, "rate": options.rate}
    if recipe.makes_data:
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # another process makes the pages
    if recipe.network == "detector":
        from digitnet.training.detector import Detector
        from digitnet.training.detector_run import DetectorRun, get_page_loaders

        run = DetectorRun(Detector(), device, **settings)
        return run, functools.partial(get_page_loaders, options.data, seed=options.seed)
    if recipe.network == "line reader":
        from digitnet.training.line_reader import LineReader
        from digitnet.training.line_reader_run import LineReaderRun, get_strip_loaders

        line_run = LineReaderRun(LineReader(), device, **settings)
        return line_run, functools.partial(get_strip_loaders, options.data, seed=options.seed)

    def get_loaders() -> Loaders:
        train, test = dataset.get_data_loaders(options.data, hold_out=dataset.HOLD_OUT, seed=options.seed)
        return {"train": train, "validation": dataset.get_validation_loader(options.data), "test": test}

    return RecipeRun(DigitNet(deep=recipe.deep), device, **settings), get_loaders


def _train_cycles(
    options: argparse.Namespace,
    training: "RecipeRun",
    checkpoint: "Checkpoint",
    loaders: Loaders,
    interruption: Interruption,
    ranks: "Ranks | None",
) -> int:
    """Trains until the cycles or the recipe are done or a signal arrives, and returns the exit code.

    On many ranks, all train, and rank 0 does the rest.
    """
    saved = True
    shared = ranks.share(training, interruption) if ranks else None
    is_first = ranks is None or ranks.is_first
    train_loader = loaders.pop("train")
    with _curves(options.tensorboard if is_first else None) as writer, interruption.deferred():
        for cycles_done in itertools.count():
            if cycles_done == options.cycles or training.is_finished:
                break
            started, title = time.monotonic(), f"cycle {len(checkpoint.history) + 1}"
            try:
                train_epoch(shared or training, title, train_loader, shared or interruption, shown=is_first)
            except StopTraining:
                saved = save(checkpoint, training) if is_first else True
            else:
                saved = end_cycle(training, checkpoint, loaders, started) if is_first else True
                if writer:
                    _write_curves(writer, checkpoint.history[-1])
            # Here the other ranks wait until rank 0 has evaluated and saved.
            if ranks.any(interruption.requested) if ranks else interruption.requested:
                if saved and is_first:
                    say_stopped(checkpoint.model_path)
                return INTERRUPTED
    return 0 if saved else SaveError.exit_code


@contextlib.contextmanager
def _curves(folder: Path | None) -> Iterator[Any]:
    """A TensorBoard writer into `folder`, or None without a folder."""
    if folder is None:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingExtraError("--tensorboard needs the package: pip install tensorboard") from error
    with SummaryWriter(str(folder)) as writer:
        yield writer


def _write_curves(writer: Any, cycle: dict[str, Any]) -> None:
    for name, value in cycle.items():
        if name not in ("cycle", "batches", "seconds"):
            writer.add_scalar({"loss": "loss/train"}.get(name, name.replace("_", "/", 1)), value, cycle["batches"])
    writer.flush()
