"""A raw client over TLS, as `Client` is one over plain sockets."""

from __future__ import annotations

import ssl
from typing import Any

from .certificates import Authority
from .client import Client
from .server import Running
from .tls import NAME, MemoryClient


class SecureClient(Client):
    """One connection over TLS. An end without close_notify fails whatever reads it."""

    sock: ssl.SSLSocket

    def __init__(
        self, server: Running, context: ssl.SSLContext, *, name: str = NAME, **options: Any
    ) -> None:
        super().__init__(server.uds or (server.host, server.port), **options)
        server.clients.append(self)
        self.sock = context.wrap_socket(self.sock, server_hostname=name, suppress_ragged_eofs=False)


class PiecewiseClient:
    """TLS in memory over a plain connection: for what is not sent as an ssl.SSLSocket would."""

    def __init__(self, client: Client, authority: Authority) -> None:
        self.client = client
        self.tls = MemoryClient(authority)
        self.got = b""

    def last_flight(self) -> bytes:
        """Shake hands but for what completes it, which is returned."""
        flight = self.tls.take()
        while not self.tls.complete:
            self.client.send(flight)
            self.tls.give(self.client.sock.recv(65536))
            flight = self.tls.take()
        return flight

    def until(self, mark: bytes) -> bytes:
        """What has come when `mark` is there."""
        while mark not in self.got:
            data = self.client.sock.recv(65536)
            assert data, self.got
            self.tls.give(data)
            self.got += self.tls.read()
        return self.got

    def rest(self) -> bytes:
        """What has come when the connection ends, by close_notify and the socket's end."""
        self.tls.give(self.client.rest())
        self.got += self.tls.read()
        assert self.tls.ended
        return self.got
