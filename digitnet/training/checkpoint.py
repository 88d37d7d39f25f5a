"""Saving and resuming: `model.pth`, and what lies beside it.

    model.pth             the averaged weights, a plain state_dict: all that using the model needs
    model.train.pth       all that resuming needs besides: optimiser, schedule, place in the data, random state, history
    model.history.jsonl   a line a cycle, for people and plots

Each file is replaced in one step. The training file is written first and names the weights that it belongs to and
those that it replaces, by checksum; so whichever moment a crash picks, the pair tells which of the two is newer.
"""

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from digitnet.errors import ModelError
from digitnet.files import checksum, write_atomically
from digitnet.model import DigitNet
from digitnet.training.run import TrainingRun

VERSION = 1
ZIP_MAGIC, PICKLE_MAGIC = b"PK", b"\x80"  # of PyTorch's format, and of its older one
MAX_BYTES = 64 * 2**20  # DigitNet's own files take about 2 MB; more is something else

History = list[dict[str, Any]]


class Checkpoint:
    """The files of one run. Whoever writes holds `files.locked(checkpoint.model_path)`.

    Attributes:
        history: a dict a cycle, the oldest first.
    """

    def __init__(self, model_path: str | Path) -> None:
        self.model_path = Path(model_path)
        self.training_path = self.model_path.with_name(f"{self.model_path.stem}.train.pth")
        self.history_path = self.model_path.with_name(f"{self.model_path.stem}.history.jsonl")
        self.history: History = []
        self._saved: str | None = None  # the checksum of model.pth

    def save(self, run: TrainingRun) -> None:
        """Replaces the three files. Raises SaveError, and what was there before stays whole."""
        weights = run.average.module.state_dict()
        model = _serialised({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
        training = _serialised(
            {
                "version": VERSION,
                "weights": checksum(model),
                "replaces": self._saved,
                "history": self.history,
                "run": run.state_dict(),
            }
        )
        write_atomically(self.training_path, training)
        write_atomically(self.model_path, model)
        self._saved = checksum(model)
        lines = "".join(json.dumps(cycle) + "\n" for cycle in self.history)
        write_atomically(self.history_path, lines.encode())

    def resume(self, run: TrainingRun) -> str:
        """Brings `run` to where the files say, and says in a sentence what was done.

        Raises:
            ModelError: a file is damaged or not DigitNet's. Nothing has been changed then.
        """
        weights = load_weights(self.model_path, run.network_like) if self.model_path.exists() else None
        self._saved = checksum(self.model_path.read_bytes()) if weights else None
        training = self._read_training()
        if weights and shapes(weights) != shapes(run.average.module.state_dict()):
            raise ModelError(
                f"{self.model_path}: a network of another size than the recipe {run.recipe.name!r} trains; "
                "give the recipe that made it, or choose another file"
            )
        if training and (recipe := training["run"].get("recipe", run.recipe.name)) != run.recipe.name:
            raise ModelError(
                f"{self.training_path}: a run of the recipe {recipe!r}, not {run.recipe.name!r}; "
                "go on with that recipe, or choose another file"
            )
        if training and training["run"].get("teachers", run.teacher_checksums) != run.teacher_checksums:
            raise ModelError(
                f"{self.training_path}: a run with other teachers; give those that it began with, in the same order, "
                "or choose another file"
            )
        if training and self._saved in (training["weights"], training["replaces"]):
            try:
                run.load_state_dict(training["run"])
            except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
                raise self._foreign_training_state() from error
            self.history = training["history"]
            if self._saved != training["weights"]:  # killed between the two files: the training file is the newer
                self.save(run)
            return f"Going on with {self.model_path} after {run.step:,} batches."
        aside = self._set_training_aside() if training else ""
        if weights is None:
            return f"Starting afresh; {self.model_path} is saved after every cycle.{aside}"
        run.start_from(weights)
        return f"Starting from the weights in {self.model_path}, which came without a training state.{aside}"

    def _read_training(self) -> dict[str, Any] | None:
        if not self.training_path.exists():
            return None
        content = load_untrusted(self.training_path)
        expected = {"version", "weights", "replaces", "history", "run"}
        if not isinstance(content, dict) or set(content) != expected or content["version"] != VERSION:
            raise self._foreign_training_state()
        if not isinstance(content["run"], dict):
            raise self._foreign_training_state()
        return content

    def _foreign_training_state(self) -> ModelError:
        return ModelError(
            f"{self.training_path}: not a training state of this version of DigitNet; "
            "move it away to train on from the weights alone"
        )

    def _set_training_aside(self) -> str:
        """Renames a training state that belongs to other weights, since the next save would replace it."""
        identity = checksum(self.training_path.read_bytes())[:8]
        aside = self.training_path.with_name(f"{self.model_path.stem}.train.{identity}.pth")
        self.training_path.replace(aside)
        return f" The training state found there belongs to other weights and is kept as {aside}."


def load_weights(
    path: str | Path, network_like: Callable[[dict[str, Tensor]], nn.Module] = DigitNet.like
) -> dict[str, Tensor]:
    """The state_dict in `path`, checked to be one that DigitNet, or the network `network_like(weights)`, can load.

    Raises:
        ModelError: missing, damaged, with code in it, of another network, or with values that are not finite.
    """
    path = Path(path)
    content = load_untrusted(path)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(
            f"{path}: holds a {type(content).__name__}, not the weights of DigitNet; "
            "save them with torch.save(model.state_dict(), path)"
        )
    network = network_like(content)
    expected, found = shapes(network.state_dict()), shapes(content)
    if found != expected:
        name = next(name for name in [*expected, *found] if found.get(name) != expected.get(name))
        raise ModelError(
            f"{path}: the weights of another network ({name} is {found.get(name, 'missing')}, "
            f"{type(network).__name__}'s is "
            f"{expected.get(name, 'missing')}); it is left as it is, so move it away or choose another file"
        )
    if not all(torch.isfinite(tensor).all() for tensor in content.values() if tensor.is_floating_point()):
        raise ModelError(f"{path}: holds values that are not finite; its training went wrong, so start from another")
    return content


def shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a state_dict."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def load_untrusted(path: Path) -> Any:
    """What a .pth file holds, tensors and plain values only: nothing in it is ever run.

    Raises:
        ModelError: it is missing, damaged, or holds more than that.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if content and not content.startswith((ZIP_MAGIC, PICKLE_MAGIC)):
        raise ModelError(f"{path}: not a file of PyTorch weights; choose another file")
    # torch never compresses; a file that unpacks to more than it holds is made to fill the memory.
    if len(content) > MAX_BYTES or _unpacked_size(content) > MAX_BYTES:
        raise ModelError(f"{path}: far larger than DigitNet's weights; it is something else, so choose another file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle protocol, on files that are refused anyway
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: holds more than weights, which could run code when loaded, and is refused; "
            "where you trust it, load it yourself and save model.state_dict() alone"
        ) from error
    # torch raises whatever a damaged file makes it stumble on: RuntimeError, EOFError, KeyError, ...
    except Exception as error:
        raise ModelError(
            f"{path}: damaged or truncated ({type(error).__name__}); restore it from a copy, or move it away"
        ) from error


def _unpacked_size(content: bytes) -> int:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:
        return 0  # of PyTorch's older format, or damaged


def _serialised(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
