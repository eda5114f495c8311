"""The workloads: what is asked or sent, over how many connections, and which answer is right."""

from __future__ import annotations

from dataclasses import dataclass, field

from .servers import LOG_FORMATS

HELLO = b"Hello, World!"

# What a current browser sends for a page; with Host, which the load generator adds, fourteen.
BROWSER = (
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
    ("sec-ch-ua", '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("Upgrade-Insecure-Requests", "1"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cookie", "session=6f1ed002ab5595859014ebf0951522d9; theme=dark; consent=1"),
)


@dataclass(frozen=True)
class Workload:
    """One row of the comparison.

    `limit_body` is what the constant-answer programs answer; None leaves them out, because a
    constant says nothing about this workload. `kind` is "load" (a generator runs against it),
    "idle" (connections are opened, used once and held), "echo" (WebSocket messages come back) or
    "broadcast" (each message goes to every connection). WebSocket messages have `size` bytes;
    `pipeline` of them are under way at once on each connection; of HTTP/2 it is streams. `tls`:
    over HTTPS.
    """

    name: str
    title: str
    app: str = "raw:hello"
    answer: bytes = HELLO
    profile: str = "plain"
    connections: int = 64
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pipeline: int = 1
    body: bytes = field(default=b"", repr=False)
    limit_body: bytes | None = HELLO
    kind: str = "load"
    default: bool = True
    size: int = 0
    text: bool = False
    deflate: bool = False
    tls: bool = False
    http2: bool = False

    @property
    def subject(self) -> str:
        """What it is measured and reported with."""
        return "websocket" if self.websocket else "http2" if self.http2 else "compare"

    @property
    def websocket(self) -> bool:
        return self.kind in ("echo", "broadcast")

    @property
    def unit(self) -> str:
        """What is counted, in the singular."""
        return {"echo": "echo", "broadcast": "delivery"}.get(self.kind, "request")

    @property
    def units(self) -> str:
        return {"echo": "echoes", "broadcast": "deliveries"}.get(self.kind, "requests")

    @property
    def method(self) -> str:
        return "POST" if self.body else "GET"

    def request(self, host: str) -> bytes:
        """The request's bytes, as verification, warm-up and the instruction count send it."""
        lines = [f"{self.method} / HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def posting(size: int) -> dict[str, object]:
    digits = b"%d" % size
    return {"app": "raw:length", "body": b"x" * size, "answer": digits, "limit_body": digits}


def over_http2(streams: int, **more: object) -> dict[str, object]:
    """Streams at once on each connection, of which there are fewer where they carry several."""
    connections = 64 if streams == 1 else 16
    return {
        "pipeline": streams,
        "connections": connections,
        "http2": True,
        "limit_body": None,
    } | more


def echoing(size: int, **more: object) -> dict[str, object]:
    return {"app": "ws:echo", "kind": "echo", "size": size, **more}


WORKLOADS = [
    Workload("hello", "Raw hello"),
    Workload("browser", "Hello, a browser's 14 headers", headers=BROWSER),
    Workload("defaults", "Hello, default settings", profile="defaults", limit_body=None),
    Workload("logged", "Hello, access logs on", profile="logged", limit_body=None, default=False),
    *(
        Workload(
            f"logged-{name}",
            f"Hello, access logs in {name}",
            profile=f"logged-{name}",
            limit_body=None,
            default=False,
        )
        for name in LOG_FORMATS
    ),
    Workload("pipelined", "Hello, 16 pipelined", connections=16, pipeline=16),
    Workload("post1k", "POST 1 KiB", **posting(1024)),
    Workload("upload1m", "Upload 1 MiB", connections=8, **posting(1 << 20)),
    Workload(
        "stream100",
        "Stream 100 x 1 KiB",
        app="raw:stream",
        answer=b"x" * 102400,
        connections=16,
        limit_body=None,
    ),
    Workload(
        "fastapi",
        "FastAPI JSON",
        app="api:app",
        answer=b'{"message":"Hello, World!"}',
        limit_body=None,
    ),
    Workload("tls-hello", "Hello over TLS", limit_body=None, tls=True),
    Workload(
        "tls-upload1m",
        "Upload 1 MiB over TLS",
        connections=8,
        tls=True,
        **(posting(1 << 20) | {"limit_body": None}),
    ),
    Workload("idle5000", "5,000 idle connections", connections=5000, kind="idle"),
    Workload("ws-echo-64", "Echo 64 B text", **echoing(64, text=True)),
    Workload("ws-echo-16k", "Echo 16 KiB", **echoing(16 << 10)),
    Workload("ws-echo-1m", "Echo 1 MiB", connections=8, **echoing(1 << 20)),
    Workload(
        "ws-echo-deflate",
        "Echo 1 KiB text, deflated",
        limit_body=None,
        **echoing(1 << 10, text=True, deflate=True),
    ),
    Workload(
        "ws-broadcast-1000",
        "Broadcast 64 B text to 1,000",
        app="ws:broadcast",
        kind="broadcast",
        connections=1000,
        size=64,
        text=True,
        limit_body=None,
    ),
    Workload("ws-echo-16k-text", "Echo 16 KiB text", default=False, **echoing(16 << 10, text=True)),
    Workload(
        "ws-echo-pipelined",
        "Echo 64 B text, 16 at once",
        pipeline=16,
        connections=16,
        default=False,
        **echoing(64, text=True),
    ),
]
WORKLOADS += [
    Workload("h2c-hello", "Hello, h2c, 1 stream", **over_http2(1)),
    Workload("h2c-hello-32", "Hello, h2c, 32 streams", **over_http2(32)),
    Workload(
        "h2c-browser-32",
        "Hello, h2c, 32 streams, a browser's headers",
        # Of a connection nothing is said over HTTP/2.
        **over_http2(32, headers=tuple(each for each in BROWSER if each[0] != "Connection")),
    ),
    Workload(
        "h2c-download1m",
        "Download 1 MiB, h2c",
        **over_http2(1, app="raw:download", answer=b"x" * (1 << 20), connections=8),
    ),
    Workload(
        "h2c-upload1m", "Upload 1 MiB, h2c", **(posting(1 << 20) | over_http2(1, connections=8))
    ),
    Workload("h2-tls-hello-32", "Hello, h2 over TLS, 32 streams", **over_http2(32, tls=True)),
    Workload(
        "h2c-one-32",
        "Hello, h2c, 32 streams of one connection",
        default=False,
        **over_http2(32, connections=1),
    ),
]
BY_NAME = {workload.name: workload for workload in WORKLOADS}
