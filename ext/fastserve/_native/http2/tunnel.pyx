"""What a stream asks of whoever has taken it over.

A tunnel lives above the stream, so the stream calls it through this abstract class.
"""

from ..channel cimport Channel
from ..outlet cimport Outlet


cdef class Tunnel(Outlet):

    cdef bytes open(self, Channel successor, object headers):
        raise NotImplementedError

    cdef int take(self, bytes data) except -1:
        raise NotImplementedError

    cdef int take_end(self) except -1:
        raise NotImplementedError

    cdef int peer_left(self) except -1:
        raise NotImplementedError

    cdef int room(self) except -1:
        raise NotImplementedError

    cdef int all_sent(self) except -1:
        raise NotImplementedError

    cdef int over(self) except -1:
        raise NotImplementedError
