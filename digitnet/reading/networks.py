"""Networks in ONNX, run by ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from digitnet.errors import ModelError
from digitnet.reading import adaptation, answer
from digitnet.reading.adaptation import KEY as LESSON_KEY
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.normalise import SIDE
from digitnet.reading.normalise import VERSION as NORMALISATION_VERSION

PACKAGED = Path(__file__).parents[1] / "weights"
PACKAGED_MODEL = PACKAGED / "digitnet.onnx"
PACKAGED_DETECTOR = PACKAGED / "detector.onnx"
PACKAGED_LINE_READER = PACKAGED / "line-reader.onnx"
PROBABILITIES_OUTPUT = "answers"  # the file format's name for the eleven probabilities
FEATURES_OUTPUT = "features"  # of the last layer; files of earlier versions lack it
NOT_SHOWN = ("digitnet.risks", LESSON_KEY)  # entries of the metadata that are tables, not facts

LEAST = 1e-7  # a probability below this is no more than rounding

Numbers = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32]  # (11,) or (N, 11): of the ten digits and of "not a digit"


def session(content: bytes, threads: int = 0, *, keep_memory: bool = False) -> onnxruntime.InferenceSession:
    """A network, ready to run. Raises what ONNX Runtime raises where the content is not a network.

    Args:
        threads: how many cores it may use; 0 for all.
        keep_memory: whether memory is kept from one run to the next. This makes runs of a millisecond quicker, but
            after a large picture the process stays large.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = keep_memory
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class OnnxDigitNet:
    """DigitNet in ONNX. Threads may share it, and it can be pickled.

    Attributes:
        content: its ONNX file.
        base: the ONNX file of the model before any lesson; `content` where there was none.
        metadata: facts about it, by name: the checksum of its weights, its calibration, the pictures that taught it.
        risks: how often its answers are wrong (see `answer.rejection_for`).
        adaptation: what it was taught; None where it was not.

    Args:
        content: of an .onnx file from `digitnet export` or `digitnet teach`.
        name: what errors call it.

    Raises:
        ModelError: the content is not a DigitNet of this version.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.content, self._name = content, name
        try:
            # One picture is too little work to share. In bulk, whole batches go to different threads.
            self._session = session(content, threads=1, keep_memory=True)
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.base, self.adaptation = adaptation.split(content, metadata.get(LESSON_KEY), name)
            self.risks = answer.risks_from_json(metadata["digitnet.risks"])
            scales = ("temperature", "slope", "offset")
            self._scales = tuple(float(metadata[f"digitnet.{scale}"]) for scale in scales)
            of_this_version = metadata["digitnet.normalisation"] == str(NORMALISATION_VERSION)
            shape = self.probabilities(np.zeros((1, SIDE, SIDE), np.float32)).shape
        except ModelError:  # of a lesson
            raise
        except Exception as error:  # ONNX Runtime has no exception class of its own
            raise ModelError(
                f"{name}: not a DigitNet in ONNX ({type(error).__name__}); make one with: digitnet export model.pth"
            ) from error
        if not of_this_version or shape != (1, NOT_A_DIGIT + 1):
            raise ModelError(f"{name}: made for another version of DigitNet; make it anew: digitnet export model.pth")
        self.metadata = {
            key.removeprefix("digitnet."): value for key, value in metadata.items() if key not in NOT_SHOWN
        }
        if self.adaptation:
            self.metadata["taught"] = f"{self.adaptation.pictures:,} pictures"

    def __reduce__(self) -> tuple[Any, ...]:
        return OnnxDigitNet, (self.content, self._name)

    def probabilities(self, images: npt.NDArray[np.float32]) -> Probabilities:
        """Probabilities (N, 11) of the ten digits and of "not a digit", for normalised `images` (N, 28, 28)."""
        return self.calibrated(self.logits_and_features(images)[0]) if self.adaptation else self.untaught(images)

    def untaught(self, images: npt.NDArray[np.float32]) -> Probabilities:
        """`probabilities` (N, 11) as they were before any lesson."""
        (found,) = self._session.run([PROBABILITIES_OUTPUT], {"images": images[:, np.newaxis]})
        probabilities: Probabilities = found
        return probabilities

    @property
    def before_lessons(self) -> Callable[[Numbers], Probabilities] | None:
        """`untaught` where there was a lesson; None where there was none."""
        return self.untaught if self.adaptation else None

    def logits_and_features(self, images: npt.NDArray[np.float32]) -> tuple[Numbers, Numbers]:
        """Logits (N, 10), and what the last layer sees of `images` (N, 28, 28): features (N, F).

        Raises ModelError where the file is of an earlier version, which kept no features.
        """
        if FEATURES_OUTPUT not in {output.name for output in self._session.get_outputs()}:
            raise ModelError(
                f"{self._name}: cannot be taught, because an earlier version of DigitNet exported it; export it anew "
                "from its weights: digitnet export model.pth"
            )
        logits, features = self._session.run(["logits", FEATURES_OUTPUT], {"images": images[:, np.newaxis]})
        return (self.adaptation.logits(logits, features) if self.adaptation else logits), features

    def calibrated(self, logits: Numbers) -> Probabilities:
        """Probabilities (N, 11) from logits (N, 10), as the graph makes them (see `training.calibration.eleven`)."""
        temperature, slope, offset = self._scales
        log_odds = slope * _log_sum_exp(logits) + offset  # (N, 1), that a digit is there
        ten = logits / temperature
        eleven = np.concatenate([ten - _log_sum_exp(ten) + log_odds, np.zeros_like(log_odds)], 1)
        return np.asarray(np.exp(eleven - _log_sum_exp(eleven)), np.float32)


def _log_sum_exp(logits: Numbers) -> Numbers:
    """(N, 1)."""
    largest = logits.max(1, keepdims=True)
    found: Numbers = largest + np.log(np.exp(logits - largest).sum(1, keepdims=True))
    return found
