"""The common routes in Litestar."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Litestar, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, FromQuery, JSONBody
from litestar.response import Stream

from .marks import stage
from .shared import CHUNK, EVENTS, LARGE_CHUNKS, describe_upload, event


@contextlib.asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    stage.mark("litestar/startup")
    yield
    stage.mark("litestar/shutdown")


@dataclass
class UploadForm:
    title: str
    upload: UploadFile


@get("/json")
async def show(name: FromQuery[str]) -> dict[str, str]:
    return {"hello": name}


@post("/json", status_code=200)
async def echo(data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
    return data


@post("/form", status_code=200)
async def form(
    data: Annotated[UploadForm, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, object]:
    return describe_upload(data.title, data.upload.filename, await data.upload.read())


@get("/stream/{key:str}")
async def stream(key: FromPath[str]) -> Stream:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await stage.until(key)
        yield b"second\n"
        for _ in range(LARGE_CHUNKS):
            yield CHUNK

    return Stream(lines(), media_type="application/octet-stream")


@get("/events/{key:str}")
async def events(key: FromPath[str]) -> Stream:
    async def publish() -> AsyncIterator[str]:
        for number in range(EVENTS):
            await stage.until(f"{key}/{number}")
            yield event(number)

    return Stream(publish(), media_type="text/event-stream")


@post("/background/{key:str}")
async def background(key: FromPath[str]) -> Response[dict[str, bool]]:
    async def work() -> None:
        await stage.until(f"{key}/go")
        stage.mark(f"{key}/done")

    return Response({"accepted": True}, status_code=202, background=BackgroundTask(work))


@get("/hang/{key:str}")
async def hang(key: FromPath[str], request: Request[Any, Any, Any]) -> Response[None]:
    """Wait in `receive()` until the client leaves."""
    await request.body()
    stage.mark(f"{key}/started")
    message = await request.receive()
    if message["type"] == "http.disconnect":
        stage.mark(f"{key}/gone")
    return Response(None)


@get("/ticks/{key:str}")
async def ticks(key: FromPath[str]) -> Stream:
    """Stream until Litestar, which listens for the disconnect, cancels the iteration."""

    async def tick() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.005)
        finally:
            stage.mark(f"{key}/gone")

    return Stream(tick())


@get("/fail")
async def fail() -> None:
    raise LookupError("the application's own fault")


app = Litestar(
    lifespan=[lifespan],
    openapi_config=None,
    logging_config=None,  # its default starts a thread that outlives the server
    route_handlers=[show, echo, form, stream, events, background, hang, ticks, fail],
)
