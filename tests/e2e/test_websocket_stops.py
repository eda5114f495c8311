"""A server that stops with open WebSockets: ASGI.md line 33; and nothing is left of any."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.apps import answer
from support.client import request
from support.stage import Stage
from support.websocket import (
    TEXT,
    Recorder,
    WebSocket,
    accept,
    connect,
    content,
    echo,
    frame,
    handshake,
    message,
    upgraded,
)
from support.websocket_http2 import ON_HTTP1, carriage, serve

from fastserve import stopping, testing
from fastserve._native.service import live_objects

pytestmark = pytest.mark.usefixtures("carriage")

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The phases behind the graceful one are as short as they may be."""
    monkeypatch.setattr(stopping, "_TELL", 0.1)
    monkeypatch.setattr(stopping, "_CANCEL", 0.5)


class Stopping:
    """A server that a test stops while its clients are there."""

    def __init__(self, server: testing.RunningServer) -> None:
        self._server = server
        self._clients: list[Any] = []

    def client(self) -> Any:
        self._clients.append(carriage().peer((self._server.host, self._server.port)))
        return self._clients[-1]

    def websocket(self, target: str = "/") -> WebSocket:
        client = self.client()
        client.send(handshake(target))
        return upgraded(client)

    def stop(self) -> None:
        self._server.server.stop()

    def close(self) -> None:
        for each in self._clients:
            each.close()


@contextmanager
def to_be_stopped(app: Any, graceful: float = 10.0, **options: Any) -> Iterator[Stopping]:
    """In the end the server must have stopped, its clients open or not."""
    options = {"lifespan": "off", "timeout_graceful_shutdown": graceful} | options
    stopped = None
    try:
        with testing.serve(app, **options) as server:
            stopped = Stopping(server)
            yield stopped
    finally:
        if stopped is not None:
            stopped.close()


@LOOPS
def test_line_33_every_websocket_is_closed_with_1012_and_its_application_told(
    loop: str, logs: Any
) -> None:
    app = Recorder()
    with to_be_stopped(app, loop=loop) as server:
        websockets = [server.websocket() for _ in range(3)]
        server.stop()
        for websocket in websockets:
            code, reason = websocket.closed()
            assert code == 1012
            websocket.close(1012)
            websocket.assert_ended()
        assert app.disconnect() == (1012, reason)
        app.stage.wait("disconnect", 3)
    assert logs.noise == []


@LOOPS
def test_line_33_the_application_may_clean_up_and_what_came_before_is_received(loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await stage.until("go")
        stage.mark("message", content(await receive()))
        stage.mark("code", (await receive())["code"])
        with pytest.raises(OSError, match="disconnected"):
            await send(message("late"))
        await asyncio.sleep(0.05)
        stage.mark("clean")

    with to_be_stopped(app, loop=loop) as server:
        websocket = server.websocket()
        websocket.send("before")
        websocket.ping()
        websocket.read()
        server.stop()
        assert websocket.closed()[0] == 1012
        websocket.close(1012)
        websocket.assert_ended()
        stage.mark("go")
    assert (stage.values("message"), stage.values("code")) == (["before"], [1012])
    assert stage.has("clean")


@LOOPS
def test_a_handshake_that_is_accepted_during_the_stop_is_closed_with_1012(loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            stage.mark("asked")
            await stage.until("stopping")
        await accept(receive, send)
        stage.mark("code", (await receive())["code"])

    with to_be_stopped(app, loop=loop) as server:
        first, late = server.websocket(), server.client()
        late.send(handshake("/late"))
        stage.wait("asked")
        server.stop()
        assert first.closed()[0] == 1012
        stage.mark("stopping")
        websocket = upgraded(late)
        assert websocket.closed()[0] == 1012
        websocket.close(1012)
        websocket.assert_ended()
        first.close(1012)
        stage.wait("code", 2)
    assert stage.values("code") == [1012, 1012]


@ON_HTTP1
@LOOPS
def test_a_handshake_that_begins_during_the_stop_is_closed_with_1012(loop: str) -> None:
    """On a connection that a request was served on just now, so that it is not idle yet."""
    app = Recorder()

    async def both(scope: Any, receive: Any, send: Any) -> None:
        await (app(scope, receive, send) if scope["type"] == "websocket" else answer(send))

    with to_be_stopped(both, loop=loop) as server:
        first, late = server.websocket(), server.client()
        assert late.ask(request("GET")).status == 200
        server.stop()
        assert first.closed()[0] == 1012
        late.send(handshake())
        websocket = upgraded(late)
        assert websocket.closed()[0] == 1012
        websocket.close(1012)
        websocket.assert_ended()
        first.close(1012)
        app.stage.wait("disconnect", 2)


@LOOPS
def test_an_application_that_ignores_the_disconnect_is_cancelled(loop: str, logs: Any) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            stage.mark("cancelled")

    with to_be_stopped(app, 0.1, loop=loop) as server:
        websocket = server.websocket()
        server.stop()
        assert websocket.closed()[0] == 1012
        stage.wait("cancelled")
    assert all("ERROR" not in line for line in logs.noise)


@LOOPS
def test_an_application_cancelled_before_it_accepts_is_answered_503(loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("asked")
        await asyncio.get_running_loop().create_future()

    with to_be_stopped(app, 0.1, loop=loop) as server:
        client = server.client()
        client.send(handshake())
        stage.wait("asked")
        server.stop()
        assert client.head().status == 503


@LOOPS
def test_a_client_that_does_not_answer_the_close_does_not_hold_the_server(loop: str) -> None:
    with to_be_stopped(Recorder(), 0.1, loop=loop) as server:
        websocket = server.websocket()
        server.stop()
        assert websocket.closed()[0] == 1012
        websocket.assert_ended()


@LOOPS
def test_nothing_is_left_of_any_websocket_without_the_collector(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However it ended: whatever holds each other is let go by hand."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == "/refused":
            return
        if path == "/denied":
            await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"no"})
            return
        if path == "/crash-early":
            raise RuntimeError("crash, as the test wants it")
        await accept(receive, send)
        if path == "/crash":
            raise RuntimeError("crash, as the test wants it")
        if path == "/return":
            return
        if path == "/close":
            await send({"type": "websocket.close"})
        while (event := await receive())["type"] == "websocket.receive":
            await send(message(content(event)))

    gc.collect()
    before = live_objects()
    gc.disable()
    try:
        with serve(app, lifespan="off", loop=loop, ws_close_timeout=0.1) as server:
            for path in ("/refused", "/denied", "/crash-early"):
                with server.connect() as client:
                    client.ask(handshake(path))
            for path in ("/crash", "/return", "/close"):
                connect(server, path).closed()
            connect(server).leave()
            connect(server).client.send(frame(3))
            connect(server).client.send(frame(TEXT, b"x" * 100)[:50])
            for way in ("close", "reset", "shutdown"):
                websocket = connect(server)
                websocket.send("x")
                websocket.receive()
                getattr(websocket.client, way)()
        for record in caplog.records:
            record.exc_info = None
        assert live_objects() == before
    finally:
        gc.enable()


@LOOPS
def test_an_echo_of_a_closed_connection_leaves_a_server_that_stops_at_once(loop: str) -> None:
    with to_be_stopped(echo, loop=loop) as server:
        websocket = server.websocket()
        websocket.send("x")
        assert websocket.receive() == "x"
        websocket.client.reset()
