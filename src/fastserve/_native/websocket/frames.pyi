from typing import Any, final

from fastserve._native.buffer import Input
from fastserve._native.websocket.deflate import Deflate

@final
class Gathered: ...

@final
class FrameParser(Input):
    def __init__(self, max_size: int, deflate: Deflate | None = None) -> None: ...
    def feed(self, data: bytes) -> list[tuple[Any, ...]]: ...
