"""The application behind the proxies, run by the fastserve command."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from typing import Any

LARGE = bytes(range(256)) * (5 * 4096)  # 5 MiB

_released = asyncio.Event()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        routes = ROUTES if scope["type"] == "http" else SOCKETS
        await routes[scope["path"].removeprefix(scope["root_path"])](scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Any, data: bytes) -> None:
    headers = [(b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def pid(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, str(os.getpid()).encode())


async def fields(scope: Any, receive: Any, send: Any) -> None:
    """The request's header fields."""
    pairs = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    await answer(send, json.dumps(pairs).encode())


async def who(scope: Any, receive: Any, send: Any) -> None:
    """For whom the application takes the one who asks, and what it takes itself for."""
    await answer(send, told(scope))


def told(scope: Any) -> bytes:
    hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
    names = ("client", "scheme", "server", "root_path", "path")
    return json.dumps({name: scope[name] for name in names} | {"hosts": hosts}).encode()


async def digest(scope: Any, receive: Any, send: Any) -> None:
    """The SHA-256 of the request's body."""
    found = hashlib.sha256()
    more = True
    while more:
        message = await receive()
        found.update(message["body"])
        more = message["more_body"]
    await answer(send, found.hexdigest().encode())


async def large(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, LARGE)


async def events(scope: Any, receive: Any, send: Any) -> None:
    """An event at once, and another one when somebody has asked for /release."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    await _released.wait()
    _released.clear()
    await send({"type": "http.response.body", "body": b"data: 2\n\n"})


async def flood(scope: Any, receive: Any, send: Any) -> None:
    """Far more than all sockets on the way hold; says on stdout whether it was taken."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    told = "flood taken"
    try:
        for _ in range(24):
            await send({"type": "http.response.body", "body": LARGE, "more_body": True})
    except OSError:
        told = "flood refused"
    print(told, flush=True)


async def release(scope: Any, receive: Any, send: Any) -> None:
    _released.set()
    await answer(send, b"released")


async def wait(scope: Any, receive: Any, send: Any) -> None:
    """Says on stdout that it has begun and that the client has left."""
    print("waiting", flush=True)
    while (await receive())["type"] != "http.disconnect":
        pass
    print("gone", flush=True)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends back what comes; speaks the subprotocol that the client likes least.

    Says on stdout how it was closed.
    """
    await receive()
    spoken = scope["subprotocols"][-1] if scope["subprotocols"] else None
    headers = [(b"x-worker", str(os.getpid()).encode()), (b"set-cookie", b"a=1; path=/")]
    await send({"type": "websocket.accept", "subprotocol": spoken, "headers": headers})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
    print("closed", event["code"], event["reason"], flush=True)


async def pour(scope: Any, receive: Any, send: Any) -> None:
    """As `flood`, in messages."""
    await receive()
    await send({"type": "websocket.accept"})
    told = "flood taken"
    try:
        for _ in range(24):
            await send({"type": "websocket.send", "bytes": LARGE})
    except OSError:
        told = "flood refused"
    print(told, flush=True)


async def leave(scope: Any, receive: Any, send: Any) -> None:
    """Closes at once."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4001, "reason": "that was all, Größe"})


async def deny(scope: Any, receive: Any, send: Any) -> None:
    """A denial response in two parts."""
    await receive()
    kind = "websocket.http.response"
    headers = [(b"www-authenticate", b"Bearer")]
    await send({"type": f"{kind}.start", "status": 401, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"who are ", "more_body": True})
    await send({"type": f"{kind}.body", "body": b"you?"})


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def tell(scope: Any, receive: Any, send: Any) -> None:
    """The same as `who`, in a message."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": told(scope).decode()})
    await send({"type": "websocket.close"})


ROUTES = {
    "/": pid,
    "/who": who,
    "/fields": fields,
    "/digest": digest,
    "/large": large,
    "/events": events,
    "/events/flood": flood,
    "/release": release,
    "/wait": wait,
}

SOCKETS = {
    "/": echo,
    "/who": tell,
    "/leave": leave,
    "/deny": deny,
    "/refuse": refuse,
    "/flood": pour,
}
