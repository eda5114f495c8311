"""What may stand between a connection's transport and its channel."""

from .outlet cimport Outlet
from .shared cimport Shared


cdef class Front:
    cdef Shared shared
    cdef Outlet outlet              # None once the connection is lost

    cdef int data_received(self, bytes data) except -1
    cdef bint eof_received(self) noexcept
    cdef bint established(self) noexcept
    cdef int connection_lost(self) except -1
    cdef int timed_out(self, int kind) except -1
    cdef bint idle(self) noexcept
    cdef int write(self, bytes before, bytes data) except -1
    cdef int end(self) except -1
