"""The board: counters and states of all processes of a server in one block of memory."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from .leaves cimport (fs_board_add, fs_board_h2_begin, fs_board_h2_end, fs_board_h2_reset,
                      fs_board_head, fs_board_note, fs_board_note_two, fs_board_respond,
                      fs_board_row, fs_board_time, fs_board_ws_close, fs_board_ws_message_in,
                      fs_board_ws_message_out, fs_board_ws_open)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL


# The memory of a board.
cdef class Block:
    cdef fs_board_head *head        # into `view`
    cdef Py_buffer view             # held from __cinit__ to __dealloc__: keeps the mapping alive
    cdef bint viewed
    cdef Py_ssize_t rows            # checked once against the size of the memory


# What one process tells of itself.
cdef class Row:
    cdef fs_board_row *p            # into `block`, or into `own`
    cdef Block block                # None for a row of its own
    cdef void *own                  # memory of a row that is on no board, or NULL
    cdef readonly int index         # on its board; -1: on none

    # The hot path: a few instructions each, and nothing that can fail.

    cdef inline void connected(self) noexcept:
        fs_board_add(&self.p.connections, 1)
        fs_board_add(&self.p.connections_made, 1)

    cdef inline void refused(self) noexcept:
        fs_board_add(&self.p.connections_refused, 1)

    cdef inline void disconnected(self) noexcept:
        fs_board_add(&self.p.connections, -1)

    cdef inline void exchange_begins(self) noexcept:
        fs_board_add(&self.p.exchanges, 1)
        fs_board_add(&self.p.requests, 1)

    cdef inline void exchange_ends(self) noexcept:
        fs_board_add(&self.p.exchanges, -1)

    # `text`: the request line.
    cdef inline void note(self, const void *text, size_t n) noexcept:
        fs_board_note(self.p, text, n)

    cdef inline int note_request(self, str method, bytes target) except -1:
        cdef Py_ssize_t n = 0
        cdef const char *p = PyUnicode_AsUTF8AndSize(method, &n)
        fs_board_note_two(self.p, p, n, PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target))
        return 0

    # `status` 0: the client left before it had its answer.
    cdef inline void responded(self, int status) noexcept:
        fs_board_respond(self.p, status)

    cdef inline void took(self, int64_t us) noexcept:
        fs_board_time(self.p, us)

    cdef inline void received(self, int64_t n) noexcept:
        fs_board_add(&self.p.bytes_in, n)

    cdef inline void sent(self, int64_t n) noexcept:
        fs_board_add(&self.p.bytes_out, n)

    cdef inline void websocket_opened(self) noexcept:
        fs_board_ws_open(self.p)

    # `code`: the one the application is told. Once for each that was opened.
    cdef inline void websocket_closed(self, int code) noexcept:
        fs_board_ws_close(self.p, code)

    # A whole message; `n`: bytes of its payload as the application sees them, UTF-8 for text.
    cdef inline void message_received(self, int64_t n) noexcept:
        fs_board_ws_message_in(self.p, n)

    cdef inline void message_sent(self, int64_t n) noexcept:
        fs_board_ws_message_out(self.p, n)

    # A connection speaks HTTP/2 from now on.
    cdef inline void http2_began(self) noexcept:
        fs_board_h2_begin(self.p)

    # `cause`: FS_BOARD_RESET_...
    cdef inline void stream_reset(self, int cause) noexcept:
        fs_board_h2_reset(self.p, cause)

    # An HTTP/2 connection was ended for an error; `cause`: FS_BOARD_ENDED_...
    cdef inline void http2_failed(self, int cause) noexcept:
        fs_board_h2_end(self.p, cause)
