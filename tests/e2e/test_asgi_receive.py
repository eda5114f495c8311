"""receive(): ASGI.md lines 15, 16 and 17."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.apps import answer, body, read_body, start
from support.carriers import HTTP1, Carrier
from support.client import request
from support.server import serve
from support.stage import Stage

EXPECT = "Expect: 100-continue"
WAYS = ("close", "reset")


async def messages_of(receive: Any) -> list[dict[str, Any]]:
    """The body's messages up to the last."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def received(carrier: Carrier, data: bytes) -> list[dict[str, Any]]:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("messages", await messages_of(receive))
        await answer(send)

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        assert client.ask(data).status == 200
        return list(stage.wait("messages"))


CHUNKED = request("POST", "/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (request("GET"), b""),
        (request("POST", "/", "Content-Length: 0"), b""),
        (request("POST", body=b"hello"), b"hello"),
        (request("POST", body=b"x" * 200_000), b"x" * 200_000),
    ],
    ids=["none", "zero", "short", "long"],
)
def test_line_15_messages_have_body_bytes_and_more_body(
    carrier: Carrier, data: bytes, whole: bytes
) -> None:
    check(received(carrier, data), whole)


def test_line_15_messages_of_a_body_in_chunks() -> None:
    check(received(HTTP1, CHUNKED), b"abcde")


def check(messages: list[dict[str, Any]], whole: bytes) -> None:
    for message in messages:
        assert message["type"] == "http.request"
        assert type(message["body"]) is bytes
        assert type(message["more_body"]) is bool
    assert [message["more_body"] for message in messages[:-1]] == [True] * (len(messages) - 1)
    assert messages[-1]["more_body"] is False
    assert b"".join(message["body"] for message in messages) == whole


def test_line_15_a_piece_of_the_body_is_given_as_soon_as_it_is_there(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            stage.mark("body", message["body"])
        await answer(send)

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("POST", "/", "Content-Length: 6"))
        for count, piece in enumerate((b"ab", b"cd", b"ef"), 1):
            client.send(piece)
            assert stage.wait("body", count) == piece
        assert client.response().status == 200


