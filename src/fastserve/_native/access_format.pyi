from collections.abc import Iterable
from typing import final

from fastserve._native.access_text import DIALECTS as DIALECTS

FIELDS: dict[str, int]

@final
class AccessFormat:
    def __init__(
        self, dialect: str, steps: Iterable[tuple[str, str, str]], **constants: int
    ) -> None: ...
    @property
    def headers(self) -> tuple[bytes, ...]: ...
    @property
    def wants_first_byte(self) -> bool: ...
