"""Weights to ONNX, refused unless ONNX Runtime computes what PyTorch does."""

import contextlib
import io
import logging
import warnings
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from digitnet import doubt
from digitnet.calibration import CalibratedDigitNet, calibrate
from digitnet.checkpoint import load_weights
from digitnet.errors import ModelError
from digitnet.files import checksum, write_atomically
from digitnet.model import DigitNet
from digitnet.normalise import VERSION as NORMALISATION_VERSION

TOLERANCE = 1e-3  # largest difference between two logits, which are about 10 in size; rounding makes some 1e-5
OPSET = 18


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
    """The ONNX form of a model.pth.

    Input "images" (N, 1, 28, 28) in [0, 1]; outputs "logits" (N, 10) and "answers" (N, 11), the calibrated
    probabilities of the digits and, last, of no digit. The metadata holds what decides between an answer and none.
    """
    weights = load_weights(model_path)
    model = DigitNet.like(weights).eval()
    model.load_state_dict(weights)
    calibration = calibrate(model, data)
    metadata = {
        "normalisation": str(NORMALISATION_VERSION),
        "weights": checksum(Path(model_path).read_bytes()),
        "temperature": f"{calibration.temperature:.6g}",
        "slope": f"{calibration.slope:.6g}",
        "offset": f"{calibration.offset:.6g}",
        "risks": doubt.to_json(calibration.risks),
    }
    content = _converted(CalibratedDigitNet(model, calibration), metadata)
    difference = largest_difference(model, content)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{model_path}: its ONNX form gives logits that differ by up to {difference:.2g} (allowed: {TOLERANCE:g}); "
            "it was not written. Please report this with the versions of torch and onnxruntime"
        )
    return content


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


def _converted(model: torch.nn.Module, metadata: dict[str, str]) -> bytes:
    example = torch.zeros(2, 1, 28, 28)
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # of the exporter's own dependencies, nothing a user could act on
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["images"],
            output_names=["logits", "answers"],
            dynamic_shapes=({0: torch.export.Dim("count")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelError("PyTorch's exporter gave nothing; please report this with the version of torch")
    proto = program.model_proto
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = f"digitnet.{key}", value
    _forget_sources(proto)
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
