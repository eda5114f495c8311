"""What a stream asks of whoever has taken it over."""

from ..channel cimport Channel
from ..outlet cimport Outlet


# The outlet of a WebSocket's channel, from the request on; a denial response ends it.
cdef class Tunnel(Outlet):
    cdef Py_ssize_t held            # bytes that have come and were not taken
    # The application accepts: answer with `headers`. What comes from here on is for `successor`;
    # what came too early is returned.
    cdef bytes open(self, Channel successor, object headers)
    cdef int take(self, bytes data) except -1
    # The client sends nothing more.
    cdef int take_end(self) except -1
    # The connection brings nothing more.
    cdef int peer_left(self) except -1
    # There may be room to send again.
    cdef int room(self) except -1
    # END_STREAM is written.
    cdef int all_sent(self) except -1
    # The stream is over, whoever ended it.
    cdef int over(self) except -1
