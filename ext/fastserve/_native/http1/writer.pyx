"""HTTP/1.1 responses as bytes, RFC 9112.

The application's fields are checked while they are copied.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_CheckExact
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact
from libc.stdint cimport uint8_t, uint64_t

import http

from ..buffer cimport WriteBuffer
from ..fields cimport ResponseFacts, check_pair, clear_facts, note_field, told_name
from ..headers cimport NAME_OTHER
from ..leaves cimport fs_chunked_write_head, fs_decimal

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


cdef int write_fields(WriteBuffer out, object headers, bint keep_length,
                      ResponseFacts *facts) except -1:
    """Write the application's fields in its order and note what the framing must know.

    `keep_length` as in `note_field`. Raises ProtocolViolation for what HTTP could not
    carry; `out` then holds a part, which the caller drops.
    """
    cdef PyObject *name
    cdef PyObject *value
    cdef uint8_t kind
    clear_facts(facts)
    for pair in headers:
        if not PyTuple_CheckExact(pair) and not PyList_CheckExact(pair):
            pair = tuple(pair)
        check_pair(pair, &name, &value)
        kind = told_name(name)
        if kind != NAME_OTHER and note_field(kind, value, keep_length, facts):
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
