"""A client's WebSocket frames as messages, RFC 6455. Sans-IO."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from ..buffer cimport Input
from ..leaves cimport fs_utf8, fs_ws_head
from .deflate cimport Deflate


# What `next` found.
cdef enum FrameEvent:
    FRAME_MORE = 0                  # all that was given is used, or waits for more
    FRAME_TEXT                      # message: str
    FRAME_BINARY                    # message: bytes
    FRAME_PING                      # message: bytes, the payload
    FRAME_PONG
    FRAME_CLOSE                     # code, reason; nothing after it is read

cdef enum FrameState:
    STATE_HEAD = 0
    STATE_PAYLOAD                   # `head` is read, `left` bytes of its payload are to come
    STATE_OVER                      # after a close frame or an error: nothing more is read


# Bytes that come bit by bit, in the very object they are handed out as.
cdef class Gathered:
    cdef PyObject *block            # a bytes object of `room` that nobody else knows; NULL: none
    cdef Py_ssize_t room
    cdef Py_ssize_t fill

    cdef uint8_t *ask(self, Py_ssize_t more, Py_ssize_t announced, bint last) except NULL
    cdef int resize(self, Py_ssize_t room) except -1
    cdef bytes take(self)
    cdef int drop(self) except -1


cdef class FrameParser(Input):
    cdef Deflate deflate            # None: RSV1 is an error
    cdef Py_ssize_t max_size
    cdef FrameState state
    # what the last event tells; who takes `message` puts None in its place
    cdef object message
    cdef int code                   # 1005: the frame had none
    cdef str reason
    cdef Py_ssize_t size            # bytes of the last data message as the application sees it
    # the frame
    cdef fs_ws_head head
    cdef Py_ssize_t left            # bytes of its payload not yet read
    cdef uint8_t early_n            # bytes of a head that a read ended in, in `early`
    cdef uint8_t early[14]
    cdef Gathered payload           # of a control or a compressed frame that came in parts
    # the message: of frames that are done with, and of the one that is read
    cdef unsigned int allowed       # what the next head may be, see fs_ws_frame.h
    cdef uint8_t opcode
    cdef bint compressed
    cdef fs_utf8 text               # where a text that is gathered stands
    cdef Gathered body              # what is not handed out in one piece

    cdef FrameEvent next(self) except? FRAME_MORE

    cdef bint read_head(self) except -1
    cdef int begin_frame(self) except -1
    cdef FrameEvent read_control(self) except? FRAME_MORE
    cdef FrameEvent read_close(self, bytes payload) except? FRAME_MORE
    cdef FrameEvent read_data(self) except? FRAME_MORE
    cdef FrameEvent read_compressed(self) except? FRAME_MORE
    cdef FrameEvent gather(self) except? FRAME_MORE
    cdef int add(self, bytes part) except -1
    cdef FrameEvent end_frame(self) except? FRAME_MORE
    cdef bytes take_payload(self)
    cdef bytes take_bytes(self)
    cdef str take_text(self)
    cdef str decode(self, const uint8_t *p, Py_ssize_t n)
    cdef int check_text(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int refuse(self, int answer) except -1
    cdef int fail(self, int code, str reason) except -1
    cdef int end(self) except -1
