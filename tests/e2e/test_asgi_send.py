"""send(): ASGI.md lines 18 to 22."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.apps import answer, body, start
from support.carriers import HTTP1, Carrier
from support.client import Response, request
from support.server import serve
from support.stage import Stage


def ask(carrier: Carrier, app: Any, data: bytes = request("GET"), method: str = "GET") -> Response:
    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        return client.ask(data, method)


def test_line_18_the_head_waits_for_the_first_body_message(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        stage.mark("started")
        await stage.until("go")
        await send(body(b"hello"))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        stage.wait("started")
        assert not client.readable()
        stage.mark("go")
        assert client.response().body == b"hello"


def test_line_18_an_error_behind_the_start_becomes_a_clean_500(carrier: Carrier, logs: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, [(b"x-secret", b"1")]))
        await asyncio.sleep(0)
        raise RuntimeError("late")

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        answer_ = client.get()
        assert answer_.status == 500
        assert answer_.header("x-secret") is None
        client.assert_refused(answer_)


def test_line_18_the_first_body_message_sends_the_head_at_once(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"", more=True))
        await stage.until("go")
        await send(body(b"hello"))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        assert client.head().status == 200
        stage.mark("go")
        assert client.read(5) == b"hello"
        client.end_of_body()


def test_line_18_every_piece_leaves_without_the_next(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for name in ("one", "two", "three"):
            await send(body(name.encode(), more=True))
            await stage.until(name)
        await send(body())

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        client.head()
        for name in ("one", "two", "three"):
            assert client.read(len(name)) == name.encode()
            stage.mark(name)
        client.end_of_body()


def test_line_18_head_and_body_leave_in_one_write() -> None:
    """What is complete in one go reaches the client in one piece."""
    with (
        serve(lambda s, r, send: answer(send, b"hello"), lifespan="off") as server,
        server.connect() as client,
    ):
        for _ in range(20):
            client.send(request("GET"))
            data = client.sock.recv(65536)
            assert data.endswith(b"\r\n\r\nhello")


def test_line_19_header_order_and_duplicates_are_preserved(carrier: Carrier) -> None:
    pairs = [
        (b"x-b", b"1"),
        (b"set-cookie", b"a"),
        (b"x-a", b"2"),
        (b"set-cookie", b"b"),
        (b"x-b", b"3"),
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, pairs))
        await send(body(b"hello"))

    names = {name.decode() for name, _ in pairs}
    got = [pair for pair in ask(carrier, app).headers if pair[0] in names]
    assert got == [(name.decode(), value.decode()) for name, value in pairs]


@pytest.mark.parametrize(
    "made",
    [
        lambda: [[b"x", b"1"]],
        lambda: ((b"x", b"1"),),
        lambda: iter([(b"x", b"1")]),
        lambda: [iter((b"x", b"1"))],
    ],
    ids=["lists", "tuple", "iterator", "pair-iterator"],
)
def test_line_19_headers_may_be_any_iterable_of_pairs(carrier: Carrier, made: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": made()})
        await send(body(b"hello"))

    assert ask(carrier, app).header("x") == "1"


def test_line_19_headers_may_be_left_out(carrier: Carrier) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    answer_ = ask(carrier, app)
    assert (answer_.status, answer_.body) == (200, b"")


@pytest.mark.parametrize("pieces", [1, 2])
def test_line_19_the_applications_transfer_encoding_is_ignored(
    carrier: Carrier, pieces: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, [(b"Transfer-Encoding", b"gzip"), (b"x", b"1")]))
        if pieces == 2:
            await send(body(b"hel", more=True))
        await send(body(b"hello"[3 if pieces == 2 else 0 :]))

    answer_ = ask(carrier, app)
    assert answer_.all("transfer-encoding") == ([] if pieces == 1 else carrier.codings)
    assert (answer_.header("x"), answer_.body) == ("1", b"hello")


START = {"type": "http.response.start"}
BAD = {
    "no type": {"status": 200},
    "unknown type": {"type": "http.response.nothing"},
    "type of a websocket": {"type": "websocket.accept"},
    "type that is no str": {"type": 1},
    "no status": START,
    "status that is no int": {**START, "status": "200"},
    "status none": {**START, "status": None},
    "status too small": {**START, "status": 99},
    "status interim": {**START, "status": 100},
    "status too large": {**START, "status": 1000},
    "str name": {**START, "status": 200, "headers": [("x", b"1")]},
    "str value": {**START, "status": 200, "headers": [(b"x", "1")]},
    "pair of three": {**START, "status": 200, "headers": [(b"x", b"1", b"2")]},
    "no pair": {**START, "status": 200, "headers": [b"x"]},
    "line end in value": {**START, "status": 200, "headers": [(b"x", b"1\r\ny: 2")]},
    "line end in name": {**START, "status": 200, "headers": [(b"x\r\n", b"1")]},
    "nul in value": {**START, "status": 200, "headers": [(b"x", b"\0")]},
    "colon in name": {**START, "status": 200, "headers": [(b"x:", b"1")]},
    "empty name": {**START, "status": 200, "headers": [(b"", b"1")]},
    "str headers": {**START, "status": 200, "headers": "x: 1"},
    "body before start": {"type": "http.response.body", "body": b"x"},
    "trailers before start": {"type": "http.response.trailers", "headers": []},
}


@pytest.mark.parametrize("message", BAD.values(), ids=BAD.keys())
def test_line_19_a_bad_message_raises_and_leaves_the_response_usable(
    carrier: Carrier, message: Any
) -> None:
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(message)
        except Exception as error:
            raised.append(error)
        await answer(send, b"fine")

    answer_ = ask(carrier, app)
    assert len(raised) == 1
    assert not isinstance(raised[0], OSError)
    assert (answer_.status, answer_.body) == (200, b"fine")


BAD_BODY = {
    "str body": {"type": "http.response.body", "body": "text"},
    "body of a list": {"type": "http.response.body", "body": [1]},
    "second start": start(),
}


@pytest.mark.parametrize("message", BAD_BODY.values(), ids=BAD_BODY.keys())
def test_line_19_a_bad_message_behind_the_start_raises(carrier: Carrier, message: Any) -> None:
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            await send(message)
        except Exception as error:
            raised.append(error)
        await send(body(b"fine"))

    answer_ = ask(carrier, app)
    assert len(raised) == 1
    assert (answer_.status, answer_.body) == (200, b"fine")


def test_line_19_extra_keys_are_ignored(carrier: Carrier) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**start(), "extra": 1, "trailers": False})
        await send({**body(b"fine"), "extra": object()})

    assert ask(carrier, app).body == b"fine"


@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=["bytearray", "view"])
def test_line_19_other_bytes_like_bodies_do_not_change_after_send(
    carrier: Carrier, kind: Any
) -> None:
    data = kind(b"hello")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(data))
        if isinstance(data, bytearray):
            data[:] = b"XXXXX"

    assert ask(carrier, app).body == b"hello"


def test_line_20_no_length_means_chunks_on_1_1() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"hel", more=True))
        await send(body(b"lo"))

    answer_ = ask(HTTP1, app)
    assert answer_.header("transfer-encoding") == "chunked"
    assert answer_.chunks == [b"hel", b"lo"]
    old = ask(HTTP1, app, request("GET").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert old.header("transfer-encoding") is None
    assert old.body == b"hello"


@pytest.mark.parametrize("data", [b"", b"never seen"])
def test_line_20_no_body_and_no_length_with_204(carrier: Carrier, data: bytes) -> None:
    for got in bodiless(carrier, 204, data):
        assert got.header("content-length") is None


@pytest.mark.parametrize("data", [b"", b"never seen"])
def test_line_20_no_body_but_its_length_with_304(data: bytes) -> None:
    """Over HTTP/2 in test_http2_asgi: the h2 package takes that length for the content's."""
    for got in bodiless(HTTP1, 304, data):
        assert got.header("content-length") == "10"


