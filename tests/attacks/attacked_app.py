"""The application under attack: the ways of using a connection, and an account of what lives."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PIECE = b"x" * 65536
PIECES = 1600
"""A stream of 100 MiB."""

go = asyncio.Event()
waiting = 0


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"].startswith("/blame/"):
        raise LookupError(scope["path"])
    await ROUTES[scope["path"]](scope, receive, send)


async def answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> tuple[int, int]:
    """How long the body was, and in how many messages it came; less if the client left."""
    length = messages = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return length, messages
        length += len(message["body"])
        messages += 1
        if not message["more_body"]:
            return length, messages


async def hello(scope: Any, receive: Receive, send: Send) -> None:
    await answer(send, b"hello")


async def echo(scope: Any, receive: Receive, send: Send) -> None:
    await answer(send, json.dumps(await read(receive)).encode())


async def late(scope: Any, receive: Receive, send: Send) -> None:
    """Reads nothing of the body before it is told to."""
    global waiting
    waiting += 1
    try:
        await go.wait()
    finally:
        waiting -= 1
    await echo(scope, receive, send)


async def told(scope: Any, receive: Receive, send: Send) -> None:
    """Lets those who are late go on."""
    go.set()
    await answer(send, b"")
    go.clear()


async def stream(scope: Any, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(PIECES):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def who(scope: Any, receive: Receive, send: Send) -> None:
    """Whom the request is from, as the application is told."""
    seen = {name: scope[name] for name in ("client", "scheme", "server", "root_path")}
    seen["host"] = dict(scope["headers"])[b"host"].decode("latin-1")
    await answer(send, json.dumps(seen).encode())


async def crash(scope: Any, receive: Receive, send: Send) -> None:
    raise LookupError("wanted by the attack")


async def account(scope: Any, receive: Receive, send: Send) -> None:
    """What lives in this process."""
    from fastserve._native.service import live_objects

    gc.collect()
    resident = Path("/proc/self/statm").read_text().split()[1]
    seen = {
        "objects": live_objects(),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "late": waiting,
        "memory": int(resident) * os.sysconf("SC_PAGE_SIZE"),
    }
    await answer(send, json.dumps(seen).encode())


ROUTES = {f"/{each.__name__}": each for each in (echo, late, told, stream, who, crash, account)}
ROUTES["/"] = hello
