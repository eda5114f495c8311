"""200,000 mixed requests against one server process: flat memory, nothing left, no noise.

With the date header off, every answer is the same bytes each time. So the client learns each
answer once, with the strict reader of `support.client`, and then compares whole pipelined
batches byte by byte; that makes it fast enough to load the server from one core.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.client import Client, request
from support.process import PATIENCE, Output, clean_environment

APP = Path(__file__).parent / "soak_app.py"

TOTAL = 200_000
WARM_UP = 40_000
CONNECTIONS = 8
BATCH = 100

# Kibibytes of growth between the end of the warm-up and the end. A leak of one small object
# (64 bytes) for each of the 160,000 requests between would be 10 MiB; one of what a connection
# holds (over 1 KiB) for each of some 6,000 that end early would be 6 MiB. What is allowed is an
# arena of the interpreter's allocator (1 MiB); measured were some tens of KiB.
GROWTH_KIB = 1024

CHUNKED = (
    b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n40;name=value\r\n" + b"x" * 64 + b"\r\n0\r\nX-Sum: 1\r\n\r\n"
)
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: de-DE,de;q=0.9,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
)

# (request, method, status, body), with how many of a hundred
MIX = [
    (40, request("GET", "/get"), "GET", 200, b"hello"),
    (15, request("GET", "/get?query=1", *BROWSER), "GET", 200, b"hello"),
    (5, request("HEAD", "/get"), "HEAD", 200, b""),
    (10, request("POST", "/echo", body=b"b" * 300), "POST", 200, b"300"),
    (8, CHUNKED, "POST", 200, b"69"),
    (6, request("POST", "/unread", body=b"b" * 100), "POST", 200, b"not read"),
    (10, request("GET", "/stream"), "GET", 200, b"x" * 2000),
    (4, request("GET", "/missing"), "GET", 404, b"no such path"),
    (2, b"GET /get HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET", 200, b"hello"),
]

MALFORMED = [
    (b"GET /get HTTP/1.1\r\n\r\n", 400),
    (b"GET /get HTTP/1.1\r\nHost : test\r\n\r\n", 400),
    (b"GET /\x00 HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    (request("POST", "/echo", "Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    (request("GET", "/" + "a" * 10_000), 414),
    (request("GET", "/get", "X-Long: " + "a" * 20_000), 431),
    (request("POST", "/echo", "Transfer-Encoding: gzip, chunked"), 501),
    (b"GET /get HTTP/3.0\r\nHost: test\r\n\r\n", 505),
]


class Load:
    """The client: counts what it has sent, by the status the access log must show."""

    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)
        self.expected: Counter[int] = Counter()
        self.random = random.Random(2)
        self.connections: list[Client] = []
        self.batches = self._learn()

    @property
    def sent(self) -> int:
        return self.expected.total()

    def _learn(self) -> list[tuple[bytes, bytes, Counter[int]]]:
        """Twenty different batches of the mix, each with its requests, answers and statuses."""
        pairs = []
        for weight, asked, method, status, body in MIX:
            pairs += [(asked, self._answer(asked, method, status, body), status)] * weight
        assert len(pairs) == BATCH
        batches = []
        for _ in range(20):
            self.random.shuffle(pairs)
            asked, answers, statuses = zip(*pairs, strict=True)
            batches.append((b"".join(asked), b"".join(answers), Counter(statuses)))
        return batches

    def _answer(self, asked: bytes, method: str, status: int, body: bytes) -> bytes:
        """The raw answer to a request, once it has been seen to be the right one.

        The probe behind it shows where it ends.
        """
        with Client(self.address) as client:
            client.send(asked + request("GET", "/get", "Connection: close"))
            whole = client.rest()
        self.expected.update([status, 200])
        with Client(self.address) as client:
            answer = client.ask(asked, method)
        self.expected[status] += 1
        assert (answer.status, answer.body) == (status, body)
        last = whole.rindex(b"HTTP/1.1 200 OK\r\n")
        assert whole[:last].startswith(answer.raw_head)
        return whole[:last]

    def round(self) -> None:
        """One batch on each lasting connection, and one of everything that ends a connection."""
        while len(self.connections) < CONNECTIONS:
            self.connections.append(Client(self.address))
        picked = [self.random.choice(self.batches) for _ in self.connections]
        for client, (asked, _, _) in zip(self.connections, picked, strict=True):
            client.send(asked)
        for client, (_, answers, statuses) in zip(self.connections, picked, strict=True):
            assert client.take(len(answers), "a batch") == answers
            self.expected.update(statuses)
        for ending in (self.leave_stream, self.leave_wait, self.leave_upload, self.leave_head):
            for _ in range(5):
                ending()
        for asked, status in MALFORMED:
            self.refused(asked, status)
        self.refused(request("GET", "/crash"), 500)
        self.large_download()
        self.large_upload()

    def leave_stream(self) -> None:
        with Client(self.address) as client:
            client.send(request("GET", "/endless"))
            client.until(b"tick")
            client.reset()
        self.expected[499] += 1

    def leave_wait(self) -> None:
        with Client(self.address) as client:
            client.send(request("GET", "/wait"))
        self.expected[499] += 1

    def leave_upload(self) -> None:
        with Client(self.address) as client:
            client.send(request("POST", "/echo", "Content-Length: 100000") + b"b" * 5000)
        self.expected[499] += 1

    def leave_head(self) -> None:
        """Half a head is no request, so it has no line in the log."""
        with Client(self.address) as client:
            client.send(request("GET", "/get", *BROWSER)[:200])

    def refused(self, asked: bytes, status: int) -> None:
        with Client(self.address) as client:
            answer = client.ask(asked)
            assert (answer.status, answer.header("connection")) == (status, "close")
            client.assert_closed()
        self.expected[status] += 1

    def large_download(self) -> None:
        with Client(self.address) as client:
            assert len(client.get("/large").body) == 1 << 20
        self.expected[200] += 1

    def large_upload(self) -> None:
        with Client(self.address) as client:
            client.send(request("POST", "/echo", "Transfer-Encoding: chunked"))
            for _ in range(16):
                client.send(b"4000\r\n" + b"u" * 0x4000 + b"\r\n")
            assert client.ask(b"0\r\n\r\n").body == b"%d" % (16 * 0x4000)
        self.expected[200] += 1

    def account(self) -> dict[str, Any]:
        """The server's account of itself when nothing but the asking is left in it."""
        for client in self.connections:
            client.close()
        self.connections.clear()
        deadline = time.monotonic() + PATIENCE
        while True:
            with Client(self.address) as client:
                seen = json.loads(client.get("/account").body)
            self.expected[200] += 1
            if seen["native"]["Connection"] == seen["native"]["Exchange"] == 1:
                return seen
            assert time.monotonic() < deadline, f"these stay: {seen}"
            time.sleep(0.02)


