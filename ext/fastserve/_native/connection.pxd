"""The asyncio protocol of one connection."""

from libc.stdint cimport int64_t

from .counted cimport CountedOutlet
from .deadlines cimport Link
from .lease cimport Lease
from .shared cimport Shared


cdef int live_connections


cdef class Connection(CountedOutlet):
    cdef object tls                 # of a connection that is to speak TLS, see TlsLayer; or None
    cdef str scheme
    cdef bytes client_name          # client_text(), made when first asked for
    cdef Link read_link             # in one of the queues WAIT_FIRST .. WAIT_HANDSHAKE
    cdef Link write_link            # in WAIT_WRITE
    cdef int waiting_for            # the queue read_link is in
    cdef int64_t quiet_since        # monotonic_ms; means something while no request is under way
    cdef bint reading_paused
    cdef bint peer_ended            # it has sent all that it will
    cdef bint write_warns           # asyncio's transports log what is written to a reset connection
    cdef object block_reader        # the transport's protocol after a large read, or None
    cdef int64_t written            # bytes handed to the transport
    cdef int64_t taken              # of these, what was gone when write_link was queued
    cdef int stalls                 # so often in a row it was found that too little had moved
    cdef bint idle(self) except -1
    cdef int hand_over(self, bytes data) except -1
    cdef Lease lease(self)
    cdef int filled(self, Lease lease, Py_ssize_t n) except -1
    cdef int choose_reader(self) except -1
    cdef int open_channel(self, object server, str host) except -1
    cdef int secure_front(self) except -1
    cdef int write_expired(self) except -1
    cdef object __weakref__


cdef Connection new_connection(Shared shared, str scheme, object tls)
