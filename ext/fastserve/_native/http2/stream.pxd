"""A stream of HTTP/2 as the sink of its exchange, and what it asks of its connection."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from ..asgi.exchange cimport Exchange, Sink
from ..asgi.scope cimport ScopeTemplate
from ..buffer cimport WriteBuffer
from ..channel cimport Channel
from ..deadlines cimport Link, Pace
from ..outlet cimport Outlet
from ..shared cimport Shared
from .guard cimport Guard
from .heads cimport Priority, RequestHead
from .response_head cimport HeadWriter, ResponseHead
from .tunnel cimport Tunnel

cdef enum:
    WAITING_MOST = 65536            # bytes a stream holds before its application has to wait
    DIRECT_MOST = 65536             # bytes of a message that is written at once


# What carries streams.
cdef class Carrier(Channel):
    cdef Shared shared
    cdef Outlet outlet              # None once the connection is lost
    cdef ScopeTemplate template
    cdef HeadWriter heads
    cdef Guard guard
    cdef int64_t send_room          # what the peer's window for the connection still takes
    cdef uint32_t frame_most        # bytes of a frame that the peer takes
    cdef uint32_t ready_mask        # not 0: there are streams that could send
    cdef dict streams               # by their ids; those that are over are gone
    cdef int64_t moved              # bytes of what had waited, of all streams
    cdef bint peer_done             # the peer has half-closed

    cdef int send_data(self, Http2Stream stream, object data, Py_ssize_t n, bint ends) except -1
    cdef int write_data(self, Http2Stream stream, const char *p, Py_ssize_t n,
                        bint ends) except -1
    cdef int make_unready(self, Http2Stream stream) noexcept
    cdef int give_back(self, int64_t n) except -1
    cdef int answered(self, Http2Stream stream) except -1
    cdef int reset(self, Http2Stream stream, uint32_t code) except -1
    cdef int application_over(self, Http2Stream stream) except -1
    # Whether n bytes can be sent on the spot.
    cdef inline bint fits(self, Http2Stream stream, Py_ssize_t n) noexcept:
        return stream.waiting_n == 0 and (n == 0 or (
            n <= stream.send_room and n <= self.send_room and n <= DIRECT_MOST
            and not self.ready_mask and not self.outlet.writing_paused))


cdef class Http2Stream(Sink):
    cdef Carrier carrier
    cdef Exchange exchange
    cdef RequestHead head
    cdef Tunnel tunnel              # of an extended CONNECT, until it is denied; else None
    cdef dict scope                 # of an exchange whose application is yet to start
    cdef uint32_t id
    cdef bint remote_done           # END_STREAM has come
    cdef bint local_done            # END_STREAM is written
    cdef bint closed                # neither comes nor goes anything more
    cdef bint abandoned             # reset by its client, and its application goes on
    cdef bint continue_owed         # the client waits for 100 Continue
    cdef bint refused               # the server answers in the application's place
    # of the request's content
    cdef int64_t room               # what the client may send before it is granted more
    cdef int64_t window             # what it may have under way at most
    cdef int64_t charged            # what it has sent, by the count of flow control
    cdef int64_t granted            # of this, for what its window was opened again
    cdef int64_t returned           # and the connection's
    cdef Pace pace
    cdef Link body_link             # in WAIT_BODY while the application waits for it
    # of the response
    cdef ResponseHead held
    cdef list trailers              # checked, not yet written; None: none were announced
    cdef int64_t send_room          # what the peer's window still takes; below 0: it was lowered
    cdef list waiting               # content that is yet to be sent
    cdef Py_ssize_t offset          # of waiting[0], what was sent
    cdef Py_ssize_t waiting_n       # bytes
    cdef bint end_waiting           # nothing follows what waits
    cdef int64_t file_left          # bytes of a file that are announced and not read yet
    cdef uint8_t urgency
    cdef bint incremental
    cdef uint8_t ring               # the one that ready_link is in
    cdef Link ready_link
    cdef Link write_link            # in WAIT_WRITE while something waits
    cdef int64_t sent               # bytes of what had waited
    cdef int64_t taken              # of these, what was sent when write_link was queued
    cdef int64_t moved              # and what all streams had sent by then
    cdef int stalls                 # so often in a row it was found that too little had moved

    cdef bint answer_complete(self) noexcept
    cdef int set_priority(self, Priority priority) noexcept
    cdef int commit_head(self, Exchange exchange, Py_ssize_t n, bint more) except -1
    cdef int refuse(self, int status, str text, object headers) except -1
    cdef int answer(self, int status, str text, object headers) except -1
    cdef int take(self, bytes data) except -1
    cdef int take_end(self) except -1
    cdef int grant(self) except -1
    cdef int await_body(self) except -1
    cdef int move_waiting(self, WriteBuffer out, Py_ssize_t n) except -1
    cdef int watch(self) except -1
    cdef bint has_moved(self) noexcept
    cdef int wake(self) except -1
    cdef int drop_tunnel(self) except -1
    cdef int stop(self) except -1
