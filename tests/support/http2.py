"""HTTP/2 clients for tests, over a real socket: one of bare frames, one that the h2 package drives.

`FrameClient` sends exactly the frames it is given and reads frames strictly; it is for what no
client would send. `Http2Client` has the h2 package as its oracle: what h2 takes for a violation
of RFC 9113 fails the test. Every read ends within `client.TIMEOUT` seconds; nothing here sleeps.
"""

from __future__ import annotations

import select
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from .client import Client, Response, Truncated

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, END_HEADERS, PADDED, PRIORITIZED, ACK = 0x1, 0x4, 0x8, 0x20, 0x1
MOST_WINDOW = (1 << 31) - 1

Pairs = Iterable[tuple[str | bytes, str | bytes]]


@dataclass(frozen=True)
class Frame:
    """One frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    def encode(self) -> bytes:
        return frame(self.kind, self.flags, self.stream, self.payload)

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4])

    @property
    def last_stream(self) -> int:
        """What GOAWAY says was or might be processed."""
        return int.from_bytes(self.payload[:4]) & MOST_WINDOW

    @property
    def text(self) -> str:
        """What GOAWAY says beside its code."""
        return self.payload[8:].decode()

    @property
    def settings(self) -> dict[int, int]:
        parts = [self.payload[at : at + 6] for at in range(0, len(self.payload), 6)]
        return {int.from_bytes(part[:2]): int.from_bytes(part[2:]) for part in parts}


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None
) -> bytes:
    """The bytes of a frame; `length` where it shall tell another one than its payload has."""
    size = len(payload) if length is None else length
    return size.to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def settings(values: dict[int, int] | None = None) -> bytes:
    pairs = (values or {}).items()
    payload = b"".join(name.to_bytes(2) + value.to_bytes(4) for name, value in pairs)
    return frame(SETTINGS, payload=payload)


def read_frame(client: Client) -> Frame | None:
    """The next frame; None where the connection has ended behind the one before."""
    try:
        head = client.take(9, "a frame's head")
    except Truncated as cut:
        if cut.data:
            raise
        return None
    payload = client.take(int.from_bytes(head[:3]), "a frame")
    return Frame(head[3], head[4], int.from_bytes(head[5:]) & MOST_WINDOW, payload)


def secure(client: Client, tls: ssl.SSLContext, name: str) -> None:
    """Shakes hands for "h2" over the connection of `client`."""
    tls.set_alpn_protocols(["h2"])
    client.sock = tls.wrap_socket(client.sock, server_hostname=name, suppress_ragged_eofs=False)
    assert client.sock.selected_alpn_protocol() == "h2"


class FrameClient(Client):
    """One connection of frames: `send` takes bytes, `frame` and its kin give what comes.

    The preface and empty SETTINGS are sent at once unless `greets` is false. `tls`: a context
    that trusts the server, whose certificate has the name `name`.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        greets: bool = True,
        tls: ssl.SSLContext | None = None,
        name: str = "fastserve.test",
        **options: Any,
    ) -> None:
        super().__init__(address, **options)
        if tls is not None:
            secure(self, tls, name)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.scheme = "https" if tls else "http"
        if greets:
            self.send(PREFACE + settings())

    def request_block(self, method: str = "GET", path: str = "/", *more: Any) -> bytes:
        """A field block that opens a request."""
        pairs = [(":method", method), (":scheme", self.scheme), (":authority", "test")]
        return self.encoder.encode([*pairs, (":path", path), *more])

    def open(self, stream: int, *more: Any, method: str = "GET", ends: bool = True) -> None:
        """HEADERS of one request."""
        flags = END_HEADERS | (END_STREAM if ends else 0)
        self.send(frame(HEADERS, flags, stream, self.request_block(method, "/", *more)))

    def frame(self) -> Frame:
        """The next frame, whatever it is."""
        found = read_frame(self)
        assert found is not None, "the connection ended"
        return found

    def next(self, kind: int) -> Frame:
        """The next frame of one kind; what comes before it is passed over."""
        while (each := self.frame()).kind != kind:
            self._pass(each)
        self._pass(each)
        return each

    def _pass(self, each: Frame) -> None:
        if each.kind == SETTINGS and not each.flags & ACK:
            self.send(frame(SETTINGS, ACK))

    def fields(self, each: Frame) -> list[tuple[str, str]]:
        """The field block of a whole HEADERS frame without padding. Each must be decoded, in order.

        HPACK has one table for the connection.
        """
        assert each.flags & END_HEADERS, "the block goes on in another frame"
        return [(name, value) for name, value in self.decoder.decode(each.payload)]

    def goaway(self) -> Frame:
        """The last GOAWAY before the connection's end, which must come."""
        found = None
        while (each := read_frame(self)) is not None:
            if each.kind == GOAWAY:
                found = each
        assert found is not None, "the connection ended without GOAWAY"
        return found


