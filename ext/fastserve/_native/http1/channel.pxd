"""HTTP/1.1 over a connection: parser in, writer out, one exchange at a time."""

from ..asgi.exchange cimport Exchange, Sink
from ..asgi.scope cimport ScopeTemplate
from ..outlet cimport Outlet
from ..shared cimport Shared
from .parser cimport RequestParser
from .writer cimport ResponseFacts


cdef class Http1Channel(Sink):
    cdef Shared shared
    cdef Outlet outlet              # None once the connection is lost
    cdef ScopeTemplate template
    cdef RequestParser parser
    cdef Exchange exchange          # whose response is not complete, or None
    cdef object scope               # of an exchange whose application is yet to start
    cdef bint processing            # `process` is on the stack
    cdef bint served                # an exchange was completed on this connection
    cdef bint closing               # close after the current response
    cdef bint closed                # nothing more is read or written
    cdef bint continue_owed         # the client waits for 100 Continue
    cdef bint keep_alive            # the current request lets the connection live on
    cdef bint chunked               # the current response is sent in chunks
    cdef bint trailers_sent         # trailers go on the wire
    cdef bint trailers_begun
    cdef bint peer_done             # the peer has half-closed
    cdef Py_ssize_t discarded       # bytes of a body nobody wants
    cdef ResponseFacts facts

    cdef int process(self) except -1

    cdef int take_events(self) except -1
    cdef int begin_request(self) except -1
    cdef int begin_websocket(self, bytes raw_path, list headers) except -1
    cdef int start_application(self) except -1
    cdef int take_body(self) except -1
    cdef int take_end(self) except -1
    cdef int refuse(self, int status, str reason, object headers) except -1
    cdef int set_wait(self) except -1
    cdef int commit_head(self, Exchange exchange, Py_ssize_t n, bint more) except -1
    cdef int drop_held(self) except -1
    cdef int log(self, Exchange exchange, int status) except -1
    cdef int write_interim(self, bytes response) except -1
    cdef bint unwanted_body(self)
