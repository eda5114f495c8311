"""A raw HTTP/1.1 client: it sends exactly the bytes it is given and reads answers strictly.

It shares no code with the server, so that a framing mistake cannot cancel itself out.
Every read ends within `TIMEOUT` seconds; nothing here sleeps for a fixed time.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import sys
import termios
import time
from dataclasses import dataclass, field

TIMEOUT = 10.0


@dataclass
class Response:
    """One message from the server, interim (1xx) or final."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    """Names in lower case, in wire order."""
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    raw_head: bytes = b""

    def all(self, name: str) -> list[str]:
        """Every value of the header `name`, in order."""
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        """The only value of the header `name`; None where it is absent."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} was sent {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


class Truncated(AssertionError):
    """The connection ended inside a message."""

    def __init__(self, what: str, data: bytes) -> None:
        super().__init__(f"the connection ended in {what}; before it came {data[:200]!r}")
        self.data = data


class Client:
    """One connection.  `address` is a (host, port) pair or the path of a unix socket.

    `source`: the address of this machine's to come from.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        source: str | None = None,
        receive_buffer: int | None = None,
        send_buffer: int | None = None,
    ) -> None:
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        if source is not None:
            self.sock.bind((source, 0))
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(address)
        if not isinstance(address, str):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ended = False
        self.was_reset = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # sending

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_bytewise(self, data: bytes) -> None:
        """Sends every byte by itself, each when the server has read the one before it.

        Stops early where the server has closed or reset the connection.
        """
        for at in range(len(data)):
            try:
                self.sock.sendall(data[at : at + 1])
            except (BrokenPipeError, ConnectionResetError):
                return
            self.wait_read()

    def send_until_blocked(self, data: bytes, most: int, patience: float = 0.5) -> int:
        """Sends `data` again and again until the server has taken none for `patience` seconds.

        Returns the bytes sent, or `most` and more if the server never stopped taking them.
        """
        sent = 0
        self.sock.settimeout(patience)
        try:
            while sent < most:
                sent += self.sock.send(data[sent % len(data) :])
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(TIMEOUT)
        return sent

    def wait_read(self, patience: float = 0.2) -> bool:
        """Waits until the server has read what was sent, or has answered, or `patience` is over.

        On a unix socket of Linux the kernel tells what the other side has not read yet.
        Elsewhere this returns at once.
        """
        if self.sock.family != socket.AF_UNIX or not sys.platform.startswith("linux"):
            return False
        deadline = time.monotonic() + patience
        while self.unread() and not self.readable():
            if time.monotonic() > deadline:
                return False
            time.sleep(0)
        return True

    def unread(self) -> int:
        """Bytes sent and not yet read (unix) or not yet acknowledged (TCP) by the server's side."""
        answer = fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])

    def shutdown(self) -> None:
        """Closes the sending half."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Closes so that the server sees a reset (TCP) or a close (unix)."""
        if self.sock.family != socket.AF_UNIX:
            linger = struct.pack("ii", 1, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    # reading

    def readable(self) -> bool:
        return bool(select.select([self.sock], [], [], 0)[0])

    def _more(self) -> bool:
        """Reads once; False at the end of the connection."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            self.was_reset = True
            data = b""
        except TimeoutError:
            raise AssertionError(f"no more came; so far {self.buffer[:300]!r}") from None
        self.ended = not data
        self.buffer += data
        return bool(data)

    def take(self, count: int, what: str = "a body") -> bytes:
        """The next `count` bytes."""
        parts: list[bytes] = [self.buffer]
        have = len(self.buffer)
        while have < count:
            self.buffer = b""
            if not self._more():
                raise Truncated(what, b"".join(parts))
            parts.append(self.buffer)
            have += len(self.buffer)
        joined = b"".join(parts)
        self.buffer = joined[count:]
        return joined[:count]

    def until(self, mark: bytes, what: str = "a head") -> bytes:
        """Everything up to and with `mark`."""
        while mark not in self.buffer:
            if not self._more():
                raise Truncated(what, self.buffer)
        end = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        parts = [self.buffer]
        self.buffer = b""
        while self._more():
            parts.append(self.buffer)
            self.buffer = b""
        return b"".join(parts)

    def head(self) -> Response:
        """Reads one message's head, interim or final, and checks its grammar."""
        raw = self.until(b"\r\n\r\n")
        lines = raw[:-4].split(b"\r\n")
        assert not any(b"\r" in line or b"\n" in line for line in lines), raw
        version, status, reason = lines[0].decode("latin-1").split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), raw
        assert len(status) == 3, raw
        headers = []
        for line in lines[1:]:
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon, raw
            assert name == name.strip() != "", raw
            headers.append((name.lower(), value.strip(" \t")))
        return Response(version, int(status), reason, headers, raw_head=raw)

    def response(self, method: str = "GET") -> Response:
        """Reads one final message, body and all; interim messages are passed over."""
        answer = self.head()
        while answer.status < 200:
            answer = self.head()
        self.body(answer, method)
        return answer

    def body(self, answer: Response, method: str = "GET") -> None:
        """Reads the body of `answer`, whose head was read before (RFC 9112, section 6.3)."""
        length, coding = answer.header("content-length"), answer.header("transfer-encoding")
        assert length is None or coding is None, answer.raw_head
        if method == "HEAD" or answer.status in (204, 304):
            return
        if coding is not None:
            assert coding == "chunked", answer.raw_head
            self._chunks(answer)
        elif length is not None:
            answer.body = self.take(int(length))
        else:
            answer.body = self.rest()

    def _chunks(self, answer: Response) -> None:
        while size := int(self.until(b"\r\n", "a chunk")[:-2], 16):
            answer.chunks.append(self.take(size, "a chunk"))
            assert self.take(2, "a chunk") == b"\r\n"
        answer.body = b"".join(answer.chunks)
        while (line := self.until(b"\r\n", "the trailers")[:-2]) != b"":
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon, line
            answer.trailers.append((name.lower(), value.strip()))

    def ask(self, request: bytes, method: str = "GET") -> Response:
        """Sends a whole request and reads its final answer."""
        self.send(request)
        return self.response(method)

    def get(self, target: str = "/", *lines: str) -> Response:
        """One GET with a host and the given further header lines."""
        return self.ask(request("GET", target, *lines))

    def assert_closed(self) -> None:
        """The server has ended the connection and sent nothing more."""
        assert self.rest() == b""

    def assert_open(self) -> None:
        """Nothing more was sent and the connection still takes a request."""
        assert self.buffer == b""
        answer = self.get(PROBE)
        assert (answer.status, answer.body) == (200, b"probe"), answer


PROBE = "/.probe"
"""The path that `apps.probed` answers by itself."""


class Request(bytes):
    """The bytes of one request for HTTP/1.1, and its parts for whoever sends them otherwise."""

    method: str
    target: str
    lines: tuple[str, ...]
    """Header fields but for the host."""
    host: str
    body: bytes

    def __add__(self, more: bytes) -> Request:
        """The same request with more of its body."""
        both = Request(bytes(self) + more)
        both.__dict__.update(self.__dict__, body=self.body + more)
        return both


def request(
    method: str, target: str = "/", *lines: str, body: bytes = b"", host: str = "test"
) -> Request:
    """A request with a host, and a content-length where there is a body."""
    if body:
        lines = (*lines, f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""])
    made = Request(head.encode("latin-1") + body)
    made.method, made.target, made.lines, made.host, made.body = method, target, lines, host, body
    return made
