"""The sending half of HTTP/2: who sends next, and in frames of what size."""

from libc.stdint cimport uint32_t

from ..deadlines cimport Link
from .stream cimport Carrier, Http2Stream

cdef enum:
    # Of each of RFC 9218's 8 urgencies those in turn, then those one after the other.
    RINGS = 16


cdef class Sending(Carrier):
    cdef bint pumping               # `pump` is on the stack
    cdef Link ready[RINGS]          # streams that have something to send and room for it
    cdef uint32_t turns             # which of an urgency's two rings was served last, by bit

    cdef int pump(self) except -1
    cdef int send_some(self, Http2Stream stream) except -1
    cdef int lose_stuck(self) except -1
    cdef int append(self, Http2Stream stream) noexcept
    cdef int make_ready(self, Http2Stream stream) except -1
    cdef Http2Stream next_ready(self)
