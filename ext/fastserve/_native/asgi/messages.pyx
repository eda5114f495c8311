"""Reading what an application gives to `send`.

Types are checked where ASGI demands them: a string for bytes or a missing key raises from
`send`, so that the mistake is found where it was made. Extra keys are ignored.
"""

from libc.string cimport memcmp

from fastserve._native.errors import ProtocolViolation


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_Check(object o)
    bint PyLong_Check(object o)
    long PyLong_AsLongAndOverflow(object o, int *overflow) except? -1


cdef MessageKind message_kind(object kind) except? MESSAGE_UNKNOWN:
    """The MESSAGE_* of a message's type; MESSAGE_UNKNOWN also for what is no string."""
    cdef Py_ssize_t n = 0
    cdef const char *text
    if not PyUnicode_Check(kind):
        return MESSAGE_UNKNOWN
    text = PyUnicode_AsUTF8AndSize(kind, &n)
    if n == 18 and memcmp(text, b"http.response.body", 18) == 0:
        return MESSAGE_BODY
    if n == 19 and memcmp(text, b"http.response.start", 19) == 0:
        return MESSAGE_START
    if n == 22 and memcmp(text, b"http.response.trailers", 22) == 0:
        return MESSAGE_TRAILERS
    if n == 22 and memcmp(text, b"http.response.pathsend", 22) == 0:
        return MESSAGE_PATHSEND
    if n == 24 and memcmp(text, b"http.response.early_hint", 24) == 0:
        return MESSAGE_HINT
    if n == 26 and memcmp(text, b"http.response.zerocopysend", 26) == 0:
        return MESSAGE_ZEROCOPYSEND
    if n == 14 and memcmp(text, b"websocket.send", 14) == 0:
        return MESSAGE_SEND
    if n == 15 and memcmp(text, b"websocket.close", 15) == 0:
        return MESSAGE_CLOSE
    if n == 16 and memcmp(text, b"websocket.accept", 16) == 0:
        return MESSAGE_ACCEPT
    if n == 29 and memcmp(text, b"websocket.http.response.start", 29) == 0:
        return MESSAGE_DENIAL_START
    if n == 28 and memcmp(text, b"websocket.http.response.body", 28) == 0:
        return MESSAGE_DENIAL_BODY
    return MESSAGE_UNKNOWN


cdef bytes plain_bytes(object data):
    """A body that is not exactly bytes. Copied: its owner may change it before it is sent."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise ProtocolViolation(f"the body must be bytes, not {type(data).__name__}")


cdef int status_code(object value) except -1:
    """The status of a final response. Interim ones are the server's own, RFC 9110 section 15."""
    cdef int overflow = 0
    cdef long status
    if not PyLong_Check(value):
        raise ProtocolViolation(f"the status must be an int, not {value!r}")
    status = PyLong_AsLongAndOverflow(value, &overflow)
    if overflow or not 200 <= status <= 999:
        raise ProtocolViolation(f"the status of a response must be 200 to 999, not {value}")
    return <int>status
