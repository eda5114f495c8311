"""The application under the WebSocket soak, and an account of what lives.

Run as `python -m fastserve tests/soak/websocket_soak_app.py`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from typing import Any

from soak_app import Message, Receive, Send, account, answer


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await CONVERSATIONS[scope["path"]](receive, send)
    elif scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    elif scope["path"] == "/account":
        await account(send)
    else:
        await answer(send, 404, b"no such path")


async def echo(receive: Receive, send: Send) -> None:
    """Sends every message back, text as text and bytes as bytes."""
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send(reply(message))


def reply(message: Message) -> Message:
    text = message.get("text")
    if text is not None:
        return {"type": "websocket.send", "text": text}
    return {"type": "websocket.send", "bytes": message["bytes"]}


async def counted(receive: Receive, send: Send) -> None:
    """Sends how many messages have come, whenever one is `how many`."""
    await send({"type": "websocket.accept"})
    seen = 0
    while (message := await receive())["type"] == "websocket.receive":
        seen += 1
        if message.get("text") == "how many":
            await send({"type": "websocket.send", "text": str(seen)})


async def source(receive: Receive, send: Send) -> None:
    """Sends pieces of 16 KiB without end, each another object."""
    await send({"type": "websocket.accept"})
    with suppress(OSError):
        for number in count():
            await send({"type": "websocket.send", "bytes": b"%016d" % number * 1024})


async def hesitate(receive: Receive, send: Send) -> None:
    """Accepts some turns of the loop later, when the client may have left."""
    for _ in range(3):
        await asyncio.sleep(0)
    with suppress(OSError):
        await echo(receive, send)


async def never(receive: Receive, send: Send) -> None:
    """Leaves the handshake unanswered until the client leaves."""
    await receive()


CONVERSATIONS = {
    "/echo": echo,
    "/count": counted,
    "/source": source,
    "/hesitate": hesitate,
    "/never": never,
}
