"""The application the scenarios serve. It is copied into a folder of its own for each run.

`release.txt` beside it is read at import, so an answer tells which release of the code gave it.
What happens inside goes, one line each, into the file named by OPERATIONS_JOURNAL.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

RELEASE = (Path(__file__).parent / "release.txt").read_text().strip()
BLOCKED_FOR = 8
GROWTH = 160 << 20
kept: list[bytes] = []


def note(event: str, detail: str = "") -> None:
    """Append one line to the journal in one write, so that processes do not mix theirs."""
    line = f"{event} {os.getpid()} {time.time():.3f} {detail}\n"
    descriptor = os.open(os.environ["OPERATIONS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


async def lifespan(receive, send):
    while True:
        message = await receive()
        note("started" if message["type"] == "lifespan.startup" else "stopped")
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def answer(send, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def who(receive, send):
    """Answers the release and the process."""
    await answer(send, f"{RELEASE} {os.getpid()}".encode())


async def slow(receive, send):
    """Answers after three seconds."""
    await asyncio.sleep(3)
    await who(receive, send)


async def events(receive, send):
    """Sends an event every fifth of a second, for ever; never asks whether anyone listens."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
        await asyncio.sleep(0.2)


async def listening(receive, send):
    """Like `events`, but ends when it is told that the client has gone, as frameworks do."""
    stream = asyncio.create_task(events(receive, send))
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
        note("disconnect", "/listening")
    finally:
        stream.cancel()
    await send({"type": "http.response.body", "body": b"data: bye\n\n"})


async def upload(receive, send):
    """Reads the whole body, however long that takes, and answers its length."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note("disconnect", "/upload")
            return
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            return await answer(send, b"%d" % size)


def hold_the_loop() -> None:
    time.sleep(BLOCKED_FOR)


async def block(receive, send):
    """Does what no handler should: it sleeps without awaiting."""
    note("blocking")
    hold_the_loop()
    await who(receive, send)


async def grow(receive, send):
    """Takes memory and keeps it."""
    kept.append(b"x" * GROWTH)
    await who(receive, send)


ROUTES = {
    "/": who,
    "/slow": slow,
    "/events": events,
    "/listening": listening,
    "/upload": upload,
    "/block": block,
    "/grow": grow,
}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    try:
        await ROUTES[scope["path"]](receive, send)
    except asyncio.CancelledError:
        note("cancelled", scope["path"])
        raise
