"""A server's WebSocket frames as bytes, RFC 6455."""

from ..buffer cimport WriteBuffer


cdef enum:
    OP_TEXT = 1
    OP_BINARY = 2
    OP_CLOSE = 8
    OP_PING = 9
    OP_PONG = 10


cdef int write_frame_head(WriteBuffer out, int opcode, bint compressed, Py_ssize_t n) except -1
cdef int write_frame(WriteBuffer out, int opcode, const void *p, Py_ssize_t n) except -1
cdef int write_close(WriteBuffer out, int code, str reason) except -1
cdef bint may_send_code(int code) noexcept
