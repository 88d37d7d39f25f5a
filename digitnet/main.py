"""The original program: train on MNIST, cycle after cycle, until interrupted; save `model.pth` after each.

Nothing heavy is imported until a signal can be answered properly.
"""

import argparse
import contextlib
import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from digitnet.errors import DigitNetError, MissingExtraError, SaveError, UsageError
from digitnet.training.recipes import QUICK, RECIPES

if TYPE_CHECKING:
    from digitnet.train import TrainingRun
    from digitnet.training.checkpoint import Checkpoint

Loaders = dict[str, Any]  # by what they are for: "train", "validation" and, for DigitNet, "test"

INTERRUPTED = 130  # the exit code that shells give a program ended by Ctrl-C


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of training, which `digitnet train` has too."""
    recipes = "; ".join(f"{recipe.name}: {recipe.summary}" for recipe in RECIPES.values())
    parser.add_argument("--recipe", choices=RECIPES, default=QUICK.name, help=recipes)
    parser.add_argument(
        "--teacher",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="each model.pth to learn from besides the labels",
    )
    parser.add_argument("--cycles", type=_positive, metavar="N", help="stop after N cycles (default: go on for ever)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first of these that is there)")
    parser.add_argument(
        "--model", type=Path, help="the file to go on with and save to (default: model.pth; detector.pth)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder with MNIST/raw (default: the one carried)")
    parser.add_argument("--seed", type=_not_negative, default=0, help="of a new run: weights, order and augmentation")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="also write curves for TensorBoard")


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    parser = argparse.ArgumentParser(prog="main.py", description="Train DigitNet on MNIST until interrupted.")
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Trains as the options say and returns the exit code."""
    interruption = Interruption()
    try:
        with interruption.listening():
            return _pipeline(options, interruption)
    except KeyboardInterrupt:
        print("\nInterrupted before training began; nothing was changed.", file=sys.stderr)
        return INTERRUPTED
    except DigitNetError as error:
        print(f"digitnet: {error}", file=sys.stderr)
        return error.exit_code


class Interruption:
    """Ctrl-C and SIGTERM: a KeyboardInterrupt at first, a wish to be met at the next good moment once deferred."""

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._answer) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def raise_if_swallowed(self) -> None:
        """Imports run foreign code, some of which swallows every exception, a KeyboardInterrupt too."""
        if self.requested:
            raise KeyboardInterrupt

    def check(self) -> None:
        if self.requested:
            raise StopTraining

    def _answer(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._deferred:
            raise KeyboardInterrupt


class StopTraining(Exception):
    """Ends training between two batches."""


def _pipeline(options: argparse.Namespace, interruption: Interruption) -> int:
    try:
        import torch

        from digitnet.files import locked, remove_leftovers
        from digitnet.training.checkpoint import Checkpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error, "training", "train") from error

    interruption.raise_if_swallowed()
    device = choose_device(options.device)
    torch.manual_seed(options.seed)
    recipe = RECIPES[options.recipe]
    training, get_loaders = _detector_job(options, device) if recipe.pages else _digit_job(options, device)
    checkpoint = Checkpoint(options.model or ("detector.pth" if recipe.pages else "model.pth"))
    with locked(checkpoint.model_path):
        for path in (checkpoint.model_path, checkpoint.training_path, checkpoint.history_path):
            remove_leftovers(path)
        _say(checkpoint.resume(training))
        loaders = get_loaders()
        with curves(options.tensorboard) as writer, interruption.deferred():
            cycles = range(options.cycles) if options.cycles else itertools.count()
            if recipe.epochs is not None:
                cycles = range(max(0, min(options.cycles or recipe.epochs, recipe.epochs - training.epoch)))
            saved = True
            for _ in cycles:
                try:
                    saved = _cycle(training, checkpoint, loaders, interruption, writer)
                except StopTraining:
                    saved = _save(checkpoint, training)
                if interruption.requested:
                    again = f"{_command(options)} --model {checkpoint.model_path}"
                    if saved:
                        _say(f"Stopped. {checkpoint.model_path} holds everything so far; go on with: {again}")
                    return INTERRUPTED
            return 0 if saved else SaveError.exit_code


