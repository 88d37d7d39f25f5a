"""How a training cycle shows its progress: a bar or plain lines while it lasts, a line at its end."""

import io
import math
import sys
from pathlib import Path
from typing import Any


def progress_bar(title: str, batches: int, *, batch_size: int, first: int = 0, shown: bool = True) -> Any:
    """A tqdm bar on standard error; where that is no terminal, a plain line for each quarter, which suits a log file.

    Args:
        batches: in the whole cycle.
        batch_size: images in a batch; the speed is shown in images per second.
        first: batches that were done before, by a run that now goes on.
        shown: whether to show anything at all.
    """
    from tqdm import tqdm

    on_terminal = sys.stderr.isatty()
    each_quarter = {"file": _Lines(), "miniters": math.ceil(batches / 4), "mininterval": 0, "maxinterval": math.inf}
    return tqdm(
        desc=title,
        total=batches,
        initial=first,
        unit=" images",
        unit_scale=batch_size,
        leave=False,
        disable=not shown,
        delay=1e-9,  # no line before the first batch
        bar_format="{desc} {percentage:3.0f}%"
        + ("|{bar}| " if on_terminal else ", ")
        + "{elapsed}, {remaining} left, {rate_noinv_fmt}{postfix}",
        **({} if on_terminal else each_quarter),
    )


class _Lines(io.TextIOBase):
    """Turns each update of a bar into a line of its own."""

    def write(self, text: str) -> int:
        if text.strip():
            print(text.strip(), file=sys.stderr, flush=True)
        return len(text)


def summary(history: list[dict[str, Any]]) -> str:
    """The last cycle in a line, with the best validation accuracy so far."""
    cycle = history[-1]
    best = max(history, key=lambda past: past["validation_accuracy"])
    accuracies = [
        f"{name.removesuffix('_accuracy')} {value:.2%}" for name, value in cycle.items() if name.endswith("_accuracy")
    ]
    return (
        f"cycle {cycle['cycle']}: loss {cycle['loss']:.4f}, {', '.join(accuracies)}, "
        f"best validation {best['validation_accuracy']:.2%} (cycle {best['cycle']}), {cycle['seconds']:.1f} s"
    )


def say_stopped(model: Path) -> None:
    """Says that training has stopped, and how to go on."""
    say(f"Stopped. {model} holds everything so far; the same command goes on from there.")


def say(message: str) -> None:
    """Prints a message on standard error; standard output has a line for each cycle only."""
    print(message, file=sys.stderr, flush=True)
