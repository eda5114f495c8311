from typing import Any, final

from fastserve._native.buffer import Input

@final
class FrameReader(Input):
    frame_most: int
    block_most: int
    begun: bool
    def __init__(
        self, frame_most: int = 16384, block_most: int = 65536, *, preface: bool = True
    ) -> None: ...
    def feed(self, data: bytes) -> list[tuple[Any, ...]]: ...
