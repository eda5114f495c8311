from typing import Any, final

from fastserve._native.buffer import Input

@final
class ParserLimits:
    def __init__(
        self, *, line: int, field: int, head: int, fields: int, body: int, trailers: int
    ) -> None: ...

@final
class RequestParser(Input):
    def __init__(self, limits: ParserLimits | None = None, **numbers: int) -> None: ...
    def feed(self, data: bytes) -> list[tuple[Any, ...]]: ...
