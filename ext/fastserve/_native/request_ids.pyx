"""Request ids: taken from who is trusted, or made.

An id that is made has 32 hexadecimal digits: 16 random ones, drawn once, and the mixed count of
requests. It tells requests apart over all processes and restarts; it is no secret.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

import os
import re

from .asgi.call cimport Call
from .buffer cimport WriteBuffer

cdef bytes _NAME = b"x-request-id"
cdef str _EXTENSION = "fastserve.request_id"
cdef const char *_HEX = "0123456789abcdef"

# What uuids, ULIDs, trace headers and base64 are made of, and nothing a log would have to escape.
cdef object _sane = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}").fullmatch


@cython.final
cdef class RequestIds:

    def __cinit__(self):
        cdef bytes drawn = os.urandom(8).hex().encode()
        memcpy(self.prefix, PyBytes_AS_STRING(drawn), 16)

    cdef bytes assign(self, list headers, bint trusted):
        cdef bytes found = None
        cdef bytes value
        cdef Py_ssize_t i
        for i in range(len(headers) - 1, -1, -1):
            if (<tuple>headers[i])[0] == _NAME:
                value = <bytes>(<tuple>headers[i])[1]
                del headers[i]
                # The first of several, which is the one that is looked at last.
                found = value if trusted and _sane(value) is not None else None
        if found is None:
            found = self.make()
        headers.append((_NAME, found))
        return found

    cdef bytes make(self):
        cdef bytes made = PyBytes_FromStringAndSize(NULL, 32)
        cdef char *p = PyBytes_AS_STRING(made)
        cdef uint64_t x
        cdef int i
        memcpy(p, self.prefix, 16)
        self.count += 1
        # The finaliser of splitmix64: one to one, so that no two counts give the same.
        x = self.count * <uint64_t>0x9E3779B97F4A7C15
        x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
        x ^= x >> 31
        for i in range(16):
            p[16 + i] = _HEX[<uint8_t>(x >> (60 - 4 * i)) & 15]
        return made


cdef int tell_request_id(object scope, bytes request_id) except -1:
    """Put it where the application finds it besides the header."""
    scope["extensions"][_EXTENSION] = {"id": request_id.decode("ascii")}
    return 0


cdef object with_request_id(object headers, object exchange):
    """`headers` of an answer of the server's own to that exchange."""
    cdef bytes request_id = (<Call?>exchange).request_id
    return headers if request_id is None else [*headers, (_NAME, request_id)]


cdef int write_request_id(WriteBuffer out, bytes request_id) except -1:
    cdef Py_ssize_t n = PyBytes_GET_SIZE(request_id)
    out.reserve(n + 16)
    out.put(b"x-request-id: ", 14)
    out.put(PyBytes_AS_STRING(request_id), n)
    out.put(b"\r\n", 2)
    return 0
