"""What is wrong with certificates and their options is told in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from support.certificates import Authority, Certificate, plain, replace
from support.handshake import certificates

from fastserve.errors import ConfigError


def no_file(issued: Certificate, authority: Authority) -> dict[str, Any]:
    return {"ssl_certfile": "/nowhere.pem", "ssl_keyfile": issued.keyfile}


def no_key_file(issued: Certificate, authority: Authority) -> dict[str, Any]:
    return {"ssl_keyfile": "/nowhere.key"}


def no_key(issued: Certificate, authority: Authority) -> dict[str, Any]:
    return {"ssl_certfile": issued.certfile, "ssl_keyfile": None}


def other_key(issued: Certificate, authority: Authority) -> dict[str, Any]:
    return {"ssl_keyfile": authority.issue("b.example", file="other").keyfile}


def rsa_key(issued: Certificate, authority: Authority) -> dict[str, Any]:
    path = authority.directory / "rsa.key"
    path.write_bytes(plain(rsa.generate_private_key(65537, 2048)))
    return {"ssl_keyfile": str(path)}


def encrypted(issued: Certificate, authority: Authority) -> dict[str, Any]:
    locked = authority.issue("b.example", file="locked", password="secret")
    return {"ssl_certfile": locked.certfile, "ssl_keyfile": locked.keyfile}


def wrong_password(issued: Certificate, authority: Authority) -> dict[str, Any]:
    return encrypted(issued, authority) | {"ssl_keyfile_password": "s3cret"}


def long_password(issued: Certificate, authority: Authority) -> dict[str, Any]:
    return encrypted(issued, authority) | {"ssl_keyfile_password": "s3cret" * 1000}


def no_pem(issued: Certificate, authority: Authority) -> dict[str, Any]:
    Path(issued.certfile).write_bytes(b"\x30\x82")
    return {}


def broken_pem(issued: Certificate, authority: Authority) -> dict[str, Any]:
    lines = Path(issued.certfile).read_text().splitlines()
    Path(issued.certfile).write_text("\n".join([*lines[:4], "@@", *lines[5:]]))
    return {}


def broken_key(issued: Certificate, authority: Authority) -> dict[str, Any]:
    lines = Path(issued.keyfile).read_text().splitlines()
    Path(issued.keyfile).write_text("\n".join([lines[0], "AAAA", lines[-1]]))
    return {}


def empty_ca(issued: Certificate, authority: Authority) -> dict[str, Any]:
    replace(authority.directory / "ca.pem", b"")
    return {"ssl_ca_certs": str(authority.directory / "ca.pem"), "ssl_cert_reqs": 2}


def broken_ca(issued: Certificate, authority: Authority) -> dict[str, Any]:
    text = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    replace(authority.directory / "ca.pem", text)
    return {"ssl_ca_certs": str(authority.directory / "ca.pem"), "ssl_cert_reqs": 2}


def no_crl(issued: Certificate, authority: Authority) -> dict[str, Any]:
    return {"ssl_ca_certs": authority.cafile, "ssl_crlfile": authority.cafile}


def unknown_cipher(issued: Certificate, authority: Authority) -> dict[str, Any]:
    return {"ssl_ciphers": "NO-SUCH"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_file, "ssl_certfile: cannot read /nowhere.pem: No such file or directory"),
        (no_key_file, "ssl_keyfile: cannot read /nowhere.key: No such file or directory"),
        (no_key, "ssl_certfile: there is no PEM private key in {dir}/server.pem"),
        (
            other_key,
            "ssl_keyfile: the key in {dir}/other.key is not that of the certificate in "
            "{dir}/server.pem",
        ),
        (
            rsa_key,
            "ssl_keyfile: the key in {dir}/rsa.key is not that of the certificate in "
            "{dir}/server.pem",
        ),
        (
            encrypted,
            "ssl_keyfile: the key in {dir}/locked.key is encrypted; "
            "--ssl-keyfile-password opens it",
        ),
        (wrong_password, "ssl_keyfile_password: not the password of {dir}/locked.key"),
        (long_password, "ssl_keyfile_password: not the password of {dir}/locked.key"),
        (no_pem, "ssl_certfile: there is no PEM certificate in {dir}/server.pem"),
        (broken_pem, "ssl_certfile: {dir}/server.pem: "),
        (
            broken_key,
            "ssl_keyfile: {dir}/server.pem with the key in {dir}/server.key cannot be loaded: ",
        ),
        (empty_ca, "ssl_ca_certs: there is no PEM certificate in {dir}/ca.pem"),
        (broken_ca, "ssl_ca_certs: {dir}/ca.pem cannot be loaded: "),
        (no_crl, "ssl_crlfile: there is no PEM revocation list in {dir}/ca.pem"),
        (unknown_cipher, "ssl_ciphers: OpenSSL has no cipher for 'NO-SUCH'"),
    ],
)
def test_what_is_wrong_is_told_with_the_option_and_the_file(
    authority: Authority, make: Callable[..., dict[str, Any]], message: str
) -> None:
    issued = authority.issue("a.example")
    options = make(issued, authority)
    with pytest.raises(ConfigError) as caught:
        certificates(issued, **options)
    assert caught.value.message.startswith(message.format(dir=authority.directory))
    assert "s3cret" not in caught.value.message
    assert "\n" not in caught.value.message
