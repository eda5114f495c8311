"""What an application's header fields must be before any version of HTTP sends them.

A name that is no token or a value with a control byte would let it split the response, so
it is refused.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t

from fastserve._native.errors import ProtocolViolation

from .headers cimport (NAME_CONNECTION, NAME_KEEP_ALIVE, NAME_OTHER, NAME_PROXY_CONNECTION,
                       NAME_UPGRADE, lower_name, name_id)


cdef inline const uint8_t *bytes_of(PyObject *text) noexcept:
    return <const uint8_t *>PyBytes_AS_STRING(<object>text)


cdef inline bint is_lower(const uint8_t *p, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i
    for i in range(n):
        if c'A' <= p[i] <= c'Z':
            return False
    return True


cdef inline bint is_padded(const uint8_t *p, Py_ssize_t n) noexcept:
    """Whether the value begins or ends with white space. Nothing else at its ends is below '!'."""
    return n != 0 and (p[0] <= c' ' or p[n - 1] <= c' ')


cdef list lower_fields(list headers, bint keep_length, ResponseFacts *facts):
    """Checked fields as HTTP/2 carries them, RFC 9113 section 8.2: tuples, names in lower case,
    no white space round a value.

    What is about a connection is left out (section 8.2.2), and what `note_field` tells. Raises
    ProtocolViolation for what HTTP could not carry.
    """
    cdef list pairs = []
    cdef PyObject *name
    cdef PyObject *value
    cdef uint8_t kind
    clear_facts(facts)
    for pair in headers:
        if type(pair) is not tuple:
            pair = tuple(pair)
        check_pair(pair, &name, &value)
        kind = name_id(bytes_of(name), PyBytes_GET_SIZE(<object>name))
        if kind != NAME_OTHER and (note_field(kind, value, keep_length, facts)
                                   or kind == NAME_CONNECTION or kind == NAME_KEEP_ALIVE
                                   or kind == NAME_PROXY_CONNECTION or kind == NAME_UPGRADE):
            continue
        if (not is_lower(bytes_of(name), PyBytes_GET_SIZE(<object>name))
                or is_padded(bytes_of(value), PyBytes_GET_SIZE(<object>value))):
            pair = (lower_name(bytes_of(name), PyBytes_GET_SIZE(<object>name)),
                    (<object>value).strip(b" \t"))
        pairs.append(pair)
    return pairs


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
