"""Bodies that come in more pieces than anybody would send."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from native.stand import LOOPS, play, request, serving


@pytest.mark.parametrize("loop", LOOPS)
def test_tiny_chunks_that_wait_for_the_application_are_joined(loop: str) -> None:
    """So they take no more memory than they must, and as many are not slower than few."""
    count = 40_000

    async def body() -> None:
        go = asyncio.Event()
        pieces: list[bytes] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            more = True
            while more:
                event = await receive()
                pieces.append(event["body"])
                more = event["more_body"]
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

        async with serving(app) as stand:
            client = await stand.connect()
            await client.send(request("/", "Transfer-Encoding: chunked", method="POST"))
            await client.send(b"".join(b"1\r\n%c\r\n" % (97 + i % 26) for i in range(count)))
            while stand.board.totals().bytes_in < client.sent:
                await asyncio.sleep(0)
            go.set()
            await client.send(b"0\r\n\r\n")
            assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        assert b"".join(pieces) == (b"abcdefghijklmnopqrstuvwxyz" * count)[:count]
        assert len(pieces) < 2000

    play(loop, body)
