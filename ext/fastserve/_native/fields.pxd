"""What an application's header fields must be before any version of HTTP sends them."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t

from .headers cimport (NAME_CONNECTION, NAME_CONTENT_LENGTH, NAME_DATE, NAME_OTHER,
                       NAME_REQUEST_ID, NAME_SERVER, NAME_TRANSFER_ENCODING, name_id)
from .leaves cimport fs_scan_field_value, fs_scan_token


# What a response's own header fields say.
cdef struct ResponseFacts:
    int64_t content_length          # -1: the application gave none
    bint has_date
    bint has_server
    bint has_request_id
    bint close                      # the application asked to close


cdef list lower_fields(list headers, bint keep_length, ResponseFacts *facts)
cdef int note_length(object value, ResponseFacts *facts) except -1
cdef bint note_connection(object value, ResponseFacts *facts) except -1
cdef int refuse_pair(object pair) except -1
cdef int refuse_name(object name) except -1
cdef int refuse_value(object name, object value) except -1


cdef inline void clear_facts(ResponseFacts *facts) noexcept:
    facts.content_length = -1
    facts.has_date = facts.has_server = facts.has_request_id = facts.close = False


# Borrowed name and value of a header pair, a tuple or list, that is fit to be sent.
cdef inline int check_pair(object pair, PyObject **name, PyObject **value) except -1:
    cdef const uint8_t *p
    cdef Py_ssize_t n
    if PyTuple_CheckExact(pair) and PyTuple_GET_SIZE(pair) == 2:
        name[0] = PyTuple_GET_ITEM(pair, 0)
        value[0] = PyTuple_GET_ITEM(pair, 1)
    elif PyList_CheckExact(pair) and PyList_GET_SIZE(pair) == 2:
        name[0] = PyList_GET_ITEM(pair, 0)
        value[0] = PyList_GET_ITEM(pair, 1)
    else:
        return refuse_pair(pair)
    if not PyBytes_Check(<object>name[0]) or not PyBytes_Check(<object>value[0]):
        return refuse_pair(pair)
    p = <const uint8_t *>PyBytes_AS_STRING(<object>name[0])
    n = PyBytes_GET_SIZE(<object>name[0])
    if n == 0 or <Py_ssize_t>fs_scan_token(p, n) != n:
        return refuse_name(<object>name[0])
    p = <const uint8_t *>PyBytes_AS_STRING(<object>value[0])
    n = PyBytes_GET_SIZE(<object>value[0])
    if <Py_ssize_t>fs_scan_field_value(p, n) != n:
        return refuse_value(<object>name[0], <object>value[0])
    return 0


# NAME_* of a name, looked up only where its length is that of one that `note_field` knows.
cdef inline uint8_t told_name(PyObject *name) noexcept:
    cdef const char *p = PyBytes_AS_STRING(<object>name)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(<object>name)
    if (n == 4 or n == 6 or n == 10 or n == 14 or n == 17
            # content-type is as long as x-request-id, and everywhere
            or (n == 12 and p[1] == c'-')):
        return name_id(<const uint8_t *>p, n)
    return NAME_OTHER


# Note what the framing must know of a checked field; whether it is left out of the response.
#
# `keep_length` false leaves a Content-Length out (1xx, 204). Transfer-Encoding is never
# sent: the server owns framing (ASGI, "Response Start").
cdef inline bint note_field(uint8_t kind, PyObject *value, bint keep_length,
                            ResponseFacts *facts) except -1:
    cdef bint again
    if kind == NAME_CONTENT_LENGTH:
        again = facts.content_length >= 0
        note_length(<object>value, facts)
        return again or not keep_length
    if kind == NAME_DATE:
        facts.has_date = True
    elif kind == NAME_SERVER:
        facts.has_server = True
    elif kind == NAME_REQUEST_ID:
        facts.has_request_id = True
    elif kind == NAME_TRANSFER_ENCODING:
        return True
    elif kind == NAME_CONNECTION:
        return note_connection(<object>value, facts)
    return False