@dataclass
class Stream:
    """One request and what came of it. Whatever is read here lets the whole connection go on."""

    client: Http2Client
    id: int
    heads: list[Response] = field(default_factory=list)
    """Interim answers, then the final one; what `head` has returned is gone from here."""
    answer: Response | None = None
    """The final one, as soon as its head was read."""
    data: bytearray = field(default_factory=bytearray)
    """What came of the body and has not been read."""
    ended: bool = False
    reset: int | None = None
    """The code of the server's RST_STREAM."""

    # sending

    def send(self, data: bytes, ends: bool = False) -> None:
        """DATA as the server's windows allow; waits for them to open."""
        view = memoryview(data)
        while view:
            room = self.room
            if room == 0:
                self._wait("the request's body")
                continue
            self.client.session.send_data(self.id, bytes(view[:room]))
            view = view[room:]
            self.client.flush()
        if ends:
            self.end()

    @property
    def room(self) -> int:
        """What the next DATA may have."""
        session = self.client.session
        window = session.local_flow_control_window(self.id)
        return max(0, min(window, session.max_outbound_frame_size))

    def send_until_blocked(self, data: bytes, most: int, patience: float = 0.5) -> int:
        """Sends `data` again and again until no window has opened for `patience` seconds."""
        sent = 0
        while sent < most:
            if self.room:
                part = data[: min(self.room, most - sent)]
                self.send(part)
                sent += len(part)
            elif self.client.comes(patience):
                self.client.step()
            else:
                break
        return sent

    def end(self) -> None:
        """END_STREAM by itself."""
        self.client.session.end_stream(self.id)
        self.client.flush()

    def send_trailers(self, *pairs: tuple[str, str]) -> None:
        self.client.session.send_headers(self.id, pairs, end_stream=True)
        self.client.flush()

    def cancel(self, code: int = ErrorCodes.CANCEL) -> None:
        """RST_STREAM."""
        self.client.session.reset_stream(self.id, code)
        self.client.flush()

    def grant(self, count: int) -> None:
        """A larger window for the response's body."""
        self.client.session.increment_flow_control_window(count, self.id)
        self.client.flush()

    # reading

    def _wait(self, what: str) -> None:
        """Lets the connection go on by one frame, where more may come of this stream."""
        if self.reset is not None or self.ended or self.client.step() is None:
            raise Truncated(f"{what} (stream {self.id}, reset: {self.reset})", bytes(self.data))

    def head(self) -> Response:
        """The next head, interim or final."""
        while not self.heads:
            self._wait("a head")
        return self.heads.pop(0)

    def read(self, count: int) -> bytes:
        """The next `count` bytes of the body."""
        while len(self.data) < count:
            self._wait("a body")
        data = bytes(self.data[:count])
        del self.data[:count]
        return data

    def rest(self) -> bytes:
        """The body up to its end."""
        while not self.ended:
            self._wait("a body")
        data = bytes(self.data)
        self.data.clear()
        return data

    def response(self) -> Response:
        """The final answer, body and trailers and all."""
        while self.answer is None:
            self._wait("a head")
        self.heads.clear()
        self.answer.body += self.rest()
        return self.answer

    def wait_for_reset(self) -> int:
        """The code with which the server resets the stream."""
        while self.reset is None:
            assert self.client.step(), "the connection ended without RST_STREAM"
        return self.reset


