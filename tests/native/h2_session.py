"""A server over HTTP/2 in this process, and a client of bare frames that knows what to expect."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.apps import answer, body, echo, start
from support.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RESET,
    Frame,
    FrameClient,
    frame,
)
from support.server import Running, serve

NO_ERROR, PROTOCOL, INTERNAL, FLOW, SETTINGS_TIMEOUT, STREAM_CLOSED, SIZE, REFUSED = range(8)
CANCEL, COMPRESSION, CONNECT, CALM = range(8, 12)

DEFAULT_WINDOW = 65535


class Session(FrameClient):
    """The frames of one connection, of which the server's settings are kept."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._pings = 0
        self._fields: dict[int, list[tuple[str, str]]] = {}
        super().__init__(*arguments, **options)

    def frame(self) -> Frame:
        """The next frame; a field block is decoded at once, whoever asks for its fields."""
        each = super().frame()
        if each.kind == HEADERS:
            self._fields[each.stream] = super().fields(each)
        return each

    def fields(self, each: Frame) -> list[tuple[str, str]]:
        return self._fields[each.stream]

    def frames(self) -> list[Frame]:
        """What the server sends because of all that was sent so far.

        It sends what its windows allow at the end of a read, so behind the answer to a PING
        of the same read; the answer to the next one is behind that.
        """
        came = []
        for _ in range(2):
            self._pings += 1
            mark = self._pings.to_bytes(8)
            self.send(frame(PING, payload=mark))
            while (each := self.frame()).kind != PING or each.payload != mark:
                self._pass(each)
                came.append(each)
            assert each.flags == ACK
        return came

    def answer(self, stream: int) -> tuple[str, bytes]:
        """(status, body) of the answer on a stream; others' frames are passed over."""
        status, data = "", b""
        while True:
            each = self.frame()
            self._pass(each)
            assert each.kind != GOAWAY, each
            if each.kind == HEADERS:
                fields = dict(self.fields(each))
                status = fields[":status"] if each.stream == stream else status
            if each.stream != stream:
                continue
            assert each.kind in (HEADERS, DATA), each
            if each.kind == DATA:
                data += each.payload
            if each.flags & END_STREAM:
                return status, data

    def get(self, stream: int, *more: Any, method: str = "GET") -> tuple[str, bytes]:
        self.open(stream, *more, method=method)
        return self.answer(stream)

    def put_block(self, stream: int, *pairs: tuple[str, str], ends: bool = True) -> None:
        """HEADERS with these fields and no others."""
        flags = END_HEADERS | (END_STREAM if ends else 0)
        self.send(frame(HEADERS, flags, stream, self.encoder.encode(pairs)))

    def ends_with(self, code: int) -> Frame:
        """The connection ends with GOAWAY of this code, which tells a person why."""
        last = self.goaway()
        assert last.code == code, last
        assert last.text
        return last

    def loses(self, stream: int, code: int) -> None:
        """The stream is reset, once and for this reason, and the connection goes on."""
        resets = [each for each in self.frames() if each.kind == RESET]
        assert [(each.stream, each.code) for each in resets] == [(stream, code)]


class Application:
    """An application of parts, by path. What it notes is there for the test."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.changed = threading.Condition()
        self.gates: dict[str, threading.Event] = {}

    def note(self, what: str) -> None:
        with self.changed:
            self.notes.append(what)
            self.changed.notify_all()

    def wait_for(self, what: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: what in self.notes, 10), (what, self.notes)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name = scope["path"].strip("/").partition("/")[0] or "hello"
        await getattr(self, name)(scope, receive, send)

    async def hello(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"hello")

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)

    async def fields(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"".join(b"%s=%s;" % pair for pair in scope["headers"]))

    async def hold(self, scope: Any, receive: Any, send: Any) -> None:
        """Waits until the client has left."""
        self.note("held")
        while (await receive())["type"] != "http.disconnect":
            pass
        self.note("left")

    async def deaf(self, scope: Any, receive: Any, send: Any) -> None:
        """Takes nothing of the body until the client has left; see `release`."""
        self.note("deaf")
        while "heard" not in self.notes:
            await asyncio.sleep(0.001)
        await echo(scope, receive, send)

    async def large(self, scope: Any, receive: Any, send: Any) -> None:
        """As many bytes as the path says."""
        await send(start(headers=[(b"x", b"y")]))
        await send(body(b"x" * int(scope["path"].split("/")[2])))
        self.note("sent")

    async def odd(self, scope: Any, receive: Any, send: Any) -> None:
        """Fields that are not for HTTP/2."""
        hop = [(b"connection", b"x"), (b"keep-alive", b"1"), (b"upgrade", b"y")]
        await send(start(headers=[*hop, (b"transfer-encoding", b"chunked"), (b"x-kept", b"1")]))
        await send(body(b"odd"))

    async def file(self, scope: Any, receive: Any, send: Any) -> None:
        """This file."""
        await send(start())
        await send({"type": "http.response.pathsend", "path": os.path.abspath(__file__)})

    async def trailers(self, scope: Any, receive: Any, send: Any) -> None:
        await send(start(trailers=True))
        await send(body(b"t" * 70_000))
        await send({"type": "http.response.trailers", "headers": [(b"x-trailer", b"1")]})

    async def talk(self, scope: Any, receive: Any, send: Any) -> None:
        """A WebSocket that says what it hears."""
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            await send({**event, "type": "websocket.send"})

    async def crash(self, scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("crash, as the test wants it")

    async def crash_late(self, scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"begun", more=True))
        raise RuntimeError("crash, as the test wants it")

    async def endless(self, scope: Any, receive: Any, send: Any) -> None:
        """Chunks until the client has left."""
        await send(start())
        try:
            while True:
                await send(body(b"y" * 1000, more=True))
        except OSError:
            self.note("gone")
            raise


@contextmanager
def served(**options: Any) -> Iterator[tuple[Running, Application]]:
    app = Application()
    with serve(app, peer=Session, **options) as server:
        yield server, app


@contextmanager
def session(*, greets: bool = True, **options: Any) -> Iterator[tuple[Session, Application]]:
    """One connection to a server of its own."""
    with served(**options) as (server, app):
        client = server.connect(greets=greets)
        yield client, app
        client.reset()
