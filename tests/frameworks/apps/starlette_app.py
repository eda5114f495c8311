"""The common routes in Starlette."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .marks import stage
from .shared import CHUNK, EVENTS, LARGE_CHUNKS, describe_upload, event


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    stage.mark("starlette/startup")
    yield {"greeting": "hello"}
    stage.mark("starlette/shutdown")


async def show(request: Request) -> Response:
    return JSONResponse({"hello": request.query_params["name"]})


async def echo(request: Request) -> Response:
    return JSONResponse(await request.json())


async def form(request: Request) -> Response:
    async with request.form() as fields:
        upload = fields["upload"]
        content = await upload.read()
        return JSONResponse(describe_upload(fields["title"], upload.filename, content))


async def stream(request: Request) -> Response:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await stage.until(request.path_params["key"])
        yield b"second\n"
        for _ in range(LARGE_CHUNKS):
            yield CHUNK

    return StreamingResponse(lines(), media_type="application/octet-stream")


async def events(request: Request) -> Response:
    async def publish() -> AsyncIterator[str]:
        for number in range(EVENTS):
            await stage.until(f"{request.path_params['key']}/{number}")
            yield event(number)

    return StreamingResponse(publish(), media_type="text/event-stream")


async def background(request: Request) -> Response:
    async def work(key: str) -> None:
        await stage.until(f"{key}/go")
        stage.mark(f"{key}/done")

    task = BackgroundTask(work, request.path_params["key"])
    return JSONResponse({"accepted": True}, status_code=202, background=task)


async def hang(request: Request) -> Response:
    """Wait in `receive()` until the client leaves."""
    key = request.path_params["key"]
    await request.body()
    stage.mark(f"{key}/started")
    message = await request.receive()
    if message["type"] == "http.disconnect":
        stage.mark(f"{key}/gone")
    return Response()


async def ticks(request: Request) -> Response:
    """Stream until `send()` says that the client has left."""

    async def tick() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.005)
        finally:
            stage.mark(f"{request.path_params['key']}/gone")

    return StreamingResponse(tick())


async def links(request: Request) -> Response:
    told = {"self": str(request.url), "other": str(request.url_for("links"))}
    return JSONResponse(told | {"client": request.client.host if request.client else ""})


async def fail(request: Request) -> Response:
    raise LookupError("the application's own fault")


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/json", show),
        Route("/json", echo, methods=["POST"]),
        Route("/form", form, methods=["POST"]),
        Route("/stream/{key}", stream),
        Route("/events/{key}", events),
        Route("/background/{key}", background, methods=["POST"]),
        Route("/hang/{key}", hang),
        Route("/ticks/{key}", ticks),
        Route("/links", links),
        Route("/fail", fail),
    ],
)
