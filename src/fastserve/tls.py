"""TLS of one server: contexts from the options, a certificate by the client's name, new files.

The files are looked at every `INTERVAL` seconds. When they have changed and then stayed the
same for one interval, so that a certificate is not taken without its key, whole new contexts
are made of them for the connections to come; those that are open keep theirs. What cannot be
loaded is told once, and the contexts stay as they are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fastserve.certificates import Facts, read_certificate
from fastserve.config import Config
from fastserve.errors import ConfigError, FastserveError, app_traceback
from fastserve.importer import find

__all__ = ["ALPN", "Certificates", "days_left", "told"]

# By --http, what is offered in the protocol negotiation (RFC 7301); the server's order counts.
ALPN = {"auto": ("h2", "http/1.1"), "1": ("http/1.1",), "2": ("h2",)}
INTERVAL = 2.0

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_NUMBERS = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_VERIFY = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)
_log = logging.getLogger("fastserve.error")

# IANA numbers of cipher suites by OpenSSL's names.
_suites: dict[str, int] = {}


class Context(ssl.SSLContext):
    """One that knows its certificate."""

    server_cert: str  # PEM
    facts: Facts


class _Loaded(NamedTuple):
    context: ssl.SSLContext
    certificates: list[Facts]


class Certificates:
    """What connections are encrypted with. Raises `FastserveError` for unfit files and options."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._signature = self._new = self._look()
        self._loaded = _load(config)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def certificates(self) -> list[Facts]:
        """What is offered, the default first."""
        return self._loaded.certificates

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """The server's side of a connection to be."""
        return self._loaded.context.wrap_bio(incoming, outgoing, server_side=True)

    def extension(self, sslobject: ssl.SSLObject) -> dict[str, Any]:
        """The ASGI extension `tls` of a connection whose handshake is over."""
        chain = _client_chain(sslobject)
        return {
            "server_cert": getattr(sslobject.context, "server_cert", None),
            "client_cert_chain": [ssl.DER_cert_to_PEM_cert(each) for each in chain],
            "client_cert_name": _subject(chain[0]) if chain else None,
            "client_cert_error": None,  # what does not verify ends the handshake
            "tls_version": _NUMBERS[sslobject.version() or ""],
            "cipher_suite": _suite(sslobject),
        }

    # -- new files ---------------------------------------------------------------------

    def watch(self) -> None:
        """Look at the files from now on, in the running loop; say what has ended already."""
        self._warn()
        self._look_later()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        if self._signature:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._watch)

    def _watch(self) -> None:
        self._look_later()
        self.look()

    def look(self) -> None:
        """Load what has changed before the last look and not since."""
        found = self._look()
        settled, self._new = found == self._new, found
        if found == self._signature or not settled:
            return
        try:
            loaded = _load(self._config)
        except FastserveError as error:
            # Anything that changes during this is another change.
            self._signature = found
            details = f"\n{error.details.rstrip()}" if error.details else ""
            _log.error("%s; the certificates stay as they are%s", error.message, details)
            return
        if self._look() != found:
            return
        self._signature, self._loaded = found, loaded
        names = "; ".join(map(told, loaded.certificates)) or "those of --ssl-context-factory"
        _log.info("certificates reloaded: %s", names)
        self._warn()

    def _warn(self) -> None:
        for each in self.certificates:
            if days_left(each) < 0:
                _log.warning("the certificate of %s has ended", told(each))

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_stat(path) for path in self._config.tls.files]


