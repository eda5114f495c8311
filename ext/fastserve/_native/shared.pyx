"""What the connections of one event loop share.

The application, limits, deadline queues, default response fields, access log and
counters. One tick a second sweeps the queues; it runs only while something can be due.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

import asyncio
import contextvars

from fastserve._native.asgi.call import printable, stack_of

from .access cimport AccessLog
from .admission cimport Admission
from .asgi.call cimport Call
from .board cimport Row
from .buffer cimport WriteBuffer
from .deadlines cimport DeadlineQueue, monotonic_ms
from .fields cimport ResponseFacts, lower_fields
from .forwarded cimport Trust
from .http1.parser cimport ParserLimits
from .http1.writer cimport status_line, write_pairs
from .http2.policy cimport Http2Policy
from .leaves cimport FS_DATE_LEN, fs_date_http
from .request_ids cimport RequestIds
from .websocket.deflate cimport DeflatePolicy

TICK = 1.0

# How long a peer may take to read a last answer before the connection is cut, in seconds.
LINGER = 5.0

# After so many seconds without a request a connection gives back what it keeps for the next one.
IDLE = 2.0

# For queues without a limit, whose order tells who is the oldest: three years, in seconds.
FOREVER = 1e8

# Seconds that a body may be waited for before its rate counts.
RATE_GRACE = 5.0

# What an application has at the end of a WebSocket to tidy up before it is cancelled, in seconds.
LEAST_GRACE = 1.0


cdef class Shared:

    def __init__(self, app, *, loop, logger, access_write=None, bint access_colour=False,
                 access_format=None, access_skip=(), bint request_id=False, str root_path="",
                 forwarded_headers=(), forwarded_allow_ips=(), int forwarded_hops=0,
                 bint forwarded_anybody=False,
                 bint proxy_protocol=False, response_headers=(), bytes server_header=b"fastserve",
                 bint date_header=True, limit_request_line=8192, limit_request_field=16384,
                 limit_request_head=65536, limit_request_fields=100, limit_request_body=0,
                 limit_request_trailers=8192, limit_connections=0, limit_connections_per_client=0,
                 most_descriptors=0, set_accepting=None,
                 limit_concurrency=0, limit_connection_requests=0,
                 limit_min_rate=240, limit_max_requests=0,
                 on_max_requests=None, redirect_port=0, double timeout_keep_alive=75.0,
                 double timeout_first_byte=10.0, double timeout_request_head=30.0,
                 double timeout_request_body=30.0, double timeout_write=30.0,
                 double timeout_request=0.0, cancel_on_disconnect=None, Row row=None,
                 bint timed=False, websockets=True,
                 ws_max_size=16777216, ws_max_queue=32, ws_per_message_deflate=True,
                 ws_deflate_threshold=128, ws_deflate_level=1, ws_deflate_window=12,
                 ws_deflate_context=True, double ws_ping_interval=20.0,
                 double ws_ping_timeout=20.0, double ws_handshake_timeout=30.0,
                 double ws_close_timeout=10.0, double timeout_handshake=10.0,
                 limit_handshakes=1000, Http2Policy http2=None):
        self.app = app
        self.loop = loop
        self.logger = logger
        self.root_path = root_path
        self.trust = Trust(forwarded_allow_ips, forwarded_hops, forwarded_headers,
                           forwarded_anybody)
        self.proxy_protocol = proxy_protocol
        self.limits = ParserLimits(
            line=limit_request_line, field=limit_request_field, head=limit_request_head,
            fields=limit_request_fields, body=limit_request_body,
            trailers=limit_request_trailers)
        if access_write is not None:
            self.access = AccessLog(loop, access_write, access_colour, access_format,
                                    access_skip)
            self.times_first = self.access.format.wants_first_byte
        if request_id:
            self.request_ids = RequestIds()
        self.row = Row() if row is None else row
        self.clocked = timed or access_write is not None
        # The wait between exchanges has two stages. Without an end the second is a queue all the
        # same: it knows who has been idle for longest.
        idle = min(IDLE, timeout_keep_alive) or IDLE
        keep_alive = max(timeout_keep_alive - idle, 0.001) if timeout_keep_alive else FOREVER
        self.queues = tuple([DeadlineQueue(kind, seconds) for kind, seconds in (
            (WAIT_FIRST, timeout_first_byte), (WAIT_HEAD, timeout_request_head),
            (WAIT_IDLE, idle), (WAIT_KEEP_ALIVE, keep_alive),
            (WAIT_BODY, timeout_request_body), (WAIT_LINGER, LINGER),
            (WAIT_OPEN, ws_handshake_timeout), (WAIT_PING, ws_ping_interval),
            (WAIT_PONG, ws_ping_timeout), (WAIT_CLOSE, ws_close_timeout),
            (WAIT_HANDSHAKE, timeout_handshake or FOREVER),
            (WAIT_SETTINGS, 0 if http2 is None else http2.settings_timeout),
            # Writing is looked at twice in its time, see Connection.write_expired.
            (WAIT_WRITE, timeout_write / 2), (WAIT_REQUEST, timeout_request),
            (WAIT_GRACE, cancel_on_disconnect or LEAST_GRACE))])
        self.timed_requests = timeout_request > 0
        self.cancel_grace = -1 if cancel_on_disconnect is None else cancel_on_disconnect
        self.http2 = http2
        self.websockets = websockets
        self.ws_max_size = ws_max_size
        self.ws_max_queue = ws_max_queue
        if ws_per_message_deflate:
            self.ws_deflate = DeflatePolicy(
                threshold=ws_deflate_threshold, level=ws_deflate_level, window=ws_deflate_window,
                keep_context=ws_deflate_context)
        self.set_fields(list(response_headers), server_header)
        self.date_wanted = date_header
        self.date_second = -1
        self.admission = Admission(
            logger, limit=limit_connections, per_client=limit_connections_per_client,
            most_descriptors=most_descriptors)
        if not self.admission.active:
            self.admission = None
        self.set_accepting = set_accepting
        self.limit_concurrency = limit_concurrency
        self.limit_connection_requests = limit_connection_requests
        self.min_rate = limit_min_rate
        self.rate_grace = <int64_t>(RATE_GRACE * 1000)
        self.limit_requests = limit_max_requests
        self.limit_handshakes = limit_handshakes
        self.on_max_requests = on_max_requests
        self.redirect_port = redirect_port
        self.open = set()
        self.running = set()
        self.context = contextvars.copy_context()

    cdef int set_fields(self, list pairs, bytes server_header) except -1:
        """The operator's fields and the server's own: as lines for HTTP/1, as pairs for HTTP/2."""
        cdef WriteBuffer fields = WriteBuffer()
        cdef ResponseFacts facts
        write_pairs(fields, pairs)
        self.fixed_fields = fields.take()
        self.fixed_pairs = lower_fields(pairs, False, &facts)
        self.server_pairs = [] if server_header is None else [(b"server", server_header)]
        write_pairs(fields, self.server_pairs)
        self.server_field = fields.take()
        return 0

    def set_context(self, context, dict state):
        """Once, after lifespan startup: what every request's context and state are copied from."""
        self.context = context
        self.state = state

    def request_line(self, task):
        """"GET /path" of the exchange whose application runs as `task`, or None.

        From any thread, in the application's very first step too.
        """
        cdef Call call
        cdef Call starting = self.starting
        if task is None:
            return None
        for call in list(self.running):
            if call.task is task:
                return f"{call.method} {printable(call.target)}"
        # The exchange knows its task only after the first step.
        if starting is not None and asyncio.current_task(self.loop) is task:
            return f"{starting.method} {printable(starting.target)}"
        return None

    cdef int set_date(self, int64_t second) except -1:
        memcpy(self.date_field, b"date: ", 6)
        fs_date_http(<uint8_t *>self.date_field + 6, second)
        memcpy(self.date_field + 6 + FS_DATE_LEN, b"\r\n", 2)
        self.date_text = None
        self.date_second = second
        return 0

    cdef bytes date_value(self):
        """The value of Date as of the last `keep_date`."""
        if self.date_text is None:
            self.date_text = PyBytes_FromStringAndSize(self.date_field + 6, FS_DATE_LEN)
        return self.date_text

    cdef int write_default_fields(self, WriteBuffer out, bint date, bint server) except -1:
        """The fields every response gets: Date, Server, and the operator's own."""
        if date and self.date_wanted:
            self.keep_date()
            out.write(self.date_field, 8 + FS_DATE_LEN)
        if server:
            out.write(PyBytes_AS_STRING(self.server_field), PyBytes_GET_SIZE(self.server_field))
        out.write(PyBytes_AS_STRING(self.fixed_fields), PyBytes_GET_SIZE(self.fixed_fields))
        return 0

    cdef int write_answer(self, WriteBuffer out, int status, str text, bint bodiless,
                          object headers=()) except -1:
        """A whole response of the server's own, with Connection: close unless `headers` has it."""
        cdef bytes line = status_line(status)
        cdef bytes body = (text + "\n").encode()
        out.write(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        self.write_default_fields(out, True, True)
        write_pairs(out, self.answer_fields(status, len(body), headers))
        if not any(name == b"connection" for name, _ in headers):
            write_pairs(out, [(b"connection", b"close")])
        out.write(b"\r\n", 2)
        if not bodiless:
            out.write(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        return 0

    cdef list answer_fields(self, int status, Py_ssize_t n, object headers):
        """The fields of an answer of the server's own, whose body is a line of n bytes."""
        cdef list fields = [(b"content-type", b"text/plain; charset=utf-8"),
                            (b"content-length", b"%d" % n), *headers]
        if status == 503:
            fields.append((b"retry-after", b"1"))
        return fields

    cdef int exchange_begins(self) except -1:
        self.exchanges += 1
        self.requests += 1
        self.row.exchange_begins()
        if self.requests == self.limit_requests and self.on_max_requests is not None:
            self.loop.call_soon(self.on_max_requests)
        return 0

    cdef int exchange_ends(self) except -1:
        """Response and application are both over."""
        self.exchanges -= 1
        self.row.exchange_ends()
        if self.exchanges == 0:
            self.became_idle()
        return 0

    cdef int client_left(self, Call call, bint spared) except -1:
        """The client of a call has left: the policy of --cancel-on-disconnect.

        `spared`: its application is owed some time in any case.
        """
        cdef DeadlineQueue queue
        cdef int64_t now
        if self.cancel_grace < 0 or call.task is None:
            return 0
        if self.cancel_grace == 0 and not spared:
            return call.cancel()
        queue = self.queue(WAIT_GRACE)
        now = monotonic_ms()
        if call.deadline.before == NULL or call.deadline.due > now + queue.span:
            call.deadline.owner = <void *>call
            queue.add(&call.deadline, now)
            self.arm_tick()
        return 0

    cdef int tell_overdue(self, Call call) except -1:
        """Log where the application of a request stands whose time is up."""
        self.logger.warning(
            "a request has taken longer than %g s (--timeout-request) and is cancelled: %s %s\n%s",
            self.queue(WAIT_REQUEST).span / 1000.0, call.method, printable(call.target),
            stack_of(call.task))
        return 0

    cdef bint close_oldest(self) except -1:
        """Hook: close the connection that has been idle for longest. False if there is none."""
        return False

    cdef int run_short(self) except -1:
        """Too many descriptors are in use: idle connections go, or none is accepted."""
        self.admission.measure(<int>len(self.open))
        while self.admission.excess() > 0 and self.close_oldest():
            pass
        if self.admission.excess() <= 0 or self.short or self.set_accepting is None:
            return 0
        self.short = True
        self.admission.tell("descriptors run short (the limit is a process's: ulimit -n): accepting "
                            "waits until some of %d connections have ended", (len(self.open),))
        self.set_accepting(False)
        return self.arm_tick()

    def _look_for_room(self):
        """Accept again if there are descriptors enough."""
        if self.short and self.admission.excess() < 0:
            self.short = False
            self.set_accepting(True)

    cdef int became_idle(self) except -1:
        """Hook: there may be nothing left to wait for."""
        return 0

    cdef DeadlineQueue queue(self, int kind):
        return <DeadlineQueue>self.queues[kind - WAIT_FIRST]

    cdef int arm_tick(self) except -1:
        if self.tick_timer is None:
            self.tick_timer = self.loop.call_later(TICK, self._tick)
        return 0

    def _tick(self):
        cdef int64_t now = monotonic_ms()
        cdef DeadlineQueue queue
        cdef bint busy = False
        self.tick_timer = None
        if self.short:
            self.admission.measure(<int>len(self.open))
            # Those who wait to be accepted come before those who may never ask again.
            while self.admission.excess() >= 0 and self.close_oldest():
                pass
            self._look_for_room()
            busy = self.short
        for queue in self.queues:
            try:
                queue.sweep(now)
            except Exception as error:
                self.logger.error("error while closing a connection that timed out",
                                  exc_info=error)
            busy = busy or not queue.empty()
        if busy:
            self.arm_tick()
