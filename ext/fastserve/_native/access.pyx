"""Access log lines, formatted natively and written in batches.

    2026-11-06 08:49:37 192.0.2.1:52170 "GET /a?b HTTP/1.1" 200 1234 0.321ms

Local time of the exchange's end, client, request line, status, body bytes sent, duration
from the end of the head to the end of the response. That of a WebSocket is written when it
has closed, and goes on with the close code, messages and bytes received and those sent:

    ... "GET /chat HTTP/1.1" 101 5284 93211.004ms ws 1000 in 12/640 out 80/5120

A line cannot be forged: the parser takes no control bytes, and a quote or backslash in a
target is written percent-encoded.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr

import time

from .buffer cimport WriteBuffer
from .deadlines cimport wall_seconds
from .leaves cimport FS_DATE_LOG_LEN, fs_date_log, fs_decimal

cdef enum:
    FLUSH_SIZE = 65536
    LINE_ROOM = 256                 # what a line takes besides client, method and target

# Lines wait at most this long for company, in seconds.
FLUSH_AFTER = 0.1


@cython.final
cdef class AccessLog:

    def __init__(self, loop, write, bint colour):
        self.loop = loop
        self.write = write
        self.colour = colour
        self.lines = WriteBuffer.__new__(WriteBuffer)
        self.stamp_second = -1

    cdef int add(self, bytes client, str method, bytes target, int minor, int status,
                 int64_t sent, int64_t duration_us) except -1:
        """The line of an exchange; see the module. Flushes when many wait, else soon."""
        self.begin(client, method, target, minor)
        self.put_result(status, sent, duration_us)
        return self.end()

    cdef int add_websocket(self, bytes client, bytes target, int code, int64_t sent,
                           int64_t messages_in, int64_t bytes_in, int64_t messages_out,
                           int64_t bytes_out, int64_t duration_us) except -1:
        """The line of a WebSocket that has closed with `code`; see the module."""
        cdef WriteBuffer out = self.lines
        self.begin(client, "GET", target, 1)
        self.put_result(101, sent, duration_us)
        out.put(b" ws ", 4)
        put_decimal(out, code)
        out.put(b" in ", 4)
        put_decimal(out, messages_in)
        out.put(b"/", 1)
        put_decimal(out, bytes_in)
        out.put(b" out ", 5)
        put_decimal(out, messages_out)
        out.put(b"/", 1)
        put_decimal(out, bytes_out)
        return self.end()

    cdef int begin(self, bytes client, str method, bytes target, int minor) except -1:
        """All up to the status; reserves room for the rest of the line too."""
        cdef WriteBuffer out = self.lines
        cdef Py_ssize_t n = 0
        cdef const char *text = PyUnicode_AsUTF8AndSize(method, &n)
        cdef int64_t now = wall_seconds()
        if now != self.stamp_second:
            self.restamp(now)
        out.reserve(LINE_ROOM + PyBytes_GET_SIZE(client) + n + 3 * PyBytes_GET_SIZE(target))
        out.put(self.stamp, FS_DATE_LOG_LEN)
        out.put(b" ", 1)
        out.put(PyBytes_AS_STRING(client), PyBytes_GET_SIZE(client))
        out.put(b" \"", 2)
        out.put(text, n)
        out.put(b" ", 1)
        put_target(out, PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target))
        out.put(b" HTTP/1.1\" " if minor else b" HTTP/1.0\" ", 11)
        return 0

    cdef inline void put_result(self, int status, int64_t sent, int64_t duration_us) noexcept:
        cdef WriteBuffer out = self.lines
        if self.colour:
            put_colour(out, status)
        put_decimal(out, status)
        if self.colour:
            out.put(b"\x1b[0m", 4)
        out.put(b" ", 1)
        put_decimal(out, sent)
        out.put(b" ", 1)
        put_milliseconds(out, duration_us)

    cdef int end(self) except -1:
        self.lines.put(b"\n", 1)
        if self.lines.used >= FLUSH_SIZE:
            self.flush()
        elif self.timer is None:
            self.timer = self.loop.call_later(FLUSH_AFTER, self._flush)
        return 0

    cdef int restamp(self, int64_t now) except -1:
        # The zone's distance changes with summer time, so it is asked anew every minute.
        if self.stamp_second < 0 or now // 60 != self.stamp_second // 60:
            self.offset = time.localtime(now).tm_gmtoff
        fs_date_log(<uint8_t *>self.stamp, now, self.offset)
        self.stamp_second = now
        return 0

    cdef int flush(self) except -1:
        """Write out every buffered line. The writer must not raise; what it raises is dropped."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.lines.used:
            self.write(self.lines.take())
        return 0

    def _flush(self):
        self.timer = None
        self.flush()


cdef inline void put_target(WriteBuffer out, const char *p, Py_ssize_t n) noexcept:
    """Room for 3 * n bytes was reserved."""
    cdef Py_ssize_t i
    cdef char c
    if memchr(p, c'"', n) == NULL and memchr(p, c'\\', n) == NULL:
        out.put(p, n)
        return
    for i in range(n):
        c = p[i]
        if c == c'"':
            out.put(b"%22", 3)
        elif c == c'\\':
            out.put(b"%5C", 3)
        else:
            out.put(&c, 1)


cdef inline void put_colour(WriteBuffer out, int status) noexcept:
    if status < 300:
        out.put(b"\x1b[32m", 5)
    elif status < 400:
        out.put(b"\x1b[36m", 5)
    elif status < 500:
        out.put(b"\x1b[33m", 5)
    else:
        out.put(b"\x1b[31m", 5)


cdef inline void put_decimal(WriteBuffer out, int64_t v) noexcept:
    out.used += fs_decimal(<uint8_t *>out.data + out.used, v)


cdef inline void put_milliseconds(WriteBuffer out, int64_t us) noexcept:
    cdef char digits[4]
    cdef int fraction
    if us < 0:
        us = 0
    put_decimal(out, us // 1000)
    fraction = <int>(us % 1000)
    digits[0] = c'.'
    digits[1] = c'0' + fraction // 100
    digits[2] = c'0' + fraction // 10 % 10
    digits[3] = c'0' + fraction % 10
    out.put(digits, 4)
    out.put(b"ms", 2)
