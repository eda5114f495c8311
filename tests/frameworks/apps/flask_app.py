"""The common routes in Flask, a WSGI framework, through asgiref's WsgiToAsgi.

What WSGI lacks, and what stands in for it here:
- lifespan: none; the adapter raises on that scope and the server goes on without it;
- background tasks: a thread, the idiom Flask applications use;
- seeing that the client has left: only a streamed response can, when the next chunk has nowhere to
  go, so there is no `/hang` route.
The adapter runs WSGI in one thread for the whole process unless each request has its own
ThreadSensitiveContext; `app` gives it one, so that a waiting request holds up no other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from asgiref.wsgi import WsgiToAsgi
from flask import Flask, Response, request
from flask.typing import ResponseReturnValue

from .marks import stage
from .shared import CHUNK, EVENTS, LARGE_CHUNKS, describe_upload, event

flask = Flask(__name__)


@flask.get("/json")
def show() -> ResponseReturnValue:
    return {"hello": request.args["name"]}


@flask.post("/json")
def echo() -> ResponseReturnValue:
    return request.get_json()


@flask.post("/form")
def form() -> ResponseReturnValue:
    upload = request.files["upload"]
    return describe_upload(request.form["title"], upload.filename or "", upload.read())


@flask.get("/stream/<key>")
def stream(key: str) -> ResponseReturnValue:
    def lines() -> Iterator[bytes]:
        yield b"first\n"
        stage.wait(key)
        yield b"second\n"
        for _ in range(LARGE_CHUNKS):
            yield CHUNK

    return Response(lines(), content_type="application/octet-stream")


@flask.get("/events/<key>")
def events(key: str) -> ResponseReturnValue:
    def publish() -> Iterator[str]:
        for number in range(EVENTS):
            stage.wait(f"{key}/{number}")
            yield event(number)

    return Response(publish(), content_type="text/event-stream; charset=utf-8")


@flask.post("/background/<key>")
def background(key: str) -> ResponseReturnValue:
    def work() -> None:
        stage.wait(f"{key}/go")
        stage.mark(f"{key}/done")

    threading.Thread(target=work, daemon=True).start()
    return {"accepted": True}, 202


@flask.get("/ticks/<key>")
def ticks(key: str) -> ResponseReturnValue:
    def tick() -> Iterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                time.sleep(0.005)
        finally:
            stage.mark(f"{key}/gone")

    return Response(tick())


@flask.get("/fail")
def fail() -> ResponseReturnValue:
    raise LookupError("the application's own fault")


_adapter = WsgiToAsgi(flask)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    async with ThreadSensitiveContext():
        await _adapter(scope, receive, send)
