"""All errors that DigitNet raises on purpose.

    DigitNetError                  exit code   HTTP status
    ├── UsageError                     2           400       an argument that makes no sense
    ├── ImageError                     1           422       a picture that cannot be read
    │   └── ImageTooLargeError         1           413       a picture beyond the limits
    ├── ModelError                     1           500       weights that are refused
    ├── DataError                      1           500       MNIST missing or damaged
    ├── SaveError                      1           500       a file that cannot be written
    ├── BusyError                      1           503       a file that another run holds
    ├── CancelledError                 1           503       work that its caller no longer waits for
    ├── LostRankError                  1           500       a process of a training on many machines that is gone
    └── MissingExtraError              1           500       an optional dependency that is not installed

Each message names the thing, what was found and what to do. The command line translates an error to its exit code and
the server to its HTTP status, each in one place. Any other exception is a bug and keeps its traceback.
"""


class DigitNetError(Exception):
    """The base class of all others."""

    exit_code = 1
    http_status = 500


class UsageError(DigitNetError):
    exit_code = 2
    http_status = 400


class ImageError(DigitNetError):
    http_status = 422


class ImageTooLargeError(ImageError):
    http_status = 413


class ModelError(DigitNetError):
    pass


class DataError(DigitNetError):
    pass


class SaveError(DigitNetError):
    pass


class BusyError(DigitNetError):
    http_status = 503


class CancelledError(DigitNetError):
    http_status = 503


class LostRankError(DigitNetError):
    pass


class MissingExtraError(DigitNetError):
    @classmethod
    def of(cls, error: ModuleNotFoundError, work: str, extra: str) -> "MissingExtraError":
        """The error for a failed import of a package that `work` needs and that `extra` installs."""
        package = (error.name or "").partition(".")[0]
        return cls(f"{package} is not installed; {work} needs, in the folder of DigitNet: pip install '.[{extra}]'")
