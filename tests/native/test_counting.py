"""What a service counts on its row of the board, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from native.stand import LOOPS, Client, Stand, play, request, serving, turn
from support.apps import answer, body, read_body, start

from fastserve.board import RowState, WebSocketTotals

pytestmark = pytest.mark.parametrize("loop", LOOPS)


async def status(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers with the status that the path says."""
    await read_body(receive)
    await answer(send, b"" if scope["path"] == "/204" else b"text", int(scope["path"][1:]))


def responses(stand: Stand) -> dict[str, int]:
    """Those counted at all."""
    return {name: n for name, n in stand.board.totals().responses.items() if n}


def state(stand: Stand) -> RowState:
    (only,) = stand.board.rows()
    return only


def test_responses_are_counted_by_class(loop: str) -> None:
    async def scene() -> None:
        async with serving(status) as stand:
            client = await stand.connect()
            for code in (200, 201, 301, 404, 499, 500, 503):
                await client.get(f"/{code}")
            assert responses(stand) == {"2xx": 2, "3xx": 1, "4xx": 2, "5xx": 2}
            assert stand.board.totals().requests == state(stand).requests == 7

    play(loop, scene)


def test_an_application_that_fails_is_a_5xx(loop: str) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("on purpose")

    async def scene() -> None:
        async with serving(fails) as stand:
            client = await stand.connect()
            await client.get()
            assert responses(stand) == {"5xx": 1}

    play(loop, scene)


def test_what_is_refused_is_counted_though_it_was_no_request(loop: str) -> None:
    async def scene() -> None:
        async with serving(status, timed=True) as stand:
            client = await stand.connect()
            await client.send(b"nonsense\r\n\r\n")
            await client.answer()
            assert responses(stand) == {"4xx": 1}
            assert stand.board.totals().requests == 0

    play(loop, scene)


def test_a_client_that_leaves_before_its_answer_is_counted_as_aborted(loop: str) -> None:
    async def scene() -> None:
        entered = asyncio.Event()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            while (await receive())["type"] != "http.disconnect":
                pass

        async with serving(waits) as stand:
            client = await stand.connect()
            await client.send(request())
            await entered.wait()
            client.sock.close()
            await stand.service.wait_idle()
            assert responses(stand) == {"aborted": 1}
            assert state(stand).exchanges == 0

    play(loop, scene)


def test_bytes_are_those_that_went_over_the_connection(loop: str) -> None:
    async def scene() -> None:
        async with serving(status) as stand:
            client = await stand.connect()
            await client.get("/200")
            upload = b"x" * 300_000  # long enough to be read past the parser
            await client.send(
                request("/201", f"Content-Length: {len(upload)}", method="POST", body=upload)
            )
            await client.answer()
            totals = stand.board.totals()
            assert (totals.bytes_in, totals.bytes_out) == (client.sent, client.received)

    play(loop, scene)


def test_large_answers_and_files_are_counted_byte_by_byte(loop: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"f" * 3_000_000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(headers=[(b"content-length", b"3000000")]))
        if scope["path"] == "/file":
            await send({"type": "http.response.pathsend", "path": str(file)})
        else:
            await send(body(b"m" * 3_000_000))

    async def scene() -> None:
        async with serving(app) as stand:
            client = await stand.connect()
            for target in ("/file", "/memory"):
                await client.get(target)
                assert stand.board.totals().bytes_out == client.received

    play(loop, scene)


def test_connections_and_exchanges_are_gauged(loop: str) -> None:
    async def scene() -> None:
        entered, opened = asyncio.Event(), asyncio.Event()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await opened.wait()
            await answer(send)

        async with serving(waits) as stand:
            client, other = await stand.connect(), await stand.connect()
            await client.send(request())
            await entered.wait()
            assert (state(stand).connections, state(stand).exchanges) == (2, 1)
            opened.set()
            await client.answer()
            other.sock.close()
            while stand.service.connections == 2:
                await turn()
            assert (state(stand).connections, state(stand).exchanges) == (1, 0)
            assert stand.board.totals().connections == 2

    play(loop, scene)