@contextmanager
def soaked_server(log: Path) -> Iterator[tuple[int, Callable[[], str]]]:
    """A server process: its port, and what stops it and gives what it wrote to stderr."""
    command = [sys.executable, "-m", "fastserve", str(APP), "--port", "0", "--no-date-header"]
    with log.open("wb") as stdout:
        process = subprocess.Popen(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=clean_environment()
        )
    messages = Output(process.stderr)

    def stop() -> str:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        messages.close()
        return messages.text

    try:
        yield int(messages.wait_for(r" on http://127\.0\.0\.1:(\d+)")[1]), stop
    finally:
        process.kill()
        process.wait()
        messages.close()


def statuses(log: Path) -> Counter[int]:
    """How many lines of the access log show each status."""
    with log.open() as lines:
        found = (re.search(r'" (\d{3}) \d+ [\d.]+ms$', line) for line in lines)
        return Counter(int(match[1]) for match in found if match)


@pytest.mark.soak
def test_two_hundred_thousand_mixed_requests_leave_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with soaked_server(log) as (port, stop):
        load = Load(port)
        while load.sent < WARM_UP:
            load.round()
        before = load.account()
        while load.sent < TOTAL:
            load.round()
        after = load.account()
        messages = stop()

    assert after["native"] == before["native"]
    assert after["tasks"] == before["tasks"]
    growth = {kind: after["memory"][kind] - before["memory"][kind] for kind in before["memory"]}
    assert all(each <= GROWTH_KIB for each in growth.values()), (before, after)
    assert statuses(log) == load.expected

    crashes = load.expected[500]
    assert messages.count("LookupError: wanted by the soak") == crashes
    noisy = re.findall(r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL) .*", messages, re.MULTILINE)
    assert len(noisy) == crashes, noisy[:5]
    print(f"\n{load.sent} requests; growth in KiB {growth}; {before} -> {after}")
