"""Request ids: taken from who is trusted, or made."""

from libc.stdint cimport uint64_t

from .buffer cimport WriteBuffer


cdef class RequestIds:
    cdef char prefix[17]            # 16 hex digits, this object's own
    cdef uint64_t count

    # The id of the request with these header pairs, which have it as x-request-id afterwards.
    cdef bytes assign(self, list headers, bint trusted)
    cdef bytes make(self)


cdef int tell_request_id(object scope, bytes request_id) except -1
cdef object with_request_id(object headers, object exchange)
cdef int write_request_id(WriteBuffer out, bytes request_id) except -1
