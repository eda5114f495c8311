"""Applications that the golden conversations name, and parts to build others from.

`NAMED` is the table; every application in it answers `/.probe` by itself, so that a test
can tell an open connection from a closed one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from . import websocket
from .client import PROBE

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

PLAIN = (b"content-type", b"text/plain")


def start(status: int = 200, headers: Headers = (PLAIN,), **extra: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **extra}


def body(data: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def answer(send: Send, data: bytes = b"", status: int = 200) -> None:
    """A whole plain-text response."""
    await send(start(status))
    await send(body(data))


async def read_body(receive: Receive) -> bytes:
    """The whole request body.  Raises ConnectionError where the client left."""
    parts = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client left")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def lifespan_aware(app: App) -> App:
    """Answers the lifespan protocol for an application that knows HTTP alone."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    return wrapped


def probed(app: App) -> App:
    """Answers the path of `PROBE` itself, and lifespan."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == PROBE:
            await answer(send, b"probe")
        else:
            await app(scope, receive, send)

    return lifespan_aware(wrapped)


def sends(*messages: Message) -> App:
    """An application that ignores the request and sends these messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers `hello` without reading the request body."""
    await answer(send, b"hello")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body, then answers method, path and body in brackets."""
    data = await read_body(receive)
    await answer(send, f"{scope['method']} {scope['path']} [".encode() + data + b"]")


async def target(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how the request target was taken apart."""
    text = f"path={scope['path']} raw={scope['raw_path']!r} query={scope['query_string']!r}"
    await answer(send, text.encode())


async def fields(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the header pairs, one a line."""
    await answer(send, b"".join(b"%s=%s;" % pair for pair in scope["headers"]))


async def version(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the protocol version."""
    await answer(send, scope["http_version"].encode())


async def crash(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises before it has sent anything."""
    raise RuntimeError("crash, as the test wants it")


async def crash_held(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises when it has sent the head and nothing of the body."""
    await send(start())
    raise RuntimeError("crash, as the test wants it")


async def crash_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises in the middle of the body."""
    await send(start())
    await send(body(b"begun", more=True))
    raise RuntimeError("crash, as the test wants it")


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns without an answer."""


def length(value: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", value)


async def hints(scope: Scope, receive: Receive, send: Send) -> None:
    """Early hints before and after the start of the response."""
    links = [b"</a.css>; rel=preload; as=style", b"</b.js>; rel=preload; as=script"]
    await send({"type": "http.response.early_hint", "links": links})
    await send(start())
    await send({"type": "http.response.early_hint", "links": [b"</c.png>; rel=preload"]})
    await send(body(b"hello"))


async def trailers(scope: Scope, receive: Receive, send: Send) -> None:
    """A body in two pieces, then trailers in two messages."""
    await send(start(trailers=True))
    await send(body(b"hel", more=True))
    await send(body(b"lo"))
    kind = "http.response.trailers"
    await send({"type": kind, "headers": [(b"x-sum", b"1")], "more_trailers": True})
    await send({"type": kind, "headers": [(b"x-end", b"2")]})


PIECES = (body(b"one", more=True), body(b"two!!", more=True), body(b""))

NAMED: dict[str, App] = {
    name: probed(app)
    for name, app in {
        "hello": hello,
        "echo": echo,
        "target": target,
        "fields": fields,
        "version": version,
        "crash": crash,
        "crash-held": crash_held,
        "crash-late": crash_late,
        "silent": silent,
        "unfinished": sends(start(), body(b"begun", more=True)),
        "stream": sends(start(), *PIECES),
        "stream-length": sends(start(headers=[PLAIN, length(b"8")]), *PIECES),
        "empty": sends(start(), body()),
        "length": sends(start(headers=[length(b"5"), PLAIN]), body(b"hello")),
        "length-unsent": sends(start(headers=[length(b"5"), PLAIN]), body()),
        "over": sends(start(headers=[length(b"5")]), body(b"hello world")),
        "over-late": sends(
            start(headers=[length(b"5")]), body(b"hel", more=True), body(b"lo world")
        ),
        "under": sends(start(headers=[length(b"50")]), body(b"hello")),
        "under-late": sends(start(headers=[length(b"50")]), body(b"hello", more=True), body()),
        "length-twice": sends(start(headers=[length(b"5"), length(b"6")]), body(b"hello")),
        "length-bad": sends(start(headers=[length(b"five")]), body(b"hello")),
        "coded": sends(start(headers=[PLAIN, (b"transfer-encoding", b"chunked")]), body(b"hello")),
        "coded-stream": sends(
            start(headers=[PLAIN, (b"transfer-encoding", b"gzip, chunked")]), *PIECES
        ),
        "no-content": sends(start(204, []), body()),
        "no-content-body": sends(start(204, [length(b"5")]), body(b"hello")),
        "reset-content": sends(start(205, []), body()),
        "not-modified": sends(start(304, [(b"etag", b'"1"')]), body()),
        "not-modified-length": sends(start(304, [length(b"1234")]), body()),
        "teapot": sends(start(418), body(b"short and stout")),
        "unnamed-status": sends(start(299), body(b"odd")),
        "closing": sends(start(headers=[PLAIN, (b"connection", b"close")]), body(b"hello")),
        "inject-value": sends(start(headers=[(b"x", b"1\r\nset-cookie: a=b")]), body(b"hello")),
        "inject-lf": sends(start(headers=[(b"x", b"1\nset-cookie: a=b")]), body(b"hello")),
        "inject-nul": sends(start(headers=[(b"x", b"1\x002")]), body(b"hello")),
        "inject-name": sends(start(headers=[(b"x: 1\r\nset-cookie", b"1")]), body(b"hello")),
        "inject-space": sends(start(headers=[(b"x y", b"1")]), body(b"hello")),
        "empty-name": sends(start(headers=[(b"", b"1")]), body(b"hello")),
        "order": sends(
            start(
                headers=[
                    (b"x-b", b"1"),
                    (b"set-cookie", b"a"),
                    (b"x-a", b"2"),
                    (b"set-cookie", b"b"),
                ]
            ),
            body(b"hello"),
        ),
        "own-date": sends(
            start(headers=[(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"), (b"server", b"mine")]),
            body(b"hello"),
        ),
        "hints": hints,
        "trailers": trailers,
        "websocket": websocket.echo,
    }.items()
}
