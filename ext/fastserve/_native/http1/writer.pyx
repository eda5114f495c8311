"""HTTP/1.1 responses as bytes, RFC 9112.

The application's fields are checked while they are copied: a name that is no token or
a value with a control byte would let it split the response, so it is refused.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t

import http

from ..buffer cimport WriteBuffer
from ..headers cimport (NAME_CONNECTION, NAME_CONTENT_LENGTH, NAME_DATE, NAME_OTHER,
                        NAME_REQUEST_ID, NAME_SERVER, NAME_TRANSFER_ENCODING, name_id)
from ..leaves cimport fs_chunked_write_head, fs_decimal, fs_scan_field_value, fs_scan_token

from fastserve._native.errors import ProtocolViolation

cdef list _status_lines = [None] * 1000


def _fill_status_lines():
    for status in range(100, 1000):
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        _status_lines[status] = f"HTTP/1.1 {status} {phrase}\r\n".encode()


_fill_status_lines()


cdef bytes status_line(int status):
    """The whole line with CRLF, for a status from 100 to 999."""
    return <bytes>_status_lines[status]


cdef int write_decimal(WriteBuffer out, uint64_t value) except -1:
    out.reserve(20)
    out.used += fs_decimal(<uint8_t *>out.data + out.used, value)
    return 0


cdef int write_chunk_head(WriteBuffer out, uint64_t size) except -1:
    """The line before a chunk's data; size > 0."""
    out.reserve(18)
    out.used += fs_chunked_write_head(<uint8_t *>out.data + out.used, size)
    return 0


cdef inline int write_field(WriteBuffer out, bytes name, bytes value) except -1:
    cdef Py_ssize_t n = PyBytes_GET_SIZE(name), v = PyBytes_GET_SIZE(value)
    out.reserve(n + v + 4)
    out.put(PyBytes_AS_STRING(name), n)
    out.put(b": ", 2)
    out.put(PyBytes_AS_STRING(value), v)
    out.put(b"\r\n", 2)
    return 0


cdef inline int check_pair(object pair, PyObject **name, PyObject **value) except -1:
    """Borrowed name and value of a header pair that is fit to be sent."""
    cdef const uint8_t *p
    cdef Py_ssize_t n
    if PyTuple_CheckExact(pair) and PyTuple_GET_SIZE(pair) == 2:
        name[0] = PyTuple_GET_ITEM(pair, 0)
        value[0] = PyTuple_GET_ITEM(pair, 1)
    elif PyList_CheckExact(pair) and PyList_GET_SIZE(pair) == 2:
        name[0] = PyList_GET_ITEM(pair, 0)
        value[0] = PyList_GET_ITEM(pair, 1)
    else:
        raise ProtocolViolation(f"a header must be a pair [name, value], not {pair!r}")
    if not PyBytes_Check(<object>name[0]) or not PyBytes_Check(<object>value[0]):
        raise ProtocolViolation(f"header names and values must be bytes: {pair!r}")
    p = <const uint8_t *>PyBytes_AS_STRING(<object>name[0])
    n = PyBytes_GET_SIZE(<object>name[0])
    if n == 0 or <Py_ssize_t>fs_scan_token(p, n) != n:
        raise ProtocolViolation(f"not a header name: {<object>name[0]!r}")
    p = <const uint8_t *>PyBytes_AS_STRING(<object>value[0])
    n = PyBytes_GET_SIZE(<object>value[0])
    if <Py_ssize_t>fs_scan_field_value(p, n) != n:
        raise ProtocolViolation(
            f"control byte in the value of header {<object>name[0]!r}: {<object>value[0]!r}")
    return 0


cdef int write_fields(WriteBuffer out, object headers, bint keep_length,
                      ResponseFacts *facts) except -1:
    """Write the application's fields in its order and note what the framing must know.

    `keep_length` false leaves a Content-Length out (1xx, 204). Transfer-Encoding is
    never written: the server owns framing (ASGI, "Response Start"). Raises
    ProtocolViolation for what HTTP could not carry; `out` then holds a part, which
    the caller drops.
    """
    cdef PyObject *name
    cdef PyObject *value
    cdef uint8_t kind
    cdef Py_ssize_t n
    cdef bint again
    facts.content_length = -1
    facts.has_date = facts.has_server = facts.has_request_id = facts.close = False
    for pair in headers:
        if not PyTuple_CheckExact(pair) and not PyList_CheckExact(pair):
            pair = tuple(pair)
        check_pair(pair, &name, &value)
        n = PyBytes_GET_SIZE(<object>name)
        kind = NAME_OTHER
        # Every name that matters is among these lengths.
        if (n == 4 or n == 6 or n == 10 or n == 14 or n == 17
                # content-type is as long as x-request-id, and everywhere
                or (n == 12 and PyBytes_AS_STRING(<object>name)[1] == c'-')):
            kind = name_id(<const uint8_t *>PyBytes_AS_STRING(<object>name), n)
        if kind != NAME_OTHER:
            if kind == NAME_CONTENT_LENGTH:
                again = facts.content_length >= 0
                note_length(<object>value, facts)
                if again or not keep_length:
                    continue
            elif kind == NAME_DATE:
                facts.has_date = True
            elif kind == NAME_SERVER:
                facts.has_server = True
            elif kind == NAME_REQUEST_ID:
                facts.has_request_id = True
            elif kind == NAME_TRANSFER_ENCODING:
                continue
            elif kind == NAME_CONNECTION and note_connection(<object>value, facts):
                continue
        write_field(out, <bytes>name, <bytes>value)
    return 0


cdef int write_pairs(WriteBuffer out, object headers) except -1:
    """Checked fields that need no note: trailers, early hints."""
    cdef PyObject *name
    cdef PyObject *value
    for pair in headers:
        if not PyTuple_CheckExact(pair) and not PyList_CheckExact(pair):
            pair = tuple(pair)
        check_pair(pair, &name, &value)
        write_field(out, <bytes>name, <bytes>value)
    return 0


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
