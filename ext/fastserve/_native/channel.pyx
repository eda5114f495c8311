"""What a connection asks of the protocol it speaks just now.

HTTP/1.1 and WebSocket are such protocols; one may take the other's place while the
connection lives. The connection corks what they write while it calls them.
"""

from .deadlines cimport Expirable


cdef class Channel(Expirable):

    cdef int data_received(self, bytes data) except -1:
        raise NotImplementedError

    cdef int process_later(self) except -1:
        raise NotImplementedError

    cdef Py_ssize_t body_room(self):
        return 0

    cdef Py_ssize_t read_size(self, Py_ssize_t most):
        return most

    cdef int body_received(self, bytes data) except -1:
        return self.data_received(data)

    cdef int block_received(self, bytes block, Py_ssize_t n) except -1:
        raise NotImplementedError

    cdef int eof_received(self) except -1:
        raise NotImplementedError

    cdef int connection_lost(self) except -1:
        raise NotImplementedError

    cdef int writable(self) except -1:
        raise NotImplementedError

    cdef int timed_out(self, int kind) except -1:
        raise NotImplementedError

    cdef bint idle(self) noexcept:
        return False

    cdef int leave(self) except -1:
        raise NotImplementedError

    cdef int drain(self) except -1:
        return 0
