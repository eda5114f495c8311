"""What the connections of one event loop share."""

from libc.stdint cimport int64_t

from .access cimport AccessLog
from .admission cimport Admission
from .asgi.call cimport Call
from .board cimport Row
from .buffer cimport WriteBuffer
from .deadlines cimport DeadlineQueue, wall_seconds
from .forwarded cimport Trust
from .http1.parser cimport ParserLimits
from .http2.policy cimport Http2Policy
from .lease cimport Lease
from .request_ids cimport RequestIds
from .websocket.deflate cimport DeflatePolicy


# Kinds of deadline queue; a connection waits in at most one of WAIT_FIRST .. WAIT_HANDSHAKE,
# and besides in WAIT_SETTINGS and in WAIT_WRITE; a call of the application in one of the last two.
cdef enum:
    MAKE_ROOM = -1                  # no queue: of what expires because others need its place
    WAIT_NOTHING = 0
    WAIT_FIRST                      # for a connection's first byte
    WAIT_HEAD
    WAIT_IDLE                       # the first seconds of WAIT_KEEP_ALIVE
    WAIT_KEEP_ALIVE
    WAIT_BODY
    WAIT_LINGER
    WAIT_OPEN                       # for the application's word on a WebSocket
    WAIT_PING                       # until it is time for a ping
    WAIT_PONG
    WAIT_CLOSE                      # for the peer's close frame
    WAIT_HANDSHAKE                  # for the end of a TLS handshake
    WAIT_SETTINGS                   # for the acknowledgement of our settings (HTTP/2)
    WAIT_WRITE
    WAIT_REQUEST                    # for the end of the response
    WAIT_GRACE                      # for an application whose client has left


cdef class Shared:
    cdef readonly object app
    cdef readonly object loop
    cdef readonly object logger
    cdef object context             # copied for every request; None until set_context
    cdef dict state
    cdef str root_path
    cdef Trust trust                # whose fields of forwarding are believed
    cdef int64_t proxy_warned_ms    # monotonic_ms of the last warning of ProxyFront; 0: never
    cdef bint proxy_protocol        # every connection begins with a PROXY header of a trusted peer
    cdef ParserLimits limits
    cdef AccessLog access           # None: no access log
    cdef bint times_first           # a line tells when the response began
    cdef RequestIds request_ids     # None: requests have none
    cdef Row row                    # what is counted
    cdef bint clocked               # exchanges take the time: for the row, or the access log
    cdef tuple queues               # by their kinds, from WAIT_FIRST on
    cdef object tick_timer          # None while nothing can be due
    cdef bytes fixed_fields         # --header lines, serialised
    cdef bytes server_field         # b"server: ...\r\n" or empty
    cdef list fixed_pairs           # the same as pairs, their names in lower case
    cdef list server_pairs
    cdef char date_field[40]        # "date: <29 bytes>\r\n", 37 bytes
    cdef bytes date_text            # the 29 bytes; None: nobody has asked
    cdef int64_t date_second        # what date_field shows
    cdef bint date_wanted
    cdef bint draining              # answers carry Connection: close
    cdef bint restarting            # WebSockets are closed
    cdef Http2Policy http2          # None: HTTP/1.1 alone
    cdef bint websockets            # handshakes are taken; else such requests are as any other
    cdef Py_ssize_t ws_max_size
    cdef Py_ssize_t ws_max_queue
    cdef DeflatePolicy ws_deflate   # None: no compression
    cdef set open                   # every Connection between connection_made and connection_lost
    cdef Lease block                # for reads that are copied elsewhere at once; None: not yet needed
    cdef object server              # the last connection's own side, as in its scopes
    cdef set running                # calls whose application is suspended
    cdef Call starting              # whose application is in its first step, or None
    cdef int redirect_port          # where requests over plain HTTP are sent; 0: they are served
    cdef Admission admission        # None: nothing limits connections
    cdef object set_accepting       # callable(bool): pauses the listening, or goes on with it
    cdef bint short                 # of descriptors: the listening is paused
    cdef int limit_concurrency
    cdef int limit_connection_requests
    cdef int64_t min_rate           # bytes a second of a body or response under way; 0: any
    cdef int64_t rate_grace         # milliseconds of waiting before it counts
    cdef bint timed_requests        # WAIT_REQUEST is in use
    cdef double cancel_grace        # seconds for an application whose client has left; < 0: no end
    cdef int64_t limit_requests
    cdef int limit_handshakes       # 0: none
    cdef int handshakes             # TLS handshakes under way; each is in WAIT_HANDSHAKE
    cdef object on_max_requests
    cdef readonly int64_t requests
    cdef readonly int exchanges

    cdef int set_date(self, int64_t second) except -1
    # Have the date fields show the present second, which it returns.
    cdef inline int64_t keep_date(self) except -1:
        cdef int64_t now = wall_seconds()
        if now != self.date_second:
            self.set_date(now)
        return now

    cdef bytes date_value(self)
    cdef int set_fields(self, list pairs, bytes server_header) except -1
    cdef int write_default_fields(self, WriteBuffer out, bint date, bint server) except -1
    cdef int write_answer(self, WriteBuffer out, int status, str text, bint bodiless,
                          object headers=*) except -1
    cdef list answer_fields(self, int status, Py_ssize_t n, object headers)
    cdef int exchange_begins(self) except -1
    cdef int exchange_ends(self) except -1
    cdef int client_left(self, Call call, bint spared) except -1
    cdef int tell_overdue(self, Call call) except -1
    cdef bint close_oldest(self) except -1
    cdef int run_short(self) except -1
    cdef DeadlineQueue queue(self, int kind)
    cdef int arm_tick(self) except -1
    cdef int became_idle(self) except -1
