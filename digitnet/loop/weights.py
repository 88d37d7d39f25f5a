"""Weights from .pth files of anybody: no code in them is run, and they must fit the network."""

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from digitnet.errors import ModelError
from digitnet.model import DigitNet

ZIP_MAGIC, PICKLE_MAGIC = b"PK", b"\x80"  # PyTorch's format, and its older one
WRAPPERS = ("state_dict", "model", "model_state_dict")  # usual names for the weights in a larger checkpoint
WRAPPED_NAME = re.compile(r"(module|_orig_mod|model)\.")  # of DistributedDataParallel, torch.compile, Lightning
MAX_BYTES = 64 * 2**20  # DigitNet's own files take a few MB; a larger file is something else


def load_weights(
    path: str | Path, network_like: Callable[[dict[str, Tensor]], nn.Module] = DigitNet.like
) -> dict[str, Tensor]:
    """The state_dict in `path`, after a check that DigitNet, or the network `network_like(weights)`, can load it.

    It may be a part of a larger checkpoint (see `WRAPPERS`), and its names may begin with those of wrappers, such as
    `module.` of DistributedDataParallel.

    Raises:
        ModelError: the file is missing or damaged, holds code, belongs to another network, or has values that are not
            finite.
    """
    path = Path(path)
    content = load_untrusted(path)
    content = _unwrapped(content)
    if not isinstance(content, dict) or not all(map(_is_weight, content.keys(), content.values())):
        raise ModelError(
            f"{path}: holds a {type(content).__name__}, not the weights of DigitNet; "
            "save them with torch.save(model.state_dict(), path)"
        )
    network = network_like(content)
    expected, found = shapes(network.state_dict()), shapes(content)
    if found != expected:
        name = next(name for name in [*expected, *found] if found.get(name) != expected.get(name))
        raise ModelError(
            f"{path}: the weights of another network ({name} is {found.get(name, 'missing')}, but in "
            f"{type(network).__name__} it is {expected.get(name, 'missing')}). The file is left as it is; "
            "move it away or choose another file"
        )
    if not all(torch.isfinite(tensor.float()).all() for tensor in content.values()):
        raise ModelError(f"{path}: holds values that are not finite; its training went wrong, so choose another file")
    return content


def _unwrapped(content: Any) -> Any:
    """The state_dict in a larger checkpoint, without what wrappers of a network put before all names."""
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), content)
    while isinstance(content, dict) and content and all(map(WRAPPED_NAME.match, map(str, content))):
        content = {WRAPPED_NAME.sub("", str(name)): value for name, value in content.items()}
    return content


def _is_weight(name: object, value: object) -> bool:
    """Whether this is a name and a plain tensor of real numbers: dense, not quantised, and with its numbers there."""
    if not isinstance(name, str) or not isinstance(value, Tensor):
        return False
    is_dense = value.layout == torch.strided and not (value.is_nested or value.is_quantized or value.is_meta)
    return is_dense and not value.is_complex()


def shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a state_dict."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def load_untrusted(path: Path) -> Any:
    """The content of a .pth file: tensors and plain values only. No code in it is ever run.

    Raises:
        ModelError: the file is missing or damaged, or holds something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if content and not content.startswith((ZIP_MAGIC, PICKLE_MAGIC)):
        raise ModelError(f"{path}: not a file of PyTorch weights; choose another file")
    # torch never compresses. A file that unpacks to far more than its size was made to fill the memory.
    if len(content) > MAX_BYTES or _unpacked_size(content) > MAX_BYTES:
        raise ModelError(f"{path}: far larger than DigitNet's weights; choose another file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol of files that are refused anyway
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: refused, because it holds more than weights and could run code when it is loaded; "
            "if you trust it, load it yourself and save only model.state_dict()"
        ) from error
    # On a damaged file torch raises RuntimeError, EOFError, KeyError and more.
    except Exception as error:
        raise ModelError(
            f"{path}: damaged or truncated ({type(error).__name__}); restore it from a copy, or move it away"
        ) from error


def _unpacked_size(content: bytes) -> int:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:
        return 0  # PyTorch's older format, or a damaged file
