"""What h11 and httptools make of a stream's first message, in the form of our own parser's.

An answer is ("message", facts), ("error",) or ("more",).
"""

from __future__ import annotations

from typing import Any

import h11
import httptools
from native.driver import LIMITS, join

from fastserve._native.http1.parser import RequestParser

Answer = tuple[Any, ...]


def message(
    method: bytes, target: bytes, version: str, headers: Any, body: bytes, trailers: Any
) -> Answer:
    return ("message", {
        "method": method.upper(), "target": target, "version": version, "headers": list(headers),
        "body": body, "trailers": list(trailers),
    })  # fmt: skip


def by_fastserve(data: bytes) -> Answer:
    """Ours; an error carries status and reason too."""
    events = join(RequestParser(**LIMITS).feed(data))
    body = b""
    for event in events:
        if event[0] == "error":
            return event
        if event[0] == "body":
            body = event[1]
        if event[0] == "end":
            head = events[0][1]
            return message(head["method"].encode(), head["target"], head["http_version"],
                           head["headers"], body, event[1])  # fmt: skip
    return ("more",)


def by_h11(data: bytes) -> Answer:
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
    body = b""
    request = None
    try:
        peer.receive_data(data)
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return ("more",)
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                return message(request.method, request.target, request.http_version.decode(),
                               request.headers, body, event.headers)  # fmt: skip
    except h11.RemoteProtocolError:
        return ("error",)


class _Collector:
    """httptools' callbacks; keeps the first message and no more."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.head_over = False
        self.answer: Answer | None = None
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        where = self.trailers if self.head_over else self.headers
        where.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.head_over = True

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        if self.answer is None:
            self.answer = message(self.parser.get_method(), self.target,
                                  self.parser.get_http_version(), self.headers, self.body,
                                  self.trailers)  # fmt: skip


def by_httptools(data: bytes) -> Answer:
    collector = _Collector()
    try:
        collector.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        assert collector.answer is not None
    except httptools.HttpParserError:
        return collector.answer or ("error",)
    return collector.answer or ("more",)
