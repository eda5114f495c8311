"""A client's mistakes, the close codes they cost, and what the log tells: RFC 6455, 7.4.1."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.stage import Stage
from support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Recorder,
    accept,
    connect,
    frame,
    message,
)
from support.websocket_http2 import serve

pytestmark = pytest.mark.usefixtures("carriage")

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])

MISTAKES = {
    "an unmasked frame": (b"\x81\x01x", 1002),
    "a reserved bit": (b"\xc1\x80\0\0\0\0", 1002),
    "a reserved opcode": (frame(3), 1002),
    "a reserved control opcode": (frame(11), 1002),
    "a fragmented ping": (frame(PING, fin=False), 1002),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a message inside another": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    "a length in a longer form": (b"\x82\xfe\x00\x7d" + bytes(4 + 125), 1002),
    "a length of 64 bits": (b"\x82\xff" + b"\xff" * 8 + bytes(4), 1002),
    "half a close code": (frame(CLOSE, b"\x03"), 1002),
    "a close code of nobody": (frame(CLOSE, b"\x03\xed"), 1002),
    "text that is no UTF-8": (frame(TEXT, b"\xc3\x28"), 1007),
    "text that ends inside a character": (frame(TEXT, b"\xc3"), 1007),
    "a reason that is no UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a message above the limit": (frame(BINARY, bytes(1001)), 1009),
    "fragments above the limit": (
        frame(BINARY, bytes(600), fin=False) + frame(CONTINUATION, bytes(401)), 1009
    ),
    "a mere announcement above the limit": (b"\x82\xff\0\0\0\0\0\1\0\0" + bytes(4), 1009),
}  # fmt: skip


@LOOPS
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_its_code_on_the_wire_and_in_the_event(
    mistake: str, loop: str, logs: Any
) -> None:
    data, code = MISTAKES[mistake]
    app = Recorder()
    with serve(app, lifespan="off", loop=loop, ws_max_size=1000) as server:
        websocket = connect(server)
        websocket.client.send(frame(TEXT, b"good") + data)
        sent, reason = websocket.closed()
        assert sent == code
        websocket.assert_ended()
        assert app.disconnect() == (code, reason)
    assert app.messages == ["good"]
    assert logs.noise == []
    assert any(
        record.levelno == logging.DEBUG and str(code) in record.getMessage()
        for record in logs.records
    )


def test_what_a_client_sends_on_after_its_mistake_does_not_cost_the_close_frame() -> None:
    with serve(Recorder(), lifespan="off") as server:
        websocket = connect(server)
        websocket.client.send(frame(3) + frame(BINARY, bytes(500_000)) * 4)
        assert websocket.closed()[0] == 1002


@LOOPS
@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_message_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(
    over: int, kind: int, loop: str
) -> None:
    app = Recorder()
    with serve(app, lifespan="off", loop=loop, ws_max_size=70_000) as server:
        websocket = connect(server)
        data = b"x" * (70_000 + over)
        websocket.client.send(frame(kind, data))
        if over:
            assert websocket.closed()[0] == 1009
        else:
            websocket.leave()
        app.disconnect()
    assert [len(each) for each in app.messages] == ([] if over else [70_000])


def test_the_limit_counts_bytes_of_text() -> None:
    app = Recorder()
    with serve(app, lifespan="off", ws_max_size=100) as server:
        websocket = connect(server)
        websocket.send("é" * 50)
        websocket.send("é" * 50 + "x")
        assert websocket.closed()[0] == 1009
        app.disconnect()
    assert app.messages == ["é" * 50]


# -- what is logged: line 23 -----------------------------------------------------------------


class FrameworkError(Exception):
    """What a framework makes of the server's OSError."""


class WebSocketDisconnect(Exception):
    """What Starlette makes of the event websocket.disconnect."""


async def plain(receive: Any, send: Any) -> None:
    await send(message("late"))


async def raised_from(receive: Any, send: Any) -> None:
    try:
        await send(message("late"))
    except OSError as error:
        raise FrameworkError from error


async def hidden(receive: Any, send: Any) -> None:
    try:
        await send(message("late"))
    except OSError:
        raise FrameworkError from None


async def in_a_group(receive: Any, send: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(raised_from(receive, send))


async def from_the_event(receive: Any, send: Any) -> None:
    raise WebSocketDisconnect


@pytest.mark.parametrize("act", [plain, raised_from, hidden, in_a_group, from_the_event])
@pytest.mark.parametrize("way", ["leave", "reset"])
def test_line_23_what_follows_from_the_client_leaving_is_told_at_debug_level(
    way: str, act: Any, logs: Any
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await act(receive, send)
        finally:
            stage.mark("over")

    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        websocket.leave() if way == "leave" else websocket.client.reset()
        stage.wait("over")
    assert logs.noise == []
    assert [
        record for record in logs.records if record.exc_info and record.levelno == logging.DEBUG
    ]


def test_line_23_a_real_error_after_the_client_left_is_logged(logs: Any) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await receive()
        stage.mark("over")
        raise KeyError("clean-up went wrong")

    with serve(app, lifespan="off") as server:
        connect(server).leave()
        stage.wait("over")
    assert len(logs.noise) == 1
    assert "clean-up went wrong" in logs.noise[0]


def test_line_23_an_oserror_of_something_else_is_logged(logs: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        raise OSError("a file is missing")

    with serve(app, lifespan="off") as server:
        assert connect(server).closed() == (1011, "")
    assert len(logs.noise) == 1


def test_line_23_returning_after_the_client_left_is_no_noise(logs: Any) -> None:
    app = Recorder()
    with serve(app, lifespan="off") as server:
        connect(server).client.reset()
        app.disconnect()
    assert logs.noise == []
