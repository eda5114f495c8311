"""One WebSocket: the application's `receive` and `send`, whatever carries its frames.

The ASGI rules live here (WebSocket 2.5), the bytes in the `MessageSink`. A session goes
OPENING -> OPEN -> OVER, or OPENING -> DENYING -> OVER; while it is not open, what the
application says is passed on to the exchange of its opening handshake. Independent of
that, the peer can be `gone` (receive answers websocket.disconnect behind the messages
that have come) and `lost` (send raises ClientDisconnected).
"""

cimport cython
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_GET_LENGTH

import asyncio

from fastserve._native.errors import ProtocolViolation, stems_from_disconnect

from ..deadlines cimport unlink
from .awaitables cimport DONE, failure
from .call cimport (MESSAGE_COST, RECEIVE, Call, PyMethodDef, gone, method_of, new_wait)
from .exchange cimport RESPONSE_COMPLETE
from .messages cimport (MESSAGE_ACCEPT, MESSAGE_CLOSE, MESSAGE_DENIAL_BODY, MESSAGE_DENIAL_START,
                        MESSAGE_SEND, MessageKind, item, message_kind, plain_bytes)
from .signal cimport wake_all
from .task cimport task_running

from ..websocket.writer cimport may_send_code

cdef extern from "Python.h":
    int PyUnicode_KIND(object text)

cdef int live_websockets = 0
cdef object _CancelledError = asyncio.CancelledError

# RFC 6455 section 7.4.1, and the registry for 1012.
cdef enum:
    NORMAL = 1000
    ABNORMAL = 1006
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012

cdef str _RESTARTING = "the server is restarting"

# Fields of a handshake's answer that are the server's own, in lower case.
cdef frozenset _OURS = frozenset([
    b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-extensions",
    b"content-length", b"transfer-encoding"])


cdef class MessageSink(Channel):

    cdef int accept(self, WebSocket session, object subprotocol, list headers) except -1:
        raise NotImplementedError

    cdef Py_ssize_t send_message(self, object data, bint text) except -1:
        raise NotImplementedError

    cdef int close_session(self, int code, str reason) except -1:
        raise NotImplementedError

    cdef bint blocked(self) noexcept:
        return False

    cdef int messages_wanted(self) except -1:
        raise NotImplementedError

    cdef int application_ended(self, WebSocket session) except -1:
        raise NotImplementedError


