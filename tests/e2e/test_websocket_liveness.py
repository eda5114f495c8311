"""Clients that have fallen silent, and deadlines: ping, handshake, close.

Ticks are shorter here than they are, and every wait is for something that happens.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.server import Running
from support.stage import Stage
from support.websocket import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Frame,
    Recorder,
    WebSocket,
    accept,
    connect,
    content,
    frame,
    handshake,
    message,
)
from support.websocket_http2 import serve

from fastserve._native import shared

pytestmark = pytest.mark.usefixtures("carriage")

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
OFTEN = {"ws_ping_interval": 0.1, "ws_ping_timeout": 0.3, "lifespan": "off"}


@pytest.fixture(autouse=True)
def tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "TICK", 0.02)


def until_another_is_silent_too_long(server: Running) -> None:
    """As long as it takes until a client that answers no ping is given up."""
    silent = connect(server)
    while silent.read().opcode != CLOSE:
        pass


@LOOPS
def test_a_client_that_does_not_answer_a_ping_is_given_up_with_1011(loop: str, logs: Any) -> None:
    app = Recorder()
    with serve(app, loop=loop, **OFTEN) as server:
        websocket = connect(server)
        assert websocket.read() == Frame(PING, b"")
        code, reason = websocket.closed()
        assert code == 1011
        websocket.assert_ended()
        assert app.disconnect() == (1011, reason)
    assert logs.noise == []


@LOOPS
@pytest.mark.parametrize("life", ["pong", "message", "byte"])
def test_any_byte_of_a_client_keeps_it(life: str, loop: str) -> None:
    app = Recorder()
    with serve(app, loop=loop, **OFTEN) as server:
        websocket = connect(server)
        long = frame(BINARY, b"0123456789")
        for number in range(6):
            assert websocket.read() == Frame(PING, b"")
            if life == "pong":
                websocket.pong()
            elif life == "message":
                websocket.send("alive")
            else:
                websocket.client.send(long[number : number + 1])
        if life == "byte":
            websocket.client.send(long[6:])
        websocket.leave()
        app.disconnect()
    assert app.messages == {"pong": [], "message": ["alive"] * 6, "byte": [b"0123456789"]}[life]


def test_pings_come_at_the_interval_however_long_the_timeout() -> None:
    options = {**OFTEN, "ws_ping_timeout": 3600.0}
    with serve(Recorder(), **options) as server:
        websocket = connect(server)
        for _ in range(5):
            assert websocket.read() == Frame(PING, b"")
            websocket.pong()
        websocket.leave()


def test_without_a_ping_timeout_nobody_is_given_up() -> None:
    app = Recorder()
    with serve(app, **{**OFTEN, "ws_ping_timeout": 0.0}) as server:
        websocket = connect(server)
        for _ in range(8):
            assert websocket.read() == Frame(PING, b"")
        websocket.send("alive")
        app.stage.wait("message")


def test_without_a_ping_interval_there_is_no_ping() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/silent":
            while (await receive())["type"] == "websocket.connect":
                pass
            return
        await accept(receive, send)
        await send(message(content(await receive())))

    with serve(app, lifespan="off", ws_ping_interval=0.0, ws_handshake_timeout=0.5) as server:
        websocket = connect(server)
        with server.connect() as clock:
            clock.send(handshake("/silent"))
            assert clock.head().status == 503
        websocket.send("alive")
        assert websocket.receive() == "alive"


@LOOPS
def test_a_client_is_kept_while_it_is_the_server_that_does_not_read(loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        if scope["path"] == "/":
            await receive()
            return
        await stage.until("go")
        while (event := await receive())["type"] == "websocket.receive":
            stage.mark("message", content(event))
        stage.mark("code", event["code"])

    with serve(app, loop=loop, ws_max_queue=1, **OFTEN) as server:
        websocket = connect(server, "/busy")
        for number in range(10):
            websocket.send(str(number))
        until_another_is_silent_too_long(server)
        stage.mark("go")
        websocket.close(4000)
        assert stage.wait("code") == 4000
    assert stage.values("message") == [str(number) for number in range(10)]


@LOOPS
def test_a_client_that_is_slow_to_read_is_not_given_up_for_a_pong(loop: str) -> None:
    count, size = 200, 100_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        if scope["path"] == "/":
            await receive()
            return
        for number in range(count):
            await send(message(b"%8d" % number + b"x" * size))

    with serve(app, loop=loop, timeout_write=3600.0, **OFTEN) as server:
        websocket = connect(server, "/much", receive_buffer=65536)
        assert websocket.receive()[:8] == b"%8d" % 0
        until_another_is_silent_too_long(server)
        assert last_number(websocket) == count - 1


def last_number(websocket: WebSocket) -> int:
    """The number of the last message before the close; every ping is answered."""
    number = -1
    while (got := websocket.read()).opcode != CLOSE:
        if got.opcode == PING:
            websocket.pong()
        else:
            number = int(got.payload[:8])
    assert got.close == (1000, "")
    return number


# -- the handshake -----------------------------------------------------------------------------


@LOOPS
def test_a_handshake_that_is_not_answered_in_time_is_503(loop: str, logs: Any) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        stage.mark("event", await receive())
        with pytest.raises(OSError, match="disconnected"):
            await send({"type": "websocket.accept"})
        stage.mark("over")

    with (
        serve(app, lifespan="off", loop=loop, ws_handshake_timeout=0.2) as server,
        server.connect() as client,
    ):
        client.send(handshake())
        answer = client.response()
        assert answer.status == 503
        client.assert_refused(answer)
        assert stage.wait("event")["type"] == "websocket.disconnect"
        stage.wait("over")
    assert logs.noise == []


def test_an_open_websocket_outlives_the_handshake_timeout() -> None:
    app = Recorder()
    with serve(app, ws_handshake_timeout=0.1, **OFTEN) as server:
        websocket = connect(server)
        for _ in range(4):
            assert websocket.read() == Frame(PING, b"")
            websocket.pong()
        websocket.leave(4000)
        assert app.disconnect() == (4000, "")


# -- the close ---------------------------------------------------------------------------------


@LOOPS
@pytest.mark.parametrize("data", [b"", frame(TEXT, b"x"), frame(PING, b"x"), frame(TEXT, b"x")[:3]])
def test_a_client_that_does_not_answer_the_close_is_cut_off(
    data: bytes, loop: str, logs: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", "code": 4000})

    with serve(app, lifespan="off", loop=loop, ws_close_timeout=0.2) as server:
        websocket = connect(server)
        assert websocket.closed() == (4000, "")
        websocket.client.send(data)
        websocket.assert_ended()
    assert logs.noise == []
