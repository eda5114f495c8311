"""One request through a parser: ours, httptools' (C callbacks) and h11's (pure Python).

All three give the application the same thing, method, target and a list of header pairs, so the
figures can be compared. Ours also splits and decodes the target, which the others leave undone.
"""

from __future__ import annotations

import h11
import httptools
import pytest
from data import BODY, FIELDS, REQUESTS

from fastserve._native.http1.parser import RequestParser

LIMITS = {"line": 8192, "field": 16384, "head": 65536, "fields": 100, "body": 0, "trailers": 8192}
KINDS = list(REQUESTS)


class Collector:
    """What a server on httptools does in its callbacks, at the least."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.done = 0

    def on_message_begin(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.method = self.parser.get_method()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done += 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="parse")
def test_fastserve(benchmark, kind):
    parser = RequestParser(**LIMITS)
    events = benchmark(parser.feed, REQUESTS[kind])
    name, head = events[0]
    assert name == "head"
    assert len(head["headers"]) == FIELDS[kind]
    assert events[-1][0] == "end"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="parse")
def test_fastserve_with_changing_fields(benchmark, kind):
    """No request repeats the header block of the one before, so nothing can be reused."""
    first = REQUESTS[kind].replace(b"127.0.0.1:8000", b"127.0.0.1:8001")
    second = REQUESTS[kind].replace(b"127.0.0.1:8000", b"127.0.0.1:8002")
    parser = RequestParser(**LIMITS)

    def both():
        parser.feed(first)
        return parser.feed(second)

    events = benchmark(both)  # two requests: halve the figure
    assert len(events[0][1]["headers"]) == FIELDS[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="parse")
def test_httptools(benchmark, kind):
    collector = Collector()
    benchmark(collector.parser.feed_data, REQUESTS[kind])
    assert collector.done > 0
    assert len(collector.headers) == FIELDS[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="parse")
def test_h11(benchmark, kind):
    def one():
        # h11 takes the next request only after a response; a new object is its cheapest way on.
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(REQUESTS[kind])
        request = connection.next_event()
        while type(connection.next_event()) is not h11.EndOfMessage:
            pass
        return request

    request = benchmark(one)
    assert len(request.headers) == FIELDS[kind]


@pytest.mark.benchmark(group="parse in pieces")
@pytest.mark.parametrize("size", [16, 64, 256])
def test_fastserve_in_pieces(benchmark, size):
    """A browser's head that arrives in many reads; must not be read again from its start."""
    request = REQUESTS["browser"]
    pieces = [request[at : at + size] for at in range(0, len(request), size)]
    parser = RequestParser(**LIMITS)

    def all_pieces():
        return [event for piece in pieces for event in parser.feed(piece)]

    assert [event[0] for event in benchmark(all_pieces)] == ["head", "end"]


@pytest.mark.benchmark(group="parse chunks")
def test_fastserve_chunked(benchmark):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    request = head + (b"400\r\n" + b"x" * BODY + b"\r\n") * 64 + b"0\r\n\r\n"
    parser = RequestParser(**LIMITS)
    events = benchmark(parser.feed, request)
    assert sum(len(event[1]) for event in events if event[0] == "body") == 64 * BODY
