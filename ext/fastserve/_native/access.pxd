"""Access log lines, formatted natively and written in batches."""

from libc.stdint cimport int32_t, int64_t

from .buffer cimport WriteBuffer


cdef class AccessLog:
    cdef object write               # callable(bytes): whole lines
    cdef object loop
    cdef WriteBuffer lines
    cdef object timer               # pending flush, or None
    cdef bint colour
    cdef int64_t stamp_second       # what `stamp` shows
    cdef char stamp[20]
    cdef int32_t offset             # local time minus UTC, seconds

    cdef int restamp(self, int64_t now) except -1
    cdef int add(self, bytes client, str method, bytes target, int minor, int status,
                 int64_t sent, int64_t duration_us) except -1
    cdef int add_websocket(self, bytes client, bytes target, int code, int64_t sent,
                           int64_t messages_in, int64_t bytes_in, int64_t messages_out,
                           int64_t bytes_out, int64_t duration_us) except -1
    cdef int begin(self, bytes client, str method, bytes target, int minor) except -1
    cdef inline void put_result(self, int status, int64_t sent, int64_t duration_us) noexcept
    cdef int end(self) except -1
    cdef int flush(self) except -1
