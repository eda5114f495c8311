from collections.abc import Iterable
from typing import Any, final

from fastserve._native.shared import Shared

@final
class ResponseHead:
    @property
    def status(self) -> int: ...
    @property
    def pairs(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def block(self) -> bytes | None: ...

@final
class HeadWriter:
    def __init__(self, shared: Shared) -> None: ...
    def limit(self, most: int) -> None: ...
    def hold(self, status: int, headers: Iterable[Any]) -> ResponseHead: ...
    def head(
        self,
        stream: int,
        head: ResponseHead,
        *,
        length: int = -1,
        request_id: bytes | None = None,
        ends: bool = False,
        frame_most: int = 16384,
    ) -> bytes: ...
    def trailers(
        self, stream: int, headers: Iterable[Any], *, frame_most: int = 16384
    ) -> bytes: ...
    def interim(
        self, stream: int, status: int, headers: Iterable[Any], *, frame_most: int = 16384
    ) -> bytes: ...
    def answer(
        self,
        stream: int,
        status: int,
        text: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        bodiless: bool = False,
        frame_most: int = 16384,
    ) -> tuple[bytes, bytes | None]: ...