def _stat(path: str) -> tuple[int, ...] | None:
    """What shows that a file is another one, was written to, or may be read now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
    )  # fmt: skip


def told(facts: Facts) -> str:
    """A certificate for people."""
    names = ", ".join(facts.names) or facts.subject or "no name"
    return f"{names} (until {facts.not_after:%Y-%m-%d})"


def days_left(facts: Facts) -> int:
    """Whole days until it ends; negative afterwards."""
    return (facts.not_after - datetime.now(UTC)).days


# -- contexts --------------------------------------------------------------------------


def _load(config: Config) -> _Loaded:
    made: list[Context] = []

    def make() -> ssl.SSLContext:
        if not config.tls.certfile:
            raise ConfigError("the usual TLS context needs --ssl-certfile")
        made[:] = _contexts(config)
        _choose_by_name(made)
        return made[0]

    factory = config.tls.context_factory
    context = make() if factory is None else _from_factory(config, factory, make)
    return _Loaded(context, [each.facts for each in made])


def _from_factory(
    config: Config, factory: str | Callable[..., object], make: Callable[[], ssl.SSLContext]
) -> ssl.SSLContext:
    origin = config.origin("ssl_context_factory")
    named = find(factory, config.application) if isinstance(factory, str) else factory
    if not callable(named):
        raise ConfigError(f"{origin}: {named!r} is not callable")
    try:
        context = named(config, make)
    except FastserveError:
        raise
    except Exception as error:
        raise FastserveError(f"{origin}: it failed", details=app_traceback(error)) from None
    if not isinstance(context, ssl.SSLContext):
        raise ConfigError(f"{origin}: it returned {context!r}, which is no ssl.SSLContext")
    return context


def _contexts(config: Config) -> list[Context]:
    made = [_context(config, *pair) for pair in config.tls.pairs]
    for each in made:
        _set_policy(each, config)
    return made


def _context(config: Config, certfile: str, keyfile: str) -> Context:
    """A context that has the certificate and nothing else yet."""
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    text = _read(config, "ssl_certfile", certfile)
    origin = config.origin("ssl_certfile")
    found = _PEM.search(text)
    if found is None:
        raise ConfigError(f"{origin}: there is no PEM certificate in {certfile}")
    try:
        context.facts = read_certificate(ssl.PEM_cert_to_DER_cert(found[0]))
    except ValueError as error:
        raise ConfigError(f"{origin}: {certfile}: {error}") from None
    context.server_cert = found[0] + "\n"
    named = "ssl_keyfile" if config.tls.keyfile else "ssl_certfile"
    if "PRIVATE KEY-----" not in _read(config, named, keyfile):
        raise ConfigError(f"{config.origin(named)}: there is no PEM private key in {keyfile}")
    _load_chain(context, config, certfile, keyfile)
    return context


def _load_chain(context: Context, config: Config, certfile: str, keyfile: str) -> None:
    origin = config.origin("ssl_keyfile" if config.tls.keyfile else "ssl_certfile")
    given = config.tls.keyfile_password
    is_encrypted = False

    def password() -> str:
        # Without a function OpenSSL would ask at the terminal.
        nonlocal is_encrypted
        is_encrypted = True
        if given is None:
            raise ConfigError(
                f"{origin}: the key in {keyfile} is encrypted; --ssl-keyfile-password opens it"
            )
        return given

    try:
        context.load_cert_chain(certfile, keyfile, password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        if "MISMATCH" in reason or reason == "NO_CERTIFICATE_ASSIGNED":  # of the key's kind
            raise ConfigError(
                f"{origin}: the key in {keyfile} is not that of the certificate in {certfile}"
            ) from None
        if is_encrypted:
            raise ConfigError(
                f"{config.origin('ssl_keyfile_password')}: not the password of {keyfile}"
            ) from None
        raise ConfigError(
            f"{origin}: {certfile} with the key in {keyfile} cannot be loaded: "
            f"{reason.lower().replace('_', ' ')}"
        ) from None


def _set_policy(context: Context, config: Config) -> None:
    tls = config.tls
    context.minimum_version = _VERSIONS[tls.min_version]
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_alpn_protocols(ALPN[config.http.http])
    if tls.ciphers is not None:
        try:
            context.set_ciphers(tls.ciphers)
        except ssl.SSLError:
            raise ConfigError(
                f"{config.origin('ssl_ciphers')}: OpenSSL has no cipher for {tls.ciphers!r}"
            ) from None
    if tls.ca_certs is not None:
        _trust(context, config, "ssl_ca_certs", tls.ca_certs, "CERTIFICATE")
    if tls.crlfile is not None:
        _trust(context, config, "ssl_crlfile", tls.crlfile, "X509 CRL")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    context.verify_mode = _VERIFY[tls.cert_reqs]


def _trust(context: Context, config: Config, name: str, path: str, label: str) -> None:
    text = _read(config, name, path)
    if f"-----BEGIN {label}-----" not in text:
        kind = "certificate" if label == "CERTIFICATE" else "revocation list"
        raise ConfigError(f"{config.origin(name)}: there is no PEM {kind} in {path}")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise ConfigError(f"{config.origin(name)}: {path} cannot be loaded: {reason}") from None


def _read(config: Config, name: str, path: str) -> str:
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(
            f"{config.origin(name)}: cannot read {path}: {error.strerror or error}"
        ) from None


def _choose_by_name(contexts: list[Context]) -> None:
    """Have the first one, which is the default, give way to one that has the client's name."""
    by_name: dict[str, Context] = {}
    for each in contexts:
        for name in each.facts.names:
            by_name.setdefault(name, each)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        name = (name or "").lower().rstrip(".")
        # RFC 6125, section 6.4.3: the asterisk stands for one whole label.
        found = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
        if found is not None:
            connection.context = found

    if len(contexts) > 1:
        contexts[0].sni_callback = choose


# -- the client ------------------------------------------------------------------------


def _client_chain(sslobject: ssl.SSLObject) -> list[bytes]:
    """DER, the client's own first, up to the one that is trusted; empty without any.

    Of a resumed session only the client's own is known.
    """
    leaf = sslobject.getpeercert(True)
    if leaf is None:
        return []
    public = getattr(sslobject, "get_verified_chain", None)
    if public is not None:  # from Python 3.13 on
        return list(public()) or [leaf]
    inner = getattr(getattr(sslobject, "_sslobj", None), "get_verified_chain", None)
    chain = inner() if inner is not None else None
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain or ()] or [leaf]


def _subject(der: bytes) -> str | None:
    try:
        return read_certificate(der).subject
    except ValueError:
        return None


def _suite(sslobject: ssl.SSLObject) -> int:
    cipher = sslobject.cipher()
    assert cipher is not None
    if cipher[0] not in _suites:
        # Of all that there are: a context of one's own may have given way to one with others.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        _suites.update({str(each["name"]): each["id"] & 0xFFFF for each in context.get_ciphers()})
    return _suites[cipher[0]]
