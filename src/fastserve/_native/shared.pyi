import asyncio
import contextvars
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

from typing_extensions import disjoint_base

from fastserve._native.access_format import AccessFormat
from fastserve._native.board import Row
from fastserve._native.http2.policy import Http2Policy

TICK: float
LINGER: float
IDLE: float
FOREVER: float
RATE_GRACE: float
LEAST_GRACE: float

@disjoint_base
class Shared:
    def __init__(
        self,
        app: Callable[..., Any],
        *,
        loop: asyncio.AbstractEventLoop,
        logger: logging.Logger,
        access_write: Callable[[bytes], object] | None = None,
        access_colour: bool = False,
        access_format: AccessFormat | None = None,
        access_skip: Iterable[bytes] = (),
        request_id: bool = False,
        root_path: str = "",
        forwarded_headers: Collection[str] = (),
        forwarded_allow_ips: Collection[str] = (),
        forwarded_hops: int = 0,
        forwarded_anybody: bool = False,
        proxy_protocol: bool = False,
        response_headers: Iterable[tuple[bytes, bytes]] = (),
        server_header: bytes | None = b"fastserve",
        date_header: bool = True,
        limit_request_line: int = 8192,
        limit_request_field: int = 16384,
        limit_request_head: int = 65536,
        limit_request_fields: int = 100,
        limit_request_body: int = 0,
        limit_request_trailers: int = 8192,
        limit_connections: int = 0,
        limit_connections_per_client: int = 0,
        most_descriptors: int = 0,
        set_accepting: Callable[[bool], object] | None = None,
        limit_concurrency: int = 0,
        limit_connection_requests: int = 0,
        limit_min_rate: int = 240,
        limit_max_requests: int = 0,
        on_max_requests: Callable[[], object] | None = None,
        redirect_port: int = 0,
        timeout_keep_alive: float = 75.0,
        timeout_first_byte: float = 10.0,
        timeout_request_head: float = 30.0,
        timeout_request_body: float = 30.0,
        timeout_write: float = 30.0,
        timeout_request: float = 0.0,
        cancel_on_disconnect: float | None = None,
        row: Row | None = None,
        timed: bool = False,
        websockets: bool = True,
        ws_max_size: int = 16777216,
        ws_max_queue: int = 32,
        ws_per_message_deflate: bool = True,
        ws_deflate_threshold: int = 128,
        ws_deflate_level: int = 1,
        ws_deflate_window: int = 12,
        ws_deflate_context: bool = True,
        ws_ping_interval: float = 20.0,
        ws_ping_timeout: float = 20.0,
        ws_handshake_timeout: float = 30.0,
        ws_close_timeout: float = 10.0,
        timeout_handshake: float = 10.0,
        limit_handshakes: int = 1000,
        http2: Http2Policy | None = None,
    ) -> None: ...
    @property
    def app(self) -> Callable[..., Any]: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def logger(self) -> logging.Logger: ...
    @property
    def requests(self) -> int: ...
    @property
    def exchanges(self) -> int: ...
    def set_context(self, context: contextvars.Context, state: dict[str, Any] | None) -> None: ...
    def request_line(self, task: object) -> str | None: ...
