"""A lower limit: a uvloop protocol that echoes WebSocket messages, with no application.

It does the least that plain Python can: finds a frame's end, unmasks its payload and writes it back
behind a head of its own. It does not put fragments together (each frame is echoed as it came),
check UTF-8, reserved bits or lengths, refuse what RFC 6455 forbids, compress, ping, queue messages,
slow down for a client that does not read, or keep any limit. What an ASGI server costs above this
is what it does for the application and for the standard.

Usage: python uvloop_ws_echo.py PORT
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys

import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = re.compile(rb"\r\nsec-websocket-key:[ \t]*(\S+)", re.I)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n\r\n"
)
CLOSE, PING, PONG = 8, 9, 10
# From here on four translated strides are quicker than one large integer (measured).
LARGE = 1 << 17
XOR = [bytes(byte ^ key for byte in range(256)) for key in range(256)]

from_bytes = int.from_bytes


def ones(size: int) -> int:
    """A mask times this is the mask repeated over `size` bytes; `size` is a multiple of four."""
    return from_bytes(b"\1\0\0\0" * (size // 4), "little")


# The first two bytes of a small frame tell all: our head, the payload's size and its `ones`.
SMALL = {
    bytes((0x80 | opcode, 0x80 | size)): (bytes((0x80 | opcode, size)), size, ones(size), size + 6)
    for opcode in (1, 2)
    for size in range(4, 126, 4)
}


class Echo(asyncio.Protocol):
    """Echoes frames once the handshake is done."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.write = transport.write
        self.open = self.closing = False
        self.between = False  # the next byte begins a frame
        self.rest = b""
        self.parts: list[bytes] = []  # of a frame that is larger than one read
        self.missing = 0
        self.known = (0, 0)  # the last size of a larger frame, and its `ones`

    def data_received(self, data: bytes) -> None:
        if self.between and (small := SMALL.get(data[:2])) and len(data) == small[3]:
            # One frame, whole: what a client in a closed loop sends.
            head, size, times, _ = small
            mask = from_bytes(data[2:6], "little") * times
            self.write(head + (from_bytes(data[6:], "little") ^ mask).to_bytes(size, "little"))
        elif self.missing:
            self.go_on(data)
        elif self.open:
            self.frames(self.rest + data)
        else:
            self.handshake(self.rest + data)

    def handshake(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        found = KEY.search(data)
        if end < 0 or not found:
            self.rest = data
            return
        accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
        self.write(SWITCH % accept)
        self.open = True
        self.frames(data[end + 4 :])

    def frames(self, data: bytes) -> None:
        """Echo all whole frames of `data` in one write and keep the rest."""
        at = 0
        out: list[bytes] = []
        while len(data) - at >= 14 or (len(data) - at >= 6 and data[at + 1] & 127 < 126):
            size = data[at + 1] & 127
            start = at + 6
            if size > 125:
                start = at + (8 if size == 126 else 14)
                size = from_bytes(data[at + 2 : start - 4], "big")
            if len(data) - start < size:
                self.parts = [data[at:]]
                self.missing = start + size - len(data)
                at = len(data)
                break
            self.echo(data[at], data[start - 4 : start], data[start : start + size], out)
            at = start + size
        self.rest = data[at:]
        self.between = not self.rest and not self.missing
        if out:
            self.write(out[0] if len(out) == 1 else b"".join(out))
        if self.closing:
            self.transport.close()

    def go_on(self, data: bytes) -> None:
        """More of a large frame; joined once, when all of it is there."""
        self.parts.append(data)
        self.missing -= len(data)
        if self.missing <= 0:
            self.missing = 0
            self.frames(b"".join(self.parts))

    def echo(self, first: int, mask: bytes, payload: bytes, out: list[bytes]) -> None:
        opcode = first & 15
        self.closing |= opcode == CLOSE
        if opcode == PONG:
            return
        head = self.head(first + 1 if opcode == PING else first, len(payload))
        if len(payload) < LARGE:
            out.append(head + self.unmask(mask, payload))
        else:
            out.append(unmask_large(head, mask, payload))

    def head(self, first: int, size: int) -> bytes:
        if size < 126:
            return bytes((first, size))
        if size < 1 << 16:
            return bytes((first, 126, size >> 8, size & 255))
        return bytes((first, 127)) + size.to_bytes(8, "big")

    def unmask(self, mask: bytes, payload: bytes) -> bytes:
        size = len(payload)
        if size % 4:
            mask *= size // 4 + 1
            mixed = from_bytes(payload, "little") ^ from_bytes(mask[:size], "little")
            return mixed.to_bytes(size, "little")
        if self.known[0] != size:
            self.known = (size, ones(size))
        repeated = from_bytes(mask, "little") * self.known[1]
        return (from_bytes(payload, "little") ^ repeated).to_bytes(size, "little")


def unmask_large(head: bytes, mask: bytes, payload: bytes) -> bytearray:
    """The head and the payload in one buffer that is filled in place."""
    out = bytearray(len(head) + len(payload))
    out[: len(head)] = head
    for lane in range(4):
        out[len(head) + lane :: 4] = payload[lane::4].translate(XOR[mask[lane]])
    return out


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", int(sys.argv[1]), backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
