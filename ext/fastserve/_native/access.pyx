"""Access log lines, formatted natively and written in batches.

The default format, which is one step of its own:

    2026-11-06 08:49:37 192.0.2.1:52170 "GET /a?b HTTP/1.1" 200 1234 0.321ms

Local time of the exchange's end, client, request line, status, body bytes sent, duration
from the end of the head to the end of the response. That of a WebSocket is written when it
has closed, and goes on with the close code, messages and bytes received and those sent:

    ... "GET /chat HTTP/1.1" 101 5284 93211.004ms ws 1000 in 12/640 out 80/5120

A line cannot be forged: the parser takes no control bytes, and a quote or backslash in a
target is written percent-encoded. Of the other formats `access_text` says it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr, memcmp

import time

from .access_format cimport (FIELD_BYTES_IN, FIELD_BYTES_OUT, FIELD_CLIENT, FIELD_CLIENT_HOST,
                             FIELD_DURATION, FIELD_DURATION_MS, FIELD_END, FIELD_HEADER,
                             FIELD_METHOD, FIELD_PATH, FIELD_PEER, FIELD_PROTOCOL, FIELD_QUERY,
                             FIELD_READABLE, FIELD_REQUEST_ID, FIELD_SCHEME, FIELD_STATUS,
                             FIELD_TARGET, FIELD_TIME, FIELD_TIME_LOCAL,
                             FIELD_TLS, FIELD_TTFB_MS, FIELD_WS_BYTES_IN, FIELD_WS_BYTES_OUT,
                             FIELD_WS_CODE, FIELD_WS_MESSAGES_IN, FIELD_WS_MESSAGES_OUT,
                             AccessFormat, Field, Step)
from .access_text cimport (DIALECT_JSON, DIALECT_TEXT, Dialect, put_decimal, put_millionths,
                           put_text, put_thousandths)
from .buffer cimport WriteBuffer
from .deadlines cimport wall_ms, wall_seconds
from .leaves cimport (FS_DATE_COMMON_LEN, FS_DATE_LOG_LEN, fs_date_common, fs_date_log)

cdef enum:
    FLUSH_SIZE = 65536
    LINE_ROOM = 256                 # what a line takes besides client, method and target

# Lines wait at most this long for company, in seconds.
FLUSH_AFTER = 0.1

DEFAULT_FORMAT = AccessFormat("text", [("", "readable", "")])


@cython.final
cdef class AccessLog:

    def __init__(self, loop, write, bint colour, AccessFormat format=None, skip=()):
        """`skip`: paths (bytes) whose lines are left out, unless the answer is 500 or above.

        One that ends in * stands for all that begin so.
        """
        self.loop = loop
        self.write = write
        self.colour = colour
        self.format = DEFAULT_FORMAT if format is None else format
        self.readable = self.format is DEFAULT_FORMAT
        self.lines = WriteBuffer.__new__(WriteBuffer)
        self.stamp_second = -1
        if skip:
            self.skips = tuple([path for path in skip if not path.endswith(b"*")])
            self.skip_prefixes = tuple([path.removesuffix(b"*") for path in skip
                                        if path.endswith(b"*")])

    cdef int add(self, const AccessRecord *record) except -1:
        """The line of an exchange, or of a WebSocket that has closed. Flushes when many wait."""
        cdef AccessFormat format = self.format
        cdef WriteBuffer out = self.lines
        cdef const Step *step
        cdef Py_ssize_t i, room = format.room + 1
        cdef int dialect = format.dialect
        cdef int64_t now = 0, now_ms = 0
        if self.skips is not None and record.status < 500 and self.skipped(<bytes>record.target):
            return 0
        if format.wants_milliseconds:
            now_ms = wall_ms()
            now = now_ms // 1000
        else:
            now = wall_seconds()
        if now != self.stamp_second:
            self.restamp(now)
        out.used = self.whole
        out.reserve(room)
        for i in range(format.count):
            step = &format.steps[i]
            if dialect != DIALECT_TEXT and is_absent(step.field, record):
                continue
            if step.field >= FIELD_CLIENT:
                put_value(out, dialect, room, step, record)
            elif step.field >= FIELD_STATUS:
                self.put_number(step, record)
            elif step.field == FIELD_READABLE:
                self.put_readable(record)
            else:
                self.put_time(step, now_ms)
        out.put(b"\n", 1)
        self.whole = out.used
        if out.used >= FLUSH_SIZE:
            self.flush()
        elif self.timer is None:
            self.timer = self.loop.call_later(FLUSH_AFTER, self._flush)
        return 0

    cdef int put_readable(self, const AccessRecord *record) except -1:
        cdef WriteBuffer out = self.lines
        cdef bytes client = <bytes>record.client
        cdef bytes target = <bytes>record.target
        cdef Py_ssize_t n = 0
        cdef const char *text = PyUnicode_AsUTF8AndSize(<str>record.method, &n)
        out.reserve(self.format.room + LINE_ROOM + PyBytes_GET_SIZE(client) + n
                    + 3 * PyBytes_GET_SIZE(target))
        out.put(self.local_stamp, FS_DATE_LOG_LEN)
        out.put(b" ", 1)
        out.put(PyBytes_AS_STRING(client), PyBytes_GET_SIZE(client))
        out.put(b" \"", 2)
        out.put(text, n)
        out.put(b" ", 1)
        put_target(out, PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target))
        out.put(b" ", 1)
        text = protocol(record.version, &n)
        out.put(text, n)
        out.put(b"\" ", 2)
        if self.colour:
            put_colour(out, record.status)
        put_decimal(out, record.status)
        if self.colour:
            out.put(b"\x1b[0m", 4)
        out.put(b" ", 1)
        put_decimal(out, record.bytes_out)
        out.put(b" ", 1)
        put_thousandths(out, record.duration_us)
        out.put(b"ms", 2)
        if record.code:
            put_websocket(out, record)
        return 0

    cdef int put_time(self, const Step *step, int64_t now_ms) except -1:
        cdef WriteBuffer out = self.lines
        cdef bint quoted = self.format.dialect == DIALECT_JSON
        cdef int fraction
        cdef char rest[5]
        put_literal(out, step)
        if step.field == FIELD_END:
            return 0
        if quoted:
            out.put(b'"', 1)
        if step.field == FIELD_TIME:
            # RFC 3339, in UTC
            fraction = <int>(now_ms % 1000)
            rest[0] = c'.'
            rest[1] = c'0' + fraction // 100
            rest[2] = c'0' + fraction // 10 % 10
            rest[3] = c'0' + fraction % 10
            rest[4] = c'Z'
            out.put(self.utc_stamp, FS_DATE_LOG_LEN)
            out.put(rest, 5)
        elif step.field == FIELD_TIME_LOCAL:
            out.put(self.local_stamp, FS_DATE_LOG_LEN)
        else:
            out.put(self.common_stamp, FS_DATE_COMMON_LEN)
        if quoted:
            out.put(b'"', 1)
        return 0

    cdef int put_number(self, const Step *step, const AccessRecord *record) except -1:
        cdef Field field = step.field
        cdef WriteBuffer out = self.lines
        cdef int64_t value = 0
        if ((field >= FIELD_WS_CODE and record.code == 0)
                or (field == FIELD_TTFB_MS and record.first_us < 0)):
            if self.format.dialect == DIALECT_TEXT:
                put_literal(out, step)
                out.put(b"-", 1)
            return 0
        put_literal(out, step)
        if field == FIELD_DURATION:
            put_millionths(out, record.duration_us)
            return 0
        if field == FIELD_DURATION_MS or field == FIELD_TTFB_MS:
            put_thousandths(out, record.duration_us if field == FIELD_DURATION_MS
                            else record.first_us)
            return 0
        if field == FIELD_STATUS:
            value = record.status
        elif field == FIELD_BYTES_IN:
            value = record.bytes_in
        elif field == FIELD_BYTES_OUT:
            value = record.bytes_out
        elif field == FIELD_WS_CODE:
            value = record.code
        elif field == FIELD_WS_MESSAGES_IN:
            value = record.messages_in
        elif field == FIELD_WS_BYTES_IN:
            value = record.messages_bytes_in
        elif field == FIELD_WS_MESSAGES_OUT:
            value = record.messages_out
        elif field == FIELD_WS_BYTES_OUT:
            value = record.messages_bytes_out
        put_decimal(out, value)
        return 0

    cdef bint skipped(self, bytes target):
        """Whether a rule leaves out the line of a request for `target`."""
        cdef Py_ssize_t n = 0
        cdef const char *p = path_of(target, &n)
        cdef bytes each
        for each in self.skips:
            if (PyBytes_GET_SIZE(each) == n
                    and memcmp(PyBytes_AS_STRING(each), p, <size_t>n) == 0):
                return True
        for each in self.skip_prefixes:
            if (PyBytes_GET_SIZE(each) <= n
                    and memcmp(PyBytes_AS_STRING(each), p, <size_t>PyBytes_GET_SIZE(each)) == 0):
                return True
        return False

    cdef list keep(self, list headers):
        """Those of `headers` that a line asks for, to be kept until it is written; or None."""
        return [pair for pair in headers if pair[0] in self.format.headers] or None

    cdef int restamp(self, int64_t now) except -1:
        # The zone's distance changes with summer time, so it is asked anew every minute.
        if self.stamp_second < 0 or now // 60 != self.stamp_second // 60:
            self.offset = time.localtime(now).tm_gmtoff
        fs_date_log(<uint8_t *>self.local_stamp, now, self.offset)
        fs_date_log(<uint8_t *>self.utc_stamp, now, 0)
        self.utc_stamp[10] = c'T'
        fs_date_common(<uint8_t *>self.common_stamp, now, self.offset)
        self.stamp_second = now
        return 0

    cdef int flush(self) except -1:
        """Write out every buffered line. The writer must not raise; what it raises is dropped."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.lines.used = self.whole
        if self.whole:
            self.whole = 0
            self.write(self.lines.take())
        return 0

    def _flush(self):
        self.timer = None
        self.flush()


