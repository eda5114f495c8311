"""TLS for tests: what a service wraps connections with, and a client in memory."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from .certificates import Authority, Certificate

NAME = "fastserve.test"


class Wrapper:
    """What `Service.make_protocol(tls=...)` takes: one certificate, nothing more."""

    def __init__(self, certificate: Certificate, **settings: Any) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.certfile, certificate.keyfile)
        for name, value in settings.items():
            setattr(self.context, name, value)

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        return self.context.wrap_bio(incoming, outgoing, server_side=True)

    def extension(self, ssl_object: ssl.SSLObject) -> dict[str, Any]:
        cipher = ssl_object.cipher()
        assert cipher is not None, "the handshake is not complete"
        return {
            "server_cert": None,
            "tls_version": {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}[ssl_object.version() or ""],
            "cipher_suite": 0x1302,
            "client_cert_chain": [],
        }


class MemoryClient:
    """A client's side without a socket: `take` gives what it wants to send."""

    def __init__(self, authority: Authority, name: str = NAME, **settings: Any) -> None:
        context = authority.client_context()
        for key, value in settings.items():
            setattr(context, key, value)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.complete = False
        self.ended = False

    def take(self) -> bytes:
        """What is to be sent; goes on with the handshake first."""
        if not self.complete:
            try:
                self.ssl.do_handshake()
                self.complete = True
            except ssl.SSLWantReadError:
                pass
        return self.outgoing.read()

    def give(self, data: bytes | None) -> None:
        self.incoming.write(data or b"")

    def seal(self, *runs: bytes) -> bytes:
        """Each of `runs` in records of its own."""
        for run in runs:
            self.ssl.write(run)
        return self.outgoing.read()

    def read(self) -> bytes:
        """All plaintext that has come; `ended` after a close_notify."""
        parts = []
        while True:
            try:
                part = self.ssl.read(65536)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                part = b""
            if not part:
                self.ended = True
                break
            parts.append(part)
        return b"".join(parts)

    def notify(self) -> bytes:
        """A close_notify."""
        with suppress(ssl.SSLError):  # it would wait for the server's
            self.ssl.unwrap()
        return self.outgoing.read()


def records(data: bytes) -> Iterable[bytes]:
    """The TLS records of `data`, which is whole ones."""
    while data:
        size = 5 + int.from_bytes(data[3:5])
        assert len(data) >= size
        yield data[:size]
        data = data[size:]
