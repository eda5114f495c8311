import asyncio
from collections.abc import Callable
from typing import final

FLUSH_AFTER: float

@final
class AccessLog:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, write: Callable[[bytes], object], colour: bool
    ) -> None: ...
