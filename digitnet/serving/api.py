"""The API: `/v1/...`, what it takes, what it answers, and how its OpenAPI describes that."""

import base64
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from digitnet import __version__
from digitnet.errors import ImageError
from digitnet.imaging import load as picture
from digitnet.imaging.normalise import SIDE
from digitnet.reader import Examination, Reader
from digitnet.results import Box
from digitnet.serving import schemas
from digitnet.serving.corrections import Corrections, part, png
from digitnet.serving.guard import Limits
from digitnet.serving.problem import MEDIA_TYPE, Problem
from digitnet.serving.upload import FORM, PICTURE, Upload, received
from digitnet.serving.workers import Batches, Workers

QUICK_BYTES = 2**18  # a file with more may take long to be looked into
QUICK_PIXELS = 2**17  # a picture of one digit with more takes longer than many small ones
HEAVY_PIXELS = 16 * 10**6  # what has more may take seconds
MOST_IN_A_BATCH = 16

Answer = TypeVar("Answer")
Json = dict[str, Any]
Name = Annotated[str, Query(max_length=255, description="what to call a picture that is sent as it is")]
ShowSeen = Annotated[bool, Query(description="adds the 28x28 that DigitNet saw")]


def add(
    app: FastAPI,
    reader: Reader,
    workers: Workers,
    limits: Limits,
    corrections: Corrections | None,
    token: bool,
) -> None:
    """Adds `/v1/...` to the application; `token` says whether one is demanded."""
    quick: Batches[Upload, Examination | ImageError | None] = Batches(
        lambda uploads: _small_ones(reader, uploads, limits.pixels), MOST_IN_A_BATCH
    )
    workers.closing.callback(quick.close)

    async def slowly(upload: Upload, work: Callable[[], Answer]) -> Answer:
        """What `work` makes of a picture of a page, or of a large one."""

        def unless_heavy() -> Answer | None:
            width, height = picture.size(upload.content, upload.name, limits.pixels)
            return work() if width * height <= HEAVY_PIXELS else None

        answer = await workers.pages.run(unless_heavy)
        return await workers.heavy.run(work) if answer is None else answer

    async def examined(upload: Upload) -> Examination:
        """The one digit in a picture."""
        small = len(upload.content) <= QUICK_BYTES
        examination = await quick.run(upload) if small else None
        if isinstance(examination, ImageError):
            raise examination
        if examination is None:
            return await slowly(upload, lambda: reader.examine(upload.content, name=upload.name))
        return examination

    async def answered(request: Request, name: str, answer: Callable[[Upload], Awaitable[Json]]) -> Response:
        """One picture's answer, or an array of all in a form, where one that cannot be read says so in its place."""
        sent = await received(request.headers, request.stream(), name=name, files=limits.files)
        async with workers.request():
            if isinstance(sent, Upload):
                return JSONResponse(await answer(sent))
            answers = []
            for upload in sent:
                try:
                    answers.append(await answer(upload))
                except ImageError as error:
                    answers.append({"file": upload.name, "error": str(error)})
            return JSONResponse(answers)

    async def about() -> Response:
        told = {"bytes": limits.bytes, "pixels": limits.pixels, "files": limits.files, "seconds": limits.seconds}
        facts = {"version": __version__, "model": reader.about["model"]}
        return JSONResponse({**facts, "corrections": corrections is not None, "token": token, "limits": told})

    async def predict(request: Request, name: Name = PICTURE, seen: ShowSeen = False) -> Response:
        async def answer(upload: Upload) -> Json:
            examination = await examined(upload)
            told = {"file": upload.name, **examination.digit.to_dict()}
            if seen:
                box, normalised = examination.digit.box, examination.normalised
                told["box"] = box and [box.x, box.y, box.width, box.height]
                told["seen"] = normalised and _data_url(normalised.image)
            return told

        return await answered(request, name, answer)

    async def read(
        request: Request,
        name: Name = PICTURE,
        seen: ShowSeen = False,
        length: Annotated[int | None, Query(ge=1, le=1000, description="each line has so many digits")] = None,
        lines: Annotated[int | None, Query(ge=1, le=1000, description="there are so many lines")] = None,
        pattern: Annotated[str | None, Query(max_length=200, description=r"such as \d{3}-\d{4}")] = None,
        check: Annotated[
            Literal["luhn", "ean", "isbn", "mod97"] | None, Query(description="what each line's check digit obeys")
        ] = None,
    ) -> Response:
        def page(upload: Upload) -> Json:
            examination = reader.examine_page(
                upload.content, name=upload.name, length=length, lines=lines, pattern=pattern, check=check
            )
            told = {"file": upload.name, **examination.page.to_dict()}
            if seen:
                digits = (digit for line in told["lines"] for digit in line["digits"])
                for digit, image in zip(digits, examination.crops, strict=True):
                    digit["seen"] = _data_url(image)
            return told

        return await answered(request, name, lambda upload: slowly(upload, lambda: page(upload)))

    async def correct(
        request: Request,
        label: Annotated[int, Query(ge=0, le=9, description="the digit that the picture shows")],
        box: Annotated[
            str | None,
            Query(
                pattern=r"^[0-9]{1,6}(,[0-9]{1,6}){3}$",
                description="x,y,width,height in pixels of the upright picture: only this part is kept, with a margin",
            ),
        ] = None,
    ) -> Response:
        if corrections is None:
            raise Problem(403, "corrections are not kept; start the server with --corrections DIR")

        def keep(upload: Upload) -> str:
            kept = part(upload.content, Box(*map(int, box.split(","))) if box else None, upload.name)
            normalised = reader.examine(kept, name=upload.name).normalised
            image = np.zeros((SIDE, SIDE), np.float32) if normalised is None else normalised.image
            return corrections.keep(kept, image, label)

        sent = await received(request.headers, request.stream(), files=1)
        async with workers.request():
            upload = sent[0] if isinstance(sent, list) else sent
            return JSONResponse({"file": await slowly(upload, lambda: keep(upload))}, 201)

    taking = problems(400, 401, 403, 405, 408, 413, 415, 421, 422, 503)
    body = {"requestBody": _picture_or_form()}
    app.get(
        "/v1/about",
        summary="What this server is",
        responses={200: {"model": schemas.About}, **problems(401, 405, 421)},
    )(about)
    app.post(
        "/v1/predict",
        summary="One digit a picture",
        responses={200: {"model": schemas.Prediction | list[schemas.Prediction | schemas.Unread]}, **taking},
        openapi_extra=body,
    )(predict)
    app.post(
        "/v1/read",
        summary="Any number of digits a picture, line by line",
        responses={200: {"model": schemas.Page | list[schemas.Page | schemas.Unread]}, **taking},
        openapi_extra=body,
    )(read)
    app.post(
        "/v1/corrections",
        summary="Keeps a picture with its right digit",
        status_code=201,
        responses={201: {"model": schemas.Kept}, **taking},
        openapi_extra=body,
    )(correct)


