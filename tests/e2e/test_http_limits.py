"""Limits that concern more than one request; those of one request are in tests/wire/limits.md."""

from __future__ import annotations

from typing import Any

import pytest
from support.apps import answer, read_body
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage


async def count(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, str(len(await read_body(receive))).encode())


def test_the_default_limits_take_what_browsers_send(carrier: Carrier) -> None:
    lines = [f"X-{number}: {'v' * 100}" for number in range(90)]
    with carrier.serve(count, lifespan="off") as server, server.connect() as client:
        assert client.get("/" + "a" * 8000, *lines).status == 200
        assert client.get("/", "Cookie: " + "c" * 16000).status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("GET", "/" + "a" * 8192), 414),
        (request("GET", "/", "X: " + "v" * 16384), 431),
        (request("GET", "/", *[f"X-{number}: v" for number in range(101)]), 431),
        (request("GET", "/", *[f"X-{number}: {'v' * 10000}" for number in range(7)]), 431),
    ],
    ids=["line", "field", "fields", "head"],
)
def test_the_default_limits(carrier: Carrier, data: bytes, status: int) -> None:
    with carrier.serve(count, lifespan="off") as server, server.connect() as client:
        answer_ = client.ask(data)
        assert answer_.status == status
        client.assert_refused(answer_)


def test_no_default_limit_on_bodies(carrier: Carrier) -> None:
    with carrier.serve(count, lifespan="off") as server, server.connect() as client:
        assert client.ask(request("POST", body=b"x" * (8 << 20))).body == b"8388608"


def test_an_early_413_is_readable_though_the_client_goes_on_sending() -> None:
    """The server lingers, or the reset would destroy its answer (RFC 9112, section 9.6)."""
    with serve(count, lifespan="off", limit_request_body=1000) as server:
        for _ in range(5):
            with server.connect() as client:
                client.send(request("POST", "/", "Content-Length: 1000000"))
                try:
                    for _ in range(10):
                        client.send(b"x" * 100_000)
                except OSError:
                    pass
                answer_ = client.response()
                assert answer_.status == 413
                assert answer_.header("connection") == "close"


def test_a_late_413_wakes_the_application() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        try:
            await read_body(receive)
        except ConnectionError:
            stage.mark("disconnect")

    with serve(app, lifespan="off", limit_request_body=10) as server, server.connect() as client:
        client.send(request("POST", "/", "Transfer-Encoding: chunked"))
        client.send(b"5\r\nhello\r\n")
        stage.wait("started")
        client.send(b"6\r\nworld!\r\n")
        assert client.response().status == 413
        stage.wait("disconnect")


def test_above_the_limit_of_concurrency_the_answer_is_503(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            stage.mark("started")
            await stage.until("go")
        await answer(send, b"ok")

    with carrier.serve(app, lifespan="off", limit_concurrency=2) as server:
        slow = [server.connect() for _ in range(2)]
        for client in slow:
            client.send(request("GET", "/slow"))
        stage.wait("started", 2)
        with server.connect() as client:
            refused = client.get("/")
            assert refused.status == 503
            client.assert_refused(refused)
        stage.mark("go")
        assert [client.response().status for client in slow] == [200, 200]
        assert server.get("/").status == 200


def test_connections_that_idle_do_not_count_as_concurrency(carrier: Carrier) -> None:
    with carrier.serve(count, lifespan="off", limit_concurrency=2) as server:
        clients = [server.connect() for _ in range(5)]
        for client in clients:
            assert client.get("/").status == 200
        assert clients[0].get("/").status == 200


def test_the_last_request_that_a_connection_may_carry_is_told_so() -> None:
    with serve(count, lifespan="off", limit_connection_requests=3) as server:
        client = server.connect()
        assert [client.get("/").header("connection") for _ in range(3)] == [None, None, "close"]
        client.assert_closed()
        assert server.get("/").status == 200, "the count is each connection's own"


def test_requests_sent_behind_the_last_one_are_not_served() -> None:
    served = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        served.append(scope["path"])
        await answer(send)

    with serve(app, lifespan="off", limit_connection_requests=2) as server:
        client = server.connect()
        client.send(b"".join(request("GET", f"/{n}") for n in range(5)))
        assert [client.response().header("connection") for _ in range(2)] == [None, "close"]
        client.assert_closed()
    assert served == ["/0", "/1"]


def test_headers_of_the_options_are_sent_with_every_response(carrier: Carrier) -> None:
    headers = [("x-extra", "1"), ("x-extra", "2")]
    with (
        carrier.serve(count, lifespan="off", headers=headers) as server,
        server.connect() as client,
    ):
        for _ in range(2):
            assert client.get("/").all("x-extra") == ["1", "2"]


def test_date_and_server_can_be_left_out(carrier: Carrier) -> None:
    options = {"server_header": False, "date_header": False}
    with carrier.serve(count, lifespan="off", **options) as server, server.connect() as client:
        answer_ = client.get("/")
        assert answer_.header("date") is None
        assert answer_.header("server") is None
