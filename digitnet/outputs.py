"""Files that a command writes: checked before the work begins, so that none is overwritten and no work is lost."""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from digitnet.errors import SaveError, UsageError
from digitnet.reading.drawing import MARK, Sheets


def check_output(
    path: Path,
    inputs: Iterable[str | os.PathLike[str] | None],
    *,
    force: bool,
    is_ours: Callable[[Path], bool] = lambda path: False,
) -> None:
    """Checks that a file can be written and that nothing is lost by that.

    Args:
        inputs: files that are read; these are never overwritten.
        force: whether another file that is there may be replaced.
        is_ours: whether an existing file may be replaced in any case.

    Raises:
        UsageError: the file is an input, a folder, or is there already.
        SaveError: its folder is missing or cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if path.exists():
        if any(_is_same(path, name) for name in inputs if name):
            raise UsageError(f"{path}: is an input and would be overwritten; name another file")
        if not force and not is_ours(path):
            raise UsageError(f"{path}: is there already; name another file, or replace this one with --force")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SaveError(f"{path}: cannot be saved ({error.strerror}); choose a folder that can be written") from error


def _is_same(path: Path, name: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(path, name)
    except OSError:  # there is no such input
        return False


def is_drawing(path: Path) -> bool:
    """Whether the file is one that `Drawings` has written."""
    try:
        with open(path, "rb") as file:
            file.seek(-len(MARK), os.SEEK_END)
            return file.read() == MARK
    except OSError:  # also where it is shorter
        return False


class Drawings(Sheets):
    """Sheets that replace no other files than earlier drawings, or any but inputs with `force`.

    Args:
        path: of the first file.
        inputs, force: as for `check_output`, whose errors it raises.
    """

    def __init__(self, path: Path, inputs: Iterable[str | os.PathLike[str] | None], *, force: bool) -> None:
        super().__init__(path)
        self._first, self._inputs, self._force = path, list(inputs), force
        self._check(path)

    def save(self) -> None:
        """Saves the sheet that is not full yet. Raises SaveError where that is impossible."""
        number = len(self.paths) + 1
        if number > 1:
            try:
                self._check(self._first.with_stem(f"{self._first.stem}-{number}"))
            except UsageError as error:
                raise SaveError(str(error)) from error
        super().save()

    def _check(self, path: Path) -> None:
        check_output(path, self._inputs, force=self._force, is_ours=is_drawing)
