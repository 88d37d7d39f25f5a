"""Export of weights to ONNX. ONNX Runtime must give the same numbers as PyTorch, or the export is refused."""

import contextlib
import io
import logging
import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from digitnet.errors import ModelError, UsageError
from digitnet.files import checksum, write_atomically
from digitnet.loop.weights import load_weights
from digitnet.model import DigitNet
from digitnet.reading.answer import risks_to_json
from digitnet.reading.contrast import VERSION as CONTRAST_VERSION
from digitnet.reading.networks import PACKAGED_MODEL, OnnxDigitNet, session
from digitnet.reading.normalise import VERSION as NORMALISATION_VERSION
from digitnet.reading.places import DEEPEST
from digitnet.reading.strips import HEIGHT, STRIDE
from digitnet.training.calibration import CalibratedDigitNet, calibrate
from digitnet.training.detector import Detector
from digitnet.training.joint_calibration import calibrate_joint
from digitnet.training.line_reader import LineReader
from digitnet.version import CALIBRATION_VERSION

TOLERANCE = 1e-3  # the largest difference that is allowed between logits, which are about 10; rounding gives about 1e-5
OPSET = 18
DETECTOR_WEIGHT = "side_32.weight"  # a name in the weights of each Detector and of no other network
LINE_READER_WEIGHT = "beside.0.0.weight"  # the same for each LineReader


def export(model_path: str | Path, onnx_path: str | Path | None = None, *, data: str | Path | None = None) -> Path:
    """Writes the ONNX form of a model.pth, detector.pth or line-reader.pth and returns its path.

    An .onnx file from `digitnet teach` gets the weights that it was taught into its last layer, for other programs.

    Args:
        onnx_path: where to write it; None writes it beside the weights.
        data: the folder of MNIST, whose held-out images calibrate the confidence; None looks in the usual places.

    Raises:
        ModelError: the weights are refused (see `weights.load_weights`), or the two forms do not agree.
        DataError: MNIST was not found.
        SaveError: the file cannot be written.
    """
    if Path(model_path).suffix == ".onnx":
        if onnx_path is None:
            raise UsageError(f"{model_path}: say where to write it, with --output FILE")
        write_atomically(Path(onnx_path), merged(Path(model_path)))
        return Path(onnx_path)
    target = Path(onnx_path) if onnx_path is not None else Path(model_path).with_suffix(".onnx")
    write_atomically(target, to_onnx(model_path, data))
    return target


def merged(taught_path: Path) -> bytes:
    """A taught model whose graph alone gives its answers: its lesson is added to the weights of the last layer.

    Raises ModelError where the file was not taught, or the two forms do not agree.
    """
    try:
        taught = OnnxDigitNet(taught_path.read_bytes(), str(taught_path))
    except OSError as error:
        raise ModelError(f"{taught_path}: cannot be read ({error.strerror}); check the path") from error
    if taught.adaptation is None:
        raise ModelError(f"{taught_path}: was not taught, so there is nothing to merge; it can be used as it is")
    proto = onnx.load_from_string(taught.base)
    (head,) = (node for node in proto.graph.node if "logits" in node.output)  # Gemm: features, weights, bias
    shifts = dict(zip(head.input[1:], (taught.adaptation.shift[:-1].T, taught.adaptation.shift[-1]), strict=True))
    for tensor in proto.graph.initializer:
        if tensor.name in shifts:
            changed = onnx.numpy_helper.to_array(tensor) + shifts[tensor.name]
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed.astype(np.float32), tensor.name))
    content = _with_metadata(proto, {"taught": taught.metadata["taught"]})
    images = _digits()
    difference = np.abs(OnnxDigitNet(content, "merged").probabilities(images) - taught.probabilities(images)).max()
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{taught_path}: its merged form gives answers that differ by up to {difference:.2g}; report this"
        )
    return content


def to_onnx(model_path: str | Path, data: str | Path | None = None, *, others: bool = True) -> bytes:
    """The ONNX form of a model.pth, detector.pth or line-reader.pth; without `others`, all but a model.pth are refused.

    DigitNet has the input "images" (N, 1, 28, 28) in [0, 1] and the outputs "logits" (N, 10), "answers" (N, 11), the
    calibrated probabilities of the ten digits and, last, of "not a digit", and "features" (N, F), which lessons need.
    Its metadata holds the calibration and the table of risks.

    Detector has the input "pages" (N, 1, H, W), made by `contrast.normalise_contrast`, and the output "detections"
    (N, 14, H/4, W/4), its detector maps.

    LineReader has the input "strips" (N, 1, 48, W), made by `strips.prepared`, and the output "columns" (N, W/4, 22),
    logits. Its metadata also says how to weigh it with the package's DigitNet.
    """
    weights = load_weights(model_path, _network_like)
    model = _network_like(weights).eval()
    if not others and not isinstance(model, DigitNet):
        kind, purpose, option = (
            ("detector", "finds lines of digits", "--detector")
            if isinstance(model, Detector)
            else ("line reader", "reads lines of digits", "--line-reader")
        )
        raise ModelError(
            f"{model_path}: the weights of a {kind}, which {purpose}, not of a DigitNet; choose another file, or make "
            f"a file for {option} from it: digitnet export {model_path}"
        )
    model.load_state_dict(weights)
    identity = checksum(Path(model_path).read_bytes())
    if isinstance(model, DigitNet):
        content, difference = _digitnet_onnx(model, identity, data)
    elif isinstance(model, Detector):
        content, difference = _detector_onnx(model, identity)
    else:
        content, difference = _line_reader_onnx(model, identity, data)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{model_path}: its ONNX form gives logits that differ by up to {difference:.2g} (allowed: {TOLERANCE:g}), "
            "so it was not written. Please report this with the versions of torch and onnxruntime"
        )
    return content


