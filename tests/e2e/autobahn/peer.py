"""A client of the cases: frames with any bits and cuts, and the two ways a case ends."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from support.client import Client
from support.websocket import ACCEPT, BINARY, CLOSE, CONTINUATION, TEXT, handshake
from support.websocket import frame as plain_frame


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A masked frame. `rsv` is the three reserved bits as a number; 4 is RSV1."""
    plain = plain_frame(opcode, payload, fin=fin, mask=os.urandom(4))
    return bytes([plain[0] | rsv << 4]) + plain[1:]


def pieces(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` bytes, the last one shorter; one empty piece for nothing."""
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def fragments(opcode: int, parts: Iterable[bytes], rsv: int = 0) -> list[bytes]:
    """A message as one frame for each of `parts`."""
    parts = list(parts)
    last = len(parts) - 1
    return [
        frame(CONTINUATION if at else opcode, part, fin=at == last, rsv=0 if at else rsv)
        for at, part in enumerate(parts)
    ]


def close_frame(code: int | None = 1000, reason: bytes = b"") -> bytes:
    return frame(CLOSE, (b"" if code is None else code.to_bytes(2, "big")) + reason)


class Peer(Client):
    """A connection whose opening handshake is over."""

    def __init__(self, address: tuple[str, int], offer: str = "") -> None:
        super().__init__(address)
        lines = [f"Sec-WebSocket-Extensions: {offer}"] if offer else []
        self.send(handshake("/", *lines))
        head = self.head()
        assert (head.status, head.header("sec-websocket-accept")) == (101, ACCEPT), head
        self.extensions = head.header("sec-websocket-extensions")

    def say(self, data: bytes) -> bool:
        """Send; False where the server has closed before."""
        try:
            self.send(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    # frames of the server

    def frame(self) -> Frame:
        first, second = self.take(2, "a frame")
        assert second < 0x80, "a server masks nothing"
        n = second
        if n > 125:
            wide = 2 if n == 126 else 8
            n = int.from_bytes(self.take(wide, "a frame"), "big")
            assert n > (125 if wide == 2 else 0xFFFF), "not the shortest form of a length"
        return Frame(first & 15, self.take(n, "a frame"), bool(first & 0x80), first >> 4 & 7)

    def message(self) -> tuple[int, bytes]:
        """The next data message, uncompressed; what comes in between is a mistake."""
        got = self.frame()
        assert got.opcode in (TEXT, BINARY), got
        opcode, payload = got.opcode, [got.payload]
        while not got.fin:
            got = self.frame()
            assert got.opcode == CONTINUATION, got
            payload.append(got.payload)
        return opcode, b"".join(payload)

    def expect(self, *frames: Frame) -> None:
        for wanted in frames:
            assert self.frame() == wanted

    def echoed(self, opcode: int, payload: bytes) -> None:
        """The next message is this one."""
        got = self.message()
        assert got[0] == opcode
        assert got[1] == payload, f"{len(got[1])} bytes came, {len(payload)} were sent"

    # ends of a case

    def closed(self) -> tuple[int, bytes]:
        """The server's close frame, behind which it ends the connection in order."""
        got = self.frame()
        assert (got.opcode, got.fin, got.rsv) == (CLOSE, True, 0), got
        assert len(got.payload) != 1
        self.ends()
        code = int.from_bytes(got.payload[:2], "big") if got.payload else 1005
        got.payload[2:].decode()
        return code, got.payload[2:]

    def ends(self) -> None:
        """Nothing more comes, and the end is a FIN."""
        assert self.rest() == b""
        assert not self.was_reset

    def fail(self, code: int) -> None:
        """The server has failed the connection for this reason, and said why."""
        got, reason = self.closed()
        assert got == code
        assert reason

    def finish(self, code: int = 1000) -> None:
        """We close; the server answers with the same code."""
        self.send(close_frame(code))
        assert self.closed() == (code, b"")


class Deflater:
    """Our half of permessage-deflate (RFC 7692), as far as the answer has agreed on it."""

    def __init__(self, answer: str | None) -> None:
        assert answer is not None, "not agreed on"
        name, *parameters = [part.strip() for part in answer.split(";")]
        assert name == "permessage-deflate"
        agreed = dict(part.partition("=")[::2] for part in parameters)
        assert len(agreed) == len(parameters), answer
        self.agreed = agreed
        self.ours = int(agreed.get("client_max_window_bits") or 15)
        self.theirs = int(agreed.get("server_max_window_bits") or 15)
        self._compressor = self._decompressor = None

    def deflate(self, data: bytes) -> bytes:
        if self._compressor is None or "client_no_context_takeover" in self.agreed:
            self._compressor = zlib.compressobj(wbits=-self.ours)
        out = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        assert out.endswith(b"\0\0\xff\xff")
        return out[:-4]

    def inflate(self, data: bytes) -> bytes:
        if self._decompressor is None or "server_no_context_takeover" in self.agreed:
            self._decompressor = zlib.decompressobj(wbits=-self.theirs)
        return self._decompressor.decompress(data + b"\0\0\xff\xff")
