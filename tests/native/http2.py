"""The one driver of the tests of HTTP/2's frames, and their field blocks.

`events_of` feeds a stream whole, at every split, byte by byte and with more bytes behind, and
answers the events with the runs of a frame of DATA joined, after checking that no manner of
feeding changed anything else.
"""

from __future__ import annotations

from typing import Any

import hpack
import pytest
from support.http2 import DATA, PREFACE, frame, settings

from fastserve._native.errors import Http2Error, ParseError
from fastserve._native.http1.parser import ParserLimits
from fastserve._native.http2.frames import FrameReader
from fastserve._native.http2.heads import HeadReader, RequestHead
from fastserve._native.http2.hpack_decoder import HpackDecoder

Event = tuple[Any, ...]

JUNK = (b"\0", b"\xff" * 20, frame(DATA, 1, 1, b"late"), PREFACE)


def join(events: list[Event]) -> list[Event]:
    """The same with one "data" for each frame, after checking how it was cut."""
    joined: list[Event] = []
    open_frame = False
    for event in events:
        if event[0] != "data":
            joined.append(event)
            open_frame = False
            continue
        _, stream, content, charged, ends = event
        # A further run is never empty; an empty frame is charged nothing.
        if charged == 0 and content:
            assert open_frame, "a run of no frame"
            last = joined[-1]
            assert last[1] == stream
            assert not last[4], "a run follows the last of its frame"
            joined[-1] = ("data", stream, last[2] + content, last[3], ends)
        else:
            joined.append(event)
        open_frame = len(joined[-1][2]) < joined[-1][3]
    return joined


def feed(pieces: list[bytes], **options: Any) -> list[Event]:
    """The joined events of a stream that comes in `pieces`, from a fresh reader."""
    reader = FrameReader(**options)
    events: list[Event] = []
    over = False
    for piece in pieces:
        got = reader.feed(piece)
        assert not (over and got), f"{got} after {events[-1]}"
        events += got
        over = over or any(event[0] == "error" and event[3] == 0 for event in got)
    return join(events)


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def events_of(data: bytes, *, preface: bool = False, **options: Any) -> list[Event]:
    """The events of `data`, the same in every manner of feeding it.

    Without `preface` it follows the preface and empty SETTINGS, which are not told.
    """
    options["preface"] = preface
    before = b"" if preface else settings()
    skip = 0 if preface else 1
    whole = feed([before + data], **options)
    stream = before + data
    for at in range(len(stream) + 1):
        assert feed([stream[:at], stream[at:]], **options) == whole, f"split at {at}"
    assert feed(bytewise(stream), **options) == whole, "byte by byte"
    assert feed([b"", stream, b"", b""], **options) == whole, "with empty reads"
    if whole and whole[-1][0] == "error" and whole[-1][3] == 0:
        for junk in JUNK:
            assert feed([stream + junk], **options) == whole, "bytes after the end"
            assert feed([stream, junk], **options) == whole, "reads after the end"
    return whole[skip:]


def error_of(data: bytes, **options: Any) -> tuple[int, int]:
    """(code, stream) of the error that `data` ends in, which has a reason for a person."""
    events = events_of(data, **options)
    assert events, "no event"
    assert events[-1][0] == "error", events
    assert 0 < len(events[-1][2]) < 60
    return events[-1][1], events[-1][3]


def bytes_until_error(data: bytes, **options: Any) -> int:
    """How many bytes of `data`, behind the preface, it takes until the reader fails."""
    reader = FrameReader(**(options | {"preface": False}))
    reader.feed(settings())
    for at, byte in enumerate(bytewise(data)):
        if any(event[0] == "error" for event in reader.feed(byte)):
            return at + 1
    raise AssertionError("no error")


# Field blocks

Pair = tuple[str, str]

LIMITS = {
    "line": 8192, "field": 16384, "head": 65536, "fields": 100, "body": 0, "trailers": 8192,
}  # fmt: skip
GET = ((":method", "GET"), (":scheme", "https"), (":authority", "x.test"), (":path", "/"))
PROTOCOL, COMPRESSION = 1, 9


class Peer:
    """A client's encoder and the reader of its blocks."""

    def __init__(self, *, protocols: bool = True, **limits: int) -> None:
        self.encoder = hpack.Encoder()
        self.decoder = HpackDecoder()
        parser = ParserLimits(**(LIMITS | limits))
        self.reader = HeadReader(parser, self.decoder, protocols=protocols)

    def block(self, *pairs: Pair) -> bytes:
        return self.encoder.encode(pairs)

    def head(self, *pairs: Pair, ends: bool = True, stream: int = 1) -> RequestHead:
        return self.reader.head(self.block(*pairs), stream, ends=ends)


def head(*pairs: Pair, ends: bool = True, **limits: Any) -> RequestHead:
    return Peer(**limits).head(*pairs, ends=ends)


def without(name: str, pairs: tuple[Pair, ...] = GET) -> list[Pair]:
    return [pair for pair in pairs if pair[0] != name]


def given(*changes: Pair) -> list[Pair]:
    """GET with other pseudo-headers."""
    changed = dict(changes)
    return [(name, changed.get(name, value)) for name, value in GET]


def assert_malformed(*pairs: Pair, ends: bool = True, **options: Any) -> None:
    """Section 8.1.1: it costs the stream, and the connection goes on in step."""
    peer = Peer(**options)
    with pytest.raises(Http2Error) as caught:
        peer.head(*pairs, ends=ends, stream=7)
    assert (caught.value.code, caught.value.stream) == (PROTOCOL, 7)
    assert 0 < len(caught.value.reason) < 60
    assert peer.head(*GET, ("x-after", "1")).copy()[1] == (b"x-after", b"1")


def assert_answered(status: int, *pairs: Pair, **options: Any) -> str:
    """It is answered, and the connection goes on in step; returns the text."""
    peer = Peer(**options)
    with pytest.raises(ParseError) as caught:
        peer.head(*pairs, ends=False)
    assert caught.value.status == status
    assert peer.head(*GET, ("x-after", "1")).copy()[1] == (b"x-after", b"1")
    return caught.value.reason
