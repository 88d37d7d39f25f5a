"""A cache of exports, so that a model.pth is calibrated once and not at every start. Needs PyTorch only to export."""

import contextlib
import glob
from collections.abc import Iterator
from pathlib import Path

from digitnet.errors import DataError, MissingExtraError, ModelError, SaveError
from digitnet.files import checksum, write_atomically
from digitnet.reading.networks import OnnxDigitNet
from digitnet.version import CALIBRATION_VERSION


def cached_onnx(model_path: str | Path) -> bytes:
    """The ONNX form of a DigitNet in a .pth file, from the cache or, where it is not there, exported now.

    It is kept beside the weights as `.NAME.CHECKSUM.onnx`, with the first 16 digits of the checksum of the .pth. Where
    that folder cannot be written, it is kept in the user's cache folder. Where that fails too, nothing is kept.

    Raises:
        ModelError: the file cannot be read, is refused (see `weights.load_weights`) or holds another network.
        DataError: MNIST was not found.
        MissingExtraError: it is not in the cache and PyTorch is not installed.
    """
    path = Path(model_path)
    try:
        identity = checksum(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    name = f".{path.name}.{identity[:16]}.onnx"
    for folder in _folders(path):
        with contextlib.suppress(OSError, ModelError):  # not there, damaged, or of another normalisation
            content = (folder / name).read_bytes()
            metadata = OnnxDigitNet(content, name).metadata
            if (metadata.get("weights"), metadata.get("calibration")) == (identity, str(CALIBRATION_VERSION)):
                return content
    try:
        from digitnet.training.export import to_onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{path}: reading PyTorch weights needs PyTorch; install it in the folder of DigitNet with "
            f"pip install '.[train]', or run where it is installed: digitnet export {path}"
        ) from error
    try:
        content = to_onnx(path, others=False)
    except DataError as error:
        raise DataError(
            f"{path}: MNIST calibrates it before it reads: {error}; or export it with your own copy, and read with the "
            f".onnx file: digitnet export {path} --data DIR"
        ) from error
    for folder in _folders(path):
        with contextlib.suppress(OSError, SaveError):  # the folder cannot be written
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, content)
            for older in folder.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 16}.onnx"):
                if older.name != name:  # of earlier weights in the same file
                    with contextlib.suppress(OSError):
                        older.unlink()
            break
    return content


def _folders(path: Path) -> Iterator[Path]:
    """Where an export of `path` may be kept: beside it, and in the user's cache folder."""
    yield path.parent
    with contextlib.suppress(ModuleNotFoundError):  # of platformdirs, which is installed with PyTorch
        import platformdirs

        yield Path(platformdirs.user_cache_dir("digitnet")) / "exports" / checksum(bytes(path.resolve().parent))[:16]
