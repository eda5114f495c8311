"""A WebSocket's outlet over one stream, RFC 8441."""

from ..deadlines cimport Link
from ..shared cimport Shared
from .stream cimport Carrier, Http2Stream
from .tunnel cimport Tunnel


cdef class StreamOutlet(Tunnel):
    cdef Shared shared
    cdef Carrier carrier            # None once the stream is over
    cdef Http2Stream stream         # None once it is over
    cdef Link link                  # in the queue of what is waited for
    cdef int waiting_for
    cdef bint reading_paused
    cdef bytearray early            # what came before the answer to the handshake
    cdef bytes client               # see `client_text`

    cdef int deliver(self, bytes data) except -1
    cdef int send(self, bint ends) except -1
    cdef int note_room(self) noexcept


# The scope of what an extended CONNECT asks for. Raises ParseError for what is not served.
cdef dict offer_tunnel(Http2Stream stream, list headers)
