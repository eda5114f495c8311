"""Which version of HTTP a server speaks (--http), and what it grants over HTTP/2 (--http2-*)."""

from __future__ import annotations

from typing import Any

import pytest
from support.apps import answer
from support.client import request
from support.http2 import (
    DATA,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW,
    FrameClient,
    read_frame,
    settings,
)
from support.server import Running, serve

UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
# RFC 9113, section 6.5.2; RFC 8441; RFC 9218.
TABLE, STREAMS, STREAM_WINDOW, FRAME, LIST, CONNECT, NO_PRIORITIES = 1, 3, 4, 5, 6, 8, 9


async def version(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, scope["http_version"].encode())


def running(**options: Any) -> Any:
    return serve(version, lifespan="off", **options)


def frames(server: Running) -> FrameClient:
    client = FrameClient((server.host, server.port))
    server.clients.append(client)
    return client


@pytest.mark.parametrize("http", ["auto", "2"])
def test_a_client_may_begin_with_http_2(http: str) -> None:
    with running(http=http) as server:
        client = frames(server)
        client.open(1)
        assert client.fields(client.next(HEADERS))[0] == (":status", "200")
        assert client.next(DATA).payload == b"2"


@pytest.mark.parametrize("http", ["auto", "1"])
def test_http_1_goes_on_as_it_was(http: str) -> None:
    with running(http=http) as server:
        assert server.get().body == b"1.1"


def test_an_upgrade_is_taken_up() -> None:
    with running() as server, server.connect() as client:
        client.send(request("GET", "/", *UPGRADE))
        assert client.head().status == 101
        first = read_frame(client)
        assert first is not None
        assert first.kind == SETTINGS


def test_http_1_alone_neither_upgrades_nor_knows_the_preface() -> None:
    with running(http=1) as server, server.connect() as client:
        answered = client.get("/", *UPGRADE)
        assert (answered.status, answered.body) == (200, b"1.1")
        with server.connect() as other:
            other.send(PREFACE + settings())
            assert other.response().status == 505


@pytest.mark.parametrize("fields", [(), UPGRADE], ids=["plain", "upgrade"])
def test_http_2_alone_answers_no_other(fields: tuple[str, ...]) -> None:
    with running(http=2) as server, server.connect() as client:
        client.send(request("GET", "/", *fields))
        answered = client.response()
        assert (answered.status, answered.body) == (505, b"HTTP/2 alone is spoken here\n")
        client.assert_closed()


def test_what_is_granted_is_announced() -> None:
    options = {
        "http2_max_concurrent_streams": 7, "http2_initial_stream_window_size": "100k",
        "http2_initial_connection_window_size": "200k", "http2_max_frame_size": "20k",
        "http2_header_table_size": 1000, "limit_request_head": "8k",
    }  # fmt: skip
    with running(**options) as server:
        client = frames(server)
        assert client.frame().settings == {
            TABLE: 1000, STREAMS: 7, STREAM_WINDOW: 102400, FRAME: 20480, LIST: 8192, CONNECT: 1,
            NO_PRIORITIES: 1,
        }  # fmt: skip
        assert int.from_bytes(client.next(WINDOW).payload) == 204800 - 65535


@pytest.mark.parametrize(("ws", "announced"), [("auto", 1), ("none", None)])
def test_websockets_are_announced_where_they_are_spoken(ws: str, announced: int | None) -> None:
    with running(ws=ws) as server:
        assert frames(server).frame().settings.get(CONNECT) == announced
