"""`--limit-connections` and `--limit-connections-per-client`: who may connect."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from native.stand import play, serving, turn
from support.apps import answer
from support.certificates import Authority
from support.client import Client, request
from support.server import serve
from support.stage import Stage

LOOPS = ("asyncio", "uvloop")
TOTAL = "--limit-connections)"
EACH = "--limit-connections-per-client)"


def app_of(stage: Stage) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/work":
            stage.mark("started")
            await stage.until("go")
        await answer(send, b"ok")

    return app


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await answer(send)


def warnings(logs: Any) -> list[str]:
    return [r.getMessage() for r in logs.records if r.levelno >= logging.WARNING]


def busy(server: Any, stage: Stage, n: int) -> list[Client]:
    clients = [server.connect() for _ in range(n)]
    for client in clients:
        client.send(request("GET", "/work"))
    stage.wait("started", n)
    return clients


@pytest.mark.parametrize("loop", LOOPS)
def test_one_too_many_is_told_to_come_back(loop: str, logs: Any) -> None:
    stage = Stage()
    with serve(app_of(stage), lifespan="off", loop=loop, limit_connections=3) as server:
        working = busy(server, stage, 3)
        for _ in range(3):
            refused = server.connect()
            answer_ = refused.get("/")
            assert answer_.status == 503
            assert answer_.header("retry-after") is not None
            assert answer_.header("connection") == "close"
            refused.assert_closed()
        stage.mark("go")
        assert [client.response().status for client in working] == [200] * 3
        assert working[0].get("/").status == 200
        working[0].close()
        assert eventually_served(server)
    (told,) = warnings(logs)
    assert TOTAL in told
    assert "3 connections" in told


def eventually_served(server: Any) -> bool:
    """Another is served, once the server has seen that one has left."""
    return any(server.get("/").status == 200 for _ in range(200))


@pytest.mark.parametrize("loop", LOOPS)
def test_the_connection_idle_for_longest_makes_room(loop: str, logs: Any) -> None:
    with serve(plain, lifespan="off", loop=loop, limit_connections=3) as server:
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            assert client.get("/").status == 200
        assert clients[0].get("/").status == 200, "now it is not the one idle for longest"
        for _ in range(2):
            newcomer = server.connect()
            assert newcomer.get("/").status == 200
        clients[1].assert_closed()
        clients[2].assert_closed()
        assert clients[0].get("/").status == 200
    assert warnings(logs) == []


def test_a_connection_without_end_makes_room_too() -> None:
    with serve(plain, lifespan="off", limit_connections=1, timeout_keep_alive=0) as server:
        client = server.connect()
        assert client.get("/").status == 200
        assert server.get("/").status == 200
        client.assert_closed()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_flood_takes_nothing_from_those_who_are_served(loop: str, logs: Any) -> None:
    """Most are closed at once, a few have time to read why; all of them are answered."""
    stage = Stage()
    with serve(app_of(stage), lifespan="off", loop=loop, limit_connections=2) as server:
        working = busy(server, stage, 1)
        good = server.connect()
        good.send(request("GET", "/work"))
        stage.wait("started", 2)
        flood = [server.connect() for _ in range(150)]
        for each in flood:
            assert each.rest().startswith(b"HTTP/1.1 503 ")
        stage.mark("go")
        assert [client.response().status for client in (*working, good)] == [200, 200]
        for each in flood:
            each.close()
        assert good.get("/").status == 200
    assert len(warnings(logs)) == 1


def test_a_client_may_have_so_many_and_others_theirs(logs: Any) -> None:
    stage = Stage()
    with serve(
        app_of(stage), lifespan="off", host="127.0.0.1", limit_connections_per_client=2
    ) as server:
        working = busy(server, stage, 2)
        assert server.get("/").status == 503
        other = Client((server.host, server.port), source="127.0.0.2")
        assert other.get("/").status == 200
        other.close()
        stage.mark("go")
        assert [client.response().status for client in working] == [200, 200]
        working[0].close()
        assert eventually_served(server)
    (told,) = warnings(logs)
    assert EACH in told
    assert "127.0.0.1" in told


def test_clients_of_a_unix_socket_are_nobody(tmp_path: Path) -> None:
    options = {"uds": str(tmp_path / "s"), "limit_connections_per_client": 1}
    with serve(plain, lifespan="off", **options) as server:
        clients = [server.connect() for _ in range(3)]
        assert [client.get("/").status for client in clients] == [200] * 3


def test_the_limits_are_off_by_default() -> None:
    with serve(plain, lifespan="off") as server:
        clients = [server.connect() for _ in range(50)]
        assert [client.get("/").status for client in clients] == [200] * 50


def proxied(server: Any, client: str) -> Client:
    connection = server.connect()
    connection.send(b"PROXY TCP4 %s 127.0.0.1 1234 80\r\n" % client.encode())
    return connection


def test_behind_a_proxy_the_clients_are_those_it_tells(logs: Any) -> None:
    options = {"proxy_protocol": True, "limit_connections_per_client": 1}
    with serve(plain, lifespan="off", **options) as server:
        one = proxied(server, "192.0.2.1")
        assert one.get("/").status == 200
        assert proxied(server, "192.0.2.1").get("/").status == 503
        assert proxied(server, "192.0.2.2").get("/").status == 200
        one.close()
        assert any(proxied(server, "192.0.2.1").get("/").status == 200 for _ in range(200))
    (told,) = warnings(logs)
    assert "1 connections from 192.0.2.1 (" in told


def test_whom_nobody_trusts_takes_nobodys_place(logs: Any) -> None:
    """One that may not send a PROXY header is closed; no idle connection has to go for it."""

    async def body() -> None:
        options = {"proxy_protocol": True, "forwarded_allow_ips": ("unix",)}
        async with serving(plain, limit_connections=1, **options) as stand:
            loop = asyncio.get_running_loop()
            idle = await stand.connect()
            await idle.send(b"PROXY UNKNOWN\r\n")
            assert (await idle.get())[0].startswith(b"HTTP/1.1 200")
            server = await loop.create_server(stand.service.make_protocol, "127.0.0.1", 0)
            async with server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                assert await reader.read() == b""
                writer.close()
            assert (await idle.get())[0].startswith(b"HTTP/1.1 200")

    play("asyncio", body)
    (told,) = warnings(logs)
    assert "--forwarded-allow-ips" in told


def test_what_waits_for_its_first_bytes_is_not_idle(logs: Any) -> None:
    with serve(plain, lifespan="off", limit_connections=2) as server:
        silent = [server.connect() for _ in range(2)]
        assert server.get("/").status == 503
        assert [client.get("/").status for client in silent] == [200, 200]


def test_where_tls_stands_in_front_nothing_is_said(authority: Authority, logs: Any) -> None:
    files = authority.issue("127.0.0.1")
    options = {"ssl_certfile": files.certfile, "ssl_keyfile": files.keyfile}
    with serve(plain, lifespan="off", limit_connections=1, **options) as server:
        context = authority.client_context()
        first = server.connect()
        with context.wrap_socket(first.sock, server_hostname="127.0.0.1") as secured:
            assert server.connect().rest() == b""
            secured.sendall(request("GET"))
            assert secured.recv(12) == b"HTTP/1.1 200"
    (told,) = warnings(logs)
    assert TOTAL in told


async def _refuse_one() -> None:
    async with serving(plain, limit_connections=1) as stand:
        first = await stand.connect()
        await first.send(b"GET / HTTP/1.1\r\n")
        await turn()
        second = await stand.connect()
        assert (await second.until(b"\r\n")).startswith(b"HTTP/1.1 503 ")
        totals = stand.board.totals()
        assert (totals.connections, totals.refused, totals.requests) == (2, 1, 0)
        await first.send(b"Host: x\r\n\r\n")
        assert (await first.answer())[0].startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("loop", LOOPS)
def test_those_refused_are_counted(loop: str) -> None:
    play(loop, _refuse_one)
