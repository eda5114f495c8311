"""The streams of a connection, RFC 9113 section 5: which there are, and how each ends.

A stream is in the table from its HEADERS until both sides have ended it, or one has reset it:
open while it is neither `remote_done` nor `local_done`, half-closed by one of them. Above `last`
a stream is idle; below and not in the table it is closed.
"""

from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastserve._native.errors import Http2Error

from ..asgi.call cimport Call
from ..asgi.exchange cimport RESPONSE_HELD, Exchange
from ..deadlines cimport monotonic_ms, unlink
from ..forwarded cimport Origin
from ..headers cimport block_of
from ..leaves cimport (FS_BOARD_ENDED_FLOOD, FS_BOARD_ENDED_LARGE, FS_BOARD_ENDED_OTHER,
                       FS_BOARD_RESET_ERROR, FS_BOARD_RESET_REFUSED, FS_H2_ENHANCE_YOUR_CALM,
                       FS_H2_FLOW_CONTROL_ERROR, FS_H2_HEADER_TABLE_SIZE,
                       FS_H2_INITIAL_WINDOW_SIZE, FS_H2_MAX_FRAME_SIZE, FS_H2_NO_ERROR,
                       FS_H2_PROTOCOL_ERROR, FS_H2_REFUSED_STREAM, FS_H2_SETTING_LEN,
                       FS_H2_STREAM_CLOSED, fs_h2_load16, fs_h2_load32)
from ..requests cimport LEFT, log_end, new_exchange
from ..shared cimport Shared
from .guard cimport GUARD_ERROR, GUARD_KINDS, GUARD_PRIORITY, GUARD_WINDOW
from .heads cimport Priority, RequestHead, default_priority
from .sending cimport Sending
from .stream cimport Http2Stream
from .writer cimport write_reset, write_window

cdef str _NO_METHOD = "-"
cdef bytes _NO_TARGET = b"-"


