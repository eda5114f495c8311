"""The PROXY protocol in front of a connection: from whom, in what pieces, and what it changes."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import websocket
from support.apps import answer
from support.certificates import Authority
from support.client import Client, request
from support.proxies import extension, header, line
from support.server import Running, serve
from support.stage import Stage
from support.tls import NAME, MemoryClient, Wrapper

from fastserve import testing
from fastserve._native import shared
from fastserve._native.service import Service

V1 = line("198.51.100.7", 5555, "192.0.2.2", 443)
V2 = header("198.51.100.7", 5555, "192.0.2.2", 443, more=extension(1, b"h2"))
V6 = header("2001:db8::7", 5555, "2001:db8::2", 443)
GET = request("GET", "/x")
TOLD = {"client": ["198.51.100.7", 5555], "server": ["192.0.2.2", 443], "scheme": "http"}


async def tell(scope: Any, receive: Any, send: Any) -> None:
    told = {key: scope[key] for key in ("client", "server", "scheme")}
    await answer(send, json.dumps(told).encode())


def serving(**options: Any) -> Any:
    return serve(tell, **{"lifespan": "off", "proxy_protocol": True} | options)


def told(client: Client, data: bytes = GET) -> dict[str, Any]:
    got: dict[str, Any] = json.loads(client.ask(data).text)
    return got


@pytest.fixture
def log() -> Iterator[list[tuple[str, str]]]:
    """(level, message) of the server's log."""
    records: list[tuple[str, str]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "closed a connection" in record.getMessage():
                records.append((record.levelname, record.getMessage()))

    handler, logger = Keep(), logging.getLogger("fastserve.error")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Running]:
    path = str(tmp_path_factory.mktemp("proxy") / "s")
    with testing.serve(
        tell, lifespan="off", proxy_protocol=True, uds=path, loop=request.param
    ) as running:
        yield Running(running.url, "", 0, path)


@pytest.mark.parametrize("head", [V1, V2], ids=["v1", "v2"])
def test_a_header_with_the_first_request_in_one_read_and_more_requests(
    server: Running, head: bytes
) -> None:
    with server.connect() as client:
        client.send(head + GET + GET)
        assert json.loads(client.response().text) == TOLD
        assert json.loads(client.response().text) == TOLD
        assert told(client) == TOLD


@pytest.mark.parametrize("head", [V1, V2], ids=["v1", "v2"])
def test_a_header_cut_in_two_anywhere(server: Running, head: bytes) -> None:
    for at in range(len(head) + 3):
        with server.connect() as client:
            client.send((head + GET)[:at])
            client.wait_read()
            assert told(client, (head + GET)[at:]) == TOLD


@pytest.mark.parametrize("head", [V1, V2], ids=["v1", "v2"])
def test_a_header_byte_by_byte(server: Running, head: bytes) -> None:
    with server.connect() as client:
        client.send_bytewise(head + GET)
        assert json.loads(client.response().text) == TOLD


def test_ipv6(server: Running) -> None:
    with server.connect() as client:
        expected = {"client": ["2001:db8::7", 5555], "server": ["2001:db8::2", 443]}
        assert told(client, V6 + GET) == expected | {"scheme": "http"}


