"""HTTP/2 where a client or an application is through before the other: what is sent, and to whom.

The client is the other end of a socket pair; see `stand`.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import hpack
import pytest
from native.h2_stand import connect, grant, request
from native.stand import LOOPS, play, serving, turn
from support.apps import answer, body, start
from support.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RESET,
    SETTINGS,
    frame,
)

REFUSED = 7
POST = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/")]


class Gate:
    """An application that waits until the test lets it go on."""

    def __init__(self, then: Any) -> None:
        self.then = then
        self.opened = asyncio.Event()
        self.ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.opened.wait()
        try:
            await self.then(scope, receive, send)
        except BaseException as error:
            self.ended.done() or self.ended.set_result(error)
            raise
        self.ended.done() or self.ended.set_result(None)


async def large(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"x" * 200_000, more=True))
    await send(body(b"x"))


async def crash(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("as the test wants it")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_head_does_not_wait_for_the_window_of_its_content(loop: str) -> None:
    async def run() -> None:
        gate = Gate(large)
        async with serving(gate) as stand:
            client, frames = await connect(stand, window=0)
            await client.send(request(1))
            await frames.until(SETTINGS, 0)
            await turn()
            gate.opened.set()
            # Nothing else is sent meanwhile that would bring it along.
            await frames.until(HEADERS, 1)

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_that_is_all_head_leaves_at_once(loop: str) -> None:
    async def run() -> None:
        gate = Gate(crash)
        async with serving(gate, timeout_keep_alive=0) as stand:
            client, frames = await connect(stand)
            await client.send(request(1, method="HEAD"))
            while (await frames.next()).kind != SETTINGS:  # type: ignore[union-attr]
                pass
            await turn()
            while True:
                try:
                    client.sock.recv(65536)
                except BlockingIOError:
                    break
            gate.opened.set()
            await gate.ended
            await turn()
            assert client.sock.recv(65536)[3:9] == bytes((HEADERS, 5, 0, 0, 0, 1))

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_has_half_closed_opens_no_window_any_more(loop: str) -> None:
    """Whether the window had closed before the client's end or closes only behind it."""

    async def run() -> None:
        gate = Gate(large)
        async with serving(gate) as stand:
            client, frames = await connect(stand)
            await client.send(request(1))
            client.sock.shutdown(socket.SHUT_WR)
            await turn()
            gate.opened.set()
            assert isinstance(await gate.ended, OSError)
            while await frames.next() is not None:
                pass

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_has_half_closed_has_what_its_windows_take(loop: str) -> None:
    async def run() -> None:
        gate = Gate(large)
        async with serving(gate) as stand:
            client, frames = await connect(stand, window=1 << 20)
            await client.send(grant(1 << 20) + request(1))
            client.sock.shutdown(socket.SHUT_WR)
            await turn()
            gate.opened.set()
            came = 0
            while (each := await frames.next()) is not None:
                came += len(each.payload) if each.kind == DATA else 0
            assert came == 200_001
            assert await gate.ended is None

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_ends_when_the_last_is_written_ends_once(loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * int(scope["path"][1:]))

    async def run() -> None:
        errors: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: errors.append(what))
        async with serving(app) as stand:
            for size in range(300_000, 2_100_000, 200_000):
                client, frames = await connect(stand, window=1 << 22)
                await client.send(grant(1 << 22) + request(1, f"/{size}"))
                client.sock.shutdown(socket.SHUT_WR)
                await turn()
                while await frames.next() is not None:
                    pass
        assert not errors

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_heads_that_nobody_reads_are_not_made_without_end(loop: str) -> None:
    """No flow control bounds them. The client is served when it reads again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, [(b"x-large", b"\xff" * 2000)]))
        await send(body())

    async def run() -> None:
        async with serving(app, http2_max_concurrent_streams=10) as stand:
            client, frames = await connect(stand)
            stream, rest, full = -1, b"", 0
            while full < 5:
                if not rest:
                    rest = b"".join(request(stream := stream + 2) for _ in range(50))
                try:
                    rest = rest[client.sock.send(rest) :]
                    full = 0
                except BlockingIOError:
                    full += 1
                await turn()
            assert stand.service.requests < stream // 2
            behind = asyncio.ensure_future(client.send(rest))
            for number in range(1, stream + 2, 2):
                await frames.until(HEADERS, number)
            await behind

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_refusal_that_waits_for_a_window_is_not_spoilt_by_what_still_comes(loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it is not called")

    async def run() -> None:
        async with serving(app, limit_request_body=5) as stand:
            client, frames = await connect(stand, window=0)
            block = hpack.Encoder().encode(
                [*POST, ("content-length", "10")],
            )
            await client.send(frame(HEADERS, END_HEADERS, 1, block))
            await frames.until(HEADERS, 1)
            await client.send(frame(DATA, END_STREAM, 1, b"0123456789") + grant(1000, 1))
            while (each := await frames.next()) is not None and each.stream != 1:
                pass
            assert each is not None
            assert (each.kind, each.flags) == (DATA, END_STREAM)

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_application_that_goes_on_behind_a_refusal_counts_as_a_stream(loop: str) -> None:
    async def run() -> None:
        end = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await end.wait()

        async with serving(app, limit_request_body=5, http2_max_concurrent_streams=2) as stand:
            client, frames = await connect(stand)
            for stream in (1, 3):
                await client.send(request(stream, method="POST", ends=False))
                await turn()
                await client.send(frame(DATA, 0, stream, b"0123456789"))
                await frames.until(RESET, stream)
            await client.send(request(5))
            assert (await frames.until(RESET, 5)).code == REFUSED
            end.set()
            await turn()
            await client.send(request(7))
            await frames.until(HEADERS, 7)

    play(loop, run)


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_of_a_file_follows_the_end_of_its_response(loop: str, tmp_path: Path) -> None:
    """An application that ends a response while its file is sent has broken the one, not more."""
    path = tmp_path / "file"
    path.write_bytes(b"f" * 300_000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/fine":
            return await answer(send, b"fine")
        await send(start())
        with path.open("rb") as file:
            message = {"type": "http.response.zerocopysend", "file": file, "offset": 0}
            sending = asyncio.ensure_future(send({**message, "more_body": True}))
            await asyncio.sleep(0)
            await send(body())
            with pytest.raises(RuntimeError, match="completed while a file"):
                await sending

    async def run() -> None:
        async with serving(app) as stand:
            client, frames = await connect(stand)
            await client.send(request(1, "/file"))
            await frames.until(HEADERS, 1)
            await client.send(grant(1 << 20) + grant(1 << 20, 1))
            while (await frames.until(DATA, 1)).flags != END_STREAM:
                pass
            await turn()
            await client.send(request(3, "/fine"))
            while (each := await frames.next()) is not None and each.stream != 3:
                assert each.stream == 0, each
            assert (await frames.until(DATA, 3)).payload == b"fine"

    play(loop, run)
