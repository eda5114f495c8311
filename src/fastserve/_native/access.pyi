import asyncio
from collections.abc import Callable, Iterable
from typing import final

from fastserve._native.access_format import AccessFormat

FLUSH_AFTER: float
DEFAULT_FORMAT: AccessFormat

@final
class AccessLog:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write: Callable[[bytes], object],
        colour: bool,
        format: AccessFormat | None = None,
        skip: Iterable[bytes] = (),
    ) -> None: ...
