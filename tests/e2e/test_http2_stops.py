"""What an HTTP/2 connection is told when its server stops: GOAWAY in two steps, RFC 9113 6.8."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from h2.errors import ErrorCodes
from support.apps import answer, body, start
from support.client import Truncated
from support.http2 import MOST_WINDOW, Http2Client
from support.server import serve
from support.stage import Stage

from fastserve import stopping


def waiting(stage: Stage) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        if scope["path"] == "/begun":
            await send(start())
            await send(body(b"begun", more=True))
            await stage.until("go")
            await send(body(b" and done"))
            return
        if scope["path"] == "/slow":
            await stage.until("go")
        await answer(send, scope["path"].encode())

    return app


@contextmanager
def told_to_stop(stage: Stage, **options: Any) -> Iterator[Http2Client]:
    """A client, with requests for /slow and /begun under way, of a server that is told to stop."""
    ready, left = threading.Event(), threading.Event()
    clients: list[Http2Client] = []

    def run() -> None:
        with serve(waiting(stage), peer=Http2Client, lifespan="off", **options) as server:
            clients.append(server.connect())
            server.clients.clear()  # this one lives on past the stop
            clients[0].open("GET", "/slow")
            clients[0].open("GET", "/begun")
            stage.wait("started", 2)
            ready.set()
        left.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    try:
        yield clients[0]
    finally:
        stage.mark("go")
        clients[0].close()
        thread.join()
    assert left.is_set()


def test_what_is_under_way_ends_and_what_crossed_the_goodbye_is_served() -> None:
    stage = Stage()
    with told_to_stop(stage, timeout_graceful_shutdown=10) as client:
        first = client.wait_for_goaway(1)
        assert (first.code, first.last_stream) == (ErrorCodes.NO_ERROR, MOST_WINDOW)
        # Our answer to the server's PING, which comes behind it, is not sent yet.
        late = client.open("GET", "/late")
        assert client.wait_for_goaway(2).last_stream == late.id, "the last that will be served"
        assert late.response().body == b"/late"
        stage.mark("go")
        slow, begun = client.streams[1], client.streams[3]
        assert slow.response().body == b"/slow"
        assert begun.response().body == b"begun and done"
        client.wait_for_end()


def test_what_does_not_end_in_time_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_TELL", 0.1)
    stage = Stage()
    with told_to_stop(stage, timeout_graceful_shutdown=0.1) as client:
        client.wait_for_goaway(2)
        with pytest.raises(Truncated):
            client.streams[3].response()
        client.wait_for_end()


def test_an_idle_connection_is_told_goodbye_and_closed() -> None:
    stage = Stage()
    with serve(waiting(stage), peer=Http2Client, lifespan="off") as server:
        client = server.connect()
        assert client.fetch("/").status == 200
        server.clients.clear()
    client.wait_for_end()
    assert client.goaways[-1].code == ErrorCodes.NO_ERROR
    assert client.goaways[-1].last_stream in (1, MOST_WINDOW)
    client.close()
