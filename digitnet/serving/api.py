"""The API, `/v1/...`: each handler takes the pictures, lets the workers read them, and writes the answer."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple
from typing import Annotated, Any, Literal
from urllib.parse import quote

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer

from digitnet.errors import ImageError
from digitnet.reader import Reader
from digitnet.reading.digit_reader import Examination
from digitnet.reading.encoding import png_data_url
from digitnet.reading.page_reader import PageExamination
from digitnet.reading.work import IsCancelled, raise_if
from digitnet.results import Box
from digitnet.serving import openapi, schemas
from digitnet.serving.corrections import Corrections, crop
from digitnet.serving.guard import Limits
from digitnet.serving.learner import NOT_LEARNING, Learner
from digitnet.serving.openapi import problems
from digitnet.serving.problem import Problem
from digitnet.serving.upload import PICTURE, Upload, received
from digitnet.serving.workers import Workers

MOST_READERS = 8  # that differ from the server's in `max_error` only; each has a session of each network

Json = dict[str, Any]
TOKEN = HTTPBearer(scheme_name="token", auto_error=False)  # for the OpenAPI; the guard has checked the token
Name = Annotated[str, Query(max_length=255, description="the name of a picture that is sent as it is")]
ShowSeen = Annotated[bool, Query(description="adds the 28x28 picture that DigitNet saw")]
Length = Annotated[int | None, Query(ge=1, le=1000, description="how many digits each line has")]
Lines = Annotated[int | None, Query(ge=1, le=1000, description="how many lines there are")]
Pattern = Annotated[str | None, Query(max_length=200, description=r"the form of each line, for example \d{3}-\d{4}")]
Check = Annotated[Literal["luhn", "ean", "isbn", "mod97"] | None, Query(description="the check digit of each line")]
MaxError = Annotated[
    float | None,
    Query(ge=0, le=1, description="the fraction of answers that may be wrong; without it, what the server was told"),
]
Always = Annotated[bool, Query(description="answers every digit, however unsure; instead of max_error")]
Label = Annotated[int, Query(ge=0, le=9, description="the digit that the picture shows")]
File = Annotated[str, Path(max_length=255, description="the name of a correction's picture")]
Part = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{1,6}(,[0-9]{1,6}){3}$",
        description="x,y,width,height in pixels of the upright picture: only this part is kept, with a margin",
    ),
]


def router(
    workers: Workers, limits: Limits, corrections: Corrections | None, learner: Learner | None, token: bool
) -> APIRouter:
    """`/v1/...`.

    Args:
        corrections: where corrections are kept; None refuses them.
        learner: learns from them; None does not.
        token: whether the API asks for a token.
    """
    with_max_error = functools.lru_cache(maxsize=MOST_READERS)(Reader.with_max_error)
    dependencies = [Depends(_only_known_parameters), *([Depends(TOKEN)] if token else [])]
    router = APIRouter(prefix="/v1", dependencies=dependencies, responses=problems(400, 401, 405, 421))
    refusals = problems(403, 408, 413, 415, 422, 503)
    body = openapi.picture_or_form()

    @router.get("/about", summary="What this server is")
    async def about() -> schemas.About:
        keeps = corrections is not None
        return openapi.about(workers.reader.about["model"], corrections=keeps, token=token, limits=limits)

    @router.post(
        "/predict",
        summary="One digit a picture",
        responses={200: openapi.one_or_form(schemas.Prediction), **refusals},
        openapi_extra=body,
    )
    async def predict(
        request: Request,
        name: Name = PICTURE,
        seen: ShowSeen = False,
        max_error: MaxError = None,
        always: Always = False,
    ) -> Response:
        reader = asked_for(max_error, always)

        def examine(picture: Upload, is_cancelled: IsCancelled) -> Examination:
            return reader().examine(picture.content, name=picture.name, is_cancelled=is_cancelled)

        pictures, is_form = await received(request, name=name, files=limits.files)
        is_usual = max_error is None and not always
        examined = await (workers.examine(pictures) if is_usual else workers.run(pictures, examine))
        answers = [
            one if isinstance(one, ImageError) else _digit_answer(picture.name, one, seen)
            for picture, one in zip(pictures, examined, strict=True)
        ]
        return _form_response(pictures, answers) if is_form else _response(answers)

    @router.post(
        "/read",
        summary="Any number of digits a picture, line by line",
        responses={200: openapi.one_or_form(schemas.Page), **refusals},
        openapi_extra=body,
    )
    async def read(
        request: Request,
        name: Name = PICTURE,
        seen: ShowSeen = False,
        length: Length = None,
        lines: Lines = None,
        pattern: Pattern = None,
        check: Check = None,
        max_error: MaxError = None,
        always: Always = False,
    ) -> Response:
        reader = asked_for(max_error, always)
        known: Json = {"length": length, "lines": lines, "pattern": pattern, "check": check}

        def read(picture: Upload, is_cancelled: IsCancelled) -> Json:
            page = reader().examine_page(picture.content, name=picture.name, **known, is_cancelled=is_cancelled)
            return _page_answer(picture.name, page, seen)

        pictures, is_form = await received(request, name=name, files=limits.files)
        answers = await workers.run(pictures, read)
        return _form_response(pictures, answers) if is_form else _response(answers)

    @router.post(
        "/corrections",
        summary="Keeps a picture with its right digit",
        status_code=201,
        responses={**refusals, **problems(507)},
        openapi_extra=body,
    )
    async def correct(request: Request, label: Label, box: Part = None) -> schemas.Changed:
        folder, began = kept(), time.monotonic()

        def keep(picture: Upload, is_cancelled: IsCancelled) -> str:
            edges = Box(*map(int, box.split(","))) if box else None
            part = crop(picture.content, edges, picture.name, is_cancelled)
            raise_if(is_cancelled)
            sight = (learner or workers).reader.sight(part, name=picture.name)
            raise_if(is_cancelled)  # what is answered as too late must not be kept
            digit = workers.reader.chosen(sight)
            if digit is None:
                raise ImageError(f"{picture.name}: blank, so there is no digit to learn; send a picture with ink")
            file = folder.keep(part, digit.image, label)
            if learner:
                learner.sights[file] = sight  # the next lesson need not look again
            return file

        pictures, _ = await received(request, files=1)
        (file,) = await workers.run(pictures, keep)
        if isinstance(file, ImageError):
            raise file
        return await changed(file, took=time.monotonic() - began)

    @router.get("/corrections", summary="The corrections, the last one last", responses=problems(403))
    async def corrections_kept() -> list[schemas.Correction]:
        found = await anyio.to_thread.run_sync(kept().all)
        return [schemas.Correction(**asdict(one), picture=f"/v1/corrections/{quote(one.file)}") for one in found]

    @router.get(
        "/corrections/{file}",
        summary="The picture of a correction",
        response_class=Response,
        responses={200: openapi.PICTURE, **problems(403, 404)},
    )
    async def correction_picture(file: File) -> Response:
        path = await anyio.to_thread.run_sync(kept().path, file)
        try:
            return Response(await anyio.to_thread.run_sync(path.read_bytes), media_type="image/png")
        except OSError as error:
            raise Problem(404, f"{file}: cannot be read ({error.strerror}); delete this correction") from error

    @router.patch(
        "/corrections/{file}",
        summary="Gives a correction another label",
        responses=problems(403, 404, 503),
    )
    async def relabel(file: File, label: Label) -> schemas.Changed:
        await anyio.to_thread.run_sync(kept().relabel, file, label)
        return await changed(file)

    @router.delete(
        "/corrections/{file}",
        summary="Deletes a correction",
        responses=problems(403, 404, 503),
    )
    async def delete(file: File) -> schemas.Changed:
        await anyio.to_thread.run_sync(kept().delete, file)
        return await changed(file)

    def asked_for(max_error: float | None, always: bool) -> Callable[[], Reader]:
        """Gives the reader for a request. It is called on the thread that reads, because loading one takes a while."""
        if always and max_error is not None:
            raise Problem(400, "always answers every digit, so max_error has no meaning beside it; give only one")
        if always or max_error is not None:
            return lambda: with_max_error(workers.reader, max_error)
        return lambda: workers.reader

    def kept() -> Corrections:
        if corrections is None:
            raise Problem(403, "corrections are not kept; start the server with --corrections DIR")
        return corrections

    async def changed(file: str, *, took: float = 0.0) -> schemas.Changed:
        """The answer to a change of the corrections, which `took` so many seconds, after it was learnt."""
        learned = NOT_LEARNING if learner is None else await learner.learn(max(0.0, limits.seconds - took))
        return schemas.Changed(file=file, **asdict(learned))

    return router


async def _only_known_parameters(request: Request) -> None:
    """Raises Problem for an unknown parameter, because a typo would otherwise be ignored."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise Problem(400, f"{name[:40]} is not a parameter of {request.url.path}: {takes}")


def _digit_answer(name: str, examination: Examination, seen: bool) -> Json:
    answer = {"file": name, **examination.digit.to_dict()}
    if seen:
        box, normalised = examination.digit.box, examination.normalised
        answer |= {"box": box and astuple(box), "seen": normalised and png_data_url(normalised.image)}
    return answer


def _page_answer(name: str, examination: PageExamination, seen: bool) -> Json:
    answer = {"file": name, **examination.page.to_dict()}
    if seen:
        digits = (digit for line in answer["lines"] for digit in line["digits"])
        for digit, image in zip(digits, examination.crops, strict=True):
            digit["seen"] = png_data_url(image)
    return answer


def _form_response(pictures: Sequence[Upload], answers: Sequence[Json | ImageError]) -> Response:
    """An array, in which a picture that cannot be read has an error."""
    return JSONResponse(
        [
            {"file": picture.name, "error": str(answer)} if isinstance(answer, ImageError) else answer
            for picture, answer in zip(pictures, answers, strict=True)
        ]
    )


def _response(answers: Sequence[Json | ImageError]) -> Response:
    """The answer to the one picture."""
    if isinstance(answers[0], ImageError):
        raise answers[0]
    return JSONResponse(answers[0])
