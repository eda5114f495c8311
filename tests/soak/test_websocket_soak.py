"""WebSockets under load and abuse: flat memory, nothing left hanging, others served on.

Every test has a server process of its own. `docs/design/websocket.md` has the figures.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from soak.websocket_floods import FLOODS, MAX_SIZE
from soak.websocket_peers import (
    DEFLATE,
    TEXT,
    Peer,
    bystander,
    frame,
    open_many,
    packed,
)
from support.client import Client
from support.process import Command, eventually, started

APP = Path(__file__).parent / "websocket_soak_app.py"
SPARE_FILES = 200
MIB = 1 << 20
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
"""A sanitizer's allocator keeps what is freed, so that memory says nothing (tools/asan.sh)."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True, scope="module")
def files() -> Iterator[int]:
    """How many sockets a process may have open, by raising the limit as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield (1 << 20 if hard == resource.RLIM_INFINITY else hard) - SPARE_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Server:
    """A running server, looked at from outside and by what it says of itself."""

    command: Command
    port: int

    def memory(self, name: str = "VmRSS") -> int:
        """Bytes that are resident now; or VmHWM: that were at most."""
        status = Path(f"/proc/{self.command.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1]) << 10

    def account(self) -> dict[str, Any]:
        with Client(("127.0.0.1", self.port)) as client:
            return json.loads(client.get("/account").body)

    def rest(self) -> dict[str, Any]:
        """Its account, once nothing is in it but the asking. Collects garbage, too."""
        seen = self.account()

        def alone() -> bool:
            nonlocal seen
            seen = self.account()
            return set(seen["native"].values()) <= {0, 1} and not seen["native"]["WebSocket"]

        eventually(alone)
        return seen

    def stop(self) -> None:
        self.command.signal(signal.SIGTERM)
        self.assert_ends_well()

    def assert_ends_well(self) -> None:
        """It ends of itself, and has had nothing to complain of."""
        assert self.command.exit() == 0
        noise = r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL) .*|Traceback"
        assert not re.findall(noise, self.command.err.text, re.MULTILINE), self.command.err.text


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    arguments = [str(APP), "--port", "0", "--no-access-log", "--ws-ping-interval", "0"]
    with started([*arguments, *options], APP.parent) as command:
        yield Server(command, command.port)


def assert_below(grown: float, most: float) -> None:
    assert SANITIZED or grown < most, (
        f"{grown / MIB:.2f} MiB, at most were expected {most / MIB:.2f}"
    )


MESSAGE = b'{"user": "ada", "text": "the build is green again"}' * 20


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
def test_idle_sockets_take_little_memory_and_all_are_told_of_the_stop(
    deflate: bool, count: int, files: int
) -> None:
    count = min(count, files)
    lines, message = ([DEFLATE], packed(MESSAGE)) if deflate else ([], frame(TEXT, MESSAGE))
    with serving() as server:
        for peer in open_many(server.port, 100, "/echo", *lines):
            peer.leave()
        server.rest()
        empty = server.memory()
        peers = open_many(server.port, count, "/echo", *lines)
        idle = (server.memory() - empty) / count
        for peer in peers:
            peer.send(message)
            assert peer.next() == (TEXT, MESSAGE)
        used = (server.memory() - empty) / count
        assert server.account()["native"]["WebSocket"] == count
        print(f"\n{count} sockets: {idle:,.0f} bytes each, {used:,.0f} after a message")

        server.command.signal(signal.SIGTERM)
        assert {peer.wait_closed() for peer in peers} == {1012}
        server.assert_ends_well()
    # A compressor alone would be 32 KiB: nobody has one before there is something to compress.
    assert_below(idle, 10_000)
    assert_below(used, 80_000 if deflate else 14_000)


# The server lets the C library keep 8 MiB of freed heap (fs_memory.h), and an arena of the
# interpreter's is 1 MiB. A leak of 64 bytes would show 190 MiB in the longest floods.
GROWN_MOST = 10 * MIB

SLOW = 200
WRITTEN_MOST = 192 * 1024
"""Bytes for one that reads nothing: uvloop's high-water mark is 64 KiB, a message 16 KiB."""


def test_slow_readers_take_bounded_memory_and_end_by_the_write_timeout() -> None:
    with serving("--timeout-write", "2") as server:
        Peer(server.port).opened().leave()
        empty = server.rest()["memory"]["Rss"] << 10
        with bystander(server.port):
            slow = [Peer(server.port, "/source", receive_buffer=4096).opened() for _ in range(SLOW)]
            eventually(lambda: server.account()["native"]["WebSocket"] == 1)
            most = server.memory("VmHWM") - empty
        print(f"\n{SLOW} slow readers: {most / SLOW / 1024:,.0f} KiB each at most")
        assert_below(most, SLOW * WRITTEN_MOST)
        for peer in slow:
            peer.reset()
        server.rest()
        server.stop()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        param
        for name, (_, few, many) in FLOODS.items()
        for param in (
            pytest.param(name, few, id=name),
            pytest.param(name, many, id=f"{name}, long", marks=pytest.mark.soak),
        )
    ],
)
def test_a_flood_leaves_nothing_behind_and_holds_nobody_up(name: str, count: int) -> None:
    flood = FLOODS[name][0]
    with serving("--ws-max-size", str(MAX_SIZE)) as server:
        begin = server.rest()

        def within(most: int) -> None:
            assert_below(server.memory() - before, most)

        with bystander(server.port):
            before = server.memory()
            flood(server.port, count, within)
        middle = server.rest()
        with bystander(server.port) as waits:
            before = server.memory()
            flood(server.port, count, within)
        after = server.rest()
        first = (middle["memory"]["Rss"] - begin["memory"]["Rss"]) << 10
        grown = (after["memory"]["Rss"] - middle["memory"]["Rss"]) << 10
        peak = server.memory("VmHWM") - (middle["memory"]["Rss"] << 10)
        print(
            f"\n{name}, {count} x 2: {first >> 10:,} KiB stay, then {grown >> 10:,}; "
            f"{peak / MIB:.1f} MiB more at most; others waited up to {max(waits) * 1000:.0f} ms",
        )
        assert after["native"] == begin["native"]
        assert after["tasks"] == begin["tasks"]
        assert_below(first, GROWN_MOST)
        assert_below(grown, GROWN_MOST)
        server.stop()
