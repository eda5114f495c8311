"""HTTP/1.1 responses as bytes, RFC 9112, with the checks that keep them well-formed."""

from libc.stdint cimport uint64_t

from ..buffer cimport WriteBuffer
from ..fields cimport ResponseFacts


cdef bytes status_line(int status)
cdef int write_fields(WriteBuffer out, object headers, bint keep_length, ResponseFacts *facts) except -1
cdef int write_pairs(WriteBuffer out, object headers) except -1
cdef int write_chunk_head(WriteBuffer out, uint64_t size) except -1
cdef int write_decimal(WriteBuffer out, uint64_t value) except -1
