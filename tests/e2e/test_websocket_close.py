"""How a WebSocket ends, and what each side hears of it: ASGI.md lines 29 to 31."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.stage import Stage
from support.websocket import (
    TEXT,
    Recorder,
    accept,
    close_frame,
    connect,
    frame,
    message,
)
from support.websocket_http2 import serve

pytestmark = pytest.mark.usefixtures("carriage")

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
Act = Callable[[Any, Any], Awaitable[None]]


def accepting(act: Act) -> Any:
    """An application that accepts and runs `act(receive, send)`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await act(receive, send)

    return app


async def refused(send: Any) -> None:
    """Returns when the server knows that the client has gone."""
    with contextlib.suppress(OSError):
        while True:
            await send(message("?"))
            await asyncio.sleep(0)


# -- the client closes ---------------------------------------------------------------------


@LOOPS
@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "going"), (3000, "é" * 61), (4999, "x" * 123)]
)
def test_line_29_the_clients_code_and_reason_are_delivered(
    code: int, reason: str, loop: str, logs: Any
) -> None:
    app = Recorder()
    with serve(app, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        websocket.close(code, reason)
        assert app.disconnect() == (code, reason)
        assert websocket.closed() == (code, "")
        websocket.assert_ended()
    assert logs.noise == []


def test_line_29_1005_if_the_frame_had_no_code() -> None:
    app = Recorder()
    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        websocket.close(None)
        assert app.disconnect() == (1005, "")
        assert websocket.closed() == (1005, "")
        websocket.assert_ended()


@LOOPS
@pytest.mark.parametrize("way", ["close", "reset", "shutdown"])
def test_line_29_1006_if_the_connection_is_lost(way: str, loop: str, logs: Any) -> None:
    app = Recorder()
    with serve(app, lifespan="off", loop=loop) as server:
        getattr(connect(server).client, way)()
        assert app.disconnect() == (1006, "")
    assert logs.noise == []


@LOOPS
@pytest.mark.parametrize("way", ["close frame", "close", "reset"])
def test_messages_that_came_before_the_end_are_received_however_late(way: str, loop: str) -> None:
    stage = Stage()

    async def act(receive: Any, send: Any) -> None:
        await stage.until("ended")
        await refused(send)
        for _ in range(4):
            stage.mark("event", await receive())

    with serve(accepting(act), lifespan="off", loop=loop) as server:
        websocket = connect(server)
        for each in ("one", "two", "three"):
            websocket.send(each)
        websocket.ping()
        websocket.read()
        if way == "close frame":
            websocket.leave()
        else:
            getattr(websocket.client, way)()
        stage.mark("ended")
        stage.wait("event", 4)
    *messages, last = stage.values("event")
    assert [event["text"] for event in messages] == ["one", "two", "three"]
    assert last["code"] == (1000 if way == "close frame" else 1006)


def test_nothing_behind_the_clients_close_frame_is_received() -> None:
    app = Recorder()
    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        websocket.client.send(frame(TEXT, b"one") + close_frame(4000) + frame(TEXT, b"two"))
        assert websocket.closed()[0] == 4000
        assert app.disconnect() == (4000, "")
    assert app.messages == ["one"]


@LOOPS
def test_line_29_the_disconnect_is_delivered_again_and_again(loop: str) -> None:
    stage = Stage()

    async def act(receive: Any, send: Any) -> None:
        for _ in range(4):
            stage.mark("event", await receive())

    with serve(accepting(act), lifespan="off", loop=loop) as server:
        connect(server).leave(4000)
        stage.wait("event", 4)
    first, *others = stage.values("event")
    assert first == {"type": "websocket.disconnect", "code": 4000, "reason": ""}
    assert others == [first] * 3
    assert first is not others[0]


@LOOPS
@pytest.mark.parametrize("way", ["leave", "reset"])
def test_line_30_send_after_the_disconnect_is_an_oserror_of_the_servers_own(
    way: str, loop: str, logs: Any
) -> None:
    stage = Stage()

    async def act(receive: Any, send: Any) -> None:
        await receive()
        for late in (message("x"), message(b"x"), {"type": "websocket.close"}):
            try:
                await send(late)
            except OSError as error:
                stage.mark("raised", type(error))
        stage.mark("over")

    with serve(accepting(act), lifespan="off", loop=loop) as server:
        websocket = connect(server)
        websocket.leave() if way == "leave" else websocket.client.reset()
        stage.wait("over")
    raised = stage.values("raised")
    assert len(raised) == 3
    assert all(kind is not OSError and kind.__module__.startswith("fastserve") for kind in raised)
    assert logs.noise == []


# -- the application closes ------------------------------------------------------------------


@LOOPS
@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": 1001, "reason": "moved"}, 1001, "moved"),
        ({"code": 4999, "reason": None}, 4999, ""),
        ({"code": None, "reason": "é"}, 1000, "é"),
    ],
)
def test_line_31_code_and_reason_of_the_application_are_sent(
    fields: Any, code: int, reason: str, loop: str
) -> None:
    stage = Stage()

    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", **fields})
        for _ in range(2):
            stage.mark("event", await receive())

    with serve(accepting(act), lifespan="off", loop=loop) as server:
        websocket = connect(server)
        assert websocket.closed() == (code, reason)
        websocket.close(code)
        websocket.assert_ended()
        stage.wait("event", 2)
    event = {"type": "websocket.disconnect", "code": code, "reason": reason}
    assert stage.values("event") == [event] * 2


