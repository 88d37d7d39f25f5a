"""The pictures in the body of a request: one picture as it is, or several in a form."""

import re
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from digitnet.serving.problem import Problem

PICTURE = "picture"  # the name of a picture that was sent without one
MAX_NAME = 255
FORM = "multipart/form-data"
BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]+")  # RFC 2046, 5.1.1


@dataclass(frozen=True)
class Upload:
    """A picture file that was sent, and its name."""

    name: str
    content: bytes


async def received(request: Request, *, name: str = PICTURE, files: int) -> tuple[list[Upload], bool]:
    """The pictures in the body of a request, in order, and whether they came in a form; otherwise there is one.

    Args:
        name: of a picture that is sent as it is.
        files: how many pictures a form may hold.

    Raises Problem if the content type is neither a picture nor a form, and if a form is damaged or holds too much.
    """
    encoding = request.headers.get("content-encoding", "").lower()
    if encoding not in ("", "identity"):
        raise Problem(415, f"{encoding}: compressed bodies are not accepted; send the body uncompressed")
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    media_type = kind.decode("latin-1").lower()
    if media_type == FORM:
        return await _form(request, parameters.get(b"boundary", b""), files), True
    if media_type and media_type != "application/octet-stream" and not media_type.startswith("image/"):
        raise Problem(
            415,
            f"{media_type} is not a picture; send an image type such as image/png, application/octet-stream or {FORM}",
        )
    content = bytearray()  # grows in place; many small pieces would fragment the memory
    async for chunk in request.stream():
        content += chunk
    return [Upload(name[:MAX_NAME], bytes(content))], False


class _FormParser(MultiPartParser):
    """Starlette's parser, with two changes."""

    spool_max_size = 0  # keep pictures in memory only: Starlette would write large ones to a temporary file
    is_whole = False  # Starlette accepts a form that is cut off, and drops its last file

    def on_end(self) -> None:
        self.is_whole = True


async def _form(request: Request, boundary: bytes, files: int) -> list[Upload]:
    if not BOUNDARY.fullmatch(boundary):
        raise Problem(400, "the form has no valid boundary; send it again")
    # Only the boundary is passed on. A client's charset would let it choose any of Python's codecs for file names.
    headers = Headers({"content-type": f'{FORM}; boundary="{boundary.decode()}"'})
    parser = _FormParser(headers, request.stream(), max_files=files, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise Problem(413, f"more than {files} files in one form; send fewer at once") from error
        raise Problem(
            400, f"the form is damaged, or a part of it is not a file ({error.message.rstrip('.')}); send only files"
        ) from error
    uploads = [await _upload(file) for _, file in form.multi_items() if isinstance(file, UploadFile)]
    if not parser.is_whole:
        raise Problem(400, "the form is cut off; send it whole")
    if not uploads:
        raise Problem(400, "the form holds no pictures; add one or more files")
    return uploads


async def _upload(file: UploadFile) -> Upload:
    """The file's name and content; its buffer is freed."""
    content = await file.read()
    await file.close()
    return Upload((file.filename or "")[:MAX_NAME] or PICTURE, content)
