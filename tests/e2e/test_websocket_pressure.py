"""Clients that send more than is received, or read less than they are sent."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from support.stage import Stage
from support.websocket import (
    PING,
    PONG,
    TEXT,
    Frame,
    accept,
    connect,
    content,
    echo,
    frame,
    message,
)
from support.websocket_http2 import ON_HTTP1, serve

from fastserve._native import shared

pytestmark = pytest.mark.usefixtures("carriage")

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
MUCH = 64 << 20
# More than the kernel keeps of a loopback connection, and far less than MUCH.
KEPT = 24 << 20


def held_back(stage: Stage) -> Any:
    """Accepts, and receives nothing before the mark "go"; then all, and marks what it was."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        stage.mark("accepted")
        await stage.until("go")
        messages = []
        while (event := await receive())["type"] == "websocket.receive":
            messages.append(content(event))
        stage.mark("over", (messages, event["code"]))

    return app


# -- clients that send -------------------------------------------------------------------------


@LOOPS
@pytest.mark.parametrize("size", [10, 10_000, 2_000_000])
def test_reading_stops_while_the_application_does_not_receive(size: int, loop: str) -> None:
    stage = Stage()
    data = frame(TEXT, b"x" * size)
    with serve(held_back(stage), lifespan="off", loop=loop, ws_max_queue=8) as server:
        websocket = connect(server, send_buffer=65536)
        stage.wait("accepted")
        sent = websocket.client.send_until_blocked(data, MUCH, patience=0.3)
        assert sent < KEPT, "the server took messages that nobody receives"
        stage.mark("go")
        websocket.client.send(data[sent % len(data) :])
        websocket.leave(4000)
        messages, code = stage.wait("over")
    assert (len(messages), code) == (sent // len(data) + 1, 4000)
    assert set(messages) == {"x" * size}


@LOOPS
@pytest.mark.parametrize("most", [1, 32])
def test_thousands_of_tiny_frames_in_one_read_arrive_in_order(most: int, loop: str) -> None:
    stage = Stage()
    sent = [str(number) for number in range(5000)]
    with serve(held_back(stage), lifespan="off", loop=loop, ws_max_queue=most) as server:
        websocket = connect(server)
        stage.wait("accepted")
        websocket.client.send(b"".join(frame(TEXT, each.encode()) for each in sent))
        stage.mark("go")
        websocket.leave()
        assert stage.wait("over") == (sent, 1000)


@LOOPS
def test_messages_are_echoed_in_order_however_many_come_at_once(loop: str) -> None:
    with serve(echo, lifespan="off", loop=loop, ws_max_queue=3) as server:
        websocket = connect(server)
        sent = [str(number) for number in range(3000)]
        websocket.client.send(b"".join(frame(TEXT, each.encode()) for each in sent))
        assert [websocket.receive() for _ in sent] == sent


@ON_HTTP1
@LOOPS
def test_a_small_message_does_not_wait_until_the_one_before_is_acknowledged(loop: str) -> None:
    """Nagle's algorithm would hold it back; connections inherit the listener's option."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        serve(echo, lifespan="off", loop=loop, fd=listener.fileno()) as server,
    ):
        websocket = connect(server)
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        websocket.leave()


# -- clients that do not read ---------------------------------------------------------------------


def flooding(stage: Stage, size: int) -> Any:
    """Sends numbered messages without end at "/", and is an echo elsewhere."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/":
            await echo(scope, receive, send)
            return
        await accept(receive, send)
        number = 0
        try:
            while True:
                await send(message(b"%8d" % number + b"x" * size))
                stage.mark("sent")
                number += 1
        except OSError:
            stage.mark("raised")
            stage.mark("event", await receive())

    return app


def until_blocked(stage: Stage) -> int:
    """How many messages were sent when no more are."""
    while True:
        before = stage.count("sent")
        try:
            stage.wait("sent", before + 1, timeout=0.3)
        except AssertionError:
            return before


@LOOPS
@pytest.mark.parametrize("size", [100, 100_000])
def test_send_waits_for_a_client_that_does_not_read_and_others_live_on(
    size: int, loop: str
) -> None:
    stage = Stage()
    with serve(flooding(stage, size), lifespan="off", loop=loop) as server:
        slow = connect(server, receive_buffer=65536)
        sent = until_blocked(stage)
        assert sent * size < KEPT, "messages that nobody reads were piled up"
        other = connect(server, "/echo")
        other.send("alive")
        assert other.receive() == "alive"
        for number in range(sent + 10):
            assert slow.receive()[:8] == b"%8d" % number
        slow.client.reset()
        stage.wait("raised")


@LOOPS
@pytest.mark.parametrize("way", ["reset", "write timeout"])
def test_a_send_that_waits_raises_when_the_client_is_gone(
    way: str, loop: str, monkeypatch: pytest.MonkeyPatch, logs: Any
) -> None:
    monkeypatch.setattr(shared, "TICK", 0.05)
    stage = Stage()
    timeout = 0.2 if way == "write timeout" else 30.0
    with serve(flooding(stage, 10_000), lifespan="off", loop=loop, timeout_write=timeout) as server:
        websocket = connect(server, receive_buffer=65536)
        stage.wait("sent")
        if way == "reset":
            until_blocked(stage)
            websocket.client.reset()
        stage.wait("raised")
        assert stage.wait("event")["code"] == 1006
    assert logs.noise == []


@ON_HTTP1
@LOOPS
def test_a_flood_of_pings_of_a_client_that_does_not_read_is_answered_by_the_latest(
    loop: str,
) -> None:
    count = 150_000
    with serve(echo, lifespan="off", loop=loop) as server:
        websocket = connect(server, receive_buffer=65536)
        flood = [frame(PING, b"%-125d" % number) for number in range(count)]
        websocket.client.send(b"".join(flood))
        answers = 0
        while (got := websocket.read()) != Frame(PONG, b"%-125d" % (count - 1)):
            assert got.opcode == PONG
            answers += 1
        assert answers < count - 10_000, "every pong was kept for a client that did not read"
        websocket.leave()
