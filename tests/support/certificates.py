"""Certificates for a test, from an authority of its own that nobody else trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """Files of one certificate, as a server's options take them."""

    certfile: str
    keyfile: str

    @property
    def options(self) -> dict[str, str]:
        return {"ssl_certfile": self.certfile, "ssl_keyfile": self.keyfile}


@dataclass
class Authority:
    """Issues certificates into `directory`."""

    directory: Path
    _ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def cafile(self) -> str:
        path = self.directory / "ca.pem"
        self._ca.cert_pem.write_to_path(path)
        return str(path)

    def issue(
        self, *names: str, file: str = "server", common_name: str | None = None
    ) -> Certificate:
        """A certificate for host names or addresses; the same `file` again replaces the files."""
        issued = self._ca.issue_cert(*names, common_name=common_name)
        cert, key = self.directory / f"{file}.pem", self.directory / f"{file}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return Certificate(str(cert), str(key))

    def client_context(self, mine: Certificate | None = None) -> ssl.SSLContext:
        """A client's context that trusts this authority, with a certificate of its own if given."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        if mine is not None:
            context.load_cert_chain(mine.certfile, mine.keyfile)
        return context
