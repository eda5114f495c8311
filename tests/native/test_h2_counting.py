"""What a service counts of HTTP/2: connections, streams that were reset, errors by their cause."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import hpack
import pytest
from native.stand import LOOPS, Client, Stand, play, serving, turn
from support.apps import answer, body, start
from support.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RESET,
    SETTINGS,
    WINDOW,
    frame,
    settings,
)

from fastserve.board import Http2Totals

# The first of a connection refers to no other, so it may be repeated.
BLOCK = hpack.Encoder().encode(
    [(":method", "GET"), (":scheme", "http"), (":authority", "x.test"), (":path", "/")]
)
CANCEL = (8).to_bytes(4)
FEW = 5
LIMITS = {"http2_limit_resets": FEW, "http2_limit_control_frames": FEW}


async def waits(scope: Any, receive: Any, send: Any) -> None:
    """Answers nobody who stays."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello")


def opened(stream: int, *, ends: bool = True) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, BLOCK)


@contextlib.asynccontextmanager
async def connected(app: Any, **options: Any) -> AsyncIterator[tuple[Stand, Client]]:
    """A service, and a client that speaks HTTP/2 with it."""
    async with serving(app, **options) as stand:
        client = await stand.connect()
        await client.send(PREFACE + settings() + frame(SETTINGS, ACK))
        yield stand, client


def http2(stand: Stand) -> Http2Totals:
    return stand.board.totals().http2


def counted(counts: dict[str, int]) -> dict[str, int]:
    """Those counted at all."""
    return {cause: n for cause, n in counts.items() if n}


async def failure(stand: Stand) -> dict[str, int]:
    """The errors, once there is one."""
    while not counted(http2(stand).errors):
        await turn()
    return counted(http2(stand).errors)


@pytest.mark.parametrize("loop", LOOPS)
def test_requests_that_go_well_count_their_connection_alone(loop: str) -> None:
    async def scene() -> None:
        async with connected(hello) as (stand, client):
            await client.send(opened(1) + opened(3))
            for _ in range(2):
                await client.until(b"hello")
            other = await stand.connect()
            await other.get()
            totals = http2(stand)
            assert (totals.connections, stand.board.totals().connections) == (1, 2)
            assert counted(totals.resets) == counted(totals.errors) == {}

    play(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_streams_are_counted_by_why_they_were_reset(loop: str) -> None:
    async def scene() -> None:
        async with connected(waits, http2_max_concurrent_streams=2) as (stand, client):
            await client.send(opened(1) + opened(3) + opened(5) + opened(7))
            await client.send(frame(RESET, 0, 1, CANCEL))
            await client.send(frame(WINDOW, 0, 3, bytes(4)))
            while not http2(stand).resets["error"]:
                await turn()
            assert counted(http2(stand).resets) == {"client": 1, "error": 1, "refused": 2}
            assert counted(http2(stand).errors) == {}

    play(loop, scene)


def resets() -> bytes:
    numbers = range(1, 4 * FEW, 2)
    return b"".join(opened(number) + frame(RESET, 0, number, CANCEL) for number in numbers)


def wrongs() -> bytes:
    numbers = range(1, 4 * FEW, 2)
    return b"".join(opened(number) + frame(WINDOW, 0, number, bytes(4)) for number in numbers)


FLOODS = {
    "reset": resets(),
    "error": wrongs(),
    "settings": settings() * 2 * FEW,
    "ping": frame(PING, payload=bytes(8)) * 2 * FEW,
    "empty": opened(1, ends=False) + frame(DATA, 0, 1) * 2 * FEW,
    "window": frame(WINDOW, 0, 0, (1).to_bytes(4)) * 2 * FEW,
    "priority": frame(PRIORITY, 0, 1, bytes(5)) * 2 * FEW,
    "unknown": frame(0xFA) * 2 * FEW,
    "large": frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 0, 1) * 100,
    "other": frame(WINDOW, 0, 0, bytes(4)),
}


@pytest.mark.parametrize("cause", FLOODS)
def test_a_connection_that_is_ended_is_counted_once_by_its_cause(cause: str) -> None:
    async def scene() -> None:
        async with connected(waits, **LIMITS) as (stand, client):
            await client.send(FLOODS[cause] + opened(99))
            assert await failure(stand) == {cause: 1}
            client.sock.close()
            await stand.service.wait_idle()
            assert counted(http2(stand).errors) == {cause: 1}

    play("asyncio", scene)


def test_what_the_server_waits_for_in_vain_is_counted() -> None:
    """Room for a response; the rest of a frame, and the acknowledgement of its settings."""

    async def pours(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        with contextlib.suppress(OSError):
            while True:
                await send(body(b"x" * 100_000, more=True))

    async def scene() -> None:
        short = {"timeout_write": 0.1, "timeout_request_head": 0.1, "http2_settings_timeout": 0.1}
        async with connected(pours, **short) as (stand, client):
            cut, silent = await stand.connect(), await stand.connect()
            await client.send(opened(1))
            await cut.send(PREFACE + settings() + frame(SETTINGS, ACK) + opened(1)[:-1])
            await silent.send(PREFACE + settings())
            while not http2(stand).resets["stalled"] or http2(stand).errors["slow"] < 2:
                await asyncio.sleep(0.01)
            assert counted(http2(stand).resets) == {"stalled": 1}
            assert counted(http2(stand).errors) == {"slow": 2}

    play("asyncio", scene)
