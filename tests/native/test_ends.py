"""Ends of a connection that its application has not heard of yet."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any

import pytest
from native.stand import LOOPS, play, request, serving, turn


@pytest.mark.parametrize("loop", LOOPS)
def test_a_head_that_was_held_is_lost_with_its_connection(loop: str) -> None:
    async def body() -> None:
        started, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        raised: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200})
            started.set()
            await go.wait()
            try:
                await send({"type": "http.response.body", "body": b"late"})
            except OSError as error:
                raised.append(error)
            finally:
                ended.set()

        async with serving(app) as stand:
            client = await stand.connect()
            await client.send(request())
            await started.wait()
            go.set()
            stand.service.abort()
            await ended.wait()
            assert len(raised) == 1
            assert await client.ended()

    play(loop, body)


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_is_waited_for_behind_the_clients_end(loop: str) -> None:
    """Though a body was not read to its end, nothing more of it can come."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def body() -> None:
        async with serving(app) as stand:
            client = await stand.connect()
            await client.send(request("/", "Content-Length: 100", method="POST", body=b"half"))
            client.sock.shutdown(socket.SHUT_WR)
            await client.until(b"\r\n\r\n")
            assert await client.ended()
            await turn()
            assert stand.service.connections == 0

    play(loop, body)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_an_application_keeps_of_a_request_may_outlive_the_service(loop: str) -> None:
    """The request is still in a deadline's queue when that goes: a sanitizer sees to this."""
    kept: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kept.append(send)
        while (await receive())["type"] != "http.disconnect":
            pass

    async def run() -> None:
        async with serving(app, cancel_on_disconnect=60) as stand:
            client = await stand.connect()
            await client.send(request())
            await turn()
            client.sock.close()
            await stand.service.wait_idle()

    play(loop, run)
    gc.collect()
    kept.clear()
