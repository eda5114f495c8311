"""The streams of a connection, RFC 9113 section 5: which there are, and how each ends."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from .heads cimport Priority, RequestHead
from .sending cimport Sending
from .stream cimport Http2Stream

cdef enum:
    EARLY_MOST = 16                 # priorities that are kept for streams yet to come
    KEPT_RESETS = 128               # streams that we have reset last, whose frames may still come
    MOST_WINDOW = 0x7fffffff        # RFC 9113 section 6.9.1


cdef class Streams(Sending):
    cdef uint32_t last              # the highest one that the client has opened
    cdef int served                 # how many there were
    cdef dict early                 # priorities of streams yet to come, by id; or None
    cdef int64_t peer_window        # SETTINGS_INITIAL_WINDOW_SIZE of the peer
    cdef int leaving                # GOAWAYs sent that announce the end: 0, 1 or 2
    cdef int abandoned              # applications that go on though their streams are over
    cdef uint32_t unread            # streams that ended since the transport takes nothing
    cdef bint processing            # frames are being read or written: this is no time for an end
    cdef bint held_up               # frames wait until the peer reads
    cdef bint closed                # nothing more is read or written
    # of the content of all requests
    cdef int64_t room               # what may come before more is granted
    cdef int64_t window             # what may be under way at most
    cdef int64_t owed               # what is not held any more, and not yet granted again
    cdef uint32_t[KEPT_RESETS] resets
    cdef uint32_t resets_n

    cdef Http2Stream open_stream(self, uint32_t id, RequestHead head)
    cdef int take_settings(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int expect(self, uint32_t id, Priority priority) except -1
    cdef int set_peer_window(self, int64_t size) except -1
    cdef Http2Stream find(self, uint32_t id)
    cdef bint is_idle(self, uint32_t id) noexcept
    cdef int check_opened(self, uint32_t id) except -1
    cdef int check_known(self, uint32_t id) except -1
    cdef bint was_reset(self, uint32_t id) noexcept
    cdef int send_reset(self, uint32_t id, uint32_t code) except -1
    cdef bint abandon(self, Http2Stream stream) except -1
    cdef int lose(self, Http2Stream stream, int status) except -1
    cdef int lose_all(self) except -1
    cdef int remove(self, Http2Stream stream) except -1
    cdef int log(self, Http2Stream stream, int status) except -1
    cdef int reject(self, object error) except -1
    cdef int cause(self, uint32_t code) noexcept
    cdef int fail(self, uint32_t code, str reason, int cause) except -1
    cdef int set_wait(self) except -1
