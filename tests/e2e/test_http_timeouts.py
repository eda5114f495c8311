"""Slow and silent clients: each deadline ends the connection, and none ends a good one.

The server may be one tick late, so the waits here have generous upper bounds. Ticks are
shorter here than they are; one test is for those of every day.
"""

from __future__ import annotations

import select
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
    with serve(echo, lifespan="off", timeout_first_byte=SHORT) as server:
        silent = server.connect()
        assert server.get("/").status == 200
        assert end(silent) == b""


def test_the_first_byte_alone_ends_the_wait_for_it() -> None:
    with serve(echo, lifespan="off", timeout_first_byte=SHORT) as server:
        client = server.connect()
        client.send(b"G")
        time.sleep(SHORT * 2)
        client.send(request("GET")[1:])
        assert client.response().status == 200
        time.sleep(SHORT * 2)
        assert client.get("/").status == 200, "a later request has the time of keep-alive"


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


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RATE_GRACE", 0.1)


def dribble(client: Client, data: bytes) -> bytes:
    """Sends `data` again and again until the server answers; what it answers."""
    deadline = time.monotonic() + 10
    while not client.readable():
        assert time.monotonic() < deadline, "it may dribble without end"
        client.send(data)
        time.sleep(0.02)
    return client.rest()


@pytest.mark.parametrize(
    ("head", "drop"),
    [("Content-Length: 100000", b"x"), ("Transfer-Encoding: chunked", b"1\r\nx\r\n")],
)
def test_a_body_that_dribbles_is_refused(head: str, drop: bytes, no_grace: None) -> None:
    """Each byte is progress, but there must be enough of them."""
    with serve(echo, lifespan="off", limit_min_rate=10_000) as server:
        client = server.connect()
        client.send(request("POST", "/", head))
        assert_408(dribble(client, drop))
        assert server.get("/").status == 200


def test_a_chunk_head_that_dribbles_is_no_progress(no_grace: None) -> None:
    with serve(echo, lifespan="off", limit_min_rate=240) as server:
        client = server.connect()
        client.send(request("POST", "/", "Transfer-Encoding: chunked") + b"5;a=")
        assert_408(dribble(client, b"x"))


def test_a_body_nobody_wants_may_not_dribble_either(no_grace: None) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"early")

    with serve(app, lifespan="off", limit_min_rate=10_000) as server:
        client = server.connect()
        client.send(request("POST", "/", "Content-Length: 50000"))
        assert client.response().body == b"early"
        assert dribble(client, b"x") == b""


def test_the_time_in_which_nobody_waits_for_a_body_does_not_count(no_grace: None) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        first = (await receive())["body"]
        stage.mark("begun")
        await stage.until("go")
        await answer(send, first + await read_body(receive))

    with serve(app, lifespan="off", limit_min_rate=10_000) as server:
        client = server.connect()
        client.send(request("POST", "/", "Content-Length: 10") + b"h")
        stage.wait("begun")
        time.sleep(SHORT)
        client.send(b"ello")
        stage.mark("go")
        client.send(b"world")
        assert client.response().body == b"helloworld"


def test_without_a_least_rate_a_body_may_dribble(no_grace: None) -> None:
    with serve(echo, lifespan="off", limit_min_rate=0) as server:
        client = server.connect()
        client.send(request("POST", "/", "Content-Length: 20"))
        for _ in range(20):
            time.sleep(0.02)
            client.send(b"x")
        assert client.response().body == b"x" * 20


def test_a_slow_application_is_nobodys_timeout() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await stage.until("go")
        await answer(send, await read_body(receive))

    timeouts = {f"timeout_{name}": SHORT for name in
                ("first_byte", "request_head", "request_body", "keep_alive", "write")}  # fmt: skip
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


def stream_to(client: Client, stage: Stage, piece: int, times: int) -> bool:
    """Reads `piece` bytes of a response now and then; whether the server went on sending."""
    client.send(request("GET"))
    client.head()
    for _ in range(times):
        time.sleep(SHORT / 10)
        client.sock.recv(piece)
        if stage.has("error"):
            return False
    return True


def endless(stage: Stage) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/other":
            await answer(send)
            return
        await send(start())
        try:
            while True:
                await send(body(b"x" * 65536, more=True))
        except OSError as error:
            stage.mark("error", error)

    return app


def test_a_response_that_is_sipped_is_cut_off() -> None:
    """A window that opens now and then is no progress worth the memory."""
    stage = Stage()
    options = {"timeout_write": SHORT, "limit_min_rate": 1 << 30}
    with serve(endless(stage), lifespan="off", **options) as server:
        client = server.connect(receive_buffer=65536)
        assert not stream_to(client, stage, 50_000, 200)
        assert server.get("/other").status == 200


def test_a_response_that_is_read_slowly_goes_on() -> None:
    stage = Stage()
    options = {"timeout_write": SHORT, "limit_min_rate": 1000}
    with serve(endless(stage), lifespan="off", **options) as server:
        assert stream_to(server.connect(receive_buffer=65536), stage, 1 << 20, 60)


def test_a_closed_connection_does_not_wait_for_ever_for_its_client_to_read(tmp_path: Any) -> None:
    """What is left of the response is less than makes the application wait."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(headers=[(b"connection", b"close")]))
        for _ in range(64):
            await send(body(b"x" * 8192, more=True))
        await send(body(b"x" * 50_000))
        stage.mark("sent")

    with serve(app, lifespan="off", timeout_write=SHORT, uds=str(tmp_path / "s")) as server:
        client = server.connect(receive_buffer=65536)
        client.send(request("GET"))
        while client.unread():
            time.sleep(0.01)
        deadline = time.monotonic() + 10
        while not hung_up(client):
            assert time.monotonic() < deadline, "the connection is held without end"
            time.sleep(0.02)


def hung_up(client: Client) -> bool:
    """Whether the other side has let go of the socket, though not all was read."""
    poller = select.poll()
    poller.register(client.sock, 0)
    return any(event & select.POLLHUP for _, event in poller.poll(0))


def test_zero_switches_a_timeout_off() -> None:
    names = ("first_byte", "request_head", "keep_alive", "request_body", "request")
    with serve(echo, lifespan="off", **{f"timeout_{name}": 0 for name in names}) as server:
        client = server.connect()
        time.sleep(SHORT)
        assert client.get("/").status == 200
        time.sleep(SHORT)
        client.send(request("POST", "/", "Content-Length: 2"))
        time.sleep(SHORT)
        client.send(b"ab")
        assert client.response().body == b"ab"
