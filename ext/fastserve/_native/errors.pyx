"""The errors of the native house: the peer's, the application's, and nobody's.

Each says what the server does with it, so that callers decide by type alone.
"""


class ParseError(Exception):
    """The peer sent what cannot be taken.

    `status` (int) is the response to give before closing, `reason` (str) its short text.
    """

    def __init__(self, status, reason):
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class ProtocolViolation(RuntimeError):
    """The application called `send` with what ASGI or HTTP does not allow."""


class ClientDisconnected(OSError):
    """`send` after the client has gone (ASGI 2.4). Never logged as an error."""
