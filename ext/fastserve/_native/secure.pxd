"""TLS between a connection's transport and its channel."""

from .front cimport Front
from .tls cimport TlsLayer


cdef class TlsFront(Front):
    cdef TlsLayer layer
    cdef Py_ssize_t owed            # bytes of TLS's own that a peer that does not read made us write

    cdef int deliver(self) except -1
    cdef int begin(self) except -1
    cdef bint complete(self) except -1
    cdef int failed(self, object error) except -1
    cdef int desert(self) except -1
    cdef int give_up(self, str reason, bint linger) except -1
    cdef int write_output(self) except -1
    cdef int answer_plainly(self) except -1
