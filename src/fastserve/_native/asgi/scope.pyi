from typing import Any, final

@final
class ScopeTemplate:
    def __init__(
        self,
        scheme: str,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        root_path: str,
        state: dict[str, Any] | None,
    ) -> None: ...
