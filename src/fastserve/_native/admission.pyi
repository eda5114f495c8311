import logging
from typing import final

@final
class Admission:
    def __init__(
        self,
        logger: logging.Logger,
        *,
        limit: int = 0,
        per_client: int = 0,
        most_descriptors: int = 0,
    ) -> None: ...
    @property
    def active(self) -> bool: ...
    def take(self, host: str) -> bytes | str | None: ...
    def give(self, key: bytes | str) -> None: ...
