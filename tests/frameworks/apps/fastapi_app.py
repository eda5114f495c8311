"""The common routes in FastAPI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Form, Request, UploadFile
from fastapi.responses import Response, StreamingResponse

from .marks import stage
from .shared import CHUNK, EVENTS, LARGE_CHUNKS, describe_upload, event


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    stage.mark("fastapi/startup")
    yield
    stage.mark("fastapi/shutdown")


app = FastAPI(lifespan=lifespan)


@app.get("/json")
async def show(name: str) -> dict[str, str]:
    return {"hello": name}


@app.post("/json")
async def echo(document: dict[str, Any]) -> dict[str, Any]:
    return document


@app.post("/form")
async def form(title: Annotated[str, Form()], upload: UploadFile) -> dict[str, object]:
    return describe_upload(title, upload.filename or "", await upload.read())


@app.get("/stream/{key}")
async def stream(key: str) -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await stage.until(key)
        yield b"second\n"
        for _ in range(LARGE_CHUNKS):
            yield CHUNK

    return StreamingResponse(lines(), media_type="application/octet-stream")


@app.get("/events/{key}")
async def events(key: str) -> StreamingResponse:
    async def publish() -> AsyncIterator[str]:
        for number in range(EVENTS):
            await stage.until(f"{key}/{number}")
            yield event(number)

    return StreamingResponse(publish(), media_type="text/event-stream")


@app.post("/background/{key}", status_code=202)
async def background(key: str, tasks: BackgroundTasks) -> dict[str, bool]:
    async def work() -> None:
        await stage.until(f"{key}/go")
        stage.mark(f"{key}/done")

    tasks.add_task(work)
    return {"accepted": True}


@app.get("/hang/{key}")
async def hang(key: str, request: Request) -> Response:
    """Ask `is_disconnected()` until it says so; the other apps wait in `receive()`."""
    stage.mark(f"{key}/started")
    while not await request.is_disconnected():
        await asyncio.sleep(0.005)
    stage.mark(f"{key}/gone")
    return Response()


@app.get("/ticks/{key}")
async def ticks(key: str) -> StreamingResponse:
    """Stream until `send()` says that the client has left."""

    async def tick() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.005)
        finally:
            stage.mark(f"{key}/gone")

    return StreamingResponse(tick())


@app.get("/links")
async def links(request: Request) -> dict[str, str]:
    told = {"self": str(request.url), "other": str(request.url_for("links"))}
    return told | {"client": request.client.host if request.client else ""}


@app.get("/fail")
async def fail() -> None:
    raise LookupError("the application's own fault")
