"""Slow and silent clients: each deadline ends the connection, and none ends a good one.

The server may be one tick late, so the waits here have generous upper bounds. Ticks are
shorter here than they are; one test is for those of every day.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.apps import answer, body, read_body, start
from support.client import Client, request
from support.server import serve
from support.stage import Stage

from fastserve._native import shared

SHORT = 0.3


@pytest.fixture(autouse=True)
def tick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds between two looks at what is due."""
    monkeypatch.setattr(shared, "TICK", getattr(request, "param", 0.05))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, await read_body(receive))


def end(client: Client) -> bytes:
    """What comes until the server ends the connection; it must not end at once."""
    begun = time.monotonic()
    data = client.rest()
    assert time.monotonic() - begun > SHORT / 2, "ended before its time"
    return data


def assert_408(data: bytes) -> None:
    assert data.startswith(b"HTTP/1.1 408 "), data
    assert b"\r\nconnection: close\r\n" in data


def test_a_connection_that_says_nothing_is_closed() -> None:
    with serve(echo, lifespan="off", timeout_request_head=SHORT) as server:
        assert end(server.connect()) == b""


@pytest.mark.parametrize(
    "begun", [b"G", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"]
)
def test_a_head_that_does_not_end_is_refused(begun: bytes) -> None:
    with serve(echo, lifespan="off", timeout_request_head=SHORT) as server:
        client = server.connect()
        client.send(begun)
        assert_408(end(client))


def test_a_head_that_dribbles_is_refused_all_the_same() -> None:
    """Each byte is progress, but the deadline is for the whole head."""
    with serve(echo, lifespan="off", timeout_request_head=SHORT) as server:
        client = server.connect()
        deadline = time.monotonic() + 10
        client.send(b"GET / HTTP/1.1\r\nX: ")
        while not client.readable():
            assert time.monotonic() < deadline, "the head was waited for without end"
            client.send(b"a")
            time.sleep(0.02)
        assert client.head().status == 408


def test_the_head_of_a_second_request_has_its_deadline_too() -> None:
    with serve(echo, lifespan="off", timeout_request_head=SHORT) as server:
        client = server.connect()
        assert client.get("/").status == 200
        client.send(b"GET / HT")
        assert_408(end(client))


@pytest.mark.parametrize("tick", [0.05, shared.TICK], indirect=True)
def test_an_idle_connection_is_closed_without_a_word() -> None:
    with serve(echo, lifespan="off", timeout_keep_alive=SHORT) as server:
        client = server.connect()
        assert client.get("/").status == 200
        assert end(client) == b""


def test_a_connection_in_use_outlives_the_keep_alive_deadline() -> None:
    with serve(echo, lifespan="off", timeout_keep_alive=SHORT) as server:
        client = server.connect()
        until = time.monotonic() + SHORT * 5
        while time.monotonic() < until:
            assert client.get("/").status == 200
            time.sleep(SHORT / 5)


def test_a_body_the_application_waits_for_has_a_deadline() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await read_body(receive)
        except ConnectionError:
            stage.mark("disconnect")

    with serve(app, lifespan="off", timeout_request_body=SHORT) as server:
        client = server.connect()
        client.send(request("POST", "/", "Content-Length: 10") + b"half")
        assert_408(end(client))
        stage.wait("disconnect")


def test_a_body_that_moves_outlives_its_deadline() -> None:
    with serve(echo, lifespan="off", timeout_request_body=SHORT) as server:
        client = server.connect()
        client.send(request("POST", "/", "Content-Length: 20"))
        for _ in range(20):
            time.sleep(SHORT / 4)
            client.send(b"x")
        assert client.response().body == b"x" * 20


def test_a_slow_application_is_nobodys_timeout() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await stage.until("go")
        await answer(send, await read_body(receive))

    timeouts = {f"timeout_{name}": SHORT for name in
                ("request_head", "request_body", "keep_alive", "write")}  # fmt: skip
    with serve(app, lifespan="off", **timeouts) as server:
        client = server.connect()
        client.send(request("POST", body=b"hello"))
        time.sleep(SHORT * 5)
        stage.mark("go")
        assert client.response().body == b"hello"


def test_a_client_that_does_not_read_is_cut_off() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 65536, more=True))
        except OSError as error:
            stage.mark("error", error)

    with serve(app, lifespan="off", timeout_write=SHORT) as server:
        client = server.connect(receive_buffer=65536)
        client.send(request("GET"))
        client.head()
        assert isinstance(stage.wait("error"), OSError)


def test_zero_switches_a_timeout_off() -> None:
    with serve(
        echo, lifespan="off", timeout_request_head=0, timeout_keep_alive=0, timeout_request_body=0
    ) as server:
        client = server.connect()
        time.sleep(SHORT)
        assert client.get("/").status == 200
        time.sleep(SHORT)
        client.send(request("POST", "/", "Content-Length: 2"))
        time.sleep(SHORT)
        client.send(b"ab")
        assert client.response().body == b"ab"