def test_line_15_reading_pauses_while_the_application_does_not_receive(carrier: Carrier) -> None:
    """Far more than any buffer is offered; the server must stop taking it."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await stage.until("go")
        await answer(send, str(len(await read_body(receive))).encode())

    size, piece = 32 << 20, b"x" * 65536
    with carrier.serve(app, lifespan="off") as server, server.connect(send_buffer=65536) as client:
        client.send(request("POST", "/", f"Content-Length: {size}"))
        stage.wait("started")
        sent = client.send_until_blocked(piece, size)
        assert sent < 16 << 20, "the server took the body without anyone reading it"
        stage.mark("go")
        while sent < size:
            client.send(piece[: size - sent])
            sent += len(piece)
        assert client.response().body == str(size).encode()


def test_line_16_continue_is_sent_on_the_first_receive_and_not_before(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await stage.until("go")
        await answer(send, await read_body(receive))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("POST", "/", EXPECT, "Content-Length: 5"))
        stage.wait("started")
        assert not client.readable()
        stage.mark("go")
        assert client.head().status == 100
        client.send(b"hello")
        answer_ = client.head()
        assert answer_.status == 200
        client.body(answer_)
        assert answer_.body == b"hello"
        client.get("/")


def test_line_16_no_continue_after_the_final_status(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"early", more=True))
        stage.mark("message", await receive())
        await send(body(b" done"))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("POST", "/", EXPECT, "Content-Length: 5"))
        head = client.head()
        assert head.status == 200
        client.send(b"hello")
        client.body(head)
        assert head.body == b"early done"
        assert stage.wait("message")["body"] == b"hello"


def test_line_16_no_continue_when_the_application_never_reads(carrier: Carrier) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"no", 403)

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("POST", "/", EXPECT, "Content-Length: 5"))
        assert client.head().status == 403


def test_line_16_an_unread_body_is_not_taken_for_a_request() -> None:
    paths: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await answer(send)

    hidden = request("GET", "/hidden")
    with serve(app, lifespan="off") as server:
        for chunk in (1, 7, len(hidden)):
            with server.connect() as client:
                client.send(request("POST", "/", f"Content-Length: {len(hidden)}"))
                assert client.response().status == 200
                try:
                    for at in range(0, len(hidden), chunk):
                        client.send(hidden[at : at + chunk])
                    client.shutdown()
                except OSError:
                    pass  # the server chose to close
                assert client.rest() == b""
    assert paths == ["/"] * 3


def test_line_17_after_the_response_receive_says_disconnect_every_time(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"ok")
        stage.mark("messages", [await receive() for _ in range(3)])

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        assert client.get("/").body == b"ok"
        assert stage.wait("messages") == [{"type": "http.disconnect"}] * 3
        assert client.get("/").body == b"ok"


def test_line_17_after_the_response_unread_body_is_gone(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"ok")
        stage.mark("message", await receive())

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        assert client.ask(request("POST", body=b"unread")).body == b"ok"
        assert stage.wait("message") == {"type": "http.disconnect"}


def test_line_17_a_waiting_receive_wakes_when_the_response_completes(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        listener = asyncio.create_task(receive())
        await asyncio.sleep(0)
        assert not listener.done()
        await answer(send, b"ok")
        stage.mark("message", await listener)

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        assert client.get("/").body == b"ok"
        assert stage.wait("message") == {"type": "http.disconnect"}
        assert client.get("/").body == b"ok"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_line_17_a_waiting_receive_wakes_when_the_client_goes(
    carrier: Carrier, way: str, transport: str, tmp_path: Any
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        stage.mark("listening")
        stage.mark("messages", [await receive() for _ in range(3)])

    options = {"uds": str(tmp_path / "s")} if transport == "unix" else {}
    with carrier.serve(app, lifespan="off", **options) as server:
        client = server.connect()
        client.send(request("GET"))
        stage.wait("listening")
        client.leave(way)
        assert stage.wait("messages") == [{"type": "http.disconnect"}] * 3


@pytest.mark.parametrize("way", WAYS)
def test_line_17_disconnect_wakes_a_receive_in_the_middle_of_the_body(
    carrier: Carrier, way: str
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("message", await receive())
        stage.mark("message", await receive())

    with carrier.serve(app, lifespan="off") as server:
        client = server.connect()
        client.send(request("POST", "/", "Content-Length: 10") + b"hello")
        first = stage.wait("message")
        assert (first["body"], first["more_body"]) == (b"hello", True)
        client.leave(way)
        assert stage.wait("message", 2) == {"type": "http.disconnect"}


@pytest.mark.parametrize("way", WAYS)
def test_line_17_disconnect_wakes_every_waiting_receive(carrier: Carrier, way: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        tasks = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        stage.mark("listening")
        stage.mark("messages", await asyncio.gather(*tasks))

    with carrier.serve(app, lifespan="off") as server:
        client = server.connect()
        client.send(request("GET"))
        stage.wait("listening")
        client.leave(way)
        assert stage.wait("messages") == [{"type": "http.disconnect"}] * 3


def test_line_17_a_client_that_left_before_the_application_asks(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await stage.until("gone")
        messages = [await receive()]
        while messages[-1]["type"] != "http.disconnect":
            messages.append(await receive())
        stage.mark("messages", messages)

    with carrier.serve(app, lifespan="off") as server:
        client = server.connect()
        client.send(request("GET"))
        stage.wait("started")
        client.leave()
        stage.mark("gone")
        assert len(stage.wait("messages")) <= 2


def test_line_17_a_pipelined_request_does_not_hide_that_the_client_left() -> None:
    """Reading is paused while a request waits behind; the end must be seen all the same."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        stage.mark("listening")
        stage.mark("message", await receive())

    with serve(app, lifespan="off") as server:
        client = server.connect()
        client.send(request("GET") * 2)
        stage.wait("listening")
        client.reset()
        assert stage.wait("message") == {"type": "http.disconnect"}
