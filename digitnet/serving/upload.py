"""The pictures in the body of a request: one as it is, or any number in a form."""

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from digitnet.serving.problem import Problem

PICTURE = "picture"  # what a picture without a name is called
MAX_NAME = 255
FORM = "multipart/form-data"


@dataclass(frozen=True)
class Upload:
    """A picture that was sent, and what it is called."""

    name: str
    content: bytes


async def received(
    headers: Mapping[str, str], chunks: AsyncIterable[bytes], *, name: str = PICTURE, files: int
) -> Upload | list[Upload]:
    """The picture that the body's chunks are, or those of a form.

    Args:
        headers: of the request.
        name: of a picture that is sent as it is.
        files: how many pictures a form may hold.

    Raises Problem for a content type that is neither, and for a form that is damaged or holds too much.
    """
    encoding = headers.get("content-encoding", "").lower()
    if encoding not in ("", "identity"):
        raise Problem(415, f"{encoding}: packed bodies are not unpacked; send it as it is")
    kind, parameters = parse_options_header(headers.get("content-type"))
    media_type = kind.decode("latin-1").lower()
    if media_type == FORM:
        return await _form(parameters.get(b"boundary", b""), chunks, files)
    if media_type and media_type != "application/octet-stream" and not media_type.startswith("image/"):
        raise Problem(
            415, f"{media_type} is no picture; send its bytes as image/png, application/octet-stream, ..., or a {FORM}"
        )
    content = bytearray()  # grows in place; many pieces would leave the memory in pieces as well
    async for chunk in chunks:
        content += chunk
    return Upload(name[:MAX_NAME], bytes(content))


async def _form(boundary: bytes, chunks: AsyncIterable[bytes], files: int) -> list[Upload]:
    parts = _Parts(files)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_part_data": parts.data,
                "on_part_end": parts.end,
                "on_header_begin": parts.header_begin,
                "on_header_field": parts.header_field,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_end": parts.finish,
            },
        )
        async for chunk in chunks:
            parser.write(chunk)
    except FormParserError as error:
        raise Problem(400, f"the form is damaged ({error}); send it again") from error
    if not boundary or not parts.finished:
        raise Problem(400, "the form is cut off or has no boundary; send it whole")
    if not parts.uploads:
        raise Problem(400, "no pictures in the form; add one or more files")
    return parts.uploads


class _Parts:
    """Gathers the parts of a form while it is parsed."""

    def __init__(self, files: int) -> None:
        self._files = files
        self._content = bytearray()
        self._name: str | None = None
        self._field = self._value = b""
        self.uploads: list[Upload] = []
        self.finished = False

    def begin(self) -> None:
        if len(self.uploads) >= self._files:
            raise Problem(413, f"more than {self._files} files in one form; send fewer at once")
        self._content, self._name = bytearray(), None

    def header_begin(self) -> None:
        self._field = self._value = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            _, parameters = parse_options_header(self._value)
            name = parameters.get(b"filename")
            self._name = None if name is None else name.decode("utf-8", "replace")[:MAX_NAME] or PICTURE

    def data(self, data: bytes, start: int, end: int) -> None:
        self._content += memoryview(data)[start:end]

    def end(self) -> None:
        if self._name is None:
            raise Problem(400, "a part of the form is no file, since it has no file name; send only files")
        self.uploads.append(Upload(self._name, bytes(self._content)))
        self._content = bytearray()

    def finish(self) -> None:
        self.finished = True
