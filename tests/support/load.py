"""A steady load of small requests, by threads, whose every failure is kept."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from h2.errors import ErrorCodes

from support.client import Truncated
from support.http2 import Http2Client
from support.process import PATIENCE

_MOST = 120.0
_PAUSE = 0.002


@dataclass(frozen=True)
class Failure:
    """A request without its answer, and the answer before it on the same connection."""

    error: str
    before: str | None


class Load:
    """`clients` threads that each ask for `path` again and again.

    With `keep_alive` a connection is used until an answer says `Connection: close`; no request
    is ever sent twice. `answers` are the bodies, `failures` what went wrong. An https URL needs
    a client's `context`. A `prelude` goes before all else on a connection.
    """

    def __init__(
        self,
        url: str,
        *,
        clients: int,
        keep_alive: bool,
        path: str,
        context: ssl.SSLContext | None = None,
        prelude: bytes = b"",
    ) -> None:
        self._url = url
        self._prelude = prelude
        self._context = context
        self._keep_alive = keep_alive
        self._path = path
        self._request = f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode()
        self._request += b"\r\n" if keep_alive else b"Connection: close\r\n\r\n"
        self._news = threading.Condition()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        self.answers: list[str] = []
        self.failures: list[Failure] = []

    def start(self) -> None:
        for each in self._threads:
            each.start()
        self.wait_for(len(self._threads))

    def stop(self) -> None:
        self._ended.set()
        for each in self._threads:
            each.join(PATIENCE)

    def wait_for(self, count: int) -> None:
        """Until so many more requests have been answered."""
        with self._news:
            goal = len(self.answers) + count
            assert self._news.wait_for(lambda: len(self.answers) >= goal, PATIENCE), (
                f"{len(self.answers)} of {goal} answers; failures: {self.failures[:5]}"
            )

    def wait_for_answer(self, text: str, count: int = 1) -> None:
        """Until so many answers from now on are `text`."""
        with self._news:
            start = len(self.answers)
            assert self._news.wait_for(
                lambda: self.answers[start:].count(text) >= count, PATIENCE
            ), f"{text!r} is not among {set(self.answers[start:])}; failures: {self.failures[:5]}"

    def _run(self) -> None:
        end = time.monotonic() + _MOST
        connection: socket.socket | None = None
        before: str | None = None
        try:
            while not self._ended.is_set() and time.monotonic() < end:
                try:
                    if connection is None:
                        before = None
                        connection = _connected(self._url, self._context, self._prelude)
                    connection.sendall(self._request)
                    body, more = _answer(connection)
                except (OSError, ValueError) as error:
                    self._note(self.failures, Failure(f"{type(error).__name__}: {error}", before))
                    more = False
                else:
                    before = body
                    self._note(self.answers, body)
                if connection is not None and not (more and self._keep_alive):
                    connection.close()
                    connection = None
                self._ended.wait(_PAUSE)
        finally:
            if connection is not None:
                connection.close()

    def _note(self, where: list[Any], what: Any) -> None:
        with self._news:
            where.append(what)
            self._news.notify_all()


class Http2Load(Load):
    """The same over HTTP/2, with streams at once on each connection.

    Behind GOAWAY a connection gets no new request; one above its last stream was not taken on
    (RFC 9113 section 6.8) and is no failure, nor is a refused one.
    """

    AT_ONCE = 4

    def _run(self) -> None:
        end = time.monotonic() + _MOST
        while not self._ended.is_set() and time.monotonic() < end:
            try:
                with Http2Client(_address(self._url)) as client:
                    while not client.goaways and not self._ended.is_set():
                        self._ask(client)
            except OSError as error:
                self._note(self.failures, Failure(f"{type(error).__name__}: {error}", None))

    def _ask(self, client: Http2Client) -> None:
        asked = [client.open("GET", self._path) for _ in range(self.AT_ONCE)]
        for each in asked:
            try:
                answer = each.response()
            except (Truncated, OSError) as error:
                told = client.goaways and each.id > client.goaways[-1].last_stream
                if not told and each.reset != ErrorCodes.REFUSED_STREAM:
                    self._note(self.failures, Failure(f"stream {each.id}: {error}", None))
            else:
                if answer.status == 200:
                    self._note(self.answers, answer.body.decode())
                else:
                    self._note(self.failures, Failure(f"answered {answer.status}", None))


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.partition("://")[2].rpartition(":")
    return host.strip("[]"), int(port)


def _connected(url: str, context: ssl.SSLContext | None, prelude: bytes) -> socket.socket:
    if url.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(url.removeprefix("unix:"))
        except OSError:
            connection.close()
            raise
        connection.sendall(prelude)
        return connection
    host, port = _address(url)
    connection = socket.create_connection((host, port), PATIENCE)
    connection.sendall(prelude)
    if context is None:
        return connection
    return context.wrap_socket(connection, server_hostname=host)


def _answer(connection: socket.socket) -> tuple[str, bool]:
    """The body of a 200 with a content-length, and whether the connection may go on."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection, data)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    if not lines[0].startswith("http/1.1 200"):
        raise ValueError(f"answered {lines[0]!r}")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    while len(body) < int(fields["content-length"]):
        body += _more(connection, data)
    return body.decode(), fields.get("connection") != "close"


def _more(connection: socket.socket, so_far: bytes) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ValueError(f"closed after {so_far!r}" if so_far else "closed without an answer")
    return data


@contextmanager
def load(
    url: str,
    *,
    clients: int = 4,
    keep_alive: bool = False,
    path: str = "/",
    context: ssl.SSLContext | None = None,
    prelude: bytes = b"",
    kind: type[Load] = Load,
) -> Iterator[Load]:
    """A load while the body runs."""
    running = kind(
        url, clients=clients, keep_alive=keep_alive, path=path, context=context, prelude=prelude
    )
    running.start()
    try:
        yield running
    finally:
        running.stop()
