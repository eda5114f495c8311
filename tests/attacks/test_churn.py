"""Connections that come and go, in every state and by every way, and those that go by halves."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.certificates import Authority
from support.client import Client, request
from support.tls import MemoryClient
from support.victim import HOST, Victim, victim

TIMES = 40

STATES = {
    "nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: te",
    "half a body": request("POST", "/echo", "Content-Length: 100000") + b"x" * 5000,
    "half a chunk": request("POST", "/echo", "Transfer-Encoding: chunked") + b"ffff\r\nxxx",
    "an application at work": request("GET", "/late"),
    "an answer": request("GET", "/stream"),
    "many requests": request("GET") * 100,
    "garbage": b"\x16\x03\x01garbage\r\n\r\n",
}


@pytest.mark.parametrize(
    ("secure", "way"),
    [
        (False, Client.reset),
        (True, Client.close),
        pytest.param(False, Client.close, marks=pytest.mark.soak),
        pytest.param(True, Client.reset, marks=pytest.mark.soak),
    ],
    ids=["reset", "close over tls", "close", "reset over tls"],
)
def test_connections_that_come_and_go(
    tmp_path: Path, authority: Authority, secure: bool, way: Callable[[Client], None]
) -> None:
    with victim(tmp_path, authority=authority if secure else None) as server:
        context = server.context  # one of them resumes sessions, and costs less
        for sent in STATES.values():
            for at in range(TIMES):
                client = server.speak(context)
                client.send(sent)
                if at % 2 and sent == STATES["an answer"]:
                    assert client.sock.recv(1)
                server.leave(way)
            server.serves(1)
        with Client(server.address) as client:
            if context:
                client.sock = context.wrap_socket(client.sock, server_hostname=HOST)
            client.get("/told")


@pytest.mark.parametrize(
    ("secure", "notify"),
    [
        (False, False),
        pytest.param(True, False, marks=pytest.mark.soak),
        pytest.param(True, True, marks=pytest.mark.soak),
    ],
    ids=["plain", "tls", "notified"],
)
def test_half_closed_connections_end(
    tmp_path: Path, authority: Authority, secure: bool, notify: bool
) -> None:
    """The client sends no more and stays: whatever it was about, the server gets it done.

    Behind a close_notify alone it waits a while for the end of the connection.
    """
    options = ("--timeout-write", "0.3", "--cancel-on-disconnect", "0.3")
    with victim(tmp_path, *options, authority=authority if secure else None) as server:
        context = server.context
        for sent in STATES.values():
            for _ in range(5):
                client = server.speak(context, receive_buffer=65536)
                client.send(sent)
                if notify:
                    client.sock.settimeout(0)
                    with suppress(ssl.SSLError):  # it would wait for the server's
                        client.sock.unwrap()  # type: ignore[attr-defined]
                else:
                    client.shutdown()
        server.serves()
        server.assert_ends_attacks()


def test_clients_that_leave_in_the_handshake(tmp_path: Path, authority: Authority) -> None:
    hello = MemoryClient(authority, HOST).take()
    with victim(tmp_path, authority=authority) as server:
        for way in (Client.reset, Client.close):
            for cut in (1, 5, 100, None):
                for _ in range(TIMES // 2):
                    client = server.connect()
                    client.send(hello[:cut])
                    if cut is None:
                        assert client.sock.recv(1)
                    server.leave(way)
            server.serves(1)


def test_churn_without_a_word(tmp_path: Path) -> None:
    with victim(tmp_path) as server:
        for at in range(2000):
            server.connect()
            if at % 10 == 0:
                server.leave(Client.reset if at % 20 else Client.close)
        server.serves()
        assert_alive(server)


def assert_alive(server: Victim) -> None:
    with Client(server.address) as client:
        assert client.get().body == b"hello"
