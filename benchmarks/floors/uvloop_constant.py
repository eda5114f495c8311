"""A lower limit: a uvloop protocol that answers every request with the same bytes.

It looks only for the end of a request head and for a Content-Length, builds no scope and runs
no application. What an ASGI server costs above this is what it does for the application.

Usage: python uvloop_constant.py PORT BODY
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\nContent-Length: "


class Constant(asyncio.Protocol):
    """Answers `response` once per request; bodies are counted and dropped.

    A client repeats its request byte for byte, so a read that equals the last whole one gets the
    last answer at once. `last` is None while a request is incomplete.
    """

    def __init__(self, response: bytes) -> None:
        self.response = response
        self.last: bytes | None = None
        self.answer = b""
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data == self.last:
            self.transport.write(self.answer)
        else:
            self.first_time(data)

    def first_time(self, data: bytes) -> None:
        began_whole = not self.rest
        count, missing = self.count(data)
        if count:
            self.answer = self.response * count
            self.transport.write(self.answer)
        self.last = data if began_whole and not self.rest and not missing else None
        if missing:
            self.transport.set_protocol(Body(self, missing))

    def count(self, data: bytes) -> tuple[int, int]:
        """How many requests end within `data`, and how much of the last one's body is missing."""
        ended = 0
        data = self.rest + data
        self.rest = b""
        while (end := data.find(HEAD_END)) >= 0:
            at = data.find(LENGTH, 0, end)
            length = int(data[at + len(LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0
            data = data[end + 4 :]
            if length > len(data):
                return ended, length - len(data)
            data = data[length:]
            ended += 1
        self.rest = data
        return ended, 0


class Body(asyncio.BufferedProtocol):
    """Reads large bodies into one buffer, again and again: the cheapest way there is.

    A connection that has sent one stays here: the next head is read in a small piece.
    """

    BUFFER = memoryview(bytearray(1 << 16))
    HEAD = 4096

    def __init__(self, owner: Constant, missing: int) -> None:
        self.owner = owner
        self.missing = missing

    def get_buffer(self, sizehint: int) -> memoryview:
        # Never beyond the body, so that the next head begins a read.
        return self.BUFFER[: self.missing or self.HEAD]

    def buffer_updated(self, nbytes: int) -> None:
        if self.missing:
            self.missing -= nbytes
            ended = not self.missing
        else:
            ended, self.missing = self.owner.count(bytes(self.BUFFER[:nbytes]))
        if ended:
            self.owner.transport.write(self.owner.response * ended)


async def main() -> None:
    port, body = int(sys.argv[1]), sys.argv[2].encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    response = head % len(body) + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Constant(response), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
