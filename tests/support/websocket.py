"""A raw WebSocket client and parts of applications, for tests that look at every byte.

The client sends exactly the frames it is given and reads a server's strictly (RFC 6455). It
shares no code with the server, so that a mistake cannot cancel itself out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from .client import request
from .server import Running
from .stage import Stage

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

# The example of RFC 6455, section 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"\x37\xfa\x21\x3d"

FIELDS = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Version: 13",
)


def handshake(target: str = "/", *lines: str) -> bytes:
    """An opening handshake with the further header lines."""
    return request("GET", target, *FIELDS, *lines)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = MASK) -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", fin << 7 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", fin << 7 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", fin << 7 | opcode, 0x80 | 127, size)
    key = int.from_bytes((mask * (size // 4 + 1))[:size])
    return head + mask + (int.from_bytes(payload) ^ key).to_bytes(size)


def close_frame(code: int | None = 1000, reason: str = "") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


@dataclass(frozen=True)
class Frame:
    """A server's frame."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def close(self) -> tuple[int, str]:
        """Code and reason of a close frame; 1005 where it has none."""
        assert self.opcode == CLOSE, self
        if not self.payload:
            return 1005, ""
        return int.from_bytes(self.payload[:2]), self.payload[2:].decode()


class WebSocket:
    """The client's end of an open WebSocket; `client` is a `Client`, or what does as one."""

    def __init__(self, client: Any) -> None:
        self.client = client

    # sending

    def send(self, message: str | bytes) -> None:
        """A whole message in one frame."""
        if isinstance(message, str):
            self.client.send(frame(TEXT, message.encode()))
        else:
            self.client.send(frame(BINARY, message))

    def ping(self, payload: bytes = b"") -> None:
        self.client.send(frame(PING, payload))

    def pong(self, payload: bytes = b"") -> None:
        self.client.send(frame(PONG, payload))

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        self.client.send(close_frame(code, reason))

    # reading

    def read(self) -> Frame:
        """The next frame."""
        first, second = self.client.take(2, "a frame")
        assert not first & 0x70, "no extension was agreed on"
        assert not second & 0x80, "a server does not mask (RFC 6455, section 5.1)"
        size = second
        if size == 126:
            size = int.from_bytes(self.client.take(2, "a frame"))
            assert size > 125, "not the shortest form of a length"
        elif size == 127:
            size = int.from_bytes(self.client.take(8, "a frame"))
            assert size > 0xFFFF, "not the shortest form of a length"
        opcode = first & 0x0F
        assert opcode < CLOSE or (first & 0x80 and size < 126), "no such control frame"
        return Frame(opcode, self.client.take(size, "a frame"), bool(first & 0x80))

    def receive(self) -> str | bytes:
        """The next frame, which is a whole message."""
        got = self.read()
        assert got.fin, got
        assert got.opcode in (TEXT, BINARY), got
        return got.payload.decode() if got.opcode == TEXT else got.payload

    def closed(self) -> tuple[int, str]:
        """Code and reason of the close frame that comes next."""
        return self.read().close

    def assert_ended(self) -> None:
        """The server has ended the connection and sent nothing more."""
        self.client.assert_closed()

    def leave(self, code: int | None = 1000) -> None:
        """The closing handshake, begun here."""
        self.close(code)
        assert self.closed()[0] == (1005 if code is None else code)
        self.assert_ended()


def upgraded(client: Any) -> WebSocket:
    """The WebSocket of a client that has sent its handshake."""
    answer = client.head()
    if answer.version == "HTTP/2":
        client.check_upgraded(answer)
        return WebSocket(client)
    assert answer.status == 101, answer
    assert (answer.header("upgrade") or "").lower() == "websocket"  # HAProxy echoes the client
    assert (answer.header("connection") or "").lower() == "upgrade"
    assert answer.header("sec-websocket-accept") == ACCEPT
    return WebSocket(client)


def connect(server: Running, target: str = "/", *lines: str, **options: Any) -> WebSocket:
    """An open WebSocket; `options` are those of `Client`."""
    client = server.connect(**options)
    client.send(handshake(target, *lines))
    return upgraded(client)


# -- parts of applications ---------------------------------------------------------------


async def accept(receive: Any, send: Any, **fields: Any) -> None:
    """The application's side of the handshake."""
    assert (await receive()) == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **fields})


def message(data: str | bytes) -> dict[str, Any]:
    return {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}


def content(event: dict[str, Any]) -> str | bytes:
    """The text or bytes of a websocket.receive."""
    assert event["type"] == "websocket.receive", event
    text, data = event.get("text"), event.get("bytes")
    assert (text is None) != (data is None), event
    return data if text is None else text


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends back what it receives, until the client leaves."""
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        await send(message(content(event)))


class Recorder:
    """Accepts, and keeps every event up to the disconnect."""

    def __init__(self) -> None:
        self.stage = Stage()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        while (event := await receive())["type"] == "websocket.receive":
            self.stage.mark("message", content(event))
        self.stage.mark("disconnect", event)

    @property
    def messages(self) -> list[str | bytes]:
        return self.stage.values("message")

    def disconnect(self) -> tuple[int, str]:
        """Code and reason of the disconnect, once it has come."""
        event = self.stage.wait("disconnect")
        assert event["type"] == "websocket.disconnect"
        assert set(event) == {"type", "code", "reason"}
        return event["code"], event["reason"]
