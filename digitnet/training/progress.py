"""How a training cycle shows its progress: a bar or plain lines, and curves for TensorBoard."""

import contextlib
import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digitnet.errors import MissingExtraError


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


@contextlib.contextmanager
def curves(folder: Path | None) -> Iterator[Any]:
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
