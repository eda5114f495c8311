"""WebSocket over an outlet, RFC 6455: frames in and out, one session."""

from libc.stdint cimport int64_t

from ..asgi.exchange cimport Exchange
from ..asgi.websocket cimport MessageSink, WebSocket
from ..outlet cimport Outlet
from ..shared cimport Shared
from .deflate cimport Deflate
from .frames cimport FrameParser
from .handshake cimport Handshake


cdef class WebSocketChannel(MessageSink):
    cdef Shared shared
    cdef Outlet outlet              # None once the connection is lost
    cdef WebSocket session
    cdef Handshake handshake        # None once it is answered
    cdef FrameParser parser         # None before
    cdef Deflate deflate            # None: messages go as they are
    cdef bint close_sent            # our close frame is out: no frame follows it
    cdef bint closed                # nothing more is read or written
    cdef bint heard                 # a byte has come since the last ping
    cdef bint held                  # reading is paused, for unread messages
    cdef bint pumping               # `pump` is on the stack
    cdef bytes owed_pong            # payload of the latest ping that could not be answered yet
    cdef int code                   # of our close frame; for the log
    # for the access line
    cdef int version                # of HTTP: 11 or 20
    cdef str scheme
    cdef str tls                    # its version, or None
    cdef list headers               # those of the handshake that a line asks for, or None
    cdef int64_t messages_in
    cdef int64_t bytes_in
    cdef int64_t messages_out
    cdef int64_t bytes_out
    cdef int64_t sent               # bytes of frames

    cdef int pump(self) except -1
    cdef bint full(self) noexcept
    cdef int take_message(self) except -1
    cdef int hold_reading(self) except -1
    cdef int pong(self, bytes payload) except -1
    cdef int send_control(self, int opcode, bytes payload) except -1
    cdef int ping(self) except -1
    cdef int peer_closed(self, int code, str reason) except -1
    cdef int fail(self, int code, str reason) except -1
    cdef int let_answer(self) except -1
    cdef int finish(self, int code) except -1
    cdef int write_access_line(self, int code) except -1
    cdef int write_message(self, int opcode, bint compressed, object whole, const char *p,
                           Py_ssize_t n) except -1


# The session of an opening handshake, ready to be run as the exchange's guest.
cdef WebSocket offer_websocket(Shared shared, Outlet outlet, Exchange exchange,
                               Handshake handshake, str scheme, str tls, list headers)