cdef inline bint is_absent(Field field, const AccessRecord *record) noexcept:
    """Whether a record has no such value, or none worth a word, as can be told at a glance."""
    if field < FIELD_WS_CODE:
        return False
    if field < FIELD_CLIENT:
        return record.code == 0
    if field == FIELD_PEER:
        return record.peer == record.client
    if field == FIELD_REQUEST_ID:
        return record.request_id == NULL
    if field == FIELD_TLS:
        return record.tls == NULL
    return field == FIELD_HEADER and record.headers == NULL


cdef inline void put_literal(WriteBuffer out, const Step *step) noexcept:
    out.put(step.literal, step.literal_n)


cdef inline const char *value_of(const Step *step, const AccessRecord *record,
                                 Py_ssize_t *n) except? NULL:
    """The text of a field, not escaped; NULL: it has none."""
    cdef Field field = step.field
    if field == FIELD_METHOD:
        return PyUnicode_AsUTF8AndSize(<object>record.method, n)
    elif field == FIELD_TARGET:
        return text_of(record.target, n)
    elif field == FIELD_PATH:
        return path_of(<bytes>record.target, n)
    elif field == FIELD_QUERY:
        return query_of(<bytes>record.target, n)
    elif field == FIELD_PROTOCOL:
        return protocol(record.version, n)
    elif field == FIELD_CLIENT:
        return text_of(record.client, n)
    elif field == FIELD_CLIENT_HOST:
        return host_of(<bytes>record.client, n)
    elif field == FIELD_PEER:
        return text_of(record.peer, n)
    elif field == FIELD_SCHEME:
        return NULL if record.scheme == NULL else PyUnicode_AsUTF8AndSize(<object>record.scheme, n)
    elif field == FIELD_TLS:
        return NULL if record.tls == NULL else PyUnicode_AsUTF8AndSize(<object>record.tls, n)
    elif field == FIELD_REQUEST_ID:
        return text_of(record.request_id, n)
    elif field == FIELD_HEADER:
        return NULL if record.headers == NULL else header_of(step, <list>record.headers, n)
    return NULL


