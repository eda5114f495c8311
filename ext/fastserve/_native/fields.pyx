"""What an application's header fields must be before any version of HTTP sends them.

A name that is no token or a value with a control byte would let it split the response, so
it is refused.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from fastserve._native.errors import ProtocolViolation


cdef int refuse_pair(object pair) except -1:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ProtocolViolation(f"a header must be a pair [name, value], not {pair!r}")
    raise ProtocolViolation(f"header names and values must be bytes: {pair!r}")


cdef int refuse_name(object name) except -1:
    raise ProtocolViolation(f"not a header name: {name!r}")


cdef int refuse_value(object name, object value) except -1:
    raise ProtocolViolation(f"control byte in the value of header {name!r}: {value!r}")


cdef int note_length(object value, ResponseFacts *facts) except -1:
    cdef const char *p = PyBytes_AS_STRING(value)
    cdef Py_ssize_t i, n = PyBytes_GET_SIZE(value)
    cdef int64_t length = 0
    for i in range(n):
        if not c'0' <= p[i] <= c'9' or n > 18:
            raise ProtocolViolation(f"malformed content-length: {value!r}")
        length = length * 10 + (p[i] - c'0')
    if n == 0:
        raise ProtocolViolation("empty content-length")
    if facts.content_length >= 0 and facts.content_length != length:
        raise ProtocolViolation("two different content-length headers")
    facts.content_length = length
    return 0


cdef bint note_connection(object value, ResponseFacts *facts) except -1:
    """Whether the field is only about keeping the connection, which we answer for ourselves."""
    options = [option.strip(b" \t").lower() for option in value.split(b",")]
    if b"close" in options:
        facts.close = True
    return all(option in (b"close", b"keep-alive", b"") for option in options)
