"""Text in log lines, escaped as the line's format wants it.

What comes from a client may hold any byte. Whatever it holds, what is written is printable
ASCII: no line end, nothing a terminal obeys, no quote that ends the value early. JSON and logfmt
keep the characters of UTF-8 as \\u escapes; what is no UTF-8 becomes U+FFFD.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr

import json

from .buffer cimport WriteBuffer
from .leaves cimport fs_decimal, fs_scan_quotable

DIALECTS = {"text": DIALECT_TEXT, "json": DIALECT_JSON, "logfmt": DIALECT_LOGFMT}

cdef const char *_HEX = "0123456789abcdef"


cdef int put_text(WriteBuffer out, Dialect dialect, const char *p, Py_ssize_t n,
                  Py_ssize_t more) except -1:
    """Write the n bytes at p as one value of a line of that dialect."""
    if <Py_ssize_t>fs_scan_quotable(<const uint8_t *>p, n) != n:
        if dialect == DIALECT_TEXT:
            put_hex(out, p, n)
        else:
            put_json(out, p, n)
        return out.reserve(more)
    out.reserve(n + 2 + more)
    if dialect == DIALECT_TEXT:
        out.put(p, n)
    elif dialect == DIALECT_LOGFMT and n and is_bare(p, n):
        out.put(p, n)
    else:
        out.put(b'"', 1)
        out.put(p, n)
        out.put(b'"', 1)
    return 0


cdef inline bint is_bare(const char *p, Py_ssize_t n) noexcept:
    return memchr(p, c' ', n) == NULL and memchr(p, c'=', n) == NULL


cdef int put_hex(WriteBuffer out, const char *p, Py_ssize_t n) except -1:
    """As nginx and Apache do."""
    cdef Py_ssize_t i
    cdef uint8_t c
    cdef char escape[4]
    out.reserve(4 * n)
    escape[0] = c'\\'
    escape[1] = c'x'
    for i in range(n):
        c = <uint8_t>p[i]
        if 0x20 <= c < 0x7f and c != c'"' and c != c'\\':
            out.put(&p[i], 1)
        else:
            escape[2] = _HEX[c >> 4]
            escape[3] = _HEX[c & 15]
            out.put(escape, 4)
    return 0


cdef int put_json(WriteBuffer out, const char *p, Py_ssize_t n) except -1:
    """RFC 8259 section 7, in ASCII."""
    cdef str text = PyBytes_FromStringAndSize(p, n).decode("utf-8", "replace")
    # RFC 8259 lets DEL stand, terminals do not.
    cdef bytes told = json.dumps(text).replace("\x7f", "\\u007f").encode("ascii")
    return out.write(PyBytes_AS_STRING(told), PyBytes_GET_SIZE(told))


cdef void put_decimal(WriteBuffer out, int64_t v) noexcept:
    """v >= 0; takes 20 bytes at most."""
    out.used += fs_decimal(<uint8_t *>out.data + out.used, v)


cdef void put_thousandths(WriteBuffer out, int64_t v) noexcept:
    """v / 1000 with three decimals."""
    cdef char digits[4]
    cdef int fraction
    if v < 0:
        v = 0
    put_decimal(out, v // 1000)
    fraction = <int>(v % 1000)
    digits[0] = c'.'
    digits[1] = c'0' + fraction // 100
    digits[2] = c'0' + fraction // 10 % 10
    digits[3] = c'0' + fraction % 10
    out.put(digits, 4)


cdef void put_millionths(WriteBuffer out, int64_t v) noexcept:
    """v / 1000000 with six decimals."""
    cdef char digits[7]
    cdef int i, fraction
    if v < 0:
        v = 0
    put_decimal(out, v // 1000000)
    fraction = <int>(v % 1000000)
    digits[0] = c'.'
    for i in range(6, 0, -1):
        digits[i] = c'0' + fraction % 10
        fraction //= 10
    out.put(digits, 7)


def escaped(bytes text, str dialect):
    """`text` as a value of a line of that dialect (text, json, logfmt); for tests."""
    cdef WriteBuffer out = WriteBuffer()
    put_text(out, DIALECTS[dialect], PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), 0)
    return out.take()