def _network_like(weights: dict[str, torch.Tensor]) -> Detector | LineReader | DigitNet:
    """A network of the kind and size that the weights are for."""
    if DETECTOR_WEIGHT in weights:
        return Detector()
    return LineReader() if LINE_READER_WEIGHT in weights else DigitNet.like(weights)


def _digitnet_onnx(model: DigitNet, identity: str, data: str | Path | None) -> tuple[bytes, float]:
    """The ONNX content, and the largest difference of its numbers from PyTorch's."""
    calibration = calibrate(model, data)
    metadata = {
        "normalisation": str(NORMALISATION_VERSION),
        "calibration": str(CALIBRATION_VERSION),
        "weights": identity,
        "temperature": f"{calibration.temperature:.6g}",
        "slope": f"{calibration.slope:.6g}",
        "offset": f"{calibration.offset:.6g}",
        "risks": risks_to_json(calibration.risks),
    }
    count = torch.export.Dim("count")
    calibrated = CalibratedDigitNet(model, calibration)
    proto = _converted(calibrated, torch.zeros(2, 1, 28, 28), "images", ["logits", "answers", "features"], {0: count})
    content = _with_metadata(proto, metadata)
    return content, _difference(model, session(content), _digits()[:, np.newaxis])


def _digits() -> npt.NDArray[np.float32]:
    """200 of MNIST's test digits, (200, 28, 28) in [0, 1]."""
    with resources.files("digitnet").joinpath("weights/digits.npz").open("rb") as file:
        return np.asarray(np.load(file)["images"], np.float32) / np.float32(255)


def _detector_onnx(model: Detector, identity: str) -> tuple[bytes, float]:
    """The ONNX content, and the largest difference of its numbers from PyTorch's."""
    count, down, across = (torch.export.Dim(name) for name in ("count", "down", "across"))
    shapes = {0: count, 2: DEEPEST * down, 3: DEEPEST * across}
    proto = _converted(model, torch.zeros(2, 1, 2 * DEEPEST, 3 * DEEPEST), "pages", ["detections"], shapes)
    content = _with_metadata(proto, {"contrast": str(CONTRAST_VERSION), "weights": identity})
    return content, _difference(model, session(content), _noise(6 * DEEPEST, 8 * DEEPEST))


def _line_reader_onnx(model: LineReader, identity: str, data: str | Path | None) -> tuple[bytes, float]:
    """The ONNX content, and the largest difference of its numbers from PyTorch's."""
    count, columns = torch.export.Dim("count"), torch.export.Dim("columns")
    shapes = {0: count, 3: STRIDE * columns}
    proto = _converted(model, torch.zeros(2, 1, HEIGHT, 32 * STRIDE), "strips", ["columns"], shapes)
    network = session(proto.SerializeToString())
    digitnet = OnnxDigitNet(PACKAGED_MODEL.read_bytes(), "the package's model")
    joint, risks = calibrate_joint(network, digitnet.probabilities, data)
    metadata = {
        "contrast": str(CONTRAST_VERSION),
        "weights": identity,
        "digitnet": digitnet.metadata["weights"],
        "joint": joint.to_json(),
        "risks": risks_to_json(risks),
    }
    content = _with_metadata(proto, metadata)
    return content, _difference(model, network, _noise(HEIGHT, 75 * STRIDE))


def _noise(height: int, width: int) -> npt.NDArray[np.float32]:
    """A picture (1, 1, height, width) that excites all of a network, the same at every call."""
    return np.random.default_rng(0).standard_normal((1, 1, height, width), np.float32)


def _difference(model: torch.nn.Module, exported: onnxruntime.InferenceSession, pictures: Any) -> float:
    """The largest difference between the numbers of PyTorch and of ONNX Runtime for `pictures` (N, 1, H, W)."""
    found = exported.run(None, {exported.get_inputs()[0].name: pictures})[0]
    with torch.inference_mode():
        expected = model(torch.from_numpy(pictures)).numpy()
    return float(np.abs(found - expected).max())


def _converted(
    model: torch.nn.Module, example: torch.Tensor, input_name: str, output_names: list[str], shapes: dict[int, Any]
) -> onnx.ModelProto:
    """The network in ONNX; `shapes` says which sides of the input may vary."""
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # from the exporter's dependencies; users cannot act on them
        program = torch.onnx.export(
            model,
            (example,),
            input_names=[input_name],
            output_names=output_names,
            dynamic_shapes=(shapes,),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelError("PyTorch's exporter returned nothing; please report this with the version of torch")
    proto: onnx.ModelProto = program.model_proto
    # The exporter notes the source of each operation, which holds paths of this machine.
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        del value.metadata_props[:]
    return proto


def _with_metadata(proto: onnx.ModelProto, metadata: dict[str, str]) -> bytes:
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = f"digitnet.{key}", value
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Silences the exporter, which prints its progress on standard output, where only results belong."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)
