"""Adaptation: a shift of DigitNet's last layer, kept in the metadata of its ONNX file.

The last layer is linear, so a shift of its weights is one small matrix. It needs no second graph and no library that
can change graphs. The file of an adapted model is the file of its base and one more entry of metadata. Protobuf merges
messages that follow each other, so the entry is simply appended, and cutting it off undoes the lesson.
"""

import base64
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.errors import ModelError
from digitnet.files import checksum

VERSION = 1
KEY = "digitnet.lesson"  # among the file's metadata
METADATA_FIELD = 14  # of ONNX's ModelProto: metadata_props, whose fields are 1 for the key and 2 for the value

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What a lesson adds to a network.

    Attributes:
        shift: (F + 1, 10) float32, added to the weights of the last layer and, in the last row, to its bias.
        pictures: how many pictures have taught it.
    """

    shift: Matrix
    pictures: int

    def __add__(self, other: "Adaptation") -> "Adaptation":
        return Adaptation(self.shift + other.shift, self.pictures + other.pictures)

    def logits(self, logits: Matrix, features: Matrix) -> Matrix:
        """The adapted logits (N, 10), from the base's logits (N, 10) and features (N, F)."""
        adapted: Matrix = logits + features @ self.shift[:-1] + self.shift[-1]
        return adapted

    def adapted(self, base: bytes) -> bytes:
        """The ONNX file of the adapted model, from that of its base."""
        content = {
            "version": VERSION,
            "pictures": self.pictures,
            "base": {"bytes": len(base), "checksum": checksum(base)},
            "shape": self.shift.shape,
            "shift": base64.b64encode(self.shift.astype("<f4").tobytes()).decode(),
        }
        entry = _field(1, KEY.encode()) + _field(2, json.dumps(content).encode())
        return base + _field(METADATA_FIELD, entry)


def split(content: bytes, lesson: str | None, name: str) -> tuple[bytes, Adaptation | None]:
    """The base's ONNX file and the adaptation, from a model's file and the entry `lesson` of its metadata.

    A model that was not taught is its own base and has no adaptation.

    Raises ModelError, which calls the model `name`, where the lesson is damaged or of another version.
    """
    if lesson is None:
        return content, None
    try:
        found = json.loads(lesson)
        if found["version"] != VERSION:
            raise ModelError(
                f"{name}: taught by another version of DigitNet (its lesson has version {found['version']}, known is "
                f"{VERSION}); teach it again with: digitnet teach"
            )
        base = content[: found["base"]["bytes"]]
        rows, columns = found["shape"]
        shift = np.frombuffer(base64.b64decode(found["shift"], validate=True), "<f4").reshape(rows, columns)
        if checksum(base) != found["base"]["checksum"] or not np.isfinite(shift).all():
            raise ValueError("damaged")
        return base, Adaptation(shift.astype(np.float32), int(found["pictures"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{name}: what it was taught is damaged; teach it again with: digitnet teach") from error


def _field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first; the highest bit says that more follow."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
