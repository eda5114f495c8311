"""The options of a server by subject: frozen dataclasses, one field for each option.

A field's metadata (see `options`) is all that the command line, the environment reader,
the config-file readers and the settings page know about it. Nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fastserve.accessformats import AccessFormatKind, SkippedPath
from fastserve.edge import Limits, Proxies, Timeouts, Tls
from fastserve.kinds import (
    Address,
    Choice,
    Flag,
    Headers,
    Integer,
    LogConfig,
    LogTarget,
    Mode,
    Path,
    Place,
    RootPath,
    Seconds,
    Several,
    Size,
    Text,
)
from fastserve.options import option

__all__ = [
    "SUBJECTS",
    "Admin",
    "Application",
    "Bind",
    "Http",
    "Http2",
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
    """Versions of HTTP, and what is added to requests and responses."""

    http: str = option(
        "auto",
        Choice(("auto", "1", "2"), note="fastserve has HTTP protocols of its own"),
        "Version: 1 speaks HTTP/1.1 alone, 2 HTTP/2 alone; auto speaks HTTP/2 with clients that "
        "begin with it, ask for it by TLS (ALPN) or by Upgrade: h2c, and HTTP/1.1 with others.",
    )
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


_LARGEST_WINDOW = 2**31 - 1  # RFC 9113, section 6.9.1


@dataclass(frozen=True, kw_only=True)
class Http2:
    """Streams, windows and limits of HTTP/2 connections."""

    max_concurrent_streams: int = option(128, Integer(1), "Streams a client may have open at once.")
    initial_stream_window_size: int = option(
        256 * 1024,
        Size(1, _LARGEST_WINDOW),
        "Bytes of a request body that a client may send before the application has received them.",
    )
    max_stream_window_size: int = option(
        4 * 1024**2,
        Size(1, _LARGEST_WINDOW),
        "To what that grows while the application receives as fast as the client sends.",
    )
    initial_connection_window_size: int = option(
        1024**2,
        Size(65535, _LARGEST_WINDOW),
        "The same for all request bodies of a connection together.",
    )
    max_connection_window_size: int = option(
        16 * 1024**2, Size(65535, _LARGEST_WINDOW), "To what that grows."
    )
    max_frame_size: int = option(
        16 * 1024, Size(16384, 2**24 - 1), "Largest frame that a client may send."
    )
    header_table_size: int = option(
        4096,
        Size(0, 1024**2),
        "Memory of a connection for header fields that its client sends more than once (HPACK).",
    )
    limit_resets: int = option(
        200,
        Integer(1),
        "Streams in 30 seconds that a client may take back, or end by its errors, before their "
        "responses are complete; one more, and the connection is closed.",
    )
    limit_control_frames: int = option(
        1000,
        Integer(1),
        "Frames of one kind in 30 seconds that carry nothing to an application, such as SETTINGS, "
        "PING and empty DATA; one more, and the connection is closed.",
    )
    settings_timeout: float = option(
        10.0, Seconds(), "For a client to acknowledge the server's settings; 0: without end."
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
        "http2": (Http2, "http2_"),
        "websocket": (WebSocket, "ws_"),
        "limits": (Limits, "limit_"),
        "timeouts": (Timeouts, "timeout_"),
        "logging": (Logging, ""),
        "admin": (Admin, ""),
        "reload": (Reload, ""),
    }
)
