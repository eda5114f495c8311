"""The response half of HTTP/1.1: what an exchange sends, as bytes."""

from ..asgi.exchange cimport Exchange, Sink
from ..buffer cimport WriteBuffer
from ..deadlines cimport monotonic_us
from ..fields cimport ResponseFacts
from ..outlet cimport Outlet
from ..request_ids cimport write_request_id
from ..shared cimport Shared
from .parser cimport RequestParser

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

    cdef int write_answer(self, Exchange exchange, int status, str text, object headers) except -1
    cdef int commit_head(self, Exchange exchange, Py_ssize_t n, bint more) except -1
    cdef int drop_held(self) except -1
    # What the server adds to the application's fields; the response begins with this.
    cdef inline int write_own_fields(self, WriteBuffer out, Exchange exchange) except -1:
        self.begin_answer(exchange)
        if exchange.request_id is not None and not self.facts.has_request_id:
            write_request_id(out, exchange.request_id)
        return self.shared.write_default_fields(out, not self.facts.has_date,
                                                not self.facts.has_server)

    cdef inline int begin_answer(self, Exchange exchange) except -1:
        if self.shared.times_first:
            exchange.first_us = monotonic_us()
        return 0

    cdef int write_interim(self, bytes response) except -1
    cdef bint unwanted_body(self)
