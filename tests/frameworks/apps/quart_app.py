"""The common routes in Quart.

Quart cancels the handler, or the iteration of a streamed response, when the client leaves; so an
application observes it as CancelledError.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from quart import Quart, request
from quart.typing import ResponseReturnValue

from .marks import stage
from .shared import CHUNK, EVENTS, LARGE_CHUNKS, describe_upload, event

app = Quart(__name__)

# Quart's timer for a body is cancelled when the body is there, and asyncio keeps a cancelled
# timer, with the request in its context, until it would have been due: the leak check sees that.
app.config["BODY_TIMEOUT"] = None


@app.before_serving
async def startup() -> None:
    stage.mark("quart/startup")


@app.after_serving
async def shutdown() -> None:
    stage.mark("quart/shutdown")


@app.get("/json")
async def show() -> ResponseReturnValue:
    return {"hello": request.args["name"]}


@app.post("/json")
async def echo() -> ResponseReturnValue:
    return await request.get_json()


@app.post("/form")
async def form() -> ResponseReturnValue:
    fields, files = await request.form, await request.files
    upload = files["upload"]
    return describe_upload(fields["title"], upload.filename, upload.read())


@app.get("/stream/<key>")
async def stream(key: str) -> ResponseReturnValue:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await stage.until(key)
        yield b"second\n"
        for _ in range(LARGE_CHUNKS):
            yield CHUNK

    return lines(), {"content-type": "application/octet-stream"}


@app.get("/events/<key>")
async def events(key: str) -> ResponseReturnValue:
    async def publish() -> AsyncIterator[bytes]:
        for number in range(EVENTS):
            await stage.until(f"{key}/{number}")
            yield event(number).encode()

    return publish(), {"content-type": "text/event-stream; charset=utf-8"}


@app.post("/background/<key>")
async def background(key: str) -> ResponseReturnValue:
    async def work() -> None:
        await stage.until(f"{key}/go")
        stage.mark(f"{key}/done")

    app.add_background_task(work)
    return {"accepted": True}, 202


@app.get("/hang/<key>")
async def hang(key: str) -> ResponseReturnValue:
    stage.mark(f"{key}/started")
    try:
        await stage.until(f"{key}/never")
    except asyncio.CancelledError:
        stage.mark(f"{key}/gone")
        raise
    return ""


@app.get("/ticks/<key>")
async def ticks(key: str) -> ResponseReturnValue:
    async def tick() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.005)
        finally:
            stage.mark(f"{key}/gone")

    return tick()


@app.get("/fail")
async def fail() -> ResponseReturnValue:
    raise LookupError("the application's own fault")
