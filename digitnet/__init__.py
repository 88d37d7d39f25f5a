"""DigitNet reads the digits people write, in any picture.

    >>> import digitnet
    >>> digitnet.predict("seven.jpg").digit
    7

Importing the package costs nothing: each name is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Any

from digitnet.version import __version__

if TYPE_CHECKING:
    from digitnet.archives.batch import batch
    from digitnet.reader import Reader
    from digitnet.reading.load import Source
    from digitnet.results import Digit, Page

__all__ = ["Reader", "__version__", "batch", "predict", "read"]

_reader: "Reader | None" = None


def predict(picture: "Source") -> "Digit":
    """The one digit in `picture`, read with the model in the package (see `Reader.predict`)."""
    return _packaged_reader().predict(picture)


def read(picture: "Source", **constraints: Any) -> "Page":
    """All digits in `picture`, line by line, read with the models in the package (see `Reader.read`)."""
    return _packaged_reader().read(picture, **constraints)


def _packaged_reader() -> "Reader":
    global _reader  # made once and kept, since loading the network takes longer than reading a digit
    if _reader is None:
        from digitnet.reader import Reader

        _reader = Reader()
    return _reader


if not TYPE_CHECKING:  # type checkers know the function itself

    def batch(*arguments: Any, **settings: Any) -> Any:
        """Reads archives of any size into Parquet (see `archives.batch.batch`). Needs the extra 'batch'."""
        try:
            from digitnet.archives.batch import batch
        except ModuleNotFoundError as error:
            from digitnet.errors import MissingExtraError

            raise MissingExtraError.of(error, "batch", "batch") from error
        return batch(*arguments, **settings)


def __getattr__(name: str) -> Any:
    if name == "Reader":
        from digitnet.reader import Reader

        return Reader
    raise AttributeError(f"module 'digitnet' has no attribute {name!r}")
