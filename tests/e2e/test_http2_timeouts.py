"""Slow and silent clients of HTTP/2: a deadline ends a stream or the connection, as it should.

What has no code of its own for HTTP/2 is tested with HTTP/1.1.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from h2.errors import ErrorCodes
from support.apps import answer, body, read_body, start
from support.client import Truncated
from support.http2 import (
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    SETTINGS,
    FrameClient,
    Http2Client,
    frame,
    settings,
)
from support.server import serve
from support.stage import Stage

from fastserve._native import shared

SHORT = 0.3


@pytest.fixture(autouse=True)
def tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds between two looks at what is due."""
    monkeypatch.setattr(shared, "TICK", 0.05)


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RATE_GRACE", 0.1)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, await read_body(receive))


def serving(app: Any, peer: Any = Http2Client, **options: Any) -> Any:
    return serve(app, peer=peer, lifespan="off", **options)


@pytest.mark.parametrize(
    "begun",
    [
        PREFACE[:18],
        PREFACE,
        PREFACE + settings()[:5],
        PREFACE + settings() + frame(HEADERS, END_HEADERS, 1, b"\x82", length=100),
        PREFACE + settings() + frame(HEADERS, 0, 1, b"\x82"),
    ],
    ids=["preface", "no settings", "settings", "headers", "no continuation"],
)
def test_what_does_not_come_whole_ends_the_connection(begun: bytes) -> None:
    options = {"timeout_request_head": SHORT, "timeout_first_byte": SHORT}
    with serving(echo, FrameClient, **options) as server:
        client = server.connect(greets=False)
        client.send(begun)
        client.rest()


def test_reads_that_each_end_inside_a_frame_are_no_slow_frame() -> None:
    with serving(echo, FrameClient, timeout_request_head=SHORT) as server:
        client = server.connect()
        client.next(SETTINGS)  # Its acknowledgement would come inside a frame.
        number, rest = 1, b""
        end = time.monotonic() + SHORT * 3
        while time.monotonic() < end:
            block = client.request_block()
            data = frame(HEADERS, END_HEADERS | END_STREAM, number, block)
            client.send(rest + data[:12])
            rest = data[12:]
            if number > 1:
                assert client.next(HEADERS).stream == number - 2
            time.sleep(0.02)
            number += 2


def test_settings_that_are_not_acknowledged_end_the_connection() -> None:
    with serving(echo, FrameClient, http2_settings_timeout=SHORT) as server:
        client = server.connect()
        client.open(1)
        while (each := client.frame()).kind != GOAWAY:
            assert not (each.kind == SETTINGS and each.stream)
        assert each.code == ErrorCodes.SETTINGS_TIMEOUT
        with pytest.raises(AssertionError, match="ended"):
            client.frame()


def test_settings_that_are_acknowledged_do_not() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await stage.until("go")
        await answer(send)

    with serving(app, http2_settings_timeout=SHORT) as server:
        client = server.connect()
        stream = client.open()
        client.ping()
        time.sleep(SHORT * 2)
        stage.mark("go")
        assert stream.response().status == 200


def test_an_idle_connection_is_told_goodbye() -> None:
    with serving(echo, timeout_keep_alive=SHORT) as server:
        client = server.connect()
        assert client.fetch("/").status == 200
        client.wait_for_end()
        assert [(each.code, each.last_stream) for each in client.goaways] == [(0, 1)]


def test_a_connection_with_a_stream_is_not_idle() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await stage.until("go")
        await answer(send)

    with serving(app, timeout_keep_alive=SHORT) as server:
        client = server.connect()
        slow = client.open("GET", "/slow")
        assert client.fetch("/").status == 200
        time.sleep(SHORT * 3)
        stage.mark("go")
        assert slow.response().status == 200


def test_a_body_that_does_not_come_costs_its_stream_alone() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await answer(send, await read_body(receive))
        except ConnectionError:
            stage.mark("disconnect")

    with serving(app, timeout_request_body=SHORT) as server:
        client = server.connect()
        late = client.open("POST", "/", body=b"half", ends=False)
        assert client.fetch("/", method="POST", body=b"whole").body == b"whole"
        assert late.response().status == 408
        stage.wait("disconnect")
        assert late.wait_for_reset() == ErrorCodes.NO_ERROR
        assert client.fetch("/").status == 200


def test_a_body_that_dribbles_costs_its_stream_alone(no_grace: None) -> None:
    with serving(echo, limit_min_rate=10_000) as server:
        client = server.connect()
        stream = client.open("POST", "/", ends=False)
        deadline = time.monotonic() + 10
        while not client.comes(0.02) or (client.step() and not stream.heads):
            assert time.monotonic() < deadline, "it may dribble without end"
            stream.send(b"x")
        assert stream.head().status == 408
        assert client.fetch("/").status == 200


def test_a_window_that_stays_closed_costs_its_stream_alone() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await answer(send, b"fine")
            return
        await send(start())
        try:
            while True:
                await send(body(b"x" * 65536, more=True))
        except OSError as error:
            stage.mark("error", error)

    with serving(app, timeout_write=SHORT) as server:
        client = server.connect(holds=True)
        held = client.open("GET", "/held")
        held.read(1 << 20)
        assert held.wait_for_reset() == ErrorCodes.CANCEL
        assert isinstance(stage.wait("error"), OSError)
        assert client.fetch("/").body == b"fine"


def test_a_window_that_opens_by_drops_is_as_good_as_closed() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        while True:
            await send(body(b"x" * 65536, more=True))

    options = {"timeout_write": SHORT, "limit_min_rate": 1 << 30}
    with serving(app, **options) as server:
        client = server.connect(holds=True)
        held = client.open("GET", "/held")
        held.read(1 << 20)
        deadline = time.monotonic() + 10
        while held.reset is None:
            assert time.monotonic() < deadline, "it may drip without end"
            held.grant(1000)
            if client.comes(0.02):
                client.step()
        with pytest.raises(Truncated):
            held.rest()


def test_a_stream_that_waits_for_its_turn_is_not_stalled() -> None:
    """RFC 9218 has one of these sent behind the other, however long that takes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * 1_000_000)

    with serving(app, timeout_write=SHORT) as server:
        client = server.connect(holds=True, window=65535)
        first, second = (client.open("GET", "/", [("priority", "u=1")]) for _ in range(2))
        end = time.monotonic() + SHORT * 3
        while time.monotonic() < end:
            client.grant(1000)
            client.ping()
            client.comes(0.01)
        assert first.data
        assert not first.ended
        assert not second.data
        client.grant(1 << 22)
        assert first.response().body == second.response().body == b"x" * 1_000_000


def test_a_request_that_takes_too_long_costs_its_stream_alone() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/begun":
            await send(start())
            await send(body(b"begun", more=True))
        if scope["path"] != "/":
            await stage.until("never")
        await answer(send)

    with serving(app, timeout_request=SHORT) as server:
        client = server.connect()
        silent, begun = client.open("GET", "/silent"), client.open("GET", "/begun")
        assert client.fetch("/").status == 200
        assert silent.response().status == 504
        assert begun.wait_for_reset() == ErrorCodes.CANCEL
        assert client.fetch("/").status == 200
