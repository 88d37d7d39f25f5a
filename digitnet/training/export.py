"""Weights to ONNX, refused unless ONNX Runtime computes what PyTorch does."""

import contextlib
import io
import logging
import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from digitnet.errors import ModelError
from digitnet.files import checksum, write_atomically
from digitnet.imaging.normalise import VERSION as NORMALISATION_VERSION
from digitnet.inference import onnx_models as runtime
from digitnet.inference import rejection as rejection
from digitnet.inference.onnx_models import PACKAGED_MODEL, OnnxDigitNet
from digitnet.model import DigitNet
from digitnet.pages.detect import CONTRAST_VERSION, DEEPEST, normalise_contrast
from digitnet.training.calibration import CalibratedDigitNet, calibrate
from digitnet.training.checkpoint import load_weights
from digitnet.training.detector import Detector
from digitnet.training.fusion_calibration import calibrate_pages, made_pages

TOLERANCE = 1e-3  # largest difference between two logits, which are about 10 in size; rounding makes some 1e-5
OPSET = 18
DETECTORS_OWN = {"side_32.weight"}  # a name in a Detector's weights that no DigitNet has


def export(model_path: str | Path, onnx_path: str | Path | None = None, *, data: str | Path | None = None) -> Path:
    """Writes the ONNX form of a model.pth, beside it unless `onnx_path` says otherwise, and returns its path.

    `data` is the folder of MNIST, whose held-out images confidence is measured on; None looks in the usual places.

    Raises:
        ModelError: the weights are refused (see `checkpoint.load_weights`), or the two forms do not agree.
        DataError: MNIST is not to be had.
        SaveError: the file cannot be written.
    """
    target = Path(onnx_path) if onnx_path is not None else Path(model_path).with_suffix(".onnx")
    write_atomically(target, to_onnx(model_path, data))
    return target


def to_onnx(model_path: str | Path, data: str | Path | None = None) -> bytes:
    """The ONNX form of a model.pth or of a detector.pth.

    Of DigitNet: input "images" (N, 1, 28, 28) in [0, 1]; outputs "logits" (N, 10) and "answers" (N, 11), the calibrated
    probabilities of the digits and, last, of no digit. The metadata holds what decides between an answer and none.

    Of Detector: input "pages" (N, 1, H, W), normalise_contrast; output "detections" (N, 14, H/4, W/4). The metadata also holds how to
    weigh what it says with what the package's DigitNet says.
    """
    weights = load_weights(model_path, _network_like)
    model = _network_like(weights).eval()
    model.load_state_dict(weights)
    make = _detector_onnx if isinstance(model, Detector) else _digitnet_onnx
    content, difference = make(model, checksum(Path(model_path).read_bytes()), data)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{model_path}: its ONNX form gives logits that differ by up to {difference:.2g} (allowed: {TOLERANCE:g}); "
            "it was not written. Please report this with the versions of torch and onnxruntime"
        )
    return content


def _network_like(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """A network that the weights fit, if they fit any."""
    return Detector() if DETECTORS_OWN & weights.keys() else DigitNet.like(weights)


def _digitnet_onnx(model: torch.nn.Module, identity: str, data: str | Path | None) -> tuple[bytes, float]:
    """The content, and how far its numbers are from PyTorch's."""
    calibration = calibrate(model, data)
    metadata = {
        "normalisation": str(NORMALISATION_VERSION),
        "weights": identity,
        "temperature": f"{calibration.temperature:.6g}",
        "slope": f"{calibration.slope:.6g}",
        "offset": f"{calibration.offset:.6g}",
        "risks": rejection.risks_to_json(calibration.risks),
    }
    count = torch.export.Dim("count")
    calibrated = CalibratedDigitNet(model, calibration)
    proto = _converted(calibrated, torch.zeros(2, 1, 28, 28), "images", ["logits", "answers"], {0: count})
    content = _with_metadata(proto, metadata)
    return content, largest_difference(model, content)


def _detector_onnx(model: torch.nn.Module, identity: str, data: str | Path | None) -> tuple[bytes, float]:
    """The content, and how far its numbers are from PyTorch's."""
    count, down, across = (torch.export.Dim(name) for name in ("count", "down", "across"))
    shapes = {0: count, 2: DEEPEST * down, 3: DEEPEST * across}
    proto = _converted(model, torch.zeros(2, 1, 2 * DEEPEST, 3 * DEEPEST), "pages", ["detections"], shapes)
    session = runtime.session(_with_metadata(proto, {}))
    digitnet = OnnxDigitNet(PACKAGED_MODEL.read_bytes(), "the package's model")
    calibration = calibrate_pages(session, digitnet.probabilities, data)
    metadata = {
        "evening": str(CONTRAST_VERSION),
        "weights": identity,
        "digitnet": digitnet.metadata["weights"],
        "fusion": calibration.fusion.to_json(),
        "risks": rejection.risks_to_json(calibration.risks),
    }
    page = normalise_contrast(next(made_pages(data, 1)).picture)[np.newaxis, np.newaxis]
    (found,) = session.run(None, {"pages": page})
    with torch.inference_mode():
        expected = model(torch.from_numpy(page)).numpy()
    return _with_metadata(proto, metadata), float(np.abs(found - expected).max())


def largest_difference(model: torch.nn.Module, content: bytes) -> float:
    """The largest difference between PyTorch's logits and ONNX Runtime's on 200 of MNIST's test digits."""
    with resources.files("digitnet").joinpath("weights/digits.npz").open("rb") as file:
        digits = np.load(file)["images"]  # (200, 28, 28) uint8
    images = digits[:, np.newaxis].astype(np.float32) / np.float32(255)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": images})
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    return float(np.abs(found - expected).max())


def _converted(
    model: torch.nn.Module, example: torch.Tensor, taken: str, given: list[str], shapes: dict[int, Any]
) -> onnx.ModelProto:
    """The network in ONNX, its input and outputs named; `shapes` says which of the input's sides may differ."""
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # of the exporter's own dependencies, nothing a user could act on
        program = torch.onnx.export(
            model,
            (example,),
            input_names=[taken],
            output_names=given,
            dynamic_shapes=(shapes,),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelError("PyTorch's exporter gave nothing; please report this with the version of torch")
    proto: onnx.ModelProto = program.model_proto
    _forget_sources(proto)
    return proto


def _with_metadata(proto: onnx.ModelProto, metadata: dict[str, str]) -> bytes:
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = f"digitnet.{key}", value
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def _forget_sources(proto: onnx.ModelProto) -> None:
    """Drops the exporter's notes on where in the source each operation stands: paths of the machine it ran on."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        del value.metadata_props[:]


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter reports its progress on standard output, which belongs to the user's data."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)
