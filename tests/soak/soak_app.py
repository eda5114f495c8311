"""The application under the soak: every way an exchange can go, and an account of what lives.

Run as `python -m fastserve tests/soak/soak_app.py`.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LARGE = b"0123456789abcdef" * 65536
"""A body of 1 MiB."""


async def read_length(receive: Receive) -> int:
    """The length of the request body; -1 where the client left in it."""
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return -1
        length += len(message["body"])
        if not message["more_body"]:
            return length


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(send: Send, pieces: int, size: int) -> None:
    """A chunked body; each piece leaves the event loop a turn."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(pieces):
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


async def account(send: Send) -> None:
    """What is alive: native objects, tasks, this process's resident memory in KiB."""
    from fastserve._native.service import live_objects

    gc.collect()
    seen = {
        "native": live_objects(),
        "tasks": len(asyncio.all_tasks()),
        "memory": memory(),
    }
    await answer(send, 200, json.dumps(seen).encode())


def memory() -> dict[str, int]:
    """Rss and Pss of this process in KiB, as Linux tells them; empty on other systems."""
    try:
        rollup = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return {}
    lines = (line.split() for line in rollup.splitlines())
    return {words[0][:-1]: int(words[1]) for words in lines if words[0] in ("Rss:", "Pss:")}


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path = scope["path"]
    if path == "/get":
        await answer(send, 200, b"hello")
    elif path == "/echo":
        length = await read_length(receive)
        if length >= 0:
            await answer(send, 200, b"%d" % length)
    elif path == "/unread":
        await answer(send, 200, b"not read")
    elif path == "/stream":
        await stream(send, 4, 500)
    elif path == "/large":
        await answer(send, 200, LARGE)
    elif path == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
            await asyncio.sleep(0)
    elif path == "/wait":
        await read_length(receive)
        await receive()
    elif path == "/crash":
        raise LookupError("wanted by the soak")
    elif path == "/account":
        await account(send)
    else:
        await answer(send, 404, b"no such path")
