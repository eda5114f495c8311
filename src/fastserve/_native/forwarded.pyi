from collections.abc import Collection
from typing import final

from fastserve._native.networks import Networks

@final
class Origin:
    client: tuple[str, int] | None
    scheme: str | None
    host: bytes | None
    server_host: str | None
    port: int
    prefix: str | None
    def client_text(self) -> bytes: ...

@final
class Trust:
    networks: Networks
    hops: int
    anybody: bool
    fields: int
    def __init__(
        self,
        networks: Collection[str] = (),
        hops: int = 0,
        fields: Collection[str] = (),
        anybody: bool = False,
    ) -> None: ...
    def trusts(self, host: str) -> bool: ...
    def read(self, headers: list[tuple[bytes, bytes]]) -> Origin: ...