cdef class Streams(Sending):

    cdef int set_wait(self) except -1:
        """Choose the deadline that fits the state; the end is one of them."""
        raise NotImplementedError

    cdef int fail(self, uint32_t code, str reason, int cause) except -1:
        """End the connection for an error. cause: what the board counts, FS_BOARD_ENDED_..."""
        raise NotImplementedError

    cdef int writable(self) except -1:
        """Transports of asyncio are not to be closed inside this: they would end twice."""
        cdef Http2Stream stream
        cdef bint processing = self.processing
        self.unread = 0
        self.processing = True
        try:
            self.pump()
            for stream in list(self.streams.values()):
                stream.wake()
        finally:
            self.processing = processing
        if self.held_up or len(self.streams) == 0:
            return self.outlet.process_soon()
        return 0

    # Which there are -----------------------------------------------------------

    cdef Http2Stream find(self, uint32_t id):
        cdef object key
        cdef PyObject *found
        if len(self.streams) == 0:
            return None
        key = id
        found = PyDict_GetItem(self.streams, key)
        return None if found == NULL else <Http2Stream>found

    cdef bint is_idle(self, uint32_t id) noexcept:
        return id > self.last and self.leaving < 2 or id & 1 == 0

    cdef int check_opened(self, uint32_t id) except -1:
        """Of a frame that nobody takes: only idle streams get none, RFC 9113 section 5.1."""
        if self.is_idle(id):
            raise Http2Error(FS_H2_PROTOCOL_ERROR, "a frame of an idle stream")
        return 0

    cdef int check_known(self, uint32_t id) except -1:
        """The same of DATA: also a stream that is over gets none, unless we have ended it."""
        self.check_opened(id)
        if id <= self.last and not self.was_reset(id):
            raise Http2Error(FS_H2_STREAM_CLOSED, "DATA of a stream that is over")
        return 0

    cdef bint was_reset(self, uint32_t id) noexcept:
        """Whether we have reset it lately, of which the peer may not have known."""
        cdef uint32_t i
        for i in range(min(self.resets_n, KEPT_RESETS)):
            if self.resets[i] == id:
                return True
        return False

    cdef Http2Stream open_stream(self, uint32_t id, RequestHead head):
        """Enter a stream into the table, and begin its exchange. head None: it cannot be read."""
        cdef Shared shared = self.shared
        cdef Http2Stream stream = Http2Stream.__new__(Http2Stream)
        cdef Origin origin = None
        stream.carrier = self
        stream.id = id
        stream.send_room = self.peer_window
        stream.room = stream.window = shared.http2.stream_window
        if head is None:
            stream.set_priority(default_priority())
            stream.exchange = new_exchange(shared, stream, _NO_METHOD, _NO_TARGET, 20, None)
        else:
            stream.head = head
            stream.set_priority(head.priority)
            if head.forwarding & self.template.believed:
                origin = shared.trust.origin(block_of(head.pairs),
                                             head.forwarding & self.template.believed)
            shared.row.note_request(head.method, head.target)
            stream.exchange = new_exchange(shared, stream, head.method, head.target, 20, origin)
        stream.exchange.gone = self.peer_done
        if self.early and id in self.early:
            # RFC 9218 section 7.1: it goes before the field, which came at about the same time.
            stream.set_priority(self.early.pop(id))
        self.streams[id] = stream
        self.served += 1
        self.guard.earn(GUARD_WINDOW, 2)
        self.guard.earn(GUARD_PRIORITY, 2)
        if shared.limit_connection_requests and self.served >= shared.limit_connection_requests:
            self.drain()
        return stream

    cdef int take_settings(self, const uint8_t *p, Py_ssize_t n) except -1:
        """RFC 9113 section 6.5.2; every value is allowed, the reader has seen to it."""
        cdef Py_ssize_t at
        cdef uint32_t id, value
        for at in range(0, n, FS_H2_SETTING_LEN):
            id = fs_h2_load16(p + at)
            value = fs_h2_load32(p + at + 2)
            if id == FS_H2_HEADER_TABLE_SIZE:
                self.heads.encoder.limit(value)
            elif id == FS_H2_INITIAL_WINDOW_SIZE:
                self.set_peer_window(value)
            elif id == FS_H2_MAX_FRAME_SIZE:
                self.frame_most = value
        return 0

    cdef int expect(self, uint32_t id, Priority priority) except -1:
        """Keep the priority of a stream that is yet to come."""
        if id > self.last:
            if self.early is None:
                self.early = {}
            if len(self.early) < EARLY_MOST:
                self.early[id] = priority
        return 0

    cdef int set_peer_window(self, int64_t size) except -1:
        """RFC 9113 section 6.9.2: the change counts for every stream there is."""
        cdef Http2Stream stream
        cdef int64_t change = size - self.peer_window
        self.peer_window = size
        for stream in self.streams.values():
            stream.send_room += change
            if stream.send_room > MOST_WINDOW:
                raise Http2Error(FS_H2_FLOW_CONTROL_ERROR, "a stream's window overflows")
            if stream.send_room <= 0:
                self.make_unready(stream)
            else:
                self.make_ready(stream)
        return 0

    # How each ends -------------------------------------------------------------

    cdef int reject(self, object error) except -1:
        """What the peer did wrong costs the stream or the connection."""
        cdef Http2Stream stream
        if error.stream == 0 or self.is_idle(error.stream):
            # RFC 9113 section 6.4: an idle stream cannot be reset.
            return self.fail(error.code, error.reason, self.cause(error.code))
        self.shared.logger.debug("reset a stream of %s with error %d: %s",
                                 self.outlet.client_text().decode(), error.code, error.reason)
        self.shared.row.stream_reset(FS_BOARD_RESET_REFUSED if error.code == FS_H2_REFUSED_STREAM
                                     else FS_BOARD_RESET_ERROR)
        stream = self.find(error.stream)
        if stream is not None:
            self.reset(stream, error.code)
        else:
            self.send_reset(error.stream, error.code)
        try:
            self.guard.note(GUARD_ERROR, monotonic_ms())
        except Http2Error as excess:
            self.fail(excess.code, excess.reason, self.cause(excess.code))
        return 0

    cdef int cause(self, uint32_t code) noexcept:
        """What a connection error is counted as."""
        if self.guard.exceeded < GUARD_KINDS:
            return FS_BOARD_ENDED_FLOOD + self.guard.exceeded
        # The reader's: a block that it does not read to its end.
        return FS_BOARD_ENDED_LARGE if code == FS_H2_ENHANCE_YOUR_CALM else FS_BOARD_ENDED_OTHER

    cdef int send_reset(self, uint32_t id, uint32_t code) except -1:
        write_reset(self.outlet.buffer(), id, code)
        self.resets[self.resets_n % KEPT_RESETS] = id
        self.resets_n += 1
        if self.resets_n == 2 * KEPT_RESETS:
            self.resets_n = KEPT_RESETS
        return self.outlet.settle()

    cdef int reset(self, Http2Stream stream, uint32_t code) except -1:
        cdef Exchange exchange = stream.exchange
        cdef bint begun = exchange.state > RESPONSE_HELD and not exchange.gone
        self.send_reset(stream.id, code)
        return self.lose(stream, exchange.status if begun else LEFT)

    cdef int answered(self, Http2Stream stream) except -1:
        self.log(stream, stream.exchange.status)
        if not stream.remote_done:
            # RFC 9113 section 8.1: the rest of the request is not wanted.
            self.send_reset(stream.id, FS_H2_NO_ERROR)
        self.remove(stream)
        if stream.refused:
            self.abandon(stream)
        if self.outlet.writing_paused:
            self.unread += 1
        return self.set_wait()

    cdef bint abandon(self, Http2Stream stream) except -1:
        """Whether an application goes on for nobody. It counts as a stream until its end."""
        cdef Call call = stream.exchange.call()
        if call.task is None or call.ended:
            return False
        stream.abandoned = True
        self.abandoned += 1
        return True

    cdef int lose(self, Http2Stream stream, int status) except -1:
        """Nobody is there for a stream any more. `status`: for the log, if it had no whole answer."""
        cdef Exchange exchange = stream.exchange
        cdef bint unstarted = stream.scope is not None
        exchange.body_sent -= stream.file_left + stream.waiting_n
        self.log(stream, exchange.status if stream.answer_complete() else status)
        self.remove(stream)
        exchange.disconnect(True)
        if unstarted:
            unlink(&exchange.deadline)
            self.shared.exchange_ends()
        elif self.abandon(stream):
            self.shared.client_left(stream.exchange.call(), False)
        return self.set_wait()

    cdef int lose_stuck(self) except -1:
        """What waits for a window of a peer that is done waits for ever."""
        cdef Http2Stream stream
        for stream in list(self.streams.values()):
            if stream.waiting_n and (stream.send_room <= 0 or self.send_room <= 0):
                self.lose(stream, LEFT)
        return 0

    cdef int lose_all(self) except -1:
        cdef Http2Stream stream
        for stream in list(self.streams.values()):
            self.lose(stream, LEFT)
        return 0

    cdef int remove(self, Http2Stream stream) except -1:
        cdef int64_t held = stream.charged - stream.returned
        del self.streams[stream.id]
        stream.stop()
        return self.give_back(held) if held else 0

    cdef int give_back(self, int64_t n) except -1:
        """Open the connection's window again, in large steps; see `Http2Stream.grant`."""
        cdef int64_t more = 0
        self.owed += n
        if self.owed * 2 < self.window or self.closed:
            return 0
        if self.room * 4 < self.window:
            more = min(self.window, self.shared.http2.most_connection_window - self.window)
            self.window += more
        self.room += self.owed + more
        write_window(self.outlet.buffer(), 0, <uint32_t>(self.owed + more))
        self.owed = 0
        return self.outlet.settle()

    cdef int application_over(self, Http2Stream stream) except -1:
        if stream.abandoned:
            self.abandoned -= 1
        return 0

    cdef int log(self, Http2Stream stream, int status) except -1:
        if stream.tunnel is not None and stream.tunnel.channel is not None:
            # The WebSocket has a line of its own.
            return 0
        return log_end(self.shared, stream.exchange, self.outlet, self.template, status,
                       None if stream.head is None else stream.head.pairs, stream.pace.come)
