"""The members of an uncompressed tar, by place, so that workers can begin to read anywhere."""

import os
import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

from digitnet.errors import ImageError
from digitnet.reading.load import MAX_BYTES

BLOCK = 512  # bytes; headers and contents begin at multiples of it
PLAIN_TYPES, PAX = (b"0", b"\0"), b"x"  # of headers: a file, and facts about the next one


class TarMember(NamedTuple):
    """A member of a tar.

    Attributes:
        data, size: where its content lies in the archive, in bytes.
        problem: why it has no content; None for a plain file.
        header: where its header begins.
    """

    name: str
    header: int
    data: int
    size: int
    problem: ImageError | None = None


def tar_members(file: IO[bytes], source: str, offset: int = 0) -> Iterator[TarMember]:
    """The files in an uncompressed tar, from the header at `offset` on; folders are left out.

    The last member may be one whose `problem` says that the archive is damaged or cut off.
    """
    file.seek(0, os.SEEK_END)
    end = file.tell()
    while True:
        file.seek(offset)
        block = file.read(BLOCK)
        if block == bytes(BLOCK):
            return
        try:
            kind, name, size, data, after = _plain_header(file, block, offset) or _any_header(file, offset)
        except (tarfile.TarError, ValueError, OSError, EOFError) as error:
            message = f"{source}: damaged or cut off after {offset:,} bytes ({error}); get the archive again"
            yield TarMember("", offset, offset, 0, ImageError(message))
            return
        problem = None
        if kind == "other":
            problem = ImageError(f"{source}/{name}: a link or a special file; only plain files are read")
        elif data + size > end:
            problem = ImageError(f"{source}/{name}: the archive is cut off within it; get the archive again")
        elif size > MAX_BYTES:
            problem = ImageError(f"{source}/{name}: larger than {MAX_BYTES // 2**20} MiB; reduce it first")
        if kind != "folder":
            yield TarMember(name, offset, data, size if problem is None else 0, problem)
        if data + size > end:
            return
        offset = after


Header = tuple[str, str, int, int, int]  # kind, name, size, place of the content, place of the next header


def _any_header(file: IO[bytes], offset: int) -> Header:
    """What `tarfile` reads in the header at `offset`. It is given an archive that begins there."""
    file.seek(offset)
    if not file.read(1):
        raise tarfile.ReadError("no end mark")
    file.seek(offset)
    archive = tarfile.TarFile(fileobj=file, mode="r")
    info = archive.next()
    if info is None or archive.offset <= offset:
        raise tarfile.ReadError("no header")
    kind = "folder" if info.isdir() else "file" if info.isreg() and not info.issparse() else "other"
    return kind, info.name, info.size, info.offset_data, archive.offset


def _plain_header(file: IO[bytes], block: bytes, offset: int) -> Header | None:
    """What a header (`block`, at `offset`) says of a plain file; None where only `tarfile` can tell.

    Nearly all headers are plain, and `tarfile` takes thirty times as long for them.
    """
    data = offset + BLOCK
    if block[156:157] == PAX and (after := _after_times(file, block)):  # Python's tarfile notes times like this
        file.seek(data + after)
        block, data = file.read(BLOCK), data + after + BLOCK
    if len(block) < BLOCK or block[156:157] not in PLAIN_TYPES:
        return None
    try:
        written = int(block[148:156].rstrip(b" \0") or b"0", 8)
        size = int(block[124:136].rstrip(b" \0") or b"0", 8)
    except ValueError:
        return None
    name = block[:100].rstrip(b"\0")
    if b"\0" in name or name.endswith(b"/") or written != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        return None
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].rstrip(b"\0")):
        name = prefix + b"/" + name
    return "file", name.decode("utf-8", "surrogateescape"), size, data, data + -(-size // BLOCK) * BLOCK


def _after_times(file: IO[bytes], header: bytes) -> int:
    """Bytes after a header of POSIX.1-2001's extended facts (pax) to the file's own header, if it need not know them.

    0 where they say a name or a size. The file stands behind the header.
    """
    try:
        size = int(header[124:136].rstrip(b" \0") or b"0", 8)
    except ValueError:
        return 0
    facts = file.read(min(size, BLOCK))
    if size > BLOCK or any(key in facts for key in (b"path=", b"size=", b"GNU.sparse")):
        return 0
    return -(-size // BLOCK) * BLOCK


def content(file: IO[bytes], member: TarMember) -> bytes:
    """What a member holds."""
    file.seek(member.data)
    return file.read(member.size)
