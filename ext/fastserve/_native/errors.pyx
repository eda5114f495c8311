"""The errors of the native house: the peer's, the application's, and nobody's.

Each says what the server does with it, so that callers decide by type alone.
"""


class ParseError(Exception):
    """The peer sent what cannot be taken.

    `status` (int) is the response to give before closing, `reason` (str) its short text,
    `headers` [(bytes, bytes)] what the response must have besides.
    """

    def __init__(self, status, reason, headers=()):
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers


class WebSocketError(Exception):
    """The peer sent what a WebSocket cannot take.

    `code` (int) is the close code to fail the connection with, RFC 6455 section 7.4.1;
    `reason` (str) goes with it.
    """

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Http2Error(Exception):
    """The peer broke HTTP/2.

    `code` (int) is one of RFC 9113 section 7, `reason` (str) for GOAWAY and the log. `stream`
    (int): the one that is reset, section 5.4.2; 0: the connection ends, section 5.4.1.
    """

    def __init__(self, code, reason, stream=0):
        super().__init__(code, reason, stream)
        self.code = code
        self.reason = reason
        self.stream = stream


class ProtocolViolation(RuntimeError):
    """The application called `send` with what ASGI or HTTP does not allow."""


class ClientDisconnected(OSError):
    """`send` after the client has gone (ASGI 2.4). Never logged as an error."""


def stems_from_disconnect(error):
    """Whether a ClientDisconnected is among an exception's causes, contexts or group members.

    Frameworks wrap what `send` raised in exceptions and groups of their own, and turn the
    event websocket.disconnect into an exception that nobody has to catch.
    """
    pending = [error]
    seen = set()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, ClientDisconnected) or type(each).__name__ == "WebSocketDisconnect":
            return True
        pending.append(each.__cause__)
        pending.append(each.__context__)
        if isinstance(each, BaseExceptionGroup):
            pending.extend(each.exceptions)
    return False


def without_our_frames(error):
    """The exception, with the native frames at the top of its traceback taken off."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.endswith(".pyx"):
        trace = trace.tb_next
    return error.with_traceback(trace)
