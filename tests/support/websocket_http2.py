"""WebSockets over HTTP/2 (RFC 8441) for tests, and what carries the WebSockets of a test.

`Tunnel` takes a `websocket.handshake` and has the bytes of frames, as the client of HTTP/1.1 does,
so that a test of frames need not know what is below. `Spoken` has the wsproto package read and
write them. A module of tests that hold for both versions has

    from support.websocket_http2 import serve

    pytestmark = pytest.mark.usefixtures("carriage")

and `serve` then serves on one version after the other. What is of one version alone is marked
`ON_HTTP1`.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import h2.exceptions
import pytest
from h2.settings import SettingCodes
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import Extension

from .carriers import HTTP1, Carrier, fields_of
from .client import Request, Response, Truncated, request
from .http2 import Http2Client, Stream
from .server import Running
from .server import serve as serve_on

# What an extended CONNECT does not say (RFC 8441, section 5).
UNSAID = frozenset({b"upgrade", b"connection", b"sec-websocket-key"})
PROTOCOL = ((":protocol", "websocket"),)


def ask(client: Http2Client, path: str = "/", *fields: Any, **options: Any) -> Stream:
    """A stream that asks for a WebSocket; the options are those of `Http2Client.open`."""
    assert client.wait_for_settings()[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
    options = {"ends": False, "pseudo": PROTOCOL} | options
    return client.open("CONNECT", path, fields, **options)


class Tunnel:
    """A connection of HTTP/2 with one stream, the bytes of which it sends and reads.

    The stream is that of the last request. Ways to leave: `close` ends the connection, `shutdown`
    is END_STREAM, `reset` RST_STREAM.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.connection = Http2Client(*arguments, **options)
        self.sock = self.connection.sock
        self.close = self.connection.close

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # sending

    def send(self, data: bytes) -> None:
        """A request, in a stream of its own, or bytes in the last one."""
        if isinstance(data, Request):
            self._ask(data)
            data = data.body
        try:
            self.stream.send(data)
        except (h2.exceptions.StreamClosedError, Truncated):
            # As on a socket: who sends behind the end learns of it by reading.
            assert self.stream.ended or self.stream.reset is not None

    def _ask(self, data: Request) -> None:
        fields, _ = fields_of(data)
        if any(name == b"upgrade" for name, _ in fields):
            fields = [pair for pair in fields if pair[0] not in UNSAID]
            self.stream = ask(self.connection, data.target, *fields, authority=data.host)
        else:
            self.stream = self.connection.open(
                data.method, data.target, fields, authority=data.host
            )  # fmt: skip

    def send_bytewise(self, data: bytes) -> None:
        for at in range(len(data)):
            self.send(data[at : at + 1])

    def send_until_blocked(self, data: bytes, most: int, patience: float = 0.5) -> int:
        """Sends `data` again and again until no window has opened for `patience` seconds."""
        sent = 0
        while sent < most:
            if room := self.stream.room:
                at = sent % len(data)
                part = data[at : at + room]
                self.stream.send(part)
                sent += len(part)
            elif self.connection.comes(patience):
                self.connection.step()
            else:
                break
        return sent

    def shutdown(self) -> None:
        self.stream.end()

    def reset(self) -> None:
        self.stream.cancel()

    # reading

    def readable(self) -> bool:
        while self.connection.comes(0) and self.connection.step():
            pass
        return bool(self.stream.heads or self.stream.data)

    def head(self) -> Response:
        return self.stream.head()

    def response(self) -> Response:
        return self.stream.response()

    def ask(self, data: bytes) -> Response:
        self.send(data)
        return self.response()

    def get(self, target: str = "/", *lines: str) -> Response:
        return self.ask(request("GET", target, *lines))

    def take(self, count: int, what: str = "a body") -> bytes:
        return self.stream.read(count)

    def rest(self) -> bytes:
        """Everything up to the end of the stream, be it orderly or not."""
        stream = self.stream
        while not stream.ended and stream.reset is None and self.connection.step():
            pass
        data = bytes(stream.data)
        stream.data.clear()
        return data

    def assert_closed(self) -> None:
        """The server has ended the stream and sent nothing more. As clients do, this one ends
        its half then."""
        assert self.rest() == b""
        if self.stream.ended and self.stream.reset is None:
            with contextlib.suppress(h2.exceptions.StreamClosedError):
                self.stream.end()

    def assert_refused(self, answer: Response) -> None:
        """An answer that costs its stream alone."""
        assert answer.header("connection") is None
        self.connection.ping()

    def truncated(self, answer: Response) -> None:
        """The body of `answer` comes to no end."""
        self.stream.wait_for_reset()

    def check_upgraded(self, answer: Response) -> None:
        """RFC 8441, section 5: what 101 would say, without what is of HTTP/1.1."""
        assert answer.status == 200, answer
        for name in ("upgrade", "connection", "sec-websocket-accept", "content-length"):
            assert answer.header(name) is None


HTTP2 = Carrier("HTTP/2", "2", Tunnel, [])
CARRIAGES = (HTTP1, HTTP2)
"""What carries WebSockets."""

ON_HTTP1 = pytest.mark.on_http1
_carriage = HTTP1


def carry(carriage: Carrier) -> None:
    """What `serve` serves on from here on."""
    global _carriage
    _carriage = carriage


def carriage() -> Carrier:
    """What carries the WebSockets of the test that runs."""
    return _carriage


def serve(app: Any, **options: Any) -> AbstractContextManager[Running]:
    """`server.serve`, with clients of the version that the test runs on."""
    return serve_on(app, **({"peer": _carriage.peer} | options))


class Spoken:
    """A WebSocket in a stream, its frames read and written by wsproto."""

    def __init__(
        self, client: Http2Client, path: str = "/", *fields: Any, offer: Extension | None = None
    ) -> None:
        if offer is not None:
            value = f"{offer.name}; {offer.offer()}".rstrip("; ")
            fields = (*fields, ("sec-websocket-extensions", value))
        self.stream = ask(client, path, ("sec-websocket-version", "13"), *fields)
        self.answer = self.stream.head()
        assert self.answer.status == 200, self.answer
        agreed = self.answer.header("sec-websocket-extensions")
        if agreed is not None:
            assert offer is not None
            offer.finalize(agreed)
        self.protocol = Connection(ConnectionType.CLIENT, [offer] if agreed else [])
        self._come: list[Any] = []

    def send(self, event: events.Event) -> None:
        self.stream.send(self.protocol.send(event))

    def say(self, message: str | bytes) -> None:
        kind = events.TextMessage if isinstance(message, str) else events.BytesMessage
        self.send(kind(message))

    def next(self) -> Any:
        """The next event; of a message in parts the whole, as str or bytes."""
        parts: list[Any] = []
        while True:
            event = self._event()
            if not isinstance(event, events.Message):
                return event
            parts.append(event.data)
            if event.message_finished:
                return type(parts[0])().join(parts)

    def _event(self) -> Any:
        while not self._come:
            # What has come, at least a byte of it.
            self.protocol.receive_data(self.stream.read(max(1, len(self.stream.data))))
            self._come += self.protocol.events()
        return self._come.pop(0)

    def leave(self, code: int = 1000, reason: str = "") -> None:
        """The closing handshake, begun here, and the ends of both directions."""
        self.send(events.CloseConnection(code, reason))
        answer = self.next()
        assert isinstance(answer, events.CloseConnection)
        assert (answer.code, answer.reason or "") == (code, "")
        assert self.stream.rest() == b""
        self.stream.end()
