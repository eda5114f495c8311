"""An HTTP/2 client that checks answers: by prior knowledge, or over TLS by ALPN."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from .process import Failed
from .servers import HOST, Unavailable
from .workloads import Workload

# What one answer may be; h2load and the servers' windows are not the subject here.
WINDOW = 1 << 24


class Client:
    """One blocking connection that has `workload`'s streams under way at once."""

    def __init__(self, workload: Workload, plain: socket.socket) -> None:
        try:
            import h2.connection
        except ImportError:
            raise Unavailable("h2, which checks the answers, is not installed") from None
        self.workload, self.socket = workload, plain
        self.session = h2.connection.H2Connection()
        self.session.initiate_connection()
        self.session.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self.session.increment_flow_control_window(WINDOW)
        self.fields = list(fields(workload))
        self.waiting: dict[int, bytes] = {}  # what a stream still has to send
        self.answers: dict[int, list[object]] = {}  # by stream: status, body so far

    def ask(self, count: int) -> Iterator[tuple[int, bytes]]:
        """Send `count` requests at once; status and body of each. Raises Failed or OSError."""
        for _ in range(count):
            stream = self.session.get_next_available_stream_id()
            body = self.workload.body
            self.session.send_headers(stream, self.fields, end_stream=not body)
            self.answers[stream] = [0, b""]
            if body:
                self.waiting[stream] = body
        while self.answers:
            self.write()
            data = self.socket.recv(1 << 18)
            if not data:
                raise Failed("the connection was closed in the middle of an answer")
            for stream in self.read(data):
                status, answer = self.answers.pop(stream)
                yield int(str(status)), bytes(answer)

    def write(self) -> None:
        for stream, body in list(self.waiting.items()):
            while body:
                room = self.session.local_flow_control_window(stream)
                size = min(room, self.session.max_outbound_frame_size, len(body))
                if size == 0:
                    break
                self.session.send_data(stream, body[:size], end_stream=size == len(body))
                body = body[size:]
            if body:
                self.waiting[stream] = body
            else:
                del self.waiting[stream]
        self.socket.sendall(self.session.data_to_send())

    def read(self, data: bytes) -> Iterator[int]:
        """Take what came; the streams that are answered whole."""
        from h2 import events, exceptions

        try:
            happened = self.session.receive_data(data)
        except exceptions.ProtocolError as error:
            raise Failed(f"broke the protocol: {error}") from None
        for event in happened:
            if isinstance(event, events.ResponseReceived):
                self.answers[event.stream_id][0] = dict(event.headers)[b":status"].decode()
            elif isinstance(event, events.DataReceived):
                self.answers[event.stream_id][1] += event.data
                self.session.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            elif isinstance(event, events.StreamEnded):
                yield event.stream_id
            elif isinstance(event, events.StreamReset):
                raise Failed(f"reset a stream with error {event.error_code}")
            elif isinstance(event, events.ConnectionTerminated):
                raise Failed(f"ended the connection with error {event.error_code}")


def fields(workload: Workload) -> Iterator[tuple[str, str]]:
    """The request's fields, as h2load sends them."""
    yield ":method", workload.method
    yield ":scheme", "https" if workload.tls else "http"
    yield ":authority", f"{HOST}:8000"
    yield ":path", "/"
    named = {name.lower(): value for name, value in workload.headers}
    yield "user-agent", named.pop("user-agent", "h2load nghttp2/1.52.0")
    yield from named.items()
    if workload.body:
        yield "content-length", str(len(workload.body))


def series(client: Client, answer: bytes, requests: int) -> None:
    """`requests` requests, as many at once as the workload has; every answer is compared."""
    at_once = client.workload.pipeline
    for begun in range(0, requests, at_once):
        for status, body in client.ask(min(at_once, requests - begun)):
            if status != 200:
                raise Failed(f"answered status {status}")
            if body != answer:
                raise Failed(f"answered {len(body)} wrong bytes: {body[:40]!r}")


@contextlib.contextmanager
def connected(workload: Workload, port: int, timeout: float = 10.0) -> Iterator[Client]:
    """A client of the server on `port`. Raises Failed or OSError."""
    from .load import secured

    plain = socket.create_connection((HOST, port), timeout=timeout)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if workload.tls:
            plain = secured(plain, ["h2"])
            if plain.selected_alpn_protocol() != "h2":
                raise Failed("did not agree on HTTP/2 (ALPN)")
        yield Client(workload, plain)
    finally:
        plain.close()
