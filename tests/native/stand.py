"""A native service in the test's own event loop, and clients at the other end of socket pairs.

Nothing runs but what the test awaits, so what it finds between two awaits does not change.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from fastserve._native.http2.policy import Http2Policy
from fastserve._native.service import Service
from fastserve.board import Board
from fastserve.loops import loop_factory

LOOPS = ("asyncio", "uvloop")
PATIENCE = 30.0

Body = Callable[..., Awaitable[None]]


class Client:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = 0
        self.sent = 0
        self._loop = asyncio.get_running_loop()
        self._rest = b""

    def push(self, data: bytes) -> None:
        """Send at once: the service has not read it when this returns."""
        assert self.sock.send(data) == len(data)
        self.sent += len(data)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)
        self.sent += len(data)

    async def read(self) -> bytes:
        data = await self._loop.sock_recv(self.sock, 65536)
        self.received += len(data)
        return data

    async def until(self, mark: bytes) -> bytes:
        """What comes up to and with `mark`."""
        while mark not in self._rest:
            data = await self.read()
            assert data, f"the end came before {mark!r}, after {self._rest!r}"
            self._rest += data
        found, _, rest = self._rest.partition(mark)
        self._rest = rest
        return found + mark

    def left(self) -> bytes:
        """What has come behind the last mark, and belongs to another reader from now on."""
        rest, self._rest = self._rest, b""
        return rest

    async def answer(self) -> tuple[bytes, bytes]:
        """(head, body) of a response with a content-length."""
        head = await self.until(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(self._rest) < length:
            data = await self.read()
            assert data, "the end came before the body's"
            self._rest += data
        body, self._rest = self._rest[:length], self._rest[length:]
        return head, body

    async def get(self, target: str = "/") -> tuple[bytes, bytes]:
        await self.send(request(target))
        return await self.answer()

    async def ended(self) -> bool:
        """Waits for more; True when it is the end."""
        return not self._rest and await self.read() == b""


class Stand:
    """The service, the board it counts on, and its clients."""

    def __init__(self, service: Service, board: Board) -> None:
        self.service = service
        self.board = board
        self._clients: list[Client] = []

    async def connect(self, tls: Any = None) -> Client:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        client = Client(ours)
        self._clients.append(client)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(partial(self.service.make_protocol, tls=tls), theirs)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.sock.close()


def request(target: str = "/", *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *lines])
    return head.encode() + b"\r\n\r\n" + body


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[Stand]:
    """Serve `app`; in the end nothing may be left of it. What HTTP/2 is granted: `http2_...`."""
    granted = {
        name.removeprefix("http2_"): options.pop(name)
        for name in list(options)
        if name.startswith("http2_")
    }
    board = Board.private()
    row = board.row(board.take(slot=1))
    service = Service(
        app,
        loop=asyncio.get_running_loop(),
        logger=logging.getLogger("fastserve.error"),
        row=row,
        http2=Http2Policy(**granted),
        **options,
    )
    service.set_context(contextvars.copy_context(), None)
    stand = Stand(service, board)
    try:
        yield stand
    finally:
        stand.close()
        service.cancel()
        service.abort()
        await service.wait_idle()
        service.close()
    (state,) = board.rows()
    assert (state.connections, state.exchanges) == (0, 0), "a gauge did not come back to zero"


def play(loop: str, body: Body, *arguments: Any) -> None:
    """Run the coroutine function `body` in a loop of this name."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(asyncio.wait_for(body(*arguments), PATIENCE))


async def turn() -> None:
    """Let the loop poll its sockets and run what follows from it."""
    for _ in range(3):
        await asyncio.sleep(0)
