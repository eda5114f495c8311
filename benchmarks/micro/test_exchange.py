"""One whole request through a Connection with a transport that keeps what is written.

Everything a server does for a request but the kernel's part: parse, scope, start the application,
its receive and send, the response's bytes.
"""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
import uvloop
from data import BODY, BROWSER, POST, SMALL

from fastserve._native.service import Service

DATE = re.compile(rb"date: [^\r]+\r\n")


class Transport(asyncio.Transport):
    """Takes every write at once and remembers the last."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8000)})
        self.writes = 0
        self.last = b""

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.last = data

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high=None, low=None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


async def hello(scope, receive, send):
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, World!"})


async def length(scope, receive, send):
    message = await receive()
    answer = b"%d" % len(message["body"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer})


class Driver:
    """A connection on a loop that runs only while a request needs it to.

    Reads are fed from outside the running loop: running it for each would cost more than the
    request. An application that asks for the running loop cannot be measured here.
    """

    def __init__(self, app, **options) -> None:
        self.loop = uvloop.new_event_loop()
        self.transport = Transport()
        self.options = options
        self.loop.run_until_complete(self.open(app))

    async def open(self, app) -> None:
        logger = logging.getLogger("fastserve.bench")
        self.service = Service(app, loop=self.loop, logger=logger, **self.options)
        self.connection = self.service.make_protocol()
        self.connection.connection_made(self.transport)

    def request(self, data: bytes) -> bytes:
        """Feed `data` and answer what was written for it."""
        written = self.transport.writes
        self.connection.data_received(data)
        while self.transport.writes == written:
            self.step()
        return self.transport.last

    def step(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def close(self) -> None:
        self.connection.connection_lost(None)
        self.step()
        self.service.close()
        self.loop.close()


@pytest.fixture
def drive():
    """A function that makes a Driver; every one made is closed."""
    made = []

    def make(app, **options):
        made.append(Driver(app, **options))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


@pytest.mark.benchmark(group="request")
@pytest.mark.parametrize("data", [SMALL, BROWSER], ids=["small", "browser"])
def test_hello(benchmark, drive, data):
    driver = drive(hello)
    answer = bytes(benchmark(driver.request, data))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\nHello, World!")
    assert DATE.search(answer)


@pytest.mark.benchmark(group="request")
def test_hello_with_access_log(benchmark, drive):
    batches = []
    driver = drive(hello, access_write=batches.append)
    benchmark(driver.request, SMALL)
    driver.service.flush()
    assert b'"GET / HTTP/1.1" 200' in b"".join(batches)


@pytest.mark.benchmark(group="request")
def test_post(benchmark, drive):
    driver = drive(length)
    assert bytes(benchmark(driver.request, POST)).endswith(b"\r\n\r\n%d" % BODY)


@pytest.mark.benchmark(group="request")
def test_sixteen_pipelined(benchmark, drive):
    """Sixteen requests in one read must leave in one write."""
    driver = drive(hello)
    answer = bytes(benchmark(driver.request, SMALL * 16))
    assert answer.count(b"Hello, World!") == 16