def test_aborted_connections_are_counted_out_once(loop: str) -> None:
    async def scene() -> None:
        async with serving(status) as stand:
            fresh, used, half = [await stand.connect() for _ in range(3)]
            await used.get("/200")
            await half.send(b"GET / H")
            await turn()
            stand.service.abort()
            stand.service.abort()
            await stand.service.wait_idle()
            assert state(stand).connections == 0
            assert stand.board.totals().connections == 3
            for client in (fresh, used, half):
                with contextlib.suppress(ConnectionError):
                    assert await client.ended()

    play(loop, scene)


def test_a_handshake_that_fails_makes_no_connection(loop: str) -> None:
    async def scene() -> None:
        async with serving(status) as stand:
            running = asyncio.get_running_loop()
            # Without a certificate no client finds a cipher in common.
            server = await running.create_server(
                stand.service.make_protocol,
                "127.0.0.1",
                0,
                ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            )
            address = server.sockets[0].getsockname()
            running.set_exception_handler(lambda *_: None)
            for ours in (b"GET / HTTP/1.1\r\n\r\n", b""):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(ours)
                writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
            server.close()
            await server.wait_closed()
            assert stand.service.connections == state(stand).connections == 0
            assert stand.board.totals().connections == 0

    play(loop, scene)


@pytest.mark.parametrize("options", [{"timed": True}, {"access_write": lambda lines: None}])
def test_latency_is_measured_where_the_time_is_taken(loop: str, options: Any) -> None:
    async def scene() -> None:
        async with serving(status, **options) as stand:
            client = await stand.connect()
            for _ in range(5):
                await client.get("/200")
            totals = stand.board.totals()
            counts = [count for _, count in totals.latency_buckets]
            assert counts[-1] == 5
            assert counts == sorted(counts)
            assert 0 < totals.latency_sum < 30

    play(loop, scene)


def test_latency_is_not_measured_otherwise(loop: str) -> None:
    async def scene() -> None:
        async with serving(status) as stand:
            client = await stand.connect()
            await client.get("/200")
            totals = stand.board.totals()
            assert (totals.latency_buckets[-1][1], totals.latency_sum) == (0, 0)

    play(loop, scene)


def test_the_request_line_last_begun_is_noted(loop: str) -> None:
    async def scene() -> None:
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(state(stand).last_request)
            await answer(send)

        async with serving(app) as stand:
            client = await stand.connect()
            await client.get("/first?a=%41")
            await client.send(request("/longer-than-the-first", method="DELETE"))
            await client.answer()
            await client.get("/" + "y" * 500)
            await client.get("/short")
            assert seen == [
                "GET /first?a=%41",
                "DELETE /longer-than-the-first",
                "GET /" + "y" * 155,
                "GET /short",
            ]

    play(loop, scene)


def test_the_next_process_of_a_row_begins_at_zero_and_totals_go_on(loop: str) -> None:
    async def scene() -> None:
        async with serving(status) as stand:
            client = await stand.connect()
            await client.get("/200")
            board = stand.board
            client.sock.close()
            await stand.service.wait_idle()
            index = state(stand).index
            board.give_back(index)
            assert board.rows() == []
            assert board.take(slot=2) == index
            assert (state(stand).requests, state(stand).last_request) == (0, "")
            assert (board.totals().requests, board.totals().connections) == (1, 1)

    play(loop, scene)


# -- WebSockets ------------------------------------------------------------------------

UPGRADE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip
TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88


def frame(kind: int, payload: bytes = b"") -> bytes:
    """A short frame of a client, under a mask that changes nothing."""
    return bytes((kind, 0x80 | len(payload))) + bytes(4) + payload


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends back what comes; the text "close" is answered with 4000, "fail" is an error."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4000})
        elif message.get("text") == "fail":
            raise RuntimeError("on purpose")
        else:
            await send({**message, "type": "websocket.send"})