class Http2Client(Client):
    """One connection that h2 drives. Windows open by themselves unless `holds` is true.

    `settings`: what is announced; `window`: of the connection. `frames` has every frame that came.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        settings: dict[int, int] | None = None,
        window: int = 1 << 24,
        holds: bool = False,
        tls: ssl.SSLContext | None = None,
        name: str = "fastserve.test",
        **options: Any,
    ) -> None:
        super().__init__(address, **options)
        if tls is not None:
            secure(self, tls, name)
        self.holds = holds
        self.scheme = "https" if tls else "http"
        self.frames: list[Frame] = []
        self.goaways: list[Frame] = []
        self.streams: dict[int, Stream] = {}
        self.session = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="latin-1",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        own = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20}
        self.session.local_settings = h2.settings.Settings(
            client=True, initial_values={**own, **(settings or {})}
        )
        self.session.initiate_connection()
        if window > 65535:
            self.session.increment_flow_control_window(window - 65535)
        self.flush()

    def flush(self) -> None:
        """Sends what h2 has made. A connection that has ended takes nothing, and says so later."""
        data = self.session.data_to_send()
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.was_reset = True

    def open(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Pairs = (),
        *,
        body: bytes | None = None,
        ends: bool = True,
        authority: str | None = "test",
        pseudo: Sequence[tuple[str, str]] = (),
    ) -> Stream:
        """A new stream with one request; with a `body` its end is behind that.

        `pseudo`: more pseudo-header fields, as ":protocol".
        """
        pairs: list[Any] = [(":method", method), (":scheme", self.scheme)]
        if authority is not None:
            pairs.append((":authority", authority))
        pairs += [(":path", path), *pseudo, *headers]
        number = self.session.get_next_available_stream_id()
        stream = self.streams[number] = Stream(self, number)
        self.session.send_headers(number, pairs, end_stream=ends and body is None)
        self.flush()
        if body is not None:
            stream.send(body, ends)
        return stream

    def fetch(self, path: str = "/", headers: Pairs = (), **options: Any) -> Response:
        """One request, by GET unless told otherwise, and its whole answer."""
        return self.open(options.pop("method", "GET"), path, headers, **options).response()

    def grant(self, count: int) -> None:
        """A larger window of the connection."""
        self.session.increment_flow_control_window(count)
        self.flush()

    def raw(self, data: bytes) -> None:
        """Bytes behind h2's back."""
        self.sock.sendall(data)

    # reading

    def comes(self, patience: float) -> bool:
        """Whether anything comes within so many seconds."""
        pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
        return bool(
            self.buffer or pending or select.select([self.sock], [], [], patience)[0]
        )  # fmt: skip

    def step(self) -> Frame | None:
        """Reads one frame and what it brings; None at the end of the connection."""
        came = read_frame(self)
        if came is None:
            return None
        self.frames.append(came)
        if came.kind == GOAWAY:
            # h2 would take the connection for ended; streams that began before go on.
            self.goaways.append(came)
            return came
        try:
            events = self.session.receive_data(came.encode())
        except ProtocolError as error:
            raise AssertionError(f"h2 refuses {came}: {error!r}") from error
        for event in events:
            self._note(event)
        self.flush()
        return came

    def _note(self, event: Any) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0))
        if stream is None:
            return
        match event:
            case h2.events.InformationalResponseReceived():
                stream.heads.append(response_of(event.headers))
            case h2.events.ResponseReceived():
                stream.answer = response_of(event.headers)
                stream.heads.append(stream.answer)
            case h2.events.DataReceived():
                stream.data += event.data
                if stream.answer is not None:
                    stream.answer.chunks.append(event.data)
                if not self.holds:
                    self.session.acknowledge_received_data(
                        event.flow_controlled_length, stream.id
                    )  # fmt: skip
            case h2.events.TrailersReceived():
                assert stream.answer is not None
                stream.answer.trailers = list(event.headers)
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset():
                if event.remote_reset:
                    stream.reset = int(event.error_code)

    def wait_for_goaway(self, count: int = 1) -> Frame:
        """The GOAWAY of this number."""
        while len(self.goaways) < count:
            assert self.step() is not None, "the connection ended without GOAWAY"
        return self.goaways[count - 1]

    def wait_for_settings(self) -> dict[int, int]:
        """What the server announces."""
        while True:
            for each in self.frames:
                if each.kind == SETTINGS and not each.flags & ACK:
                    return each.settings
            assert self.step() is not None, "the connection ended without SETTINGS"

    def ping(self) -> None:
        """Everything sent so far has been read when this returns."""
        self.session.ping(b"support.")
        self.flush()
        while True:
            each = self.step()
            assert each is not None, "the connection ended"
            if each.kind == PING and each.flags & ACK:
                return

    def wait_for_end(self) -> None:
        """Reads up to the end of the connection."""
        while self.step() is not None:
            pass


def response_of(pairs: Sequence[tuple[str, str]]) -> Response:
    """A head as h2 gives it, which has checked where its pseudo-header field stands."""
    (status,) = [value for name, value in pairs if name == ":status"]
    headers = [(name, value) for name, value in pairs if not name.startswith(":")]
    assert all(name == name.lower() for name, _ in headers), pairs
    return Response("HTTP/2", int(status), "", headers)
