"""Certificates for a test, from an authority of its own that nobody else trusts."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

Attributes = Sequence[x509.NameAttribute]


def replace(path: Path, data: bytes) -> None:
    """Write a file as certificate tools do: a new one takes its place."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    os.replace(new, path)


def plain(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A private key's file, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


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
        self,
        *names: str,
        file: str = "server",
        common_name: str | None = None,
        password: str | None = None,
        days: float = 90,
    ) -> Certificate:
        """A certificate for host names or addresses; the same `file` again replaces the files.

        With a `password` the key is encrypted. It ends in so many `days`.
        """
        issued = self._ca.issue_cert(
            *names, common_name=common_name, not_after=datetime.now(UTC) + timedelta(days=days)
        )
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        key = issued.private_key_pem.bytes()
        if password is not None:
            key = load_pem_private_key(key, None).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
            )
        return self._write(file, chain, key)

    def issue_to(self, *parts: Attributes, file: str = "client") -> Certificate:
        """A client's certificate whose subject has exactly these parts, in the order written."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.RelativeDistinguishedName(part) for part in parts]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=90))
            .sign(self._key, hashes.SHA256())
        )
        return self._write(file, made.public_bytes(Encoding.PEM), plain(key))

    def revoke(self, *certificates: Certificate) -> str:
        """A file with the list of these, and of no others, as revoked."""
        now = datetime.now(UTC)
        made = x509.CertificateRevocationListBuilder(
            self._certificate.subject, now - timedelta(days=1), now + timedelta(days=1)
        )
        for each in certificates:
            serial = x509.load_pem_x509_certificate(Path(each.certfile).read_bytes()).serial_number
            made = made.add_revoked_certificate(
                x509.RevokedCertificateBuilder(serial, now - timedelta(days=1)).build()
            )
        path = self.directory / "revoked.pem"
        replace(path, made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return str(path)

    @property
    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())

    @property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def _write(self, file: str, chain: bytes, key: bytes) -> Certificate:
        paths = self.directory / f"{file}.pem", self.directory / f"{file}.key"
        replace(paths[0], chain)
        replace(paths[1], key)
        return Certificate(str(paths[0]), str(paths[1]))

    def client_context(self, mine: Certificate | None = None) -> ssl.SSLContext:
        """A client's context that trusts this authority, with a certificate of its own if given."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        if mine is not None:
            context.load_cert_chain(mine.certfile, mine.keyfile)
        return context