cdef int put_value(WriteBuffer out, int dialect, Py_ssize_t room, const Step *step,
                   const AccessRecord *record) except -1:
    """Reserves `room` for the rest of the line too."""
    cdef Py_ssize_t n = 0
    cdef const char *p = value_of(step, record, &n)
    if p == NULL or (n == 0 and dialect != DIALECT_JSON):
        if dialect == DIALECT_TEXT:
            put_literal(out, step)
            out.put(b"-", 1)
        return 0
    put_literal(out, step)
    if not step.plain:
        return put_text(out, <Dialect>dialect, p, n, room)
    out.reserve(n + 2 + room)
    if dialect == DIALECT_JSON:
        out.put(b'"', 1)
        out.put(p, n)
        out.put(b'"', 1)
    else:
        out.put(p, n)
    return 0


cdef inline const char *text_of(PyObject *text, Py_ssize_t *n) noexcept:
    if text == NULL:
        return NULL
    n[0] = PyBytes_GET_SIZE(<bytes>text)
    return PyBytes_AS_STRING(<bytes>text)


cdef const char *header_of(const Step *step, list headers, Py_ssize_t *n) noexcept:
    """The value of the first field of that name."""
    cdef tuple pair
    cdef bytes name
    for pair in headers:
        name = <bytes>pair[0]
        if (PyBytes_GET_SIZE(name) == step.name_n
                and memcmp(PyBytes_AS_STRING(name), step.name, <size_t>step.name_n) == 0):
            return text_of(<PyObject *>pair[1], n)
    return NULL


