"""The one driver of the parser's tests.

`events_of` feeds a stream whole, at every split, byte by byte and with trailing bytes,
and answers the events with the runs of a body joined, after checking that no manner
of feeding changed them.
"""

from __future__ import annotations

from typing import Any

from fastserve._native.http1.parser import RequestParser

Event = tuple[Any, ...]

LIMITS = {
    "line": 8192, "field": 16384, "head": 65536, "fields": 100, "body": 0, "trailers": 8192,
}  # fmt: skip
NEXT = b"POST /next HTTP/1.1\r\nHost: next\r\nContent-Length: 2\r\n\r\nok"
JUNK = (b"\x00", b"\r\n", b"\n", b"x", NEXT)


def feed(pieces: list[bytes], **limits: int) -> list[Event]:
    """The joined events of a stream that comes in `pieces`, from a fresh parser."""
    parser = RequestParser(**(LIMITS | limits))
    events: list[Event] = []
    for piece in pieces:
        got = parser.feed(piece)
        dead = bool(events) and events[-1][0] == "error"
        assert not (dead and got), f"{got} after {events[-1]}"
        events += got
    return join(events)


def join(events: list[Event]) -> list[Event]:
    """The same with one "body" between a "head" and what follows, where there is any body."""
    joined: list[Event] = []
    for event in events:
        if event[0] == "body":
            assert event[1], "a run of body is never empty"
            if joined[-1][0] == "body":
                joined[-1] = ("body", joined[-1][1] + event[1])
                continue
        joined.append(event)
    return joined


def events_of(data: bytes, **limits: int) -> list[Event]:
    """The events of `data`, the same in every manner of feeding it."""
    whole = feed([data], **limits)
    for at in range(len(data) + 1):
        assert feed([data[:at], data[at:]], **limits) == whole, f"split at {at}"
    assert feed([data[i : i + 1] for i in range(len(data))], **limits) == whole, "byte by byte"
    assert feed([b"", data, b"", b""], **limits) == whole, "with empty reads"
    if whole and whole[-1][0] == "error":
        for junk in JUNK:
            assert feed([data + junk], **limits) == whole, "bytes after an error"
            assert feed([data, junk], **limits) == whole, "reads after an error"
    elif whole and whole[-1][0] == "end":
        following = feed([NEXT], **limits)
        assert feed([data + NEXT], **limits) == whole + following, "pipelined"
        assert feed([data, NEXT], **limits) == whole + following, "kept alive"
        assert feed([data + data], **limits) == whole + whole, "repeated"
    return whole


def error_of(data: bytes, **limits: int) -> tuple[int, str]:
    """(status, reason) of the error that `data` ends in."""
    events = events_of(data, **limits)
    assert events, "no event"
    assert events[-1][0] == "error", events
    return events[-1][1], events[-1][2]


def message_of(data: bytes, **limits: int) -> tuple[dict[str, Any], bytes, list[Any]]:
    """(head, body, trailers) of `data`, which is one whole message."""
    events = events_of(data, **limits)
    names = [event[0] for event in events]
    assert names in (["head", "end"], ["head", "body", "end"]), events
    body = events[1][1] if len(events) == 3 else b""
    return events[0][1], body, events[-1][1]