@cython.final
cdef class WebSocket(Call):

    def __cinit__(self):
        global live_websockets
        live_websockets += 1
        self.code = ABNORMAL
        self.reason = ""

    def __dealloc__(self):
        global live_websockets
        live_websockets -= 1
        unlink(&self.deadline)

    # What the application holds.

    def receive(self):
        """ASGI `receive`: awaitable of the next event."""
        return new_wait(self, RECEIVE)

    def send(self, message):
        """ASGI `send`: awaitable that is done once the message is in the send buffer.

        It raises ProtocolViolation for a message that breaks ASGI or WebSocket, and
        ClientDisconnected (an OSError) when nobody is there to send to.
        """
        if self.elsewhere():
            return self._send_later(message)
        try:
            return self.respond(message)
        except Exception as error:
            return failure(error)

    # What the protocol below calls.

    cdef int run(self, object app, object scope, object context) except -1:
        return self.start(app, scope, context, receive_method, send_method)

    cdef int feed(self, object message) except -1:
        """A message has come; `arrived` follows once the whole read is taken."""
        if self.messages is None:
            self.messages = []
        self.messages.append(message)
        self.queued += memory_of(message)
        return 0

    cdef int arrived(self, bint direct) except -1:
        """Wake who waits. `direct`: we are in the callback of a read, with nobody else running."""
        if self.receivers:
            wake_all(self.receivers, direct and not task_running(self.loop))
        return 0

    cdef int end(self, int code, str reason, bint unwanted) except -1:
        """The session is over: nothing is sent any more.

        What has come is still received, unless it is `unwanted` by the application.
        """
        if not self.gone:
            self.gone = True
            self.code = code
            self.reason = reason
        self.lost = True
        self.state = SESSION_OVER
        if unwanted:
            self.messages = None
            self.queued = 0
        wake_all(self.senders, False)
        return 0

    cdef int disconnect(self, bint lost) except -1:
        """The peer leaves during the handshake, or the server wants the session to end."""
        if self.state == SESSION_OPEN:
            return self.restart()
        self.gone = True
        if self.opening is not None:
            self.opening.gone = True
        if lost:
            self.lost = True
            self.state = SESSION_OVER
            wake_all(self.senders, False)
        return wake_all(self.receivers, False)

    cdef int expired(self, int kind) except -1:
        """The client has left, and the application has had its time."""
        return self.abandon()

    cdef int restart(self) except -1:
        self.restarting = True
        if self.state == SESSION_OPEN:
            self.sink.close_session(SERVICE_RESTART, _RESTARTING)
            self.end(SERVICE_RESTART, _RESTARTING, False)
            wake_all(self.receivers, False)
        return 0

    # The rules.

    cdef object next_event(self):
        """The event for `receive`, or None while there is none."""
        cdef object message
        if not self.connect_given:
            self.connect_given = True
            return {"type": "websocket.connect"}
        if self.messages:
            message = self.messages.pop(0)
            self.queued -= memory_of(message)
            if not self.messages and self.sink is not None:
                self.sink.messages_wanted()
            if PyBytes_CheckExact(message):
                return {"type": "websocket.receive", "bytes": message}
            return {"type": "websocket.receive", "text": message}
        if self.gone or self.state == SESSION_OVER:
            return {"type": "websocket.disconnect", "code": self.code, "reason": self.reason}
        return None

    cdef bint held_up(self) except -1:
        if self.lost and not self.closed_by_application:
            raise gone()
        return self.state == SESSION_OPEN and self.sink.blocked()

    cdef object respond(self, object message):
        cdef MessageKind kind = message_kind(message["type"])
        if self.state == SESSION_OPEN:
            if kind == MESSAGE_SEND:
                self.send_message(message)
                return self.sent()
            if kind == MESSAGE_CLOSE:
                self.close(message)
                return DONE
        elif self.state == SESSION_OPENING and not self.ended:
            if kind == MESSAGE_ACCEPT:
                self.accept(message)
                return DONE
            if kind == MESSAGE_CLOSE:
                self.refuse()
                return DONE
            if kind == MESSAGE_DENIAL_START:
                return self.deny(message, "http.response.start")
        elif self.state == SESSION_DENYING:
            if kind == MESSAGE_DENIAL_BODY:
                return self.deny(message, "http.response.body")
        elif kind >= MESSAGE_ACCEPT:
            if self.closed_by_application:
                if kind == MESSAGE_CLOSE:
                    return DONE
            elif not self.is_denied():
                raise gone()
        raise unexpected(message, self.state)

    cdef int accept(self, object message) except -1:
        cdef object subprotocol = item(message, "subprotocol")
        cdef list headers = []
        if self.gone:
            raise gone()
        if subprotocol is not None:
            # RFC 6455 section 4.2.2: one of those the client has offered.
            if not isinstance(subprotocol, str) or subprotocol not in self.subprotocols:
                raise ProtocolViolation(f"the client has not offered subprotocol {subprotocol!r}; "
                                        f"it offered {self.subprotocols}")
            subprotocol = subprotocol.encode("ascii")
        for pair in item(message, "headers") or ():
            name, value = pair
            if isinstance(name, bytes):
                if name.lower() == b"sec-websocket-protocol":
                    raise ProtocolViolation("a subprotocol is given as 'subprotocol', not among "
                                            "the headers")
                if name.lower() in _OURS:
                    continue
            headers.append((name, value))
        self.sink.accept(self, subprotocol, headers)
        self.state = SESSION_OPEN
        self.opening = None
        self.subprotocols = None
        if self.restarting:
            self.restart()
        return 0

    cdef int send_message(self, object message) except -1:
        cdef object data = item(message, "text")
        cdef object other = item(message, "bytes")
        cdef bint text = data is not None
        if text:
            if other is not None:
                raise ProtocolViolation("a message is 'bytes' or 'text', not both")
            if not isinstance(data, str):
                raise ProtocolViolation(f"'text' must be str, not {type(data).__name__}")
        elif other is None:
            raise ProtocolViolation("a message needs 'bytes' or 'text'")
        else:
            data = other if PyBytes_CheckExact(other) else plain_bytes(other)
        self.burst += self.sink.send_message(data, text) + MESSAGE_COST
        return 0

    cdef int close(self, object message) except -1:
        cdef object code = item(message, "code")
        cdef object reason = item(message, "reason")
        if code is None:
            code = NORMAL
        if not isinstance(code, int) or not 0 <= code <= 9999 or not may_send_code(code):
            # RFC 6455 section 7.4.2.
            raise ProtocolViolation(f"not a close code that may be sent: {code!r}")
        if reason is None:
            reason = ""
        elif not isinstance(reason, str):
            raise ProtocolViolation(f"the reason must be str, not {type(reason).__name__}")
        self.closed_by_application = True
        self.sink.close_session(code, reason)
        self.end(code, reason, True)
        return wake_all(self.receivers, False)

    cdef object deny(self, object message, str kind):
        """A denial response is the opening exchange's own response."""
        cdef dict translated = dict(message)
        translated["type"] = kind
        translated.pop("trailers", None)
        if self.lost:
            raise gone()
        awaitable = self.opening.respond(translated)
        self.state = SESSION_DENYING
        if self.opening.state == RESPONSE_COMPLETE:
            self.state = SESSION_OVER
            wake_all(self.receivers, False)
        return awaitable

    cdef int refuse(self) except -1:
        """ASGI, "Close": before accept it means 403."""
        if self.gone:
            self.state = SESSION_OVER
            return 0
        self.opening.respond({"type": "http.response.start", "status": 403, "headers": [
            (b"content-type", b"text/plain; charset=utf-8")]})
        self.opening.respond({"type": "http.response.body", "body": b"Forbidden\n"})
        self.state = SESSION_OVER
        return wake_all(self.receivers, False)

    cdef bint is_denied(self) noexcept:
        return (self.opening is not None and not self.lost
                and self.opening.state == RESPONSE_COMPLETE)

    cdef int task_ended(self, object error) except -1:
        """The application is over. Whatever it left undone is dealt with here."""
        cdef Exchange opening = self.opening
        # Held here: nothing else may hold it, once the connection is lost.
        cdef MessageSink sink = self.sink
        cdef bint was_open = self.state == SESSION_OPEN
        cdef int code
        self.task = None
        if opening is not None:
            if error is None and self.state == SESSION_OPENING:
                self.refuse()
            self.ended = True
            opening.cancelled = self.cancelled
            opening.task_ended(error)
            self.opening = None
            self.sink = None
            return 0
        self.ended = True
        if error is not None and not (isinstance(error, _CancelledError) and self.cancelled):
            self.log_error(error, self.gone and stems_from_disconnect(error))
        if was_open:
            if error is None:
                code = NORMAL
            else:
                code = SERVICE_RESTART if self.cancelled else INTERNAL_ERROR
            sink.close_session(code, "")
            self.end(code, "", True)
            wake_all(self.receivers, False)
        self.sink = None
        return sink.application_ended(self)


cdef object unexpected(message, SessionState state):
    expected = {SESSION_OPENING: "'websocket.accept', 'websocket.close' or "
                                 "'websocket.http.response.start'",
                SESSION_DENYING: "'websocket.http.response.body'",
                SESSION_OPEN: "'websocket.send' or 'websocket.close'",
                SESSION_OVER: "nothing after the end"}[state]
    return ProtocolViolation(f"expected {expected}, but got {message['type']!r}")


cdef inline Py_ssize_t memory_of(object message):
    if PyBytes_CheckExact(message):
        return PyBytes_GET_SIZE(message)
    return PyUnicode_GET_LENGTH(message) * PyUnicode_KIND(message)


cdef PyMethodDef *receive_method = method_of(WebSocket, "receive")
cdef PyMethodDef *send_method = method_of(WebSocket, "send")