def _cycle(
    run: "TrainingRun",
    checkpoint: "Checkpoint",
    loaders: Loaders,
    interruption: Interruption,
    writer: Any,
) -> bool:
    """One epoch, its evaluations, a save and a line; whether the save succeeded."""
    from digitnet.train import train

    train_loader = loaders["train"]
    number = len(checkpoint.history) + 1
    started = time.monotonic()
    with Progress(f"cycle {number}", len(train_loader), first=run.batch) as progress:

        def on_batch() -> None:
            progress.advance(train_loader.batch_sampler.batch_size, run.mean_loss)
            if writer and run.step % 20 == 0:
                writer.add_scalar("loss/train", run.mean_loss, run.step)
            interruption.check()

        train(run.model, train_loader, run.device, epochs=1, run=run, on_batch=on_batch)

    found = {name: run.evaluate(loader) for name, loader in loaders.items() if name != "train"}
    accuracies = {f"{name}_accuracy": evaluation.accuracy for name, evaluation in found.items()}
    cycle = {
        "cycle": number,
        "batches": run.step,
        "loss": run.epoch_loss,
        "validation_loss": found["validation"].loss,
        **accuracies,
        "learning_rate": run.learning_rate,
        "seconds": time.monotonic() - started,
    }
    checkpoint.history.append(cycle)
    saved = _save(checkpoint, run)
    accuracies_in_words = ", ".join(f"{name} {evaluation.accuracy:.2%}" for name, evaluation in found.items())
    best = max(checkpoint.history, key=lambda past: past["validation_accuracy"])
    print(
        f"cycle {number}: loss {cycle['loss']:.4f}, {accuracies_in_words}, "
        f"best validation {best['validation_accuracy']:.2%} (cycle {best['cycle']}), {cycle['seconds']:.1f} s"
        + (f", saved {checkpoint.model_path}" if saved else ", not saved"),
        flush=True,
    )
    if writer:
        for name in (*accuracies, "validation_loss", "learning_rate"):
            writer.add_scalar(name.replace("_", "/", 1), cycle[name], run.step)
        writer.flush()
    return saved


def _save(checkpoint: "Checkpoint", run: "TrainingRun") -> bool:
    """Saves; where that fails, says so and lets training go on, since the next save may succeed."""
    try:
        checkpoint.save(run)
    except SaveError as error:
        _say(f"digitnet: {error}")
        return False
    return True


def _digit_job(options: argparse.Namespace, device: Any) -> tuple["TrainingRun", Callable[[], Loaders]]:
    """A run that trains DigitNet, and how to get its data."""
    from digitnet import dataset
    from digitnet.model import DigitNet
    from digitnet.train import TrainingRun

    def get_loaders() -> Loaders:
        train, test = dataset.get_data_loaders(options.data, hold_out=dataset.HOLD_OUT, seed=options.seed)
        return {"train": train, "validation": dataset.get_validation_loader(options.data), "test": test}

    recipe = RECIPES[options.recipe]
    network = DigitNet(recipe.width, deep=recipe.deep)
    teachers = [_teacher(path) for path in options.teacher]
    return TrainingRun(network, device, seed=options.seed, recipe=recipe, teachers=teachers), get_loaders


def _detector_job(options: argparse.Namespace, device: Any) -> tuple["TrainingRun", Callable[[], Loaders]]:
    """A run that trains the network for pages, and how to get its data."""
    import torch

    from digitnet.training.detector import Detector
    from digitnet.training.detector_run import DetectorRun, get_page_loaders

    def get_loaders() -> Loaders:
        train, validation = get_page_loaders(options.data, seed=options.seed)
        return {"train": train, "validation": validation}

    if options.teacher:
        raise UsageError(f"--teacher: the recipe {options.recipe!r} learns from made pages alone; leave it out")
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # another process makes the pages
    return DetectorRun(Detector(), device, seed=options.seed, recipe=RECIPES[options.recipe]), get_loaders


def _command(options: argparse.Namespace) -> str:
    """What goes on with such a run, but for its file."""
    command = ["python main.py"]
    command += ["--recipe", options.recipe] if options.recipe != QUICK.name else []
    command += ["--teacher", *map(str, options.teacher)] if options.teacher else []
    return " ".join(command)


def _teacher(path: Path) -> Any:
    """The network in a model.pth."""
    from digitnet.model import DigitNet
    from digitnet.training.checkpoint import load_weights

    weights = load_weights(path)
    teacher = DigitNet.like(weights)
    teacher.load_state_dict(weights)
    return teacher


def choose_device(name: str | None) -> Any:
    """The torch.device of that name, or the best one there is: CUDA, MPS, else CPU.

    Raises UsageError where there is no such device.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None:
        return torch.device(next(kind for kind, there in available.items() if there))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not available.get(device.type, False):
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise UsageError(f"--device {name}: not available here; choose from {there}")
    return device


class Progress:
    """How far a cycle is, on standard error: a bar on a terminal, a plain line a quarter elsewhere."""

    def __init__(self, title: str, batches: int, first: int) -> None:
        self.title = title
        self.batches = batches
        self.done = first
        self.images = 0
        self.started = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=self.batches,
                initial=self.done,
                desc=self.title,
                leave=False,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def advance(self, images: int, loss: float) -> None:
        quarters = 4 * self.done // self.batches
        self.done += 1
        self.images += images
        seconds = max(time.monotonic() - self.started, 1e-9)
        speed = self.images / seconds
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.4f}, {speed:,.0f} images/s", refresh=False)
            self.bar.update()
        elif 4 * self.done // self.batches > quarters and self.done < self.batches:
            left = (self.batches - self.done) * images / speed
            share = self.done / self.batches
            _say(f"{self.title}: {share:.0%}, loss {loss:.4f}, {speed:,.0f} images/s, {left:.0f} s left")


@contextlib.contextmanager
def curves(folder: Path | None) -> Iterator[Any]:
    """A TensorBoard writer into `folder`, or None without one."""
    if folder is None:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingExtraError("--tensorboard needs the package: pip install tensorboard") from error
    with SummaryWriter(str(folder)) as writer:
        yield writer


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
