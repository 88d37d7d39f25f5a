"""Files that survive a crash: replacement in one step, checksums, a lock between processes; the names of pictures."""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from digitnet.errors import BusyError, SaveError

TEMPORARY_SUFFIX = ".partial"
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the file at `path` by `content`; see `replaced`."""
    with replaced(path) as file:
        file.write(content)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` when the block ends.

    Other processes see the old file or the new one, never a part. The content is written beside the target, flushed to
    the disk, then moved over the target in one step. A crash at any moment leaves the old file whole, and perhaps a
    `.partial` file (see `remove_leftovers`).

    Raises SaveError where the disk is full or the folder cannot be written. The old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise SaveError(
            f"{path}: cannot be saved ({error.strerror or error}); the file that was there before is untouched. "
            "Free some space or choose a folder that can be written"
        ) from error


def remove_leftovers(path: Path) -> None:
    """Removes half-written files of killed runs beside `path`. The caller must hold the lock of `path`."""
    for leftover in path.parent.glob(f".{path.name}.*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def checksum(content: bytes) -> str:
    """The SHA-256 of `content`, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def md5(content: bytes) -> str:
    """The MD5 of `content`, 32 hexadecimal digits: the checksum that MNIST is published with."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock that belongs to `path` while the block runs. Needs one of the extras 'train', 'serve', 'batch'.

    The operating system drops the lock when the process ends, in whatever way. The empty file `.NAME.lock` stays,
    because removing it would let two processes lock two different files.

    Raises:
        BusyError: another process holds the lock.
        SaveError: the folder cannot be written, or its file system has no locks, such as NFS without its lock service.
    """
    import filelock  # imported here, since reading pictures locks nothing

    lock_path = path.with_name(f".{path.name}.lock")
    try:  # filelock would make a missing folder, and take one that cannot be written for a held lock
        lock_path.touch()
    except OSError as error:
        raise SaveError(f"{path}: its folder cannot be written ({error.strerror}); choose another one") from error
    # A soft lock, filelock's way out on file systems without locks, would outlive a killed process.
    lock = filelock.FileLock(lock_path, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise BusyError(
            f"{path}: another run is using it; stop that one first, or give this one a file of its own"
        ) from error
    except OSError as error:
        raise SaveError(
            f"{path}: cannot be locked ({error.strerror}); choose a folder that can be written, on a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _flush_folder(folder: Path) -> None:
    if sys.platform != "win32":  # Windows cannot flush a folder. Its file system keeps a journal of the move.
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
