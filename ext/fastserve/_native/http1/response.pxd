"""The response half of HTTP/1.1: what an exchange sends, as bytes."""

from ..asgi.exchange cimport Exchange, Sink
from ..outlet cimport Outlet
from ..shared cimport Shared
from .parser cimport RequestParser
from .writer cimport ResponseFacts

cdef enum:
    DISCARD_MOST = 65536            # unwanted body we read to keep the connection


cdef class ResponseHalf(Sink):
    cdef Shared shared
    cdef Outlet outlet              # None once the connection is lost
    cdef RequestParser parser
    cdef Exchange exchange          # whose response is not complete, or None
    cdef bint closing               # close after the current response
    cdef bint continue_owed         # the client waits for 100 Continue
    cdef bint keep_alive            # the current request lets the connection live on
    cdef bint chunked               # the current response is sent in chunks
    cdef bint trailers_sent         # trailers go on the wire
    cdef bint trailers_begun
    cdef bint peer_done             # the peer has half-closed
    cdef ResponseFacts facts

    cdef int commit_head(self, Exchange exchange, Py_ssize_t n, bint more) except -1
    cdef int drop_held(self) except -1
    cdef int write_interim(self, bytes response) except -1
    cdef bint unwanted_body(self)
