"""What stands in front of HTTP/2 without TLS: an upgrade, a PROXY header, a redirect to https."""

from __future__ import annotations

import asyncio
from typing import Any

import hpack
import pytest
from native.h2_stand import Frames, connect, request
from native.stand import LOOPS, Client, play, serving, turn
from support.apps import answer
from support.http2 import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    SETTINGS,
    frame,
    settings,
)

UPGRADE = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
)
START = PREFACE + settings() + frame(SETTINGS, ACK)


async def client_of(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, repr((scope["client"], scope["scheme"], scope["http_version"])).encode())


async def upgraded(client: Client, line: bytes = b"GET / HTTP/1.1", *more: bytes) -> Frames:
    """Asks for the upgrade with `more` behind the request, up to the end of 101."""
    await client.send(line + b"\r\nHost: x\r\n" + UPGRADE + b"".join(more))
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return Frames(client)


def head(of: Any) -> dict[str, str]:
    return dict(hpack.Decoder().decode(of.payload))


@pytest.mark.parametrize("loop", LOOPS)
def test_an_upgrade_with_all_that_follows_in_one_read(loop: str) -> None:
    async def run() -> None:
        async with serving(client_of, websockets=False) as stand:
            client = await stand.connect()
            frames = await upgraded(client, b"GET / HTTP/1.1", b"\r\n", START, request(3))
            assert head(await frames.until(HEADERS, 1))[":status"] == "200"
            assert (await frames.until(DATA, 3)).payload == b"(None, 'http', '2')"

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("field", [b"", b"Expect: 100-continue\r\n", b"TE: trailers\r\n"])
def test_an_upgrade_of_head_is_answered_without_content(loop: str, field: bytes) -> None:
    async def run() -> None:
        async with serving(client_of) as stand:
            client = await stand.connect()
            frames = await upgraded(client, b"HEAD / HTTP/1.1", field, b"\r\n")
            assert (await frames.until(HEADERS, 1)).flags & END_STREAM
            await client.send(START + request(3))
            await frames.until(DATA, 3)

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_junk_behind_an_upgrade_ends_the_connection(loop: str) -> None:
    async def run() -> None:
        async with serving(client_of) as stand:
            client = await stand.connect()
            frames = await upgraded(client, b"GET / HTTP/1.1", b"\r\n", b"GET / HTTP/1.1\r\n")
            assert (await frames.until(GOAWAY, 0)).code == 1
            while await frames.next() is not None:
                pass

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_upgrade_above_the_limit_of_concurrency_is_answered_over_http_2(loop: str) -> None:
    async def run() -> None:
        end = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await end.wait()
            await answer(send)

        async with serving(app, limit_concurrency=1) as stand:
            first, _ = await connect(stand)
            await first.send(request(1))
            await turn()
            client = await stand.connect()
            frames = await upgraded(client, b"GET / HTTP/1.1", b"\r\n", START)
            assert head(await frames.until(HEADERS, 1))[":status"] == "503"
            end.set()

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("cut", [None, 10, 40])
def test_a_proxys_header_goes_before_the_preface(loop: str, cut: int | None) -> None:
    async def run() -> None:
        options = {"proxy_protocol": True, "forwarded_allow_ips": ["unix"]}
        async with serving(client_of, **options) as stand:
            client = await stand.connect()
            data = b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 80\r\n" + START + request(1)
            await client.send(data[:cut])
            await turn()
            await client.send(data[cut:] if cut else b"")
            told = (await Frames(client).until(DATA, 1)).payload
            assert told == b"(('192.0.2.7', 5555), 'http', '2')"

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_plain_http_2_is_sent_to_https_where_http_1_is(loop: str) -> None:
    async def run() -> None:
        async with serving(client_of, redirect_port=8443) as stand:
            client, frames = await connect(stand)
            await client.send(request(1, "/a?b"))
            fields = head(await frames.until(HEADERS, 1))
            assert fields[":status"] == "308"
            assert fields["location"] == "https://x:8443/a?b"

    play(loop, run)
