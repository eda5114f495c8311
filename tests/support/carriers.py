"""What carries a request: HTTP/1.1 or HTTP/2, behind one interface for tests that hold for both.

A test that takes `carrier` runs once with each of `CARRIERS`, and serves its application with
`carrier.serve`; what `connect` then gives sends a `client.request` and reads answers in the order
of the requests. On HTTP/2 each request has a stream of its own, and `leave("reset")` is RST_STREAM.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from .client import Client, Request, Response, Truncated
from .http2 import Http2Client, Stream
from .server import Running, serve


class Http1Peer(Client):
    """A client whose reading knows of the framing no more than a test for both versions does."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._coded = False
        self._decoded = b""

    def head(self) -> Response:
        answer = super().head()
        self._coded, self._decoded = answer.header("transfer-encoding") is not None, b""
        return answer

    def read(self, count: int) -> bytes:
        """The next `count` bytes of the body whose head was read last."""
        if not self._coded:
            return self.take(count)
        while len(self._decoded) < count:
            size = int(self.until(b"\r\n", "a chunk")[:-2], 16)
            self._decoded += self.take(size, "a chunk")
            assert self.take(2, "a chunk") == b"\r\n"
        data, self._decoded = self._decoded[:count], self._decoded[count:]
        return data

    def end_of_body(self) -> None:
        """The body whose head was read last ends behind what was read of it."""
        assert self._decoded == b""
        if self._coded:
            assert self.until(b"\r\n\r\n") == b"0\r\n\r\n"

    def truncated(self, answer: Response) -> None:
        """The body of `answer`, whose head was read last, comes to no end."""
        try:
            self.body(answer)
        except Truncated:
            assert self.ended
        else:
            raise AssertionError(f"the body is whole: {answer.body[:200]!r}")

    def leave(self, way: str = "reset") -> None:
        """Ends what is under way: "close", "reset", or "shutdown" of the sending half."""
        getattr(self, way)()

    def assert_refused(self, answer: Response) -> None:
        """An answer that costs the connection."""
        assert answer.header("connection") == "close"
        self.assert_closed()


class Http2Peer(Http2Client):
    """The same for HTTP/2, where an answer costs its stream alone."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._asked: deque[Stream] = deque()
        self._sending: tuple[Stream, int] | None = None
        self._last: Response | None = None

    # sending

    def send(self, data: bytes) -> None:
        """A `Request` in a stream of its own, or more of the last one's body."""
        if isinstance(data, Request):
            fields, left = fields_of(data)
            stream = self.open(
                data.method, data.target, fields, ends=left == 0, authority=data.host
            )  # fmt: skip
            self._asked.append(stream)
            data = data.body
        else:
            assert self._sending is not None, "no request wants more"
            stream, left = self._sending
        left -= len(data)
        assert left >= 0, "more than the content-length"
        self._sending = (stream, left) if left else None
        if data:
            stream.send(data, ends=left == 0)

    def send_until_blocked(self, data: bytes, most: int, patience: float = 0.5) -> int:
        assert self._sending is not None
        stream, left = self._sending
        assert most == left, "the body's length"
        sent = stream.send_until_blocked(data, most, patience)
        self._sending = (stream, left - sent)
        return sent

    def leave(self, way: str = "reset") -> None:
        """Ends what is under way: RST_STREAM for "reset", else the connection."""
        if way == "reset":
            for stream in self._asked:
                if not stream.ended:
                    stream.cancel()
        else:
            getattr(self, way)()

    # reading

    def readable(self) -> bool:
        """Whether an answer has begun."""
        while self.comes(0) and self.step():
            pass
        return any(stream.heads for stream in self._asked)

    def head(self) -> Response:
        if self._last is not None and self._last is self._asked[0].answer:
            self._asked.popleft()
        self._last = self._asked[0].head()
        return self._last

    def response(self, method: str = "GET") -> Response:
        answer = self.head()
        while answer.status < 200:
            answer = self.head()
        self.body(answer)
        return answer

    def body(self, answer: Response, method: str = "GET") -> None:
        assert answer is self._asked[0].answer
        answer.body = self._asked[0].rest()

    def read(self, count: int) -> bytes:
        return self._asked[0].read(count)

    def end_of_body(self) -> None:
        assert self._asked[0].rest() == b""

    def truncated(self, answer: Response) -> None:
        assert answer is self._asked[0].answer
        self._asked[0].wait_for_reset()

    def assert_refused(self, answer: Response) -> None:
        """An answer that costs its stream alone."""
        assert answer.header("connection") is None
        self.assert_open()

    def assert_open(self) -> None:
        self.ping()


def fields_of(request: Request) -> tuple[list[tuple[bytes, bytes]], int]:
    """Header fields as HTTP/2 has them, and the length that they tell of the body.

    What speaks of an HTTP/1 connection is left out (RFC 9113, section 8.2.2).
    """
    pairs, length = [], 0
    for line in request.lines:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        assert name != "transfer-encoding", "HTTP/2 has no chunks"
        if name == "content-length":
            length = int(value)
        if name != "connection":
            pairs.append((name.encode(), value.encode("latin-1")))
    return pairs, length


@dataclass(frozen=True)
class Carrier:
    """One version of HTTP, as a test's client speaks it."""

    name: str
    version: str
    """What `http_version` of a scope says."""
    peer: type[Any]
    codings: list[str]
    """The values of transfer-encoding of a response whose length is not known."""

    def __str__(self) -> str:
        return self.name

    def serve(self, app: Any, **options: Any) -> AbstractContextManager[Running]:
        return serve(app, peer=self.peer, **options)


HTTP1 = Carrier("HTTP/1.1", "1.1", Http1Peer, ["chunked"])
HTTP2 = Carrier("HTTP/2", "2", Http2Peer, [])
CARRIERS = (HTTP1, HTTP2)