@contextlib.asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[tuple[Stand, Client]]:
    """A service that echoes, and a client with an open WebSocket."""
    async with serving(echo, **options) as stand:
        client = await stand.connect()
        await client.send(request("/chat", *UPGRADE))
        assert b" 101 " in await client.until(b"\r\n\r\n")
        yield stand, client


def websockets(stand: Stand) -> WebSocketTotals:
    return stand.board.totals().websockets


def closes(stand: Stand) -> dict[str, int]:
    """Those counted at all."""
    return {code: n for code, n in websockets(stand).closes.items() if n}


def test_messages_are_counted_as_the_application_sees_them(loop: str) -> None:
    async def scene() -> None:
        async with opened() as (stand, client):
            assert (state(stand).websockets, websockets(stand).opened) == (1, 1)
            for kind, payload in ((TEXT, "h\xe9".encode()), (BINARY, bytes(100)), (TEXT, b"")):
                await client.send(frame(kind, payload))
                await client.until(bytes((kind, len(payload))) + payload)
            await client.send(frame(0x01, b"in ") + frame(0x89, b"ping") + frame(0x80, b"two"))
            await client.until(b"in two")
            await client.send(frame(CLOSE, b"\x03\xe8"))
            await client.until(b"\x88\x02\x03\xe8")
            await stand.service.wait_idle()
            totals = websockets(stand)
            assert (totals.messages_in, totals.bytes_in) == (4, 3 + 100 + 6)
            assert (totals.messages_out, totals.bytes_out) == (4, 3 + 100 + 6)
            assert (state(stand).websockets, totals.opened, closes(stand)) == (0, 1, {"1000": 1})
            assert responses(stand) == {"1xx": 1}

    play(loop, scene)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(CLOSE, b"\x03\xe9bye"), "1001"),
        (frame(CLOSE), "1005"),
        (b"", "1006"),
        (frame(0x83), "1002"),
        (frame(TEXT, b"\xff"), "1007"),
        (frame(TEXT, b"x" * 101), "1009"),
        (frame(TEXT, b"fail"), "1011"),
        (frame(TEXT, b"close") + frame(CLOSE, b"\x0f\xa0"), "other"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_websocket_is_counted_out_once_with_its_close_code(
    loop: str, sent: bytes, code: str
) -> None:
    async def scene() -> None:
        async with opened(ws_max_size=100) as (stand, client):
            await client.send(sent)
            if code == "1011":
                await client.until(b"\x03\xf3")
                await client.send(frame(CLOSE, b"\x03\xf3"))
            client.sock.close()
            await stand.service.wait_idle()
            assert (closes(stand), websockets(stand).opened) == ({code: 1}, 1)
            assert state(stand).websockets == 0

    play(loop, scene)


def test_a_websocket_that_is_denied_is_a_response_and_no_websocket(loop: str) -> None:
    async def denies(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    async def scene() -> None:
        async with serving(denies) as stand:
            client = await stand.connect()
            await client.send(request("/chat", *UPGRADE))
            await client.until(b"\r\n\r\n")
            assert responses(stand) == {"4xx": 1}
            assert (state(stand).websockets, websockets(stand).opened) == (0, 0)

    play(loop, scene)


def test_the_line_of_a_websocket_is_written_when_it_has_closed(loop: str) -> None:
    async def scene() -> None:
        lines: list[bytes] = []
        async with opened(access_write=lines.append) as (stand, client):
            for _ in range(3):
                await client.send(frame(TEXT, b"hello"))
                await client.until(b"hello")
            assert lines == []
            await client.send(frame(CLOSE, b"\x03\xe8"))
            await client.until(b"\x88\x02\x03\xe8")
            client.sock.close()
            await stand.service.wait_idle()
        (line,) = b"".join(lines).decode().splitlines()
        assert re.fullmatch(
            r'\S+ \S+ \S+ "GET /chat HTTP/1\.1" 101 \d+ \d+\.\d{3}ms ws 1000 in 3/15 out 3/15', line
        ), line

    play(loop, scene)
