"""The options of a server by subject: frozen dataclasses, one field for each option.

A field's metadata (see `options`) is all that the command line, the environment reader,
the config-file readers and the settings page know about it. Nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fastserve.accessformats import AccessFormatKind, SkippedPath
from fastserve.options import (
    Address,
    Choice,
    Factory,
    Flag,
    Headers,
    Integer,
    LogConfig,
    LogTarget,
    Mode,
    Network,
    Path,
    Place,
    RootPath,
    Seconds,
    Secret,
    Several,
    Size,
    Text,
    TlsVersion,
    Verification,
    option,
)
from fastserve.presets import PRESETS

__all__ = [
    "SUBJECTS",
    "Admin",
    "Application",
    "Bind",
    "Http",
    "Limits",
    "Logging",
    "Process",
    "Proxies",
    "Reload",
    "Timeouts",
    "Tls",
    "WebSocket",
]


@dataclass(frozen=True, kw_only=True)
class Application:
    """Where the application is and how it is called."""

    factory: bool = option(
        False, Flag(), "The application is what the named callable returns when it is called."
    )
    app_dir: str = option(
        ".", Path(), "Directory put first on the import path, for finding the application."
    )
    interface: str = option(
        "auto",
        Choice(("auto", "asgi3", "asgi2")),
        "How the application is called; auto looks at its signature.",
    )
    cancel_on_disconnect: float | None = option(
        None,
        Seconds(),
        "Cancel the application's task so long after its client has left, if it still runs then; "
        "0: at once; if not set, it is told and left to itself.",
    )
    lifespan: str = option(
        "auto",
        Choice(("auto", "on", "off")),
        "Lifespan events: auto goes on without if the application raises, on fails then.",
    )
    config: str | None = option(
        None, Path(), "TOML file of options, with the keys of [tool.fastserve] at its top level."
    )
    env_file: tuple[str, ...] = option(
        (),
        Several(Path()),
        "File of variables: FASTSERVE_* ones are options, the others are put into the "
        "application's environment (needs python-dotenv); may be given many times.",
        repeat=True,
    )


@dataclass(frozen=True, kw_only=True)
class Bind:
    """What is listened on."""

    bind: tuple[Place, ...] = option(
        (),
        Several(Address()),
        "HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N to listen on; may be given many times, "
        "in place of the four options below.",
        repeat=True,
    )
    host: str = option(
        "127.0.0.1",
        Text("HOST"),
        "Address or name to listen on; * for every interface, IPv4 and IPv6.",
    )
    port: int = option(
        8000, Integer(0, 65535, "PORT"), "TCP port to listen on; 0 picks a free one."
    )
    uds: str | None = option(None, Path(), "Unix domain socket to listen on instead of TCP.")
    fd: int | None = option(
        None, Integer(metavar="FD"), "Inherited file descriptor of a socket to listen on."
    )
    uds_mode: int | None = option(
        None,
        Mode(),
        "Permissions of Unix sockets, such as 660; if not set, those of the file that is "
        "replaced, or 666.",
    )
    backlog: int = option(
        2048, Integer(1), "Connections the kernel may hold that have not been accepted yet."
    )
    insecure_bind: tuple[Place, ...] = option(
        (),
        Several(Address()),
        "An address for plain HTTP, besides the others, which have TLS; may be given many times.",
        repeat=True,
    )
    redirect_insecure: bool = option(
        False, Flag(), "Send requests over plain HTTP to the same URL over HTTPS (308)."
    )

    @property
    def places(self) -> tuple[Place, ...]:
        """What is listened on, whichever option said so."""
        if self.bind:
            return self.bind
        if self.uds is not None:
            return (Place(path=self.uds),)
        if self.fd is not None:
            return (Place(fd=self.fd),)
        return (Place(host=self.host, port=self.port),)


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
        "known, as above.",
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
class Process:
    """Processes and event loops."""

    workers: int | None = option(
        None,
        Integer(1, 1024),
        "Number of worker processes under a supervisor; if not set, one process without one.",
        environment=("WEB_CONCURRENCY",),
    )
    preload: bool = option(
        False, Flag(), "Import the application once, in the supervisor, and fork the workers."
    )
    loop: str = option(
        "auto",
        Choice(("auto", "uvloop", "asyncio")),
        "Event loop; auto takes uvloop where it is installed.",
    )
    drain_delay: float = option(
        0.0,
        Seconds(),
        "At a stop, go on serving so long while readiness is already false, so that load "
        "balancers can turn away.",
    )
    warn_blocked_loop: float = option(
        1.0,
        Seconds(),
        "Log where the code stands that has blocked the event loop for so long; 0: never.",
    )
    pid_file: str | None = option(
        None, Path(), "File that holds the number of the main process while it runs."
    )


@dataclass(frozen=True, kw_only=True)
class Http:
    """What is added to requests and responses."""

    root_path: str = option(
        "", RootPath(), "Path under which a proxy has mounted the application (ASGI root_path)."
    )
    headers: tuple[tuple[bytes, bytes], ...] = option(
        (),
        Headers(),
        "Header sent with every response; may be given many times.",
        flag="header",
        repeat=True,
    )
    server_header: bool = option(True, Flag(), "Send the server header.")
    date_header: bool = option(True, Flag(), "Send the date header.")
    ws: str = option(
        "auto",
        Choice(("auto", "none"), note="fastserve has a WebSocket protocol of its own"),
        "WebSocket: auto speaks it with clients that ask for it, none answers them as if they "
        "had not asked.",
    )


@dataclass(frozen=True, kw_only=True)
class WebSocket:
    """Messages, compression and times of WebSockets. Of the times, 0 switches each off."""

    max_size: int = option(
        16 * 1024**2,
        Size(1),
        "Largest message from a client, decompressed (close code 1009).",
    )
    max_queue: int = option(
        32,
        Integer(1),
        "Messages the application has not received yet, above which no more are read.",
    )
    ping_interval: float = option(20.0, Seconds(), "Between pings to a client.")
    ping_timeout: float = option(
        20.0, Seconds(), "For anything from a client that was sent a ping."
    )
    per_message_deflate: bool = option(
        True, Flag(), "Compress messages with clients that offer permessage-deflate."
    )
    deflate_threshold: int = option(128, Size(), "Smallest message that is sent compressed.")
    deflate_level: int = option(
        1, Integer(1, 9), "Effort of compression: 1 is the fastest, 9 the smallest."
    )
    deflate_window: int = option(
        12,
        Integer(9, 15, "BITS"),
        "Bits of the compression window; each more doubles a connection's memory for it.",
    )
    deflate_context: bool = option(
        True,
        Flag(),
        "Keep the compression window between messages: smaller messages, more memory.",
    )
    handshake_timeout: float = option(
        30.0, Seconds(), "For the application to accept or close a WebSocket asked for."
    )
    close_timeout: float = option(
        10.0, Seconds(), "For the client's close frame, before the connection is closed without."
    )


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


@dataclass(frozen=True, kw_only=True)
class Logging:
    """Error and access logs."""

    access_log: bool = option(True, Flag(), "Write a line for every request to stdout.")
    access_log_file: str | None = option(
        None,
        LogTarget(),
        "File that gets the access lines instead of stdout; SIGUSR1 reopens it. Or syslog:, "
        "syslog:unix:PATH, syslog:HOST:PORT.",
    )
    access_log_format: str = option(
        "default",
        AccessFormatKind(),
        "Format of access lines: a word, or a template such as '{client} {path} {status}'.",
    )
    access_log_skip: tuple[str, ...] = option(
        (),
        Several(SkippedPath()),
        "Path whose requests get no access line, unless the status is 500 or above; with * at "
        "the end every path that begins so. May be given many times.",
        repeat=True,
    )
    log_file: str | None = option(
        None,
        LogTarget(),
        "File that gets the messages instead of stderr; SIGUSR1 reopens it. Or syslog, as for "
        "access_log_file.",
    )
    log_format: str | None = option(
        None,
        Choice(("text", "json", "logfmt")),
        "Format of messages; if not set, json or logfmt where the access lines are, else text.",
    )
    request_id: bool = option(
        False,
        Flag(),
        "Give every request an id: X-Request-ID of a trusted proxy, or a new one, for the "
        "application, the response and the logs.",
    )
    log_level: str | None = option(
        None,
        Choice(("critical", "error", "warning", "info", "debug", "trace")),
        "Least level that is logged; info if not set. Access lines are of level info.",
    )
    log_config: str | Mapping[str, Any] | None = option(
        None, LogConfig(), "Logging configuration: .ini, .json or .yaml file."
    )
    use_colors: bool | None = option(
        None, Flag(), "Colours in the logs; if not set, where they go to a terminal."
    )

    @property
    def message_format(self) -> str:
        """text, json or logfmt: what is asked for, or what the access lines are."""
        if self.log_format is not None:
            return self.log_format
        return self.access_log_format if self.access_log_format in ("json", "logfmt") else "text"


@dataclass(frozen=True, kw_only=True)
class Admin:
    """Metrics and health."""

    admin_bind: Place | None = option(
        None,
        Address(),
        "Address for /metrics, /livez, /readyz and /workers (metrics need prometheus-client).",
    )


@dataclass(frozen=True, kw_only=True)
class Reload:
    """Reloading while developing."""

    reload: bool = option(
        False, Flag(), "Reload the application when its files change (needs watchfiles)."
    )
    reload_dir: tuple[str, ...] = option(
        (),
        Several(Path()),
        "Directory to watch instead of the working directory; may be given many times.",
        repeat=True,
    )
    reload_include: tuple[str, ...] = option(
        (),
        Several(Text("PATTERN")),
        "Files to watch besides *.py, as a glob pattern; may be given many times.",
        repeat=True,
    )
    reload_exclude: tuple[str, ...] = option(
        (),
        Several(Text("PATTERN")),
        "Files or directories not to watch, as a glob pattern; may be given many times.",
        repeat=True,
    )


# attribute of Config -> (dataclass, prefix of its options' names)
SUBJECTS: Mapping[str, tuple[type[Any], str]] = MappingProxyType(
    {
        "application": (Application, ""),
        "bind": (Bind, ""),
        "proxies": (Proxies, ""),
        "tls": (Tls, "ssl_"),
        "process": (Process, ""),
        "http": (Http, ""),
        "websocket": (WebSocket, "ws_"),
        "limits": (Limits, "limit_"),
        "timeouts": (Timeouts, "timeout_"),
        "logging": (Logging, ""),
        "admin": (Admin, ""),
        "reload": (Reload, ""),
    }
)
