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
        self.body_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data == self.last:
            self.transport.write(self.answer)
        else:
            self.first_time(data)

    def first_time(self, data: bytes) -> None:
        began_whole = not self.rest and not self.body_left
        count = self.count(data)
        if count:
            self.answer = self.response * count
            self.transport.write(self.answer)
        whole = began_whole and not self.rest and not self.body_left
        self.last = data if whole else None

    def count(self, data: bytes) -> int:
        """How many requests end within `data`; what is left over is kept."""
        if self.body_left > len(data):
            self.body_left -= len(data)
            return 0
        ended = 0
        if self.body_left:
            data = data[self.body_left :]
            self.body_left = 0
            ended = 1
        data = self.rest + data
        while (end := data.find(HEAD_END)) >= 0:
            at = data.find(LENGTH, 0, end)
            length = int(data[at + len(LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0
            data = data[end + 4 :]
            if length > len(data):
                self.body_left = length - len(data)
                data = b""
                break
            data = data[length:]
            ended += 1
        self.rest = data
        return ended


async def main() -> None:
    port, body = int(sys.argv[1]), sys.argv[2].encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    response = head % len(body) + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Constant(response), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
