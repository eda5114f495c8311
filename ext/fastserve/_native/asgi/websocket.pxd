"""One WebSocket: the application's `receive` and `send`, whatever carries its frames."""

from ..channel cimport Channel
from .call cimport Call
from .exchange cimport Exchange


cdef enum SessionState:
    SESSION_OPENING = 0             # nothing said by the application
    SESSION_DENYING                 # a response in place of a WebSocket is under way
    SESSION_OPEN
    SESSION_OVER                    # denied or closed, by whomever


# What a session asks of the protocol that carries it. Beneath an exchange's sink it is a
# Channel of its own, for the connection's bytes are its own once the session is open.
cdef class MessageSink(Channel):
    # Answer the handshake: the session is open afterwards. Raises ProtocolViolation and
    # changes nothing if HTTP cannot carry `headers`. subprotocol: bytes or None
    cdef int accept(self, WebSocket session, object subprotocol, list headers) except -1
    # Exactly bytes, or str if `text`. Raises ProtocolViolation for text that is no Unicode.
    cdef Py_ssize_t send_message(self, object data, bint text) except -1
    # Send a close frame, and nothing more. 1005: a frame without a code.
    cdef int close_session(self, int code, str reason) except -1
    cdef bint blocked(self) noexcept        # send should wait
    # The application has taken messages: there is room for more.
    cdef int messages_wanted(self) except -1
    # The application of a session that was open is over.
    cdef int application_ended(self, WebSocket session) except -1


cdef class WebSocket(Call):
    cdef MessageSink sink           # None once the application has ended
    cdef Exchange opening           # the handshake's exchange; None once the session is open
    cdef list subprotocols          # what the client offers; None once the session is open
    cdef SessionState state
    cdef bint connect_given         # the application has got websocket.connect
    cdef bint gone                  # websocket.disconnect from here on, behind the messages
    cdef bint closed_by_application
    cdef bint restarting            # the server stops: what opens now is closed at once
    cdef list messages              # str or bytes, not yet received by the application
    cdef Py_ssize_t queued          # bytes of memory in messages
    cdef int code                   # of websocket.disconnect
    cdef str reason

    cdef int feed(self, object message) except -1
    cdef int arrived(self, bint direct) except -1
    cdef int end(self, int code, str reason, bint unwanted) except -1
    cdef object respond(self, object message)
    cdef int accept(self, object message) except -1
    cdef int send_message(self, object message) except -1
    cdef int close(self, object message) except -1
    cdef object deny(self, object message, str kind)
    cdef int refuse(self) except -1
    cdef bint is_denied(self) noexcept


cdef int live_websockets
