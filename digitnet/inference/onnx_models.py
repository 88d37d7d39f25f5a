"""Networks in ONNX as ONNX Runtime runs them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from digitnet.errors import ModelError
from digitnet.imaging.normalise import SIDE
from digitnet.imaging.normalise import VERSION as NORMALISATION_VERSION
from digitnet.inference import rejection as rejection
from digitnet.inference.rejection import NOT_A_DIGIT

PACKAGED = Path(__file__).parents[1] / "weights"
PACKAGED_MODEL = PACKAGED / "digitnet.onnx"
LARGE_MODEL = PACKAGED / "large.onnx"
PACKAGED_DETECTOR = PACKAGED / "detector.onnx"

PROBABILITIES_OUTPUT = "answers"  # its name in the file format

Probabilities = npt.NDArray[np.float32]  # (11,) or (N, 11): probabilities of the ten digits and of "not a digit"


def session(content: bytes, threads: int = 0, *, keep_memory: bool = False) -> onnxruntime.InferenceSession:
    """A network ready to run on so many cores, 0 for all. Raises whatever ONNX Runtime thinks of the content.

    Memory that it keeps from one run to the next makes runs of a millisecond quicker, and large pictures costly.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = keep_memory
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class OnnxDigitNet:
    """DigitNet in ONNX; may be shared between threads.

    Attributes:
        metadata: facts about it, by name: the checksum of its weights, its calibration.
        risks: how often its answers are wrong (see `rejection.rejection_for`).

    Args:
        content: of an .onnx file from `digitnet export`.
        name: what to call it in an error.

    Raises:
        ModelError: it is not a DigitNet of this version.
    """

    def __init__(self, content: bytes, name: str) -> None:
        try:
            # One picture is too little work to share out; in bulk, whole batches go to different threads.
            self._session = session(content, threads=1, keep_memory=True)
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.risks = rejection.risks_from_json(metadata["digitnet.risks"])
            of_this_version = metadata["digitnet.normalisation"] == str(NORMALISATION_VERSION)
            shape = self.probabilities(np.zeros((1, SIDE, SIDE), np.float32)).shape
        except Exception as error:  # ONNX Runtime has no exception class of its own to catch
            raise ModelError(
                f"{name}: not a DigitNet in ONNX ({type(error).__name__}); make one with: digitnet export model.pth"
            ) from error
        if not of_this_version or shape != (1, NOT_A_DIGIT + 1):
            raise ModelError(f"{name}: made for another version of DigitNet; make it anew: digitnet export model.pth")
        self.metadata = {
            key.removeprefix("digitnet."): value for key, value in metadata.items() if key != "digitnet.risks"
        }

    def probabilities(self, images: npt.NDArray[np.float32]) -> Probabilities:
        """Probabilities (N, 11) of the ten digits and of none, for normalised `images` (N, 28, 28)."""
        (found,) = self._session.run([PROBABILITIES_OUTPUT], {"images": images[:, np.newaxis]})
        probabilities: Probabilities = found
        return probabilities