cdef const char *protocol(int version, Py_ssize_t *n) noexcept:
    n[0] = 8
    if version == 11:
        return b"HTTP/1.1"
    if version == 10:
        return b"HTTP/1.0"
    n[0] = 6
    return b"HTTP/2"


cdef const char *path_of(bytes target, Py_ssize_t *n) noexcept:
    """The path of a target of any form (RFC 9112 section 3.2); what has none is its own."""
    cdef const char *p = PyBytes_AS_STRING(target)
    cdef const char *end = p + PyBytes_GET_SIZE(target)
    cdef const char *at
    if p < end and p[0] != c'/':
        at = <const char *>memchr(p, c':', end - p)
        if at != NULL and end - at > 2 and at[1] == c'/' and at[2] == c'/':
            p = at + 3
            while p < end and p[0] != c'/' and p[0] != c'?':
                p += 1
    at = <const char *>memchr(p, c'?', end - p)
    n[0] = (end if at == NULL else at) - p
    if n[0] == 0:
        # RFC 9110 section 4.2.3: an empty path is "/".
        n[0] = 1
        return b"/"
    return p


cdef const char *query_of(bytes target, Py_ssize_t *n) noexcept:
    cdef const char *p = PyBytes_AS_STRING(target)
    cdef const char *end = p + PyBytes_GET_SIZE(target)
    cdef const char *at = <const char *>memchr(p, c'?', end - p)
    if at == NULL:
        return NULL
    n[0] = end - at - 1
    return at + 1


cdef const char *host_of(bytes client, Py_ssize_t *n) noexcept:
    """Without the port, if there is one, and without the brackets of an IPv6 address."""
    cdef const char *p = PyBytes_AS_STRING(client)
    cdef const char *end = p + PyBytes_GET_SIZE(client)
    cdef const char *at
    if p[0] == c'[':
        p += 1
        at = <const char *>memchr(p, c']', end - p)
    else:
        at = <const char *>memchr(p, c':', end - p)
        if at != NULL and memchr(at + 1, c':', end - at - 1) != NULL:
            at = NULL  # an IPv6 address alone
    n[0] = (end if at == NULL else at) - p
    return p


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


cdef void put_websocket(WriteBuffer out, const AccessRecord *record) noexcept:
    """Within the room of a line."""
    out.put(b" ws ", 4)
    put_decimal(out, record.code)
    out.put(b" in ", 4)
    put_decimal(out, record.messages_in)
    out.put(b"/", 1)
    put_decimal(out, record.messages_bytes_in)
    out.put(b" out ", 5)
    put_decimal(out, record.messages_out)
    out.put(b"/", 1)
    put_decimal(out, record.messages_bytes_out)


cdef inline void put_colour(WriteBuffer out, int status) noexcept:
    if status < 300:
        out.put(b"\x1b[32m", 5)
    elif status < 400:
        out.put(b"\x1b[36m", 5)
    elif status < 500:
        out.put(b"\x1b[33m", 5)
    else:
        out.put(b"\x1b[31m", 5)
