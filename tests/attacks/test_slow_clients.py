"""Clients that take their time: with the first byte, a head, a body, an answer."""

from __future__ import annotations

import contextlib
import resource
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import Authority
from support.client import Client, request
from support.process import eventually
from support.victim import MIB, Victim, victim

EITHER = pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
PLAIN = pytest.mark.parametrize(  # over TLS in the soak
    "secure", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["plain", "tls"]
)
IDLE = 5000


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """As many for this process and those that it starts, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"the system grants {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def dribble(server: Victim) -> None:
    """A byte of each attacker's now and then, until the server has answered or closed."""
    left = list(server.attackers)
    while left:
        for client in list(left):
            client.sock.settimeout(0)
            try:
                client.sock.send(b"x")
                client.buffer += client.sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except OSError:
                pass
            left.remove(client)
        server.serves(1)


@PLAIN
def test_those_who_say_nothing_are_closed(
    tmp_path: Path, authority: Authority, secure: bool
) -> None:
    with descriptors(IDLE + 500):
        run_silent(tmp_path, authority if secure else None)


def run_silent(directory: Path, authority: Authority | None) -> None:
    with victim(directory, "--timeout-first-byte", "1.5", authority=authority) as server:
        before = server.account()
        for _ in range(IDLE):
            server.connect()
        server.serves()
        assert server.account()["memory"] - before["memory"] < IDLE * 8192
        for client in server.attackers:
            client.assert_closed()


def test_five_thousand_idle_connections_take_little_memory(tmp_path: Path) -> None:
    with descriptors(IDLE + 500), victim(tmp_path, grown=40 * MIB) as server:
        before = server.account()
        for _ in range(IDLE):
            client = server.connect()
            client.send(request("GET"))
            assert client.sock.recv(4096).endswith(b"hello")
        height = server.account()
        server.serves()
        assert height["objects"]["Connection"] > IDLE
        assert height["memory"] - before["memory"] < IDLE * 8192


DRIBBLED = [
    b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ",
    request("POST", "/echo", "Content-Length: 100000"),
    request("POST", "/echo", "Transfer-Encoding: chunked") + b"5\r\nhello\r\nffff\r\n",
]


@EITHER
def test_those_who_dribble_are_refused(tmp_path: Path, authority: Authority, secure: bool) -> None:
    """A body that moves has five seconds before its rate counts."""
    options = ("--timeout-request-head", "0.5", "--limit-min-rate", "1g")
    with victim(tmp_path, *options, authority=authority if secure else None) as server:
        for begun in (DRIBBLED[:1] if secure else DRIBBLED) * 10:
            server.speak().send(begun)
        dribble(server)
        for client in server.attackers:
            assert client.head().status == 408


@PLAIN
def test_a_stream_of_100_mib_that_nobody_reads_takes_no_memory(
    tmp_path: Path, authority: Authority, secure: bool
) -> None:
    """And ends, even for those who sip at it."""
    options = ("--timeout-write", "0.3", "--limit-min-rate", "100m")
    with victim(tmp_path, *options, authority=authority if secure else None) as server:
        before = server.account()
        clients = [server.speak(receive_buffer=65536) for _ in range(20)]
        for client in clients:
            client.send(request("GET", "/stream"))
        height = server.account_when(lambda seen: seen["objects"]["Exchange"] > len(clients))
        server.serves()
        assert height["memory"] - before["memory"] < len(clients) * MIB

        def sipped() -> bool:
            for client in clients[::2]:
                client.sock.settimeout(0)
                with contextlib.suppress(OSError):
                    client.sock.recv(1000)
            return bool(server.account()["objects"]["Exchange"] <= 3)

        eventually(sipped)
        server.assert_ends_attacks()


@pytest.mark.soak
def test_requests_whose_answers_nobody_reads_are_not_served(tmp_path: Path) -> None:
    with victim(tmp_path, "--timeout-write", "0.3") as server:
        before = server.account()
        clients = [server.connect(receive_buffer=4096) for _ in range(2)]
        for client in clients:
            client.sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    client.sock.send(request("GET") * 1000)
        server.serves()
        assert server.account()["memory"] - before["memory"] < len(clients) * MIB
        server.assert_ends_attacks()


def test_an_upload_that_the_application_is_late_for_takes_no_memory(tmp_path: Path) -> None:
    with victim(tmp_path) as server:
        before = server.account()
        clients = [server.connect() for _ in range(10)]
        for client in clients:
            client.send(request("POST", "/late", "Content-Length: 100000000"))
        for client in clients:
            client.send_until_blocked(b"x" * 65536, 100_000_000, patience=0.1)
        server.serves()
        assert server.account()["memory"] - before["memory"] < len(clients) * MIB
        server.leave()
        Client(server.address).get("/told")
