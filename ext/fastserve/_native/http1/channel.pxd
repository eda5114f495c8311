"""HTTP/1.1 over a connection: parser in, responses out, one exchange at a time."""

from ..asgi.exchange cimport Exchange
from ..asgi.scope cimport ScopeTemplate
from ..deadlines cimport Pace
from ..http2.heads cimport RequestHead
from .response cimport ResponseHalf


cdef class Http1Channel(ResponseHalf):
    cdef ScopeTemplate template
    cdef dict scope                 # of an exchange whose application is yet to start
    cdef bint processing            # `process` is on the stack
    cdef bint served                # an exchange was completed on this connection
    cdef bint closed                # nothing more is read or written
    cdef Py_ssize_t discarded       # bytes of a body nobody wants
    cdef int requests               # of this connection; counted only where they are limited
    cdef Pace pace                  # of the request's body

    cdef int process(self) except -1
    cdef int take_events(self) except -1
    cdef int begin_request(self) except -1
    cdef int begin_websocket(self, bytes raw_path, bytes query_string, list headers) except -1
    cdef int start(self) except -1
    cdef int become_http2(self, RequestHead head, bytes settings) except -1
    cdef int take_body(self) except -1
    cdef int take_end(self) except -1
    cdef int refuse(self, int status, str reason, object headers) except -1
    cdef int set_wait(self) except -1
    cdef int await_body(self) except -1
    cdef int log(self, Exchange exchange, int status) except -1
