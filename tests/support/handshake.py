"""A TLS handshake in memory, between a client's context and what the server would offer."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

from fastserve.config import Config
from fastserve.tls import Certificates

from .certificates import Authority, Certificate


class Wraps(Protocol):
    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject: ...


class Handshake:
    """Both ends of one connection; shaken when made. Raises what the client or server raises."""

    def __init__(
        self,
        server: Wraps,
        client: ssl.SSLContext,
        name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._up, self._down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap(self._up, self._down)
        self.client = client.wrap_bio(self._down, self._up, server_hostname=name, session=session)
        waiting = [self.client, self.server]
        for _ in range(20):
            waiting = [each for each in waiting if not self._step(each)]
        assert not waiting
        # What TLS 1.3 sends last, session tickets, is read with the first data.
        self.server.write(b"x")
        assert self.client.read(1) == b"x"

    def _step(self, side: ssl.SSLObject) -> bool:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True


def blind(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, as one of a client that does not look at the server's name."""
    context.check_hostname = False
    return context


def app(*_: object) -> None:
    """An application for a config that is not served."""
    raise AssertionError("nobody calls it")


def certificates(*issued: Certificate, **options: Any) -> Certificates:
    """What a server would offer of these, with further options."""
    files = {
        "ssl_certfile": [each.certfile for each in issued],
        "ssl_keyfile": [each.keyfile for each in issued],
    }
    return Certificates(Config(app, **(files | options)))


def name_of(shaken: Handshake) -> str:
    """The first name of the certificate the client has got."""
    found = shaken.client.getpeercert()
    assert found is not None
    return str(found["subjectAltName"][0][1])  # type: ignore[index,misc]


def pem(certificate: Certificate) -> str:
    """The certificate itself as its file has it."""
    text = Path(certificate.certfile).read_text()
    end = "-----END CERTIFICATE-----\n"
    return text[: text.index(end) + len(end)]


def jo(authority: Authority) -> Certificate:
    """A client's certificate."""
    return authority.issue_to(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc.")],
        [x509.NameAttribute(NameOID.COMMON_NAME, "jo")],
    )
