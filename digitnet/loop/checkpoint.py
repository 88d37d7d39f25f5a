"""Saving and resuming: `model.pth`, and the files beside it.

    model.pth             the averaged weights, a plain state_dict: enough to use the model
    model.train.pth       what resuming needs besides: optimiser, schedule, place in the data, random state, history
    model.history.jsonl   a line of JSON for each cycle, for people and plots

Each file is replaced in one step. The training file is written first. It holds the checksums of the weights that belong
to it and of the weights that these replace. So after a crash at any moment, the two files tell which one is newer.
"""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from digitnet.errors import ModelError
from digitnet.files import checksum, locked, remove_leftovers, write_atomically
from digitnet.loop.run import TrainingRun
from digitnet.loop.weights import load_untrusted, load_weights, shapes
from digitnet.test import Evaluation


class Checkpoint:
    """The files of one run. Hold `locked()` while you resume or save.

    Attributes:
        history: a dict for each cycle, the oldest first.
    """

    def __init__(self, model_path: str | Path) -> None:
        self.model_path = Path(model_path)
        self.training_path = self.model_path.with_name(f"{self.model_path.stem}.train.pth")
        self.history_path = self.model_path.with_name(f"{self.model_path.stem}.history.jsonl")
        self.history: list[dict[str, Any]] = []
        self._saved: str | None = None  # the checksum of model.pth

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes away while the block runs, and removes what killed runs left half-written.

        Raises BusyError where another process holds the lock, SaveError where the folder cannot be written.
        """
        with locked(self.model_path):
            for path in (self.model_path, self.training_path, self.history_path):
                remove_leftovers(path)
            yield

    def add_cycle(self, run: TrainingRun, results: dict[str, Evaluation], seconds: float) -> None:
        """Adds the cycle that `run` has ended to the history; `results` are those on "validation" and perhaps more."""
        self.history.append(
            {
                "cycle": len(self.history) + 1,
                "batches": run.step,
                "loss": run.epoch_loss,
                "validation_loss": results["validation"].loss,
                **{f"{name}_accuracy": result.accuracy for name, result in results.items()},
                "learning_rate": run.learning_rate,
                "seconds": seconds,
            }
        )

    def save(self, run: TrainingRun) -> None:
        """Replaces the three files. Raises SaveError where that fails; the files of before then stay whole."""
        weights = run.average.module.state_dict()
        model = _serialised({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
        training = _serialised(
            {
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
        """Brings `run` to the state in the files, and returns a sentence that says what was done.

        Raises:
            ModelError: a file is damaged, or is no file of such a run. Nothing was changed then.
        """
        weights = load_weights(self.model_path, run.network_like) if self.model_path.exists() else None
        self._saved = checksum(self.model_path.read_bytes()) if weights else None
        training = self._read_training()
        if weights and shapes(weights) != shapes(run.average.module.state_dict()):
            raise ModelError(
                f"{self.model_path}: a network of another size than the recipe {run.recipe_name!r} trains; "
                "give the recipe that made it, or choose another file"
            )
        if training and self._saved in (training["weights"], training["replaces"]) and self._follows(run, training):
            self.history = training["history"]
            if self._saved != training["weights"]:  # killed between the two files; the training file is the newer one
                self.save(run)
            return f"Going on with {self.model_path} after {run.step:,} batches."
        aside = self._set_training_aside() if training else ""
        if weights is None:
            return f"Starting afresh; {self.model_path} is saved after every cycle.{aside}"
        run.start_from(weights)
        return f"Starting from the weights in {self.model_path}.{aside}"

    def _follows(self, run: TrainingRun, training: dict[str, Any]) -> bool:
        """Brings `run` to the saved state; returns whether it goes on from there."""
        try:
            if not run.can_follow(training["run"]):
                return False
        except ValueError as error:
            raise ModelError(f"{self.training_path}: {error}; or choose another file with --model") from error
        except KeyError as error:
            raise self._foreign_training_state() from error
        try:
            run.load_state_dict(training["run"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise self._foreign_training_state() from error
        return True

    def _read_training(self) -> dict[str, Any] | None:
        if not self.training_path.exists():
            return None
        content: dict[str, Any] = load_untrusted(self.training_path)
        is_known = isinstance(content, dict) and {"weights", "replaces", "history", "run"} <= set(content)
        if not is_known or not isinstance(content["run"], dict):
            raise self._foreign_training_state()
        return content

    def _foreign_training_state(self) -> ModelError:
        return ModelError(
            f"{self.training_path}: not a training state of this version of DigitNet; "
            "move it away to train on from the weights alone"
        )

    def _set_training_aside(self) -> str:
        """Renames a training state that this run does not go on from, because the next save would replace it."""
        identity = checksum(self.training_path.read_bytes())[:8]
        aside = self.training_path.with_name(f"{self.model_path.stem}.train.{identity}.pth")
        self.training_path.replace(aside)
        return f" The training state found there is kept as {aside}."


def _serialised(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