@pytest.mark.parametrize(
    "head",
    [header(command=0), header(command=0, family=0x11, more=b"x" * 30), header(family=0),
     b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 1.2.3.4 1.2.3.4 1 2\r\n"],
)  # fmt: skip
def test_a_header_that_tells_nobody_leaves_the_sockets_addresses(head: bytes) -> None:
    with serving() as server, server.connect() as client:
        mine = list(client.sock.getsockname())
        expected = {"client": mine, "server": ["127.0.0.1", server.port], "scheme": "http"}
        assert told(client, head + GET) == expected


def test_a_client_on_a_unix_socket_of_the_proxy() -> None:
    block = header(family=0x31, more=bytes(108) + b"/run/front.sock".ljust(108, b"\0"))
    with serving() as server, server.connect() as client:
        got = told(client, block + request("GET", "/", "X-Forwarded-For: 6.6.6.6"))
    assert (got["client"], got["server"]) == (None, ["/run/front.sock", None])


WRONG = [
    GET,
    b"\x16\x03\x01\x00\xff\x01",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n" + GET,
    b"PROXY " + b"x" * 200,
    header(command=2) + GET,
    V2[:12] + b"\x21\x11\xff\xff" + b"x" * 99,
    header("1.2.3.4", 1, "1.2.3.4", 2, more=b"\x01\x00\x09h2") + GET,
]


@pytest.mark.parametrize("data", WRONG, ids=range(len(WRONG)))
def test_what_is_no_header_costs_the_connection_and_gets_no_answer(
    data: bytes, log: list[tuple[str, str]]
) -> None:
    with serving() as server:
        with server.connect() as client:
            client.send(data)
            client.assert_closed()
        with server.connect() as client:
            assert told(client, V1 + GET) == TOLD
    ((level, text),) = log
    assert level == "WARNING"
    assert "PROXY header" in text


def test_a_second_header_is_no_request() -> None:
    with serving() as server, server.connect() as client:
        assert client.ask(V1 + V1 + GET).status == 400


def test_a_peer_that_is_not_trusted_is_closed_and_told_of_once(log: list[tuple[str, str]]) -> None:
    with serving(forwarded_allow_ips="192.0.2.1,unix", log_level="debug") as server:
        for _ in range(3):
            with server.connect() as client:
                client.assert_closed()
    assert [level for level, _ in log] == ["WARNING", "DEBUG", "DEBUG"]
    assert all("--forwarded-allow-ips" in text for _, text in log)


def test_counting_hops_trusts_nobody_with_the_header(log: list[tuple[str, str]]) -> None:
    options = {"forwarded_allow_ips": (), "forwarded_hops": 1}
    with serving(**options) as server, server.connect() as client:
        client.assert_closed()
    assert len(log) == 1


@pytest.mark.parametrize("sent", [b"", V1[:20], V2[:20], V1])
def test_a_header_has_the_time_of_a_request_head(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "TICK", 0.05)
    options = {"timeout_first_byte": 0.2, "timeout_request_head": 0.2}
    with serving(**options) as server, server.connect() as client:
        client.send(sent)
        client.assert_closed()


@pytest.mark.parametrize("sent", [b"", V1[:20], V2[:20], V1, V1 + GET[:5]])
def test_a_peer_that_leaves_before_its_request_costs_nothing(sent: bytes) -> None:
    with serving() as server, server.connect() as client:
        client.send(sent)
        client.shutdown()
        client.assert_closed()
        with server.connect() as other:
            other.send(sent)
            other.reset()
        with server.connect() as other:
            assert told(other, V1 + GET) == TOLD


def test_a_connection_without_its_header_does_not_hold_up_a_stop() -> None:
    with serving(timeout_graceful_shutdown=20.0) as server:
        server.connect()
        with server.connect() as client:
            assert told(client, V1 + GET) == TOLD


def test_fields_are_judged_by_the_address_that_the_header_tells() -> None:
    """A TCP proxy in front of an HTTP proxy: each has to be trusted for its own word."""
    lines = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
    field = request("GET", "/", *lines)
    with serving(forwarded_allow_ips="127.0.0.1,10.0.0.0/8") as server:
        with server.connect() as client:
            assert told(client, V1 + field) == TOLD
        with server.connect() as client:
            known = line("10.0.0.1", 1, "192.0.2.2", 443)
            got = told(client, known + field)
            assert (got["client"], got["scheme"]) == (["203.0.113.9", 0], "https")
        for nobody in (b"PROXY UNKNOWN\r\n", header(family=0), header(command=0)):
            with server.connect() as client:
                got = told(client, nobody + field)
                assert (got["client"][0], got["scheme"]) == ("127.0.0.1", "http")


def test_the_access_log_and_websockets_know_the_client(
    capfd: pytest.CaptureFixture[str],
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            return await answer(send)
        stage.mark("scope", scope)
        await websocket.accept(receive, send)
        await receive()

    options = {"lifespan": "off", "proxy_protocol": True, "access_log": True}
    with serve(app, **options) as server:
        with server.connect() as client:
            client.send(V2)
            client.get("/a")
        with server.connect() as client:
            client.send(V6 + websocket.handshake("/b"))
            websocket.upgraded(client).leave()
        assert stage.wait("scope")["client"] == ("2001:db8::7", 5555)
    lines = capfd.readouterr().out
    assert ' 198.51.100.7:5555 "GET /a ' in lines
    assert ' [2001:db8::7]:5555 "GET /b ' in lines


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_header_in_front_of_tls(tmp_path: Path, size: int) -> None:
    """It is plain itself, and the begin of the handshake may come in the same read."""
    authority = Authority(tmp_path)
    wrapper = Wrapper(authority.issue(NAME))

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        service = Service(tell, loop=loop, logger=logging.getLogger("test"), proxy_protocol=True,
                          forwarded_allow_ips=["unix"])  # fmt: skip
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        await loop.connect_accepted_socket(lambda: service.make_protocol(tls=wrapper), theirs)
        client = MemoryClient(authority)
        waiting, got = V1 + client.take(), b""
        with ours:
            while not got.endswith(b"}"):
                for at in range(0, len(waiting), size):
                    await loop.sock_sendall(ours, waiting[at : at + size])
                    await asyncio.sleep(0)
                if client.complete:
                    got += client.read()
                data = b"" if got.endswith(b"}") else await loop.sock_recv(ours, 65536)
                client.give(data)
                shaken = client.complete
                waiting = client.take()
                if client.complete and not shaken:
                    waiting += client.seal(GET)
                if client.complete:
                    got += client.read()
        await service.wait_idle()
        service.close()
        return got

    got = asyncio.run(asyncio.wait_for(main(), 20))
    assert json.loads(got.partition(b"\r\n\r\n")[2]) == TOLD | {"scheme": "https"}
