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
    """Answers `response` once per request; bodies are counted and dropped."""

    def __init__(self, response: bytes) -> None:
        self.response = response
        self.rest = b""
        self.body_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        # The usual read holds one whole request without a body: no copy, one scan, one write.
        if not self.rest and not self.body_left and LENGTH not in data:
            count = data.count(HEAD_END)
            if data.endswith(HEAD_END):
                self.transport.write(self.response if count == 1 else self.response * count)
                return
        self.slow(data)

    def slow(self, data: bytes) -> None:
        """Reads with bodies, or that end within a request head."""
        if self.body_left > len(data):
            self.body_left -= len(data)
            return
        answers = 0
        if self.body_left:
            data = data[self.body_left :]
            self.body_left = 0
            answers = 1
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
            answers += 1
        self.rest = data
        if answers:
            self.transport.write(self.response * answers)


async def main() -> None:
    port, body = int(sys.argv[1]), sys.argv[2].encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    response = head % len(body) + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Constant(response), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
