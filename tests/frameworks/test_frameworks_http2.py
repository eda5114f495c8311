"""The frameworks over HTTP/2: one connection, on which a little of everything happens at once."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
from apps.marks import stage
from apps.shared import CHUNK, EVENTS, LARGE_CHUNKS
from support.client import TIMEOUT

DOCUMENT = {"list": list(range(1000)), "text": "ß" * 5000}


def test_a_framework_answers_many_streams_of_one_connection(
    own_server: Any, framework: str, key: str
) -> None:
    async def document(http: httpx.AsyncClient) -> None:
        answer = await http.post("/json", json=DOCUMENT)
        assert (answer.http_version, answer.json()) == ("HTTP/2", DOCUMENT)

    async def form(http: httpx.AsyncClient) -> None:
        upload = {"upload": ("noise.bin", b"\xff" * 200_000, "application/octet-stream")}
        answer = await http.post("/form", data={"title": "Grüße"}, files=upload)
        assert (answer.json()["title"], answer.json()["size"]) == ("Grüße", 200_000)

    async def stream(http: httpx.AsyncClient) -> None:
        async with http.stream("GET", f"/stream/{key}") as answer:
            pieces = answer.aiter_raw()
            got = await anext(pieces)
            assert got == b"first\n"
            stage.mark(key)
            got += b"".join([piece async for piece in pieces])
        assert got == b"first\nsecond\n" + CHUNK * LARGE_CHUNKS

    async def events(http: httpx.AsyncClient) -> None:
        for number in range(EVENTS + 1):
            stage.mark(f"{key}/{number}")
        text = (await http.get(f"/events/{key}")).text
        assert text.count("event: tick") == EVENTS

    async def main(url: str) -> None:
        async with (
            httpx.AsyncClient(base_url=url, http1=False, http2=True, timeout=TIMEOUT) as http,
            anyio.create_task_group() as group,
        ):
            for request in (document, form, stream, events):
                group.start_soon(request, http)

    with own_server(framework) as (server, noise):
        anyio.run(main, server.url)
    assert noise == []
