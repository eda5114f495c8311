"""HTTP/2 over a connection, RFC 9113: frames in, streams, frames out.

`process` is the one loop over frames; it never runs with an application on the stack. A stream's
application is started when the end of its request is there, or at the end of the read that
brought its head.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from fastserve._native.errors import Http2Error, ParseError

from ..asgi.scope cimport ScopeTemplate
from ..deadlines cimport monotonic_ms, unlink
from ..leaves cimport *
from ..outlet cimport Outlet
from ..requests cimport LEFT, admit, complete_scope, start_application
from ..shared cimport (WAIT_FIRST, WAIT_HEAD, WAIT_IDLE, WAIT_KEEP_ALIVE, WAIT_NOTHING,
                       WAIT_SETTINGS, Shared)
from .frames cimport (H2_DATA, H2_GOAWAY, H2_HEADERS, H2_MORE, H2_PING, H2_PING_ACK, H2_PRIORITY,
                      H2_PRIORITY_UPDATE, H2_RESET, H2_SETTINGS, H2_SETTINGS_ACK, H2_UNKNOWN,
                      H2_WINDOW, FrameReader, H2Event)
from .guard cimport (GUARD_EMPTY, GUARD_PING, GUARD_PRIORITY, GUARD_RESET, GUARD_SETTINGS,
                     GUARD_UNKNOWN, GUARD_WINDOW, Guard)
from .heads cimport HeadReader, Priority, RequestHead, default_priority, read_priority
from .hpack_decoder cimport HpackDecoder
from .policy cimport Http2Policy
from .response_head cimport HeadWriter
from .stream cimport Http2Stream
from .stream_outlet cimport offer_tunnel
from .streams cimport MOST_WINDOW, Streams
from .writer cimport write_goaway, write_ping, write_preface, write_settings_ack

cdef enum:
    DEFAULT_WINDOW = 65535          # RFC 9113 section 6.5.2
    DEFAULT_FRAME = 16384
    MOST_STREAM = 0x7fffffff

# What our PING of a drain carries.
cdef const char *DRAINING = b"draining"


@cython.final
cdef class Http2Channel(Streams):

    def __init__(self, Shared shared, Outlet outlet, ScopeTemplate template):
        cdef Http2Policy policy = shared.http2
        self.shared = shared
        self.outlet = outlet
        self.template = template
        self.takes_blocks = True
        self.reader = FrameReader(policy.frame_size, shared.limits.head.head)
        self.requests = HeadReader(shared.limits, HpackDecoder(),
                                   protocols=shared.websockets)
        self.heads = HeadWriter(shared)
        self.guard = Guard(policy)
        self.streams = {}
        self.unstarted = []
        self.send_room = self.peer_window = DEFAULT_WINDOW
        self.frame_most = DEFAULT_FRAME
        self.window = self.room = policy.connection_window

    def __dealloc__(self):
        unlink(&self.settings_link)

    cdef int begin(self) except -1:
        """Our preface, RFC 9113 section 3.4: the settings, and the window of the connection."""
        cdef Http2Policy policy = self.shared.http2
        self.shared.row.http2_began()
        write_preface(self.outlet.buffer(), policy, self.shared.limits.head.head,
                      self.shared.websockets)
        self.settings_link.owner = <void *>self
        self.shared.queue(WAIT_SETTINGS).add(&self.settings_link, monotonic_ms())
        self.shared.arm_tick()
        if self.shared.draining:
            self.drain()
        return self.outlet.settle()

    cdef int begin_upgraded(self, RequestHead head, bytes settings) except -1:
        """After 101 to an Upgrade: h2c, RFC 7540 section 3.2: that request is stream 1."""
        cdef Http2Stream stream
        self.begin()
        self.take_settings(<const uint8_t *>PyBytes_AS_STRING(settings),
                           PyBytes_GET_SIZE(settings))
        self.last = 1
        stream = self.open_stream(1, head)
        if self.fill_scope(stream, head):
            stream.take_end()
            return self.start(stream)
        return 0

    # From the connection -----------------------------------------------------

    cdef int data_received(self, bytes data) except -1:
        return self.block_received(data, PyBytes_GET_SIZE(data))

    cdef int block_received(self, bytes block, Py_ssize_t n) except -1:
        if self.closed:
            return 0
        self.reader.give(block, n)
        return self.take_read()

    cdef int take_read(self) except -1:
        try:
            self.process()
        finally:
            self.reader.stash()
        return self.set_wait()

    cdef int process(self) except -1:
        cdef Http2Stream stream
        self.processing = True
        try:
            while not self.closed:
                try:
                    self.take_events()
                    break
                except Http2Error as error:
                    self.reject(error)
            while self.unstarted and not self.closed:
                stream = self.unstarted.pop(0)
                if stream.scope is not None:
                    self.start(stream)
        finally:
            self.processing = False
        return self.pump()

    cdef int take_events(self) except -1:
        """All frames there are. A peer that reads no answers gets no more than it may have streams:
        heads are under no flow control, and the transport holds whatever is written."""
        cdef H2Event event
        cdef uint32_t most = self.shared.http2.max_streams
        while not self.closed:
            if self.unread >= most:
                self.held_up = True
                return self.outlet.pause_reading()
            event = self.reader.next()
            if event == H2_HEADERS:
                self.take_headers()
            elif event == H2_DATA:
                self.take_data()
            elif event == H2_WINDOW:
                self.take_window()
            elif event == H2_MORE:
                return 0
            else:
                self.take_control(event)
            self.events += 1
        return 0

    cdef int eof_received(self) except -1:
        """The peer will send no more; it may still read what it asked for and has room for."""
        cdef Http2Stream stream
        self.peer_done = True
        self.lose_stuck()
        for stream in list(self.streams.values()):
            if stream.closed:
                continue
            if stream.tunnel is not None:
                stream.tunnel.peer_left()
            else:
                stream.exchange.disconnect(False)
                self.shared.client_left(stream.exchange.call(), False)
        return self.set_wait()

    cdef int connection_lost(self) except -1:
        self.closed = True
        unlink(&self.settings_link)
        self.lose_all()
        self.outlet = None
        return 0

    cdef int process_later(self) except -1:
        """Go on with what has come, for the peer reads again."""
        if self.closed:
            return 0
        self.held_up = False
        self.outlet.resume_reading()
        return self.take_read()

    cdef int timed_out(self, int kind) except -1:
        if self.closed:
            return 0
        if kind == WAIT_IDLE:
            # Hold no more memory than waiting takes; the tables are the peer's as well.
            self.requests.forget()
            self.heads.forget()
            return self.outlet.wait_for(WAIT_KEEP_ALIVE)
        if kind == WAIT_HEAD and self.heard:
            return self.fail(FS_H2_ENHANCE_YOUR_CALM, "a frame took too long",
                             FS_BOARD_ENDED_SLOW)
        return self.leave()

    cdef int expired(self, int kind) except -1:
        """WAIT_SETTINGS: the peer does not acknowledge our settings, or our PING of a drain."""
        if self.closed:
            return 0
        if not self.acknowledged:
            self.fail(FS_H2_SETTINGS_TIMEOUT, "settings were not acknowledged",
                      FS_BOARD_ENDED_SLOW)
        elif self.leaving == 1:
            self.say_last()
        return self.outlet.flush()

    cdef bint idle(self) noexcept:
        return (not self.closed and len(self.streams) == 0 and not self.reader.begun
                and not self.held_up)

    cdef int leave(self) except -1:
        self.say_last()
        if not self.closed:
            self.closed = True
            self.outlet.close(False)
        return 0

    cdef int drain(self) except -1:
        """RFC 9113 section 6.8: announce the end, and tell the last stream a round trip later."""
        if self.leaving or self.closed:
            return 0
        self.leaving = 1
        write_goaway(self.outlet.buffer(), MOST_STREAM, FS_H2_NO_ERROR, b"")
        write_ping(self.outlet.buffer(), <const uint8_t *>DRAINING, False)
        if self.settings_link.before == NULL:
            self.shared.queue(WAIT_SETTINGS).add(&self.settings_link, monotonic_ms())
            self.shared.arm_tick()
        return self.outlet.settle()

    cdef int say_last(self) except -1:
        """No stream above the last one is served; the connection ends with those that are."""
        if self.leaving < 2:
            self.leaving = 2
            unlink(&self.settings_link)
            write_goaway(self.outlet.buffer(), self.last, FS_H2_NO_ERROR, b"")
            self.outlet.settle()
        return self.set_wait()

    cdef int set_wait(self) except -1:
        """Choose the deadline that fits the state; the end is one of them."""
        if self.closed or self.processing:
            return 0
        if self.held_up:
            # The deadline of writing is what counts.
            return self.outlet.wait_for(WAIT_NOTHING)
        if len(self.streams) == 0 and (self.leaving == 2 or self.peer_done):
            self.closed = True
            unlink(&self.settings_link)
            return self.outlet.close(False)
        if self.reader.begun:
            if self.events != self.events_before:
                # It is another frame than the one that was waited for.
                self.events_before = self.events
                self.outlet.wait_for(WAIT_NOTHING)
            return self.outlet.wait_for(WAIT_HEAD)
        if len(self.streams):
            return self.outlet.wait_for(WAIT_NOTHING)
        return self.outlet.wait_for(WAIT_IDLE if self.served else WAIT_FIRST)

    # Frames ------------------------------------------------------------------

    cdef int take_headers(self) except -1:
        cdef FrameReader reader = self.reader
        cdef uint32_t id = reader.stream
        cdef Http2Stream stream = self.find(id)
        if stream is not None:
            return self.take_trailers(stream)
        if id & 1 == 0:
            raise Http2Error(FS_H2_PROTOCOL_ERROR, "a client's streams have odd numbers")
        if id <= self.last:
            if not self.was_reset(id):
                raise Http2Error(FS_H2_STREAM_CLOSED, "HEADERS of a stream that is over")
            return self.requests.skip(reader.content, reader.size)
        if self.leaving == 2:
            return self.requests.skip(reader.content, reader.size)
        self.last = id
        return self.begin_request(id, reader.ends)

    cdef int take_trailers(self, Http2Stream stream) except -1:
        """They are checked, and nothing of ASGI takes them."""
        cdef FrameReader reader = self.reader
        if stream.tunnel is not None:
            self.requests.skip(reader.content, reader.size)
            # RFC 9113 section 8.5.
            raise Http2Error(FS_H2_PROTOCOL_ERROR, "HEADERS inside a tunnel", stream.id)
        if stream.remote_done:
            self.requests.skip(reader.content, reader.size)
            raise Http2Error(FS_H2_STREAM_CLOSED, "HEADERS behind the end of a request", stream.id)
        try:
            self.requests.read_trailers(reader.content, reader.size, stream.id)
        except ParseError as error:
            stream.remote_done = reader.ends
            return stream.refuse(error.status, error.reason, error.headers)
        if not reader.ends:
            raise Http2Error(FS_H2_PROTOCOL_ERROR, "trailers that end nothing", stream.id)
        return self.end_body(stream)

    cdef int take_data(self) except -1:
        cdef FrameReader reader = self.reader
        cdef Http2Stream stream
        if reader.charged:
            self.room -= reader.charged
            if self.room < 0:
                raise Http2Error(FS_H2_FLOW_CONTROL_ERROR, "more than the connection's window")
        stream = self.find(reader.stream)
        if stream is None or stream.remote_done:
            self.give_back(reader.charged)
            if stream is not None:
                raise Http2Error(FS_H2_STREAM_CLOSED, "DATA behind the end of a request",
                                 reader.stream)
            return self.check_known(reader.stream)
        if reader.charged:
            stream.room -= reader.charged
            stream.charged += reader.charged
            if stream.room < 0:
                raise Http2Error(FS_H2_FLOW_CONTROL_ERROR, "more than the stream's window",
                                 reader.stream)
        if reader.size:
            self.take_content(stream)
        elif not reader.ends:
            self.guard.note(GUARD_EMPTY, monotonic_ms())
        if reader.ends and not stream.closed:
            self.end_body(stream)
        return 0

    cdef int take_content(self, Http2Stream stream) except -1:
        cdef FrameReader reader = self.reader
        cdef int64_t come = stream.pace.come + reader.size
        if stream.refused:
            # It is for nobody any more, and the stream may have no head.
            return 0
        if stream.head.length >= 0 and come > stream.head.length:
            raise Http2Error(FS_H2_PROTOCOL_ERROR, "more content than content-length tells",
                             stream.id)
        if (self.shared.limits.body and <uint64_t>come > self.shared.limits.body
                and stream.tunnel is None):
            # RFC 9110 15.5.14.
            return stream.refuse(413, "request body too large", ())
        return stream.take(PyBytes_FromStringAndSize(<const char *>reader.content, reader.size))

    cdef int take_window(self) except -1:
        cdef FrameReader reader = self.reader
        cdef Http2Stream stream
        self.guard.note(GUARD_WINDOW, monotonic_ms())
        if reader.stream == 0:
            self.send_room += reader.value
            if self.send_room > MOST_WINDOW:
                raise Http2Error(FS_H2_FLOW_CONTROL_ERROR, "the connection's window overflows")
            return 0
        stream = self.find(reader.stream)
        if stream is None:
            return self.check_opened(reader.stream)
        stream.send_room += reader.value
        if stream.send_room > MOST_WINDOW:
            raise Http2Error(FS_H2_FLOW_CONTROL_ERROR, "a stream's window overflows",
                             reader.stream)
        return self.make_ready(stream)

    cdef int take_control(self, H2Event event) except -1:
        cdef FrameReader reader = self.reader
        if event == H2_SETTINGS:
            self.guard.note(GUARD_SETTINGS, monotonic_ms())
            self.heard = True
            self.take_settings(reader.content, reader.size)
            write_settings_ack(self.outlet.buffer())
        elif event == H2_SETTINGS_ACK:
            self.guard.note(GUARD_SETTINGS, monotonic_ms())
            if not self.acknowledged:
                # RFC 9113 section 6.5.3: what is larger or smaller than at first holds from now on.
                self.requests.decoder.limit(self.shared.http2.table_size)
            self.acknowledged = True
            if self.leaving != 1:
                unlink(&self.settings_link)
        elif event == H2_PING:
            self.guard.note(GUARD_PING, monotonic_ms())
            write_ping(self.outlet.buffer(), reader.content, True)
        elif event == H2_PING_ACK:
            if self.leaving == 1 and memcmp(reader.content, DRAINING, 8) == 0:
                return self.say_last()
            self.guard.note(GUARD_PING, monotonic_ms())
        elif event == H2_RESET:
            self.take_reset()
        elif event == H2_PRIORITY_UPDATE:
            self.guard.note(GUARD_PRIORITY, monotonic_ms())
            self.take_priority()
        elif event == H2_PRIORITY:
            # RFC 9113 section 5.3.2: deprecated, and of no effect.
            self.guard.note(GUARD_PRIORITY, monotonic_ms())
        elif event == H2_UNKNOWN:
            self.guard.note(GUARD_UNKNOWN, monotonic_ms())
        elif event == H2_GOAWAY:
            self.guard.note(GUARD_UNKNOWN, monotonic_ms())
            if reader.value != FS_H2_NO_ERROR:
                self.shared.logger.debug("an HTTP/2 client says goodbye with error %d: %s",
                                         reader.value, self.outlet.client_text().decode())
        return 0

    cdef int take_reset(self) except -1:
        cdef Http2Stream stream = self.find(self.reader.stream)
        if stream is None:
            self.guard.note(GUARD_EMPTY, monotonic_ms())
            return self.check_opened(self.reader.stream)
        if not stream.local_done and not (
                stream.remote_done and stream.answer_complete()):
            self.guard.note(GUARD_RESET, monotonic_ms())
        self.shared.row.stream_reset(FS_BOARD_RESET_CLIENT)
        return self.lose(stream, LEFT)

    cdef int take_priority(self) except -1:
        """RFC 9218 section 7.1."""
        cdef FrameReader reader = self.reader
        cdef Http2Stream stream = self.find(reader.stream)
        cdef Priority priority = default_priority()
        read_priority(reader.content, reader.size, &priority)
        if stream is not None:
            self.make_unready(stream)
            stream.set_priority(priority)
            return self.make_ready(stream)
        return self.expect(reader.stream, priority)

    # Requests ----------------------------------------------------------------

    cdef int begin_request(self, uint32_t id, bint ends) except -1:
        cdef FrameReader reader = self.reader
        cdef RequestHead head
        cdef Http2Stream stream
        if len(self.streams) + self.abandoned >= self.shared.http2.max_streams:
            self.requests.skip(reader.content, reader.size)
            raise Http2Error(FS_H2_REFUSED_STREAM, "too many streams", id)
        try:
            head = self.requests.read(reader.content, reader.size, id, ends)
        except ParseError as error:
            stream = self.open_stream(id, None)
            stream.remote_done = ends
            return stream.refuse(error.status, error.reason, error.headers)
        stream = self.open_stream(id, head)
        if not self.fill_scope(stream, head):
            return 0
        if ends:
            self.end_body(stream)
        else:
            stream.exchange.metered = True
            stream.continue_owed = head.expect_continue
            self.unstarted.append(stream)
        return 0

    cdef int fill_scope(self, Http2Stream stream, RequestHead head) except -1:
        """Make the scope of a request that is served: 1; or answer it: 0."""
        cdef Shared shared = self.shared
        cdef list headers = head.copy()
        try:
            if shared.limits.body and head.length > <int64_t>shared.limits.body:
                raise ParseError(413, "request body too large")
            admit(shared, self.template, stream.exchange, headers, head.host_at, head.raw_path,
                  head.query_string, head.protocol is not None)
            if head.protocol is not None:
                stream.scope = offer_tunnel(stream, headers)
            else:
                stream.scope = self.template.http(head.method, "2", head.raw_path,
                                                  head.path_escaped, head.query_string, headers)
        except ParseError as error:
            stream.refuse(error.status, error.reason, error.headers)
            return 0
        complete_scope(self.template, stream.exchange, stream.scope, head.raw_path,
                       head.path_escaped)
        return 1

    cdef int end_body(self, Http2Stream stream) except -1:
        if stream.refused:
            # Nobody counts what comes behind the answer.
            stream.remote_done = True
            return 0
        if stream.head is not None and 0 <= stream.head.length != stream.pace.come:
            # RFC 9113 section 8.1.1.
            raise Http2Error(FS_H2_PROTOCOL_ERROR, "less content than content-length tells",
                             stream.id)
        stream.take_end()
        if stream.scope is not None:
            self.start(stream)
        return 0

    cdef int start(self, Http2Stream stream) except -1:
        cdef dict scope = stream.scope
        stream.scope = None
        return start_application(self.shared, stream.exchange, scope, self.peer_done)

    cdef int fail(self, uint32_t code, str reason, int cause) except -1:
        """A connection error, RFC 9113 section 5.4.1."""
        cdef Outlet outlet = self.outlet
        self.closed = True
        self.shared.row.http2_failed(cause)
        unlink(&self.settings_link)
        self.shared.logger.debug("ended an HTTP/2 connection of %s with error %d: %s",
                                 outlet.client_text().decode(), code, reason)
        write_goaway(outlet.buffer(), self.last, code, reason.encode())
        self.lose_all()
        return outlet.close(True)
