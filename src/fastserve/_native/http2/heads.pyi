from typing import final

from fastserve._native.http1.parser import ParserLimits
from fastserve._native.http2.hpack_decoder import HpackDecoder

def priority_of(value: bytes) -> tuple[int, bool]: ...

@final
class RequestHead:
    method: str
    target: bytes
    raw_path: bytes
    query_string: bytes
    path_escaped: bool
    scheme: str | None
    protocol: bytes | None
    length: int
    forwarding: int
    host_at: int
    accepts_trailers: bool
    expect_continue: bool
    @property
    def urgency(self) -> int: ...
    @property
    def incremental(self) -> bool: ...
    def copy(self) -> list[tuple[bytes, bytes]]: ...

@final
class HeadReader:
    def __init__(
        self, limits: ParserLimits, decoder: HpackDecoder, *, protocols: bool = True
    ) -> None: ...
    def head(self, block: bytes, stream: int = 1, *, ends: bool = True) -> RequestHead: ...
    def trailers(self, block: bytes, stream: int = 1) -> list[tuple[bytes, bytes]]: ...
    def pass_over(self, block: bytes) -> None: ...
