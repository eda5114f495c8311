"""Response heads of HTTP/2 as field blocks, RFC 9113 section 8.3.2."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ..buffer cimport WriteBuffer
from ..fields cimport ResponseFacts
from ..shared cimport Shared
from .hpack_encoder cimport HpackEncoder


# A checked head; what was given does not change it any more. Responses that repeat share it.
cdef class ResponseHead:
    cdef readonly int status
    cdef readonly list pairs        # tuples as they are sent
    cdef ResponseFacts facts
    cdef list given                 # the application's pairs, made tuples
    cdef bint repeated              # it has been asked for again
    cdef readonly bytes block       # of `pairs` and the server's fields; None: not kept
    cdef uint64_t generation        # of the encoder's table for which `block` is true
    cdef int64_t second             # the date in `block`; -1: it has none

    cdef bint same(self, int status, list headers) noexcept


# What has been written must be sent, in the order of writing: the peer's table follows it. So
# must be whatever is written before an exception, or the connection ends.
cdef class HeadWriter:
    cdef HpackEncoder encoder
    cdef Shared shared
    cdef ResponseHead last          # of the last `check`; None: it was too large to be kept

    # ends, here and below: END_STREAM. frame_most: the peer's SETTINGS_MAX_FRAME_SIZE.
    cdef ResponseHead check(self, int status, object headers)
    cdef int write_head(self, WriteBuffer out, uint32_t stream, ResponseHead head, int64_t length,
                        bytes request_id, bint ends, uint32_t frame_most) except -1
    cdef list check_trailers(self, object headers)
    cdef int write_trailers(self, WriteBuffer out, uint32_t stream, list pairs,
                            uint32_t frame_most) except -1
    cdef int write_interim(self, WriteBuffer out, uint32_t stream, int status, list pairs,
                           uint32_t frame_most) except -1
    cdef bytes write_answer(self, WriteBuffer out, uint32_t stream, int status, str text,
                            bint bodiless, object headers, uint32_t frame_most)
    cdef int forget(self) except -1

    cdef int encode(self, WriteBuffer out, ResponseHead head, int64_t second) except -1
    cdef int put_pairs(self, WriteBuffer out, list pairs) except -1
