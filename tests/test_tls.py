"""TLS of a server without its sockets: contexts, names, errors, the extension, new files."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.handshake import Handshake, app, blind, certificates, jo, name_of, pem

from fastserve.config import Config
from fastserve.errors import AppError, FastserveError
from fastserve.tls import Certificates

# -- what is offered -------------------------------------------------------------------


def test_tls_1_2_is_the_least_and_1_3_can_be(authority: Authority) -> None:
    issued = authority.issue("a.example")
    old = authority.client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert Handshake(certificates(issued), old, "a.example").client.version() == "TLSv1.2"
    newer = certificates(issued, ssl_min_version="tlsv1.3")
    assert Handshake(newer, authority.client_context(), "a.example").client.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        Handshake(newer, old, "a.example")


def test_a_client_of_tls_1_1_is_refused(authority: Authority) -> None:
    ancient = authority.client_context()
    ancient.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        ancient.minimum_version = ancient.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        Handshake(certificates(authority.issue("a.example")), ancient, "a.example")


def test_ciphers_are_those_of_the_option(authority: Authority) -> None:
    server = certificates(authority.issue("a.example"), ssl_ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    client = authority.client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    shaken = Handshake(server, client, "a.example")
    assert (shaken.client.cipher() or ("",))[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert server.extension(shaken.server)["cipher_suite"] == 0xC02C


def test_the_protocol_is_agreed_on_where_the_client_asks(authority: Authority) -> None:
    server = certificates(authority.issue("a.example"))
    client = authority.client_context()
    assert Handshake(server, client, "a.example").client.selected_alpn_protocol() is None
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert Handshake(server, client, "a.example").client.selected_alpn_protocol() == "h2"


def test_a_key_may_be_in_the_certificates_file_and_encrypted(authority: Authority) -> None:
    issued = authority.issue("a.example", password="päss")
    both = Path(issued.certfile).with_name("both.pem")
    both.write_text(Path(issued.keyfile).read_text() + Path(issued.certfile).read_text())
    server = Certificates(Config(app, ssl_certfile=str(both), ssl_keyfile_password="päss"))
    assert name_of(Handshake(server, authority.client_context(), "a.example")) == "a.example"


def test_a_session_can_be_resumed(authority: Authority) -> None:
    server = certificates(authority.issue("a.example"))
    client = authority.client_context()
    first = Handshake(server, client, "a.example")
    again = Handshake(server, client, "a.example", session=first.client.session)
    assert again.client.session_reused


# -- one of several --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("a.example", "a.example"),
        ("b.example", "b.example"),
        ("B.Example", "b.example"),
        ("x.b.example", "*.b.example"),
        ("X.B.EXAMPLE", "*.b.example"),
        ("y.x.b.example", "a.example"),
        ("exact.b.example", "exact.b.example"),
        ("example", "a.example"),
        ("unknown.example", "a.example"),
        ("192.0.2.1", "a.example"),
        (None, "a.example"),
    ],
)
def test_the_clients_name_chooses(authority: Authority, asked: str | None, got: str) -> None:
    issued = [
        authority.issue("a.example", file="a"),
        authority.issue("b.example", "192.0.2.1", file="b"),
        authority.issue("*.b.example", file="star"),
        authority.issue("exact.b.example", file="exact"),
        authority.issue("b.example", file="late"),
    ]
    server = certificates(*issued)
    shaken = Handshake(server, blind(authority.client_context()), asked)
    assert name_of(shaken) == got
    files = {"a.example": 0, "b.example": 1, "*.b.example": 2, "exact.b.example": 3}
    assert server.extension(shaken.server)["server_cert"] == pem(issued[files[got]])


def test_a_chosen_certificate_has_the_same_policy(authority: Authority) -> None:
    server = certificates(
        authority.issue("a.example", file="a"),
        authority.issue("b.example", file="b"),
        ssl_cert_reqs="required",
        ssl_ca_certs=authority.cafile,
        ssl_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256",
    )
    client = authority.client_context(authority.issue_to(file="client"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_alpn_protocols(["http/1.1"])
    shaken = Handshake(server, client, "b.example")
    assert (shaken.client.cipher() or ("",))[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"
    assert shaken.client.selected_alpn_protocol() == "http/1.1"
    assert server.extension(shaken.server)["client_cert_chain"]
    again = Handshake(server, client, "b.example", session=shaken.client.session)
    assert again.client.session_reused
    resumed, before = server.extension(again.server), server.extension(shaken.server)
    assert resumed["server_cert"] == before["server_cert"]
    assert resumed["client_cert_chain"][0] == before["client_cert_chain"][0]


def test_what_helps_attackers_alone_is_off_in_every_context(authority: Authority) -> None:
    server = certificates(authority.issue("a.example"), authority.issue("b.example", file="b"))
    client = authority.client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    for name in ("a.example", "b.example"):
        shaken = Handshake(server, client, name)
        assert shaken.client.compression() is None
        options = shaken.server.context.options
        assert options & ssl.OP_NO_RENEGOTIATION
        assert options & ssl.OP_NO_COMPRESSION
        assert options & ssl.OP_CIPHER_SERVER_PREFERENCE


# -- the client's certificate ----------------------------------------------------------


def test_without_a_clients_certificate_the_extension_has_none(authority: Authority) -> None:
    issued = authority.issue("a.example")
    server = certificates(issued)
    shaken = Handshake(server, authority.client_context(jo(authority)), "a.example")
    assert server.extension(shaken.server) == {
        "server_cert": pem(issued),
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1302,
    }


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("reqs", ["optional", "required", 1, "2", ssl.CERT_REQUIRED])
def test_a_clients_chain_begins_with_its_own(
    authority: Authority, reqs: object, version: ssl.TLSVersion
) -> None:
    server = certificates(
        authority.issue("a.example"), ssl_cert_reqs=reqs, ssl_ca_certs=authority.cafile
    )
    mine = jo(authority)
    client = authority.client_context(mine)
    client.maximum_version = version
    first = Handshake(server, client, "a.example")
    extension = server.extension(first.server)
    own = Path(mine.certfile).read_text()
    assert extension["client_cert_chain"] == [own, Path(authority.cafile).read_text()]
    assert extension["client_cert_name"] == r"CN=jo,O=Example\, Inc."
    assert extension["tls_version"] == version.value
    again = Handshake(server, client, "a.example", session=first.client.session)
    assert again.client.session_reused
    resumed = server.extension(again.server)
    assert resumed["client_cert_chain"][0] == own
    assert resumed["client_cert_name"] == extension["client_cert_name"]


def test_who_has_no_certificate_is_refused_only_if_it_is_required(authority: Authority) -> None:
    issued, ca = authority.issue("a.example"), authority.cafile
    optional = certificates(issued, ssl_cert_reqs="optional", ssl_ca_certs=ca)
    shaken = Handshake(optional, authority.client_context(), "a.example")
    assert optional.extension(shaken.server)["client_cert_chain"] == []
    required = certificates(issued, ssl_cert_reqs="required", ssl_ca_certs=ca)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        Handshake(required, authority.client_context(), "a.example")


@pytest.mark.parametrize("reqs", ["optional", "required"])
def test_a_certificate_of_a_stranger_is_refused(
    authority: Authority, reqs: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    server = certificates(
        authority.issue("a.example"), ssl_cert_reqs=reqs, ssl_ca_certs=authority.cafile
    )
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        Handshake(server, authority.client_context(jo(stranger)), "a.example")


def test_a_revoked_certificate_is_refused(authority: Authority) -> None:
    good, bad = authority.issue_to(file="good"), authority.issue_to(file="bad")
    server = certificates(
        authority.issue("a.example"),
        ssl_cert_reqs="required",
        ssl_ca_certs=authority.cafile,
        ssl_crlfile=authority.revoke(bad),
    )
    Handshake(server, authority.client_context(good), "a.example")
    with pytest.raises(ssl.SSLError, match="certificate revoked"):
        Handshake(server, authority.client_context(bad), "a.example")


# -- a context of one's own ------------------------------------------------------------


def test_a_factory_can_change_the_usual_context(authority: Authority) -> None:
    seen: list[Any] = []

    def factory(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        seen.append(config)
        context = default()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    server = certificates(
        authority.issue("a.example", file="a"),
        authority.issue("b.example", file="b"),
        ssl_context_factory=factory,
    )
    shaken = Handshake(server, authority.client_context(), "b.example")
    assert server.extension(shaken.server)["server_cert"]
    assert [facts.names for facts in server.certificates] == [("a.example",), ("b.example",)]
    assert seen[0].tls.certfile[0].endswith("a.pem")


def test_a_factory_can_make_a_context_of_its_own(authority: Authority) -> None:
    issued = authority.issue("a.example")

    def factory(*_: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certfile, issued.keyfile)
        return context

    server = Certificates(Config(app, ssl_context_factory=factory))
    client = authority.client_context()
    shaken = Handshake(server, client, "a.example")
    extension = server.extension(shaken.server)
    assert extension["server_cert"] is None
    assert extension["cipher_suite"] == 0x1302
    assert server.certificates == []
    server.look()
    assert name_of(Handshake(server, client, "a.example")) == "a.example"


def test_a_factory_may_be_named(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "with_tls.py").write_text("def make(config, default):\n    return default()\n")
    monkeypatch.setattr("sys.path", sys.path[:])
    named = {"ssl_context_factory": "with_tls:make", "app_dir": str(tmp_path)}
    server = certificates(authority.issue("a.example"), **named)
    assert name_of(Handshake(server, authority.client_context(), "a.example")) == "a.example"
    with pytest.raises(AppError, match="has no attribute 'missing'"):
        Certificates(Config(app, **named | {"ssl_context_factory": "with_tls:missing"}))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda *_: None, "it returned None, which is no ssl.SSLContext"),
        (lambda *_: 1 / 0, "it failed"),
        (lambda _, make: make(), "the usual TLS context needs --ssl-certfile"),
    ],
)
def test_what_is_wrong_with_a_factory_is_told(factory: Any, message: str) -> None:
    with pytest.raises(FastserveError, match=message) as caught:
        Certificates(Config(app, ssl_context_factory=factory))
    if message == "it failed":
        assert "ZeroDivisionError" in (caught.value.details or "")
