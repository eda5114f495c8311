"""What benchmarks/operations.py counts: its clients tell the ways in which a request can fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@contextlib.asynccontextmanager
async def serving(
    *answers: bytes, reads_on: bool = True, reset: bool = False
) -> AsyncIterator[int]:
    """A server that gives each connection these answers in turn, then ends it.

    `reads_on`: only when one more request has come.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        if reads_on:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
        if reset:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def kind_of(port: int, requests: int) -> str:
    """What the last of so many requests on one connection comes to."""
    from operations.client import Broken, Connection

    connection = await Connection.open(port)
    with contextlib.closing(connection):
        for _ in range(requests - 1):
            await connection.get("/")
        try:
            return str((await connection.get("/")).status)
        except Broken as broken:
            return broken.kind


@pytest.mark.parametrize("reset", [False, True])
def test_a_new_connection_without_an_answer_is_a_failure(reset: bool) -> None:
    async def main() -> None:
        async with serving(reset=reset) as port:
            assert await kind_of(port, 1) == "reset"

    asyncio.run(main())


@pytest.mark.parametrize("reset", [False, True])
def test_a_used_connection_without_an_answer_is_stale(reset: bool) -> None:
    async def main() -> None:
        async with serving(OK, reset=reset) as port:
            assert await kind_of(port, 2) == "stale"

    asyncio.run(main())


@pytest.mark.parametrize("before", [(), (OK,)])
@pytest.mark.parametrize("part", [OK[:5], OK[:-1]])
def test_an_answer_that_breaks_off_is_a_failure(before: tuple[bytes, ...], part: bytes) -> None:
    async def main() -> None:
        async with serving(*before, part, reads_on=False) as port:
            assert await kind_of(port, len(before) + 1) == "cut"

    asyncio.run(main())


def test_a_port_where_nobody_listens_refuses() -> None:
    from operations.client import Broken, Connection

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        with pytest.raises(Broken, match="refused"):
            await Connection.open(port)

    asyncio.run(main())


def test_a_load_tells_server_errors_from_answers_and_leaves_closing_connections() -> None:
    from operations.client import Load, Tally

    bad = OK.replace(b"200 OK", b"503 No").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    async def main() -> list[Any]:
        seen = asyncio.Event()
        connections = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            if connections > 2:
                seen.set()
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(bad)
            writer.close()

        async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with Load(port, rate=1, clients=1, interval=0.01) as load:
                await asyncio.wait_for(seen.wait(), 10)
        return load.records

    tally = Tally.of(asyncio.run(main()))
    assert tally.stale == 0
    assert tally.failed == {"5xx": tally.requests}


def test_every_scenario_can_be_asked_of_every_server() -> None:
    from operations.peers import PEERS
    from operations.scenarios import SCENARIOS

    names = {scenario.name for scenario in SCENARIOS}
    for peer in PEERS:
        assert set(peer.can) <= names
        assert set(peer.lacks) <= names


def test_the_committed_report_is_made_from_the_committed_result() -> None:
    from operations import report

    results = ROOT / "benchmarks" / "results"
    result = json.loads((results / "operations.json").read_text())
    assert (results / "operations.md").read_text() == report.markdown(result)
