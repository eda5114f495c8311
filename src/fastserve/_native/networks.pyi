from collections.abc import Collection
from typing import final

@final
class Networks:
    everyone: bool
    unix_sockets: bool
    def __init__(self, texts: Collection[str] = ()) -> None: ...
    def __contains__(self, host: str, /) -> bool: ...
