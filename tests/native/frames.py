"""The frames a client sends, and the one driver of the frame parser's tests.

`events_of` feeds a stream whole, at every split, byte by byte and with more bytes behind,
and answers the events after checking that no manner of feeding changed them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from fastserve._native.websocket.deflate import Deflate
from fastserve._native.websocket.frames import FrameParser

Event = tuple[Any, ...]
MakeDeflate = Callable[[], Deflate]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_SIZE = 1 << 20
KEY = b"\x37\xfa\x21\x3d"


def masked(data: bytes, key: bytes = KEY) -> bytes:
    pad = int.from_bytes((key * (len(data) // 4 + 1))[: len(data)])
    return (int.from_bytes(data) ^ pad).to_bytes(len(data))


def length_bytes(n: int) -> bytes:
    """The second byte of a client's head, and the length behind it."""
    if n < 126:
        return bytes([0x80 | n])
    return b"\xfe" + struct.pack("!H", n) if n < 1 << 16 else b"\xff" + struct.pack("!Q", n)


def frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, key: bytes = KEY
) -> bytes:
    """One frame of a client; `rsv` is 4 for RSV1, 2 for RSV2, 1 for RSV3."""
    return bytes([fin << 7 | rsv << 4 | opcode]) + length_bytes(len(data)) + key + masked(data, key)


def message(opcode: int, *parts: bytes) -> bytes:
    """A message of one frame for each part."""
    opcodes = [opcode] + [CONTINUATION] * (len(parts) - 1)
    last = len(parts) - 1
    return b"".join(
        frame(o, part, fin=i == last)
        for i, (o, part) in enumerate(zip(opcodes, parts, strict=True))
    )


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def feed(
    pieces: list[bytes], max_size: int = MAX_SIZE, deflate: MakeDeflate | None = None
) -> list[Event]:
    """The events of a stream that comes in `pieces`, from a fresh parser."""
    parser = FrameParser(max_size, deflate() if deflate else None)
    events: list[Event] = []
    for piece in pieces:
        got = parser.feed(piece)
        over = bool(events) and events[-1][0] in ("error", "close")
        assert not (over and got), f"{got} after {events[-1]}"
        events += got
    return events


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def events_of(
    data: bytes, max_size: int = MAX_SIZE, deflate: MakeDeflate | None = None
) -> list[Event]:
    """The events of `data`, the same in every manner of feeding it."""
    whole = feed([data], max_size, deflate)
    for at in range(len(data) + 1):
        assert feed([data[:at], data[at:]], max_size, deflate) == whole, f"split at {at}"
    assert feed(bytewise(data), max_size, deflate) == whole, "byte by byte"
    assert feed([b"", data, b"", b""], max_size, deflate) == whole, "with empty reads"
    if whole and whole[-1][0] in ("error", "close"):
        for junk in (b"\x00", b"\xff" * 20, frame(TEXT, b"late")):
            assert feed([data + junk], max_size, deflate) == whole, "bytes after the end"
            assert feed([data, junk], max_size, deflate) == whole, "reads after the end"
    return whole


def error_of(data: bytes, max_size: int = MAX_SIZE) -> int:
    """The code of the error that `data` ends in, which has a reason fit for a close frame."""
    events = events_of(data, max_size)
    assert events, "no event"
    assert events[-1][0] == "error", events
    assert 0 < len(events[-1][2].encode()) <= 123
    return events[-1][1]


def bytes_until_error(data: bytes, max_size: int = MAX_SIZE) -> int:
    """How many bytes of `data` it takes until the parser fails."""
    parser = FrameParser(max_size)
    for at, byte in enumerate(bytewise(data)):
        if any(event[0] == "error" for event in parser.feed(byte)):
            return at + 1
    raise AssertionError("no error")