@pytest.mark.parametrize("reason", ["x" * 124, "é" * 62, "€" * 1000])
def test_line_31_a_reason_over_123_bytes_is_cut_at_a_character(reason: str) -> None:
    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "reason": reason})

    with serve(accepting(act), lifespan="off") as server:
        _, sent = connect(server).closed()
    assert reason.startswith(sent)
    assert 120 < len(sent.encode()) <= 123


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, -1, 1 << 70, "1000", 1000.0]
)
def test_line_31_a_code_that_may_not_be_sent_raises(code: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.close", "code": code})
        await send({"type": "websocket.close", "code": 3999})

    with serve(accepting(act), lifespan="off") as server:
        assert connect(server).closed() == (3999, "")


def test_line_31_a_reason_that_is_no_str_raises() -> None:
    async def act(receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.close", "reason": b"bytes"})

    with serve(accepting(act), lifespan="off") as server:
        assert connect(server).closed() == (1000, "")


@LOOPS
def test_line_31_return_without_close_sends_1000(loop: str, logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        await send(message("last"))

    with serve(accepting(act), lifespan="off", loop=loop) as server:
        websocket = connect(server)
        assert websocket.receive() == "last"
        assert websocket.closed() == (1000, "")
        websocket.close()
        websocket.assert_ended()
    assert logs.noise == []


@LOOPS
def test_line_31_an_exception_sends_1011_and_is_logged_once(loop: str, logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        raise RuntimeError("crash, as the test wants it")

    with serve(accepting(act), lifespan="off", loop=loop) as server:
        websocket = connect(server, "/chat")
        assert websocket.closed() == (1011, "")
        websocket.close(1011)
        websocket.assert_ended()
    assert len(logs.noise) == 1
    assert "crash, as the test wants it" in logs.noise[0]
    assert " /chat" in logs.noise[0]


def test_a_client_may_go_on_sending_until_it_answers_the_close() -> None:
    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 4000})

    with serve(accepting(act), lifespan="off") as server:
        websocket = connect(server)
        assert websocket.closed() == (4000, "")
        for size in (1, 100_000, 1):
            websocket.send(b"x" * size)
        websocket.ping()
        websocket.close(4000)
        websocket.assert_ended()


def test_what_was_not_received_does_not_hold_up_the_close() -> None:
    async def act(receive: Any, send: Any) -> None:
        await send(message("ready"))
        await stage.until("sent")
        await send({"type": "websocket.close"})

    stage = Stage()
    with serve(accepting(act), lifespan="off", ws_max_queue=2) as server:
        websocket = connect(server)
        assert websocket.receive() == "ready"
        websocket.client.send(frame(TEXT, b"x") * 1000)
        stage.mark("sent")
        assert websocket.closed() == (1000, "")
        websocket.close()
        websocket.assert_ended()


def test_nothing_but_close_again_may_be_sent_after_close() -> None:
    stage = Stage()

    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})
        await send({"type": "websocket.close", "code": 4000})
        with pytest.raises(RuntimeError):
            await send(message("late"))
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.accept"})
        stage.mark("over")

    with serve(accepting(act), lifespan="off") as server:
        websocket = connect(server)
        assert websocket.closed() == (1000, "")
        websocket.close()
        websocket.assert_ended()
        stage.wait("over")


def test_an_exception_after_close_is_logged_and_the_code_stays(logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 4000})
        raise RuntimeError("crash, as the test wants it")

    with serve(accepting(act), lifespan="off") as server:
        websocket = connect(server)
        assert websocket.closed() == (4000, "")
        websocket.close(4000)
        websocket.assert_ended()
    assert len(logs.noise) == 1


@LOOPS
def test_both_sides_close_at_once(loop: str) -> None:
    stage = Stage()

    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 4001})
        stage.mark("event", await receive())

    with serve(accepting(act), lifespan="off", loop=loop) as server:
        websocket = connect(server)
        websocket.close(4002)
        assert websocket.closed()[0] in (4001, 4002)
        websocket.assert_ended()
        assert stage.wait("event")["type"] == "websocket.disconnect"
