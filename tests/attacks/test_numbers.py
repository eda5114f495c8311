"""More of them than there is room for: connections of all and of one, descriptors, requests."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from support.client import Client, request
from support.process import eventually
from support.victim import Victim, victim

STRANGER = "127.0.0.2"
LOOPS = pytest.mark.parametrize("loop", ["uvloop", pytest.param("asyncio", marks=pytest.mark.soak)])
BECOME = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@LOOPS
def test_one_client_may_have_so_many_connections(tmp_path: Path, loop: str) -> None:
    """Others, on the same network even, have theirs."""
    options = ("--limit-connections-per-client", "10", "--timeout-first-byte", "2", "--loop", loop)
    announced = [f"at the limit of 10 connections from {STRANGER}"]
    with victim(tmp_path, *options, announced=announced) as server:
        for at in range(500):
            client = server.connect(source=STRANGER)
            if at % 2:
                with suppress(ConnectionError):
                    client.send(request("GET", "/late"))
            if at % 100 == 0:
                server.serves(1)
        server.serves()
        # Of those refused 32 may take a while to read why.
        assert server.account()["objects"]["Connection"] <= 10 + 32 + 3
        server.leave()
        Client(server.address, source="127.0.0.3").get("/told")


@LOOPS
@pytest.mark.parametrize(
    "idle", [True, pytest.param(False, marks=pytest.mark.soak)], ids=["idle", "silent"]
)
def test_sixty_four_descriptors(tmp_path: Path, loop: str, idle: bool) -> None:
    """Idle connections make room; those that have said nothing do so when their time is up."""
    pytest.importorskip("uvloop")
    options = ("--loop", loop, "--timeout-first-byte", "0.5")
    how = {"keep_alive": [False], "launcher": ("-c", BECOME)}
    announced = [r"descriptors run short", r"accepting|connections"]
    with victim(tmp_path, *options, announced=announced, **how) as server:  # type: ignore[arg-type]
        for _ in range(200 if idle else 120):
            client = server.connect()
            if idle:
                assert answered(client)
        server.serves()
        if not idle:
            for client in server.attackers:
                client.assert_closed()


def answered(client: Client) -> bool:
    client.send(request("GET"))
    return client.response().body == b"hello"


def test_a_flood_of_connections_over_the_limit(tmp_path: Path) -> None:
    """They are told so at once; whoever has a request under way keeps his place."""
    options = ("--limit-connections", "50", "--timeout-first-byte", "1")
    announced = ["at the limit of 50 connections"]
    with victim(tmp_path, *options, announced=announced, keep_alive=[]) as server:
        busy = [server.connect() for _ in range(20)]
        for client in busy:
            client.send(request("GET", "/late"))
        server.account_when(lambda seen: seen["late"] == 20)
        flood = [server.connect() for _ in range(300)]
        refused = [client for client in flood[50:] if client.rest()[:12] == b"HTTP/1.1 503"]
        assert len(refused) == 250
        for client in flood:
            client.close()
        eventually(lambda: tells(server))
        assert [client.response().status for client in busy] == [200] * 20


def tells(server: Victim) -> bool:
    """Whether there is a place again; then those who are late go on."""
    with Client(server.address) as client:
        return client.get("/told").status == 200


def test_more_requests_than_may_be_under_way(tmp_path: Path) -> None:
    with victim(tmp_path, "--limit-concurrency", "30") as server:
        clients = [server.connect() for _ in range(200)]
        for client in clients[:20]:
            client.send(request("GET", "/late"))
        server.account_when(lambda seen: seen["late"] == 20)
        server.serves()
        server.connect().get("/told")
        assert [client.response().status for client in clients[:20]] == [200] * 20
