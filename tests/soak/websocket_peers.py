"""The clients of the WebSocket soak: blocking sockets that send bytes made beforehand.

Frames are masked with a key of zeros, so that a payload is its own masked form.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from support.process import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
BATCH = 250


def opening(path: str, *lines: str) -> bytes:
    """The head of an opening handshake."""
    head = [f"GET {path} HTTP/1.1", "Host: test", "Upgrade: websocket", "Connection: Upgrade"]
    head += [f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", *lines, "", ""]
    return "\r\n".join(head).encode()


def frame_head(opcode: int, length: int, *, fin: bool = True, packed: bool = False) -> bytes:
    first = fin << 7 | packed << 6 | opcode
    if length < 126:
        return struct.pack("!BB4x", first, 0x80 | length)
    if length < 1 << 16:
        return struct.pack("!BBH4x", first, 0x80 | 126, length)
    return struct.pack("!BBQ4x", first, 0x80 | 127, length)


def frame(opcode: int, payload: bytes = b"", **flags: bool) -> bytes:
    return frame_head(opcode, len(payload), **flags) + payload


def packed(content: bytes) -> bytes:
    """One compressed text message that needs none before it."""
    packer = zlib.compressobj(wbits=-12)
    data = packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)
    return frame(TEXT, data[:-4], packed=True)


class Peer:
    """One WebSocket. It has asked for it when this is made; `opened` waits for the answer."""

    def __init__(
        self, port: int, path: str = "/echo", *lines: str, receive_buffer: int | None = None
    ) -> None:
        self.sock = connected(port, receive_buffer)
        self.data = b""
        self.send(opening(path, *lines))

    def opened(self) -> Peer:
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return self

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def more(self) -> None:
        data = self.sock.recv(65536)
        assert data, f"closed behind {self.data[:200]!r}"
        self.data += data

    def take(self, count: int) -> bytes:
        while len(self.data) < count:
            self.more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def next(self) -> tuple[int, bytes]:
        """Opcode and content of the next frame that is neither ping nor pong."""
        while True:
            first, length = self.take(2)
            if length > 125:
                wide = length == 127
                (length,) = struct.unpack("!Q" if wide else "!H", self.take(8 if wide else 2))
            payload = self.take(length)
            if first & 0x40:
                payload = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")
            if first & 15 == PING:
                self.send(frame(PONG, payload))
            elif first & 15 != PONG:
                return first & 15, payload

    def ask(self, text: bytes) -> bytes:
        self.send(frame(TEXT, text))
        opcode, answer = self.next()
        assert opcode == TEXT
        return answer

    def wait_closed(self) -> int:
        """The code the server closes with; answers it, and waits for the connection's end."""
        opcode, payload = self.next()
        while opcode != CLOSE:
            opcode, payload = self.next()
        with suppress(OSError):
            self.send(frame(CLOSE, payload[:2]))
            while self.sock.recv(65536):
                pass
        self.sock.close()
        return int.from_bytes(payload[:2], "big")

    def leave(self) -> None:
        """Close as RFC 6455 has it."""
        self.send(frame(CLOSE, b"\x03\xe8"))
        assert self.wait_closed() == 1000

    def reset(self) -> None:
        reset(self.sock)


def connected(port: int, receive_buffer: int | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", port))
    return sock


def reset(sock: socket.socket) -> None:
    """End the connection without a word."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def open_many(port: int, count: int, path: str = "/echo", *lines: str) -> list[Peer]:
    peers: list[Peer] = []
    while len(peers) < count:
        asked = [Peer(port, path, *lines) for _ in range(min(BATCH, count - len(peers)))]
        peers += [peer.opened() for peer in asked]
    return peers


@contextmanager
def bystander(port: int) -> Iterator[list[float]]:
    """One who talks on while the body runs, and gets every answer; the seconds each took."""
    over = threading.Event()
    waits: list[float] = []
    failures: list[BaseException] = []

    def talk() -> None:
        try:
            peer = Peer(port).opened()
            while not (waits and over.is_set()):
                begin = time.monotonic()
                assert peer.ask(b"still there?") == b"still there?"
                waits.append(time.monotonic() - begin)
            peer.leave()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()
    assert not failures, failures
