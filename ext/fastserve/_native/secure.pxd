"""TLS between a connection's transport and its channel."""

from .outlet cimport Outlet
from .shared cimport Shared
from .tls cimport TlsLayer


cdef class TlsFront:
    cdef TlsLayer layer
    cdef Shared shared
    cdef Outlet outlet              # None once the connection is lost

    cdef int data_received(self, bytes data) except -1
    cdef bint eof_received(self) noexcept
    cdef bint established(self) noexcept
    cdef int connection_lost(self) except -1
    cdef int timed_out(self, int kind) except -1
    cdef bint idle(self) noexcept
    cdef int write(self, bytes data) except -1
    cdef int end(self) except -1
    cdef int deliver(self) except -1
    cdef int begin(self) except -1
    cdef bint complete(self) except -1
    cdef int failed(self, object error) except -1
    cdef int give_up(self, str reason, bint linger) except -1
    cdef int write_output(self) except -1
    cdef int answer_plainly(self) except -1
