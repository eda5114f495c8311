"""Clients that send more than they are answered, or read less than they ask for."""

from __future__ import annotations

from typing import Any

import pytest
from support.apps import answer, body, start
from support.client import request
from support.server import serve
from support.stage import Stage


def test_reading_pauses_while_requests_wait_behind_one() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await stage.until("go")
        await answer(send)

    batch = request("GET", "/", "X: " + "x" * 10_000) * 10
    with serve(app, lifespan="off") as server, server.connect(send_buffer=65536) as client:
        client.send(request("GET"))
        stage.wait("started")
        sent = client.send_until_blocked(batch, 64 << 20)
        assert sent < 16 << 20, "the server took requests it cannot serve yet"
        assert stage.count("started") == 1
        stage.mark("go")


def test_requests_are_not_served_for_a_client_that_does_not_read() -> None:
    """Answers complete in one message; the server must not pile them up without end."""
    stage = Stage()
    size, count = 65536, 2000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("served")
        await answer(send, b"x" * size)

    with (
        serve(app, lifespan="off") as server,
        server.connect(receive_buffer=65536) as client,
    ):
        client.send(request("GET") * count)
        stage.wait("served")
        while True:
            before = stage.count("served")
            try:
                stage.wait("served", before + 1, timeout=0.5)
            except AssertionError:
                break
        assert before * size < 16 << 20, f"{before} answers were made, and none was read"
        for _ in range(count):
            assert len(client.response().body) == size
        assert stage.count("served") == count


def test_a_small_answer_is_not_held_up_by_a_client_that_reads() -> None:
    with (
        serve(lambda s, r, send: answer(send, b"x" * 10_000), lifespan="off") as server,
        server.connect() as client,
    ):
        client.send(request("GET") * 500)
        assert [len(client.response().body) for _ in range(500)] == [10_000] * 500


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_cut_response_never_looks_whole(version: bytes, logs: Any) -> None:
    """On HTTP/1.0 the end of the connection ends the body, so only a reset shows the cut."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"begun", more=True))
        await stage.until("read")
        raise RuntimeError("crash")

    stage = Stage()
    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET").replace(b"HTTP/1.1", b"HTTP/" + version))
        client.head()
        client.until(b"begun")
        stage.mark("read")
        rest = client.rest()
        assert b"0\r\n\r\n" not in rest
        assert version == b"1.1" or client.was_reset
