from typing import final

@final
class ProxyHeader:
    tells: bool
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    def feed(self, data: bytes) -> bytes | None: ...
