"""HTTP/1.1 responses as bytes, RFC 9112, with the checks that keep them well-formed."""

from libc.stdint cimport int64_t, uint64_t

from ..buffer cimport WriteBuffer


# What a response's own header fields say; filled by `write_fields`.
cdef struct ResponseFacts:
    int64_t content_length          # -1: the application gave none
    bint has_date
    bint has_server
    bint has_request_id
    bint close                      # the application asked to close


cdef bytes status_line(int status)
cdef int write_fields(WriteBuffer out, object headers, bint keep_length, ResponseFacts *facts) except -1
cdef int write_pairs(WriteBuffer out, object headers) except -1
cdef int write_chunk_head(WriteBuffer out, uint64_t size) except -1
cdef int write_decimal(WriteBuffer out, uint64_t value) except -1
