from collections.abc import Sequence

class ParseError(Exception):
    status: int
    reason: str
    headers: Sequence[tuple[bytes, bytes]]
    def __init__(
        self, status: int, reason: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None: ...

class WebSocketError(Exception):
    code: int
    reason: str
    def __init__(self, code: int, reason: str) -> None: ...

class Http2Error(Exception):
    code: int
    reason: str
    stream: int
    def __init__(self, code: int, reason: str, stream: int = 0) -> None: ...

class ProtocolViolation(RuntimeError): ...
class ClientDisconnected(OSError): ...

def stems_from_disconnect(error: BaseException) -> bool: ...
def without_our_frames(error: BaseException) -> BaseException: ...