def describe(app: FastAPI, token: bool) -> None:
    """Adds to the OpenAPI what FastAPI leaves out: problems, how a token is sent, and examples with null in them."""
    described = app.openapi()
    components = described["components"]
    components["schemas"]["ProblemDetails"] = schemas.ProblemDetails.model_json_schema()
    for path, one in (("/v1/predict", schemas.ONE_DIGIT), ("/v1/read", schemas.PAGE)):
        answer = described["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
        answer["examples"] = {"one picture": {"value": one}, "a form": {"value": [one, schemas.UNREAD]}}
    if token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in described["paths"].items():
            if path.startswith("/v1/") or path == "/metrics":
                for operation in operations.values():
                    operation["security"] = [{"token": []}]


def problems(*statuses: int) -> dict[int | str, Json]:
    """The refusals of an address, for the OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"content": content} for status in statuses}


def _picture_or_form() -> Json:
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"files": {"type": "array", "items": binary, "minItems": 1}}}
    kinds = ("image/png", "image/jpeg", "application/octet-stream")
    return {
        "required": True,
        "content": {**{kind: {"schema": binary} for kind in kinds}, FORM: {"schema": {**form, "required": ["files"]}}},
    }


def _small_ones(reader: Reader, uploads: list[Upload], most: int) -> list[Examination | ImageError | None]:
    """The digit of each picture; None where it is too large to be quick, an error where it cannot be read.

    Args:
        most: pixels of a picture.
    """
    sizes = [_pixels(upload, most) for upload in uploads]
    small = [upload for upload, size in zip(uploads, sizes, strict=True) if _is_quick(size)]
    read = iter(reader.examine_many([upload.content for upload in small], [upload.name for upload in small]))
    return [next(read) if _is_quick(size) else size if isinstance(size, ImageError) else None for size in sizes]


def _pixels(upload: Upload, most: int) -> int | ImageError:
    try:
        width, height = picture.size(upload.content, upload.name, most)
    except ImageError as error:
        return error
    return width * height


def _is_quick(size: int | ImageError) -> bool:
    return not isinstance(size, ImageError) and size <= QUICK_PIXELS


def _data_url(image: npt.NDArray[np.float32]) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"