def bodiless(carrier: Carrier, status: int, data: bytes) -> list[Response]:
    """Two answers of one connection, so that what follows the first would show."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(status, [(b"content-length", b"10")]))
        await send(body(data[:5], more=True))
        await send(body(data[5:]))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        answers = [client.get("/") for _ in range(2)]
    for each in answers:
        assert (each.status, each.body) == (status, b"")
        assert each.header("transfer-encoding") is None
    return answers


def test_line_20_head_keeps_the_length_and_sends_no_body(carrier: Carrier) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, [(b"content-length", b"5")]))
        await send(body(b"hello"))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        for _ in range(2):
            answer_ = client.ask(request("HEAD"), "HEAD")
            assert answer_.header("content-length") == "5"
        assert client.get("/").body == b"hello"


def big(stage: Stage, total: int, piece: int) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for sent in range(0, total, piece):
            await send(body(b"x" * piece, more=True))
            stage.mark("sent", sent)
        await send(body())
        stage.mark("done")

    return app


def test_line_21_send_waits_for_a_client_that_does_not_read(carrier: Carrier) -> None:
    stage, total, piece = Stage(), 64 << 20, 65536
    with (
        carrier.serve(big(stage, total, piece), lifespan="off") as server,
        server.connect(receive_buffer=65536) as client,
    ):
        client.send(request("GET"))
        stage.wait("sent")
        # The count of pieces comes to a stop, with the client's buffers full.
        while True:
            before = stage.count("sent")
            try:
                stage.wait("sent", before + 1, timeout=0.5)
            except AssertionError:
                break
        assert before * piece < 16 << 20, "send() did not wait"
        assert not stage.has("done")
        assert len(client.response().body) == total
        stage.wait("done")


def test_line_21_a_waiting_send_ends_when_the_client_goes(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            for count in range(10_000):
                stage.mark("sent", count)
                await send(body(b"x" * 65536, more=True))
        except OSError as error:
            stage.mark("error", error)

    with carrier.serve(app, lifespan="off") as server:
        client = server.connect(receive_buffer=65536)
        client.send(request("GET"))
        client.head()
        client.leave()
        assert isinstance(stage.wait("error"), OSError)


def test_line_21_what_send_took_is_sent_even_if_the_application_waits_for_ever(
    carrier: Carrier,
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x" * 1_000_000, more=True))
        await stage.until("go")
        await send(body())

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        client.head()
        assert client.read(1_000_000) == b"x" * 1_000_000
        stage.mark("go")
        client.end_of_body()


@pytest.mark.parametrize(
    "message",
    [body(b"more"), body(b"more", more=True), start(), {"type": "http.response.trailers"}],
    ids=["body", "more body", "start", "trailers"],
)
def test_line_22_messages_behind_the_last_are_ignored(carrier: Carrier, message: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"done")
        await send(message)

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        for _ in range(3):
            assert client.get("/").body == b"done"


def test_line_22_a_crash_behind_the_last_message_is_logged_and_costs_nothing(
    carrier: Carrier, logs: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"done")
        raise RuntimeError("afterwards")

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        assert client.get("/").body == b"done"
        assert client.get("/").body == b"done"
    assert [text.count("afterwards") > 0 for text in logs.noise] == [True, True]


def test_line_22_work_behind_the_last_message_does_not_hold_up_the_next_request(
    carrier: Carrier,
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, scope["path"].encode())
        if scope["path"] == "/slow":
            await stage.until("go")
            stage.mark("over")

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        assert client.get("/slow").body == b"/slow"
        assert client.get("/next").body == b"/next"
        stage.mark("go")
        stage.wait("over")
