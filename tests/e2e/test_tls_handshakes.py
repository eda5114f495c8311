"""Handshakes that fail, each a line of the log at debug level, and connections that break."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from support.apps import answer
from support.certificates import Authority, Certificate
from support.client import request
from support.logs import LogRecords
from support.process import eventually
from support.secure import PiecewiseClient, SecureClient
from support.server import Running, serve
from support.tls import NAME, MemoryClient


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue(NAME)


async def app(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"Hello, world!")


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Running]:
    with serve(app, lifespan="off", loop=request.param, **certificate.options) as running:
        yield running


def failures(logs: LogRecords) -> list[str]:
    return [r.getMessage() for r in logs.records if "TLS" in r.getMessage()]


def told(logs: LogRecords, count: int = 1) -> list[str]:
    """The lines on TLS, when there are so many; and nothing above debug level."""
    eventually(lambda: len(failures(logs)) >= count)
    assert len(failures(logs)) == count
    assert logs.noise == []
    return failures(logs)


def test_plain_http_is_told_what_is_spoken(server: Running, logs: LogRecords) -> None:
    with server.connect() as client:
        answered = client.get()
        assert (answered.status, answered.header("connection")) == (400, "close")
        assert answered.text == "this port speaks TLS: use https\n"
        client.assert_closed()
        here = "{}:{}".format(*client.sock.getsockname())
    assert told(logs) == [f"TLS handshake with {here} failed: http request"]


@pytest.mark.parametrize("data", [b"\x00" * 100, b"SSH-2.0-OpenSSH_9.2\r\n", os.urandom(2000)])
def test_garbage_is_one_line_of_the_log(server: Running, logs: LogRecords, data: bytes) -> None:
    if data[:1] == b"\x16":
        data = b"\x17" + data[1:]  # might be a handshake's first record, and be waited for
    with server.connect() as client:
        client.send(data)
        client.rest()
    (line,) = told(logs)
    assert line.startswith("TLS handshake with 127.0.0.1:")


def test_a_client_that_trusts_nobody_is_one_line_of_the_log(
    server: Running, logs: LogRecords
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        SecureClient(server, ssl.create_default_context())
    (line,) = told(logs)
    assert line.endswith("alert unknown ca")


def test_an_old_client_gets_an_alert(
    certificate: Certificate, authority: Authority, logs: LogRecords
) -> None:
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    options = {"ssl_min_version": "TLSv1.3", **certificate.options}
    with serve(app, lifespan="off", **options) as server:
        with pytest.raises(ssl.SSLError) as caught:
            SecureClient(server, context)
        assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
        told(logs)


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_in_the_handshake_is_one_line_of_the_log(
    server: Running, authority: Authority, logs: LogRecords, reset: bool
) -> None:
    hello = MemoryClient(authority).take()
    client = server.connect()
    client.send(hello)
    assert client.sock.recv(1)
    if reset:
        client.reset()
    else:
        client.close()
    (line,) = told(logs)
    assert line.endswith("failed: the peer has closed the connection")


def test_a_client_that_says_nothing_is_no_line_at_all(server: Running, logs: LogRecords) -> None:
    with server.connect() as client:
        client.shutdown()
        client.assert_closed()
    assert failures(logs) == []


def test_a_handshake_has_its_time(
    certificate: Certificate, authority: Authority, logs: LogRecords
) -> None:
    options = {"ssl_handshake_timeout": 0.1, **certificate.options}
    with serve(app, lifespan="off", **options) as server, server.connect() as client:
        client.send(MemoryClient(authority).take()[:20])
        client.assert_closed()
    (line,) = told(logs)
    assert line.endswith("failed: it took too long")


def test_many_handshakes_make_room_for_new_ones(
    certificate: Certificate, authority: Authority, logs: LogRecords
) -> None:
    context = authority.client_context()
    options = {"limit_handshakes": 2, "ssl_handshake_timeout": 0, **certificate.options}
    hello = MemoryClient(authority).take()
    with serve(app, lifespan="off", **options) as server:
        first, second = server.connect(), server.connect()
        for client in (first, second):
            client.send(hello)
            assert client.sock.recv(1)
        with SecureClient(server, context) as client:
            assert client.get().text == "Hello, world!"
            first.rest()
            (line,) = told(logs)
            assert line.endswith("failed: too many others have begun since")
            assert first.ended
        with SecureClient(server, context) as client:
            assert client.get().text == "Hello, world!"
        told(logs)


def test_a_connection_that_was_tampered_with_is_one_line_of_the_log(
    server: Running, authority: Authority, logs: LogRecords
) -> None:
    with server.connect() as client:
        peer = PiecewiseClient(client, authority)
        last = peer.last_flight()
        data = bytearray(peer.tls.seal(request("GET")))
        data[-1] ^= 1
        client.send(last + data)
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            peer.rest()
    (line,) = told(logs)
    assert line.startswith("TLS connection with 127.0.0.1:")
