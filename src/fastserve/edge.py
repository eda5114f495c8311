"""The options of the edge: what is believed of proxies, TLS, limits and times.

They are subjects like those of `subjects`, which has the table of all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastserve.kinds import (
    Choice,
    Factory,
    Flag,
    Integer,
    Network,
    Path,
    Seconds,
    Secret,
    Several,
    Size,
    Text,
    TlsVersion,
    Verification,
)
from fastserve.options import option
from fastserve.presets import PRESETS

__all__ = ["Limits", "Proxies", "Timeouts", "Tls"]


# Fields by which a proxy says for whom it asks.
_FORWARDED = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
)


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """What proxies in front say about who is asking, and which of them are believed."""

    behind: str | None = option(
        None,
        Choice(tuple(PRESETS)),
        "What stands in front: fills in the options below, and timeout_keep_alive, where they "
        "are not given, as fits it.",
    )
    proxy_headers: bool = option(
        True, Flag(), "Believe trusted proxies about the client, the scheme and the host."
    )
    forwarded_allow_ips: tuple[str, ...] = option(
        ("127.0.0.1", "::1", "unix"),
        Several(Network()),
        "Trusted proxies, separated by commas: addresses, networks, unix for Unix sockets, * for "
        "everyone.",
        environment=("FORWARDED_ALLOW_IPS",),
    )
    forwarded_hops: int = option(
        0,
        Integer(0, 100),
        "Number of proxies in front, each of which has added an address; 0: their addresses are "
        "known, as above. If trusted proxies are given too, only they are believed; else everyone.",
    )
    forwarded_headers: tuple[str, ...] = option(
        ("x-forwarded-for", "x-forwarded-proto"),
        Several(Choice(_FORWARDED, placeholder="NAME")),
        f"Header fields that are believed, separated by commas; of {', '.join(_FORWARDED)}.",
    )
    proxy_protocol: bool = option(
        False, Flag(), "Connections of trusted proxies begin with a PROXY header, version 1 or 2."
    )


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Certificates, and what is asked of clients. With a certificate, TLS is on."""

    certfile: tuple[str, ...] = option(
        (),
        Several(Path()),
        "Certificate and those above it, PEM; may be given many times: the client's SNI chooses, "
        "and if none fits, the first is taken.",
        repeat=True,
    )
    keyfile: tuple[str, ...] = option(
        (),
        Several(Path()),
        "Private key, PEM, one for each certificate; if not set, it is in the certificate's file.",
        repeat=True,
    )
    keyfile_password: str | None = option(
        None, Secret(), "Password of encrypted keys; a variable shows it to fewer than a flag."
    )
    version: int = option(17, TlsVersion(), "Uvicorn's: 17, any version, is all it can be.")
    min_version: str = option(
        "TLSv1.2", Choice(("TLSv1.2", "TLSv1.3")), "Least version of TLS that is spoken."
    )
    ciphers: str | None = option(
        None, Text(), "Ciphers for TLS 1.2 as OpenSSL names them; those of TLS 1.3 are fixed."
    )
    cert_reqs: str = option(
        "none",
        Verification(),
        "Whether clients show a certificate that --ssl-ca-certs has issued; also 0, 1 or 2.",
    )
    ca_certs: str | None = option(
        None, Path(), "Certificates, PEM, of those whose clients' certificates are taken."
    )
    crlfile: str | None = option(
        None, Path(), "Lists, PEM, of clients' certificates that are revoked: one for each issuer."
    )
    context_factory: str | Callable[..., Any] | None = option(
        None,
        Factory(),
        "Makes the ssl.SSLContext: is called with the config and a function that makes the "
        "usual one.",
    )
    handshake_timeout: float = option(
        10.0, Seconds(), "For a client's handshake, before it is cut; 0: without end."
    )

    @property
    def is_on(self) -> bool:
        return bool(self.certfile) or self.context_factory is not None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each certificate's file with the file of its key."""
        return list(zip(self.certfile, self.keyfile or self.certfile, strict=True))

    @property
    def files(self) -> list[str]:
        """All that are read; when one changes, all are read again."""
        more = (self.ca_certs, self.crlfile)
        return [*dict.fromkeys([*self.certfile, *self.keyfile, *filter(None, more)])]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes and counts above which a request is refused or a worker replaced."""

    request_line: int = option(8192, Size(64), "Longest request line (414).")
    request_field: int = option(16384, Size(64), "Longest header field line (431).")
    request_fields: int = option(100, Integer(1, 10_000), "Most header fields in a request (431).")
    request_head: int = option(
        65536,
        Size(256),
        "Largest request head: request line and all fields together (431).",
        aliases=("h11_max_incomplete_event_size",),
    )
    request_body: int = option(0, Size(), "Largest request body (413); 0: no limit.")
    request_trailers: int = option(8192, Size(), "Largest trailer section of a chunked body (431).")
    concurrency: int = option(
        0, Integer(), "Requests under way at once, above which 503 is answered; 0: no limit."
    )
    connections: int = option(
        0,
        Integer(),
        "Connections of a process at once; one more takes the place of the one that has been idle "
        "for longest, or is answered 503; 0: no limit.",
    )
    connections_per_client: int = option(
        0,
        Integer(),
        "Connections of a process at once from one IP address, or one /64 network of IPv6 (503); "
        "0: no limit.",
    )
    connection_requests: int = option(
        0, Integer(), "Requests on one connection, after which it is closed; 0: no limit."
    )
    min_rate: int = option(
        240,
        Size(),
        "Bytes a second, all in all, below which a request body the application waits for is "
        "refused (408), and a response being taken is cut; 0: any byte is enough.",
    )
    handshakes: int = option(
        1000,
        Integer(),
        "TLS handshakes under way at once; one more, and the oldest is cut; 0: no limit.",
    )
    max_requests: int = option(0, Integer(), "Requests after which a worker is replaced; 0: never.")
    max_requests_jitter: int = option(
        0, Integer(), "Most requests added to limit_max_requests, at random for each worker."
    )
    worker_lifetime: float = option(
        0.0, Seconds(), "Seconds after which a worker is replaced; 0: never."
    )
    worker_memory: int = option(
        0, Size(), "Resident memory above which a worker is replaced; 0: never."
    )


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long is waited. Of the first six, 0 switches each off."""

    keep_alive: float = option(75.0, Seconds(), "For the next request on an idle connection.")
    first_byte: float = option(10.0, Seconds(), "For the first byte of a new connection.")
    request_head: float = option(30.0, Seconds(), "For a whole request head, from its first byte.")
    request_body: float = option(
        30.0, Seconds(), "For the next bytes of a request body the application waits for."
    )
    write: float = option(
        30.0, Seconds(), "For a client that takes nothing of the response written to it."
    )
    request: float = option(
        0.0,
        Seconds(),
        "For a whole request, from its head to the end of the response, before it is answered 504 "
        "or cut and its task cancelled, with its stack in the log. Long streams are subject to it, "
        "WebSockets are not.",
    )
    graceful_shutdown: float = option(
        25.0,
        Seconds(),
        "For requests under way at shutdown, before they are told to disconnect and then "
        "cancelled; 0: not at all.",
    )
    lifespan: float = option(
        10.0, Seconds(), "For the application's lifespan shutdown; 0: without end."
    )
    blocked_loop: float = option(
        0.0,
        Seconds(),
        "For a worker's blocked event loop, before the worker is replaced; 0: without end.",
    )
