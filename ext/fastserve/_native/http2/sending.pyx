"""The sending half of HTTP/2: a stream as the sink of its exchange, and who sends next.

Content that fits both windows is written at once. What does not waits with its stream, as
the application gave it, and is made into frames when there is room: by urgency (RFC 9218),
among equals in turn, or one after the other where their client asked for that.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t

import os

from fastserve._native.errors import ClientDisconnected

from ..asgi.call cimport DRAIN, new_wait
from ..asgi.exchange cimport RESPONSE_BODY, RESPONSE_COMPLETE, RESPONSE_HELD, RESPONSE_NONE
from ..asgi.exchange cimport Exchange, Sink
from ..buffer cimport WriteBuffer
from ..channel cimport Channel
from ..deadlines cimport DeadlineQueue, Link, monotonic_ms, monotonic_us, too_slow, unlink
from ..leaves cimport (FS_H2_CANCEL, FS_H2_DATA, FS_H2_END_STREAM, FS_H2_HEAD_LEN,
                       FS_H2_INTERNAL_ERROR)
from ..outlet cimport Outlet
from ..request_ids cimport with_request_id
from ..requests cimport discard, missing_answer
from ..shared cimport WAIT_BODY, WAIT_WRITE
from .guard cimport GUARD_WINDOW
from .tunnel cimport Tunnel
from .heads cimport Priority
from .writer cimport write_frame_head, write_window

cdef enum:
    BATCH = 131072                  # bytes of frames that go to the transport at once
    FRAME_MOST = 32768              # bytes of a frame of ours, whatever the peer takes: others wait
    STALLS_MOST = 2                 # halves of the time for writing without progress


cdef class Sending(Channel):

    def __cinit__(self):
        cdef int i
        for i in range(RINGS):
            self.ready[i].before = self.ready[i].after = &self.ready[i]

    cdef int give_back(self, int64_t n) except -1:
        """n bytes of content are not held any more: the connection's window may open."""
        raise NotImplementedError

    cdef int answered(self, Http2Stream stream) except -1:
        """The response is complete, and all of it is written."""
        raise NotImplementedError

    cdef int reset(self, Http2Stream stream, uint32_t code) except -1:
        """End a stream that is not over with RST_STREAM."""
        raise NotImplementedError

    cdef int application_over(self, Http2Stream stream) except -1:
        """An application that was started has ended."""
        raise NotImplementedError

    cdef int send_data(self, Http2Stream stream, object data, Py_ssize_t n, bint ends) except -1:
        """Send content of exactly bytes, now or when there is room. `ends`: it is the last."""
        if self.fits(stream, n):
            self.write_data(stream, PyBytes_AS_STRING(data), n, ends)
            return self.outlet.settle()
        if n:
            if stream.waiting is None:
                stream.waiting = []
            stream.waiting.append(data)
            stream.waiting_n += n
            if stream.write_link.before == NULL:
                stream.stalls = 0
                stream.watch()
        stream.end_waiting = ends
        self.make_ready(stream)
        return self.pump()

    cdef int write_data(self, Http2Stream stream, const char *p, Py_ssize_t n,
                        bint ends) except -1:
        cdef WriteBuffer out = self.outlet.buffer()
        cdef Py_ssize_t most = min(self.frame_most, <Py_ssize_t>FRAME_MOST)
        cdef Py_ssize_t size
        stream.send_room -= n
        self.send_room -= n
        out.reserve(n + (n // most + 1) * FS_H2_HEAD_LEN)
        while True:
            size = min(n, most)
            n -= size
            write_frame_head(out, <uint32_t>size, FS_H2_DATA,
                             FS_H2_END_STREAM if ends and n == 0 else 0, stream.id)
            out.write(p, size)
            p += size
            # The peer answers a frame with two of its own at most.
            self.guard.earn(GUARD_WINDOW, 2)
            if n == 0:
                break
        if ends:
            stream.local_done = True
        return 0

    # Who sends next ----------------------------------------------------------

    cdef int pump(self) except -1:
        """Write frames of what waits while the peer and the transport take them."""
        cdef Outlet outlet = self.outlet
        if self.pumping or outlet is None or not self.ready_mask:
            return 0
        self.pumping = True
        try:
            while self.ready_mask and self.send_room > 0 and not outlet.writing_paused:
                self.send_some(self.next_ready())
                if outlet.out is not None and outlet.out.used >= BATCH:
                    outlet.flush()
        finally:
            self.pumping = False
        return outlet.settle()

    cdef int send_some(self, Http2Stream stream) except -1:
        """A frame of what waits with a stream that is ready."""
        cdef WriteBuffer out = self.outlet.buffer()
        cdef Py_ssize_t size = min(min(stream.waiting_n, stream.send_room),
                                   min(self.send_room, min(self.frame_most, FRAME_MOST)))
        cdef bint last = size == stream.waiting_n and stream.end_waiting
        cdef bint ends = last and not stream.trailers
        write_frame_head(out, <uint32_t>size, FS_H2_DATA, FS_H2_END_STREAM if ends else 0,
                         stream.id)
        self.guard.earn(GUARD_WINDOW, 2)
        # Room for the frames that follow as well, up to a batch.
        out.reserve(size if stream.waiting_n == size
                    else max(size, BATCH + FRAME_MOST - out.used))
        stream.move_waiting(out, size)
        stream.send_room -= size
        self.send_room -= size
        if stream.waiting_n == 0:
            self.make_unready(stream)
            unlink(&stream.write_link)
            if last:
                if not ends:
                    self.heads.write_trailers(out, stream.id, stream.trailers, self.frame_most)
                stream.local_done = True
                if stream.tunnel is not None:
                    return stream.tunnel.all_sent()
                if stream.answer_complete():
                    return self.answered(stream)
        elif stream.send_room <= 0:
            self.make_unready(stream)
        elif stream.incremental:
            unlink(&stream.ready_link)
            self.append(stream)
        return stream.wake()

    cdef int make_ready(self, Http2Stream stream) except -1:
        """It has something to send: give it its place if there is room for it."""
        if stream.ready_link.before != NULL or stream.waiting_n == 0 or stream.send_room <= 0:
            return 0
        stream.ring = 2 * stream.urgency + (0 if stream.incremental else 1)
        stream.ready_link.owner = <void *>stream
        self.append(stream)
        self.ready_mask |= <uint32_t>1 << stream.ring
        return 0

    cdef int append(self, Http2Stream stream) noexcept:
        """Last of those in turn; of those one after the other, in the order of their requests."""
        cdef Link *ring = &self.ready[stream.ring]
        cdef Link *before = ring.before
        if not stream.incremental:
            while before != ring and (<Http2Stream>before.owner).id > stream.id:
                before = before.before
        stream.ready_link.before = before
        stream.ready_link.after = before.after
        before.after.before = &stream.ready_link
        before.after = &stream.ready_link
        return 0

    cdef int make_unready(self, Http2Stream stream) noexcept:
        if stream.ready_link.before != NULL:
            unlink(&stream.ready_link)
            if self.ready[stream.ring].after == &self.ready[stream.ring]:
                self.ready_mask &= ~(<uint32_t>1 << stream.ring)
        return 0

    cdef Http2Stream next_ready(self):
        """The first of the most urgent; of one urgency's two rings in turn."""
        cdef int ring = 0
        cdef uint32_t pair
        while not self.ready_mask >> ring & 3:
            ring += 2
        pair = self.ready_mask >> ring & 3
        if pair == 3:
            self.turns ^= <uint32_t>1 << ring
            if self.turns >> ring & 1:
                ring += 1
        elif pair == 2:
            ring += 1
        return <Http2Stream>self.ready[ring].after.owner


@cython.final
@cython.freelist(64)
cdef class Http2Stream(Sink):

    def __dealloc__(self):
        unlink(&self.body_link)
        unlink(&self.ready_link)
        unlink(&self.write_link)

    cdef int set_priority(self, Priority priority) noexcept:
        """While it is in no ring. The default is taken as no wish at all: such streams share."""
        self.urgency = <uint8_t>priority.urgency
        self.incremental = priority.incremental or priority.urgency == 3
        return 0

    cdef bint answer_complete(self) noexcept:
        """Whether the whole of an answer was given, though it may wait to be sent."""
        return self.refused or self.exchange.state == RESPONSE_COMPLETE

    # The exchange's sink -----------------------------------------------------

    cdef bint blocked(self) noexcept:
        cdef Outlet outlet = self.carrier.outlet
        return self.waiting_n >= WAITING_MOST or (
            self.waiting_n != 0 and outlet is not None and outlet.writing_paused)

    cdef int hold_head(self, Exchange exchange, int status, object headers) except -1:
        self.held = self.carrier.heads.check(status, headers)
        exchange.content_length = self.held.facts.content_length if status != 204 else -1
        return 0

    cdef int commit_head(self, Exchange exchange, Py_ssize_t n, bint more) except -1:
        """Write the held head, with the length of the content if it is known by now."""
        cdef Sending carrier = self.carrier
        cdef int64_t length = -1
        cdef bint ends = not more and (exchange.bodiless or (n == 0 and not exchange.trailers))
        self.drop_tunnel()
        if (exchange.content_length < 0 and not more
                and (exchange.head_request and n if exchange.bodiless else not exchange.trailers)):
            length = n
        if carrier.shared.times_first:
            exchange.first_us = monotonic_us()
        carrier.heads.write_head(
            carrier.outlet.buffer(), self.id, self.held, length,
            None if self.held.facts.has_request_id else exchange.request_id, ends,
            carrier.frame_most)
        self.held = None
        self.local_done = ends
        return 0

    cdef int send_body(self, Exchange exchange, object data, Py_ssize_t n, bint more) except -1:
        if exchange.state == RESPONSE_HELD:
            self.commit_head(exchange, n, more)
        if exchange.bodiless:
            n = 0
        if self.local_done or (n == 0 and (more or exchange.trailers)):
            return self.carrier.outlet.settle()
        return self.carrier.send_data(self, data if n or not exchange.bodiless else b"", n,
                                      not more and not exchange.trailers)

    cdef int send_trailers(self, Exchange exchange, object headers, bint more) except -1:
        """RFC 9113 section 8.1. They are sent as one field block behind all content."""
        cdef Sending carrier = self.carrier
        cdef list checked = carrier.heads.check_trailers(headers)
        if self.local_done:
            return 0
        if self.trailers is None:
            self.trailers = []
        if self.head.accepts_trailers:
            self.trailers.extend(checked)
        if more:
            return 0
        if self.waiting_n:
            self.end_waiting = True
            return 0
        if not self.trailers:
            return carrier.send_data(self, b"", 0, True)
        carrier.heads.write_trailers(carrier.outlet.buffer(), self.id, self.trailers,
                                     carrier.frame_most)
        self.local_done = True
        return carrier.outlet.settle()

    cdef int send_hints(self, Exchange exchange, object links) except -1:
        """103 Early Hints, RFC 8297."""
        cdef Sending carrier = self.carrier
        cdef list fields = carrier.heads.check_trailers([(b"link", link) for link in links])
        carrier.heads.write_interim(carrier.outlet.buffer(), self.id, 103, fields,
                                    carrier.frame_most)
        return carrier.outlet.settle()

    cdef object send_file(self, Exchange exchange, int fd, int64_t offset, int64_t count,
                          bint more, object close):
        if exchange.state == RESPONSE_HELD:
            self.commit_head(exchange, count, more)
            exchange.state = RESPONSE_BODY
        return self._send_file(exchange, fd, offset, count, more, close)

    async def _send_file(self, Exchange exchange, int fd, int64_t offset, int64_t count,
                         bint more, object close):
        cdef bint ends = not more and not exchange.trailers
        self.file_left = 0 if exchange.bodiless else count
        try:
            while self.file_left:
                if exchange.lost:
                    raise ClientDisconnected("the client has disconnected")
                size = min(self.file_left, WAITING_MOST)
                data = os.read(fd, size) if offset < 0 else os.pread(fd, size, offset)
                if not data:
                    raise OSError("the file became shorter while it was sent")
                self.file_left -= len(data)
                if offset >= 0:
                    offset += len(data)
                self.carrier.send_data(self, data, len(data), ends and self.file_left == 0)
                if self.blocked():
                    await new_wait(exchange, DRAIN)
        except BaseException as error:
            # The announced bytes cannot follow any more.
            if not self.closed:
                exchange.gone = exchange.gone or isinstance(error, ClientDisconnected)
                self.carrier.reset(self, FS_H2_INTERNAL_ERROR)
            raise
        finally:
            if close is not None:
                close.close()
        if exchange.lost:
            raise ClientDisconnected("the client has disconnected")
        if ends and not self.local_done and not self.end_waiting:
            self.carrier.send_data(self, b"", 0, True)
        self.carrier.outlet.settle()
        if not more:
            exchange.finish()

    cdef int body_wanted(self, Exchange exchange) except -1:
        cdef Sending carrier = self.carrier
        if self.closed:
            return 0
        if self.continue_owed:
            # RFC 9110 10.1.1: only once the application asks, never after a final status.
            self.continue_owed = False
            if exchange.state == RESPONSE_NONE or exchange.state == RESPONSE_HELD:
                carrier.heads.write_interim(carrier.outlet.buffer(), self.id, 100, [],
                                            carrier.frame_most)
                carrier.outlet.settle()
        self.grant()
        if not self.remote_done and exchange.starving():
            self.await_body()
        return 0

    cdef int response_complete(self, Exchange exchange) except -1:
        if self.local_done and not self.closed:
            return self.carrier.answered(self)
        return 0

    cdef int application_ended(self, Exchange exchange, bint failed) except -1:
        cdef Sending carrier = self.carrier
        carrier.shared.running.discard(exchange.call())
        carrier.shared.exchange_ends()
        if failed and not self.closed:
            if exchange.state == RESPONSE_NONE or exchange.state == RESPONSE_HELD:
                status, text = missing_answer(exchange)
                self.answer(status, text, ())
            else:
                carrier.reset(self, FS_H2_INTERNAL_ERROR)
        return carrier.application_over(self)

    cdef int overdue(self, Exchange exchange) except -1:
        if self.closed:
            return 0
        self.carrier.shared.tell_overdue(exchange.call())
        return self.refuse(504, "the application took too long", ())

    # Answers of the server's own ---------------------------------------------

    cdef int refuse(self, int status, str text, object headers) except -1:
        """Answer in the application's place, or cut what it has begun. It goes on for nobody."""
        cdef Exchange exchange = self.exchange
        cdef Sending carrier = self.carrier
        if self.refused:
            return 0
        if exchange.state != RESPONSE_NONE and exchange.state != RESPONSE_HELD:
            return carrier.reset(self, FS_H2_CANCEL)
        carrier.shared.logger.debug(
            "refused a request from %s with %d: %s",
            carrier.outlet.client_of(exchange.origin).decode(), status, text)
        self.answer(status, text, headers)
        return discard(carrier.shared, exchange)

    cdef int answer(self, int status, str text, object headers) except -1:
        """In place of what the application may have begun."""
        cdef Sending carrier = self.carrier
        cdef Exchange exchange = self.exchange
        cdef bytes body
        self.drop_tunnel()
        self.scope = self.held = self.trailers = None
        exchange.status = status
        exchange.bodiless = exchange.head_request
        exchange.body_sent = len(text) + 1
        if carrier.shared.times_first:
            exchange.first_us = monotonic_us()
        body = carrier.heads.write_answer(
            carrier.outlet.buffer(), self.id, status, text, exchange.bodiless,
            with_request_id(headers, exchange), carrier.frame_most)
        self.refused = True
        unlink(&exchange.deadline)
        self.local_done = body is None
        if body is not None:
            carrier.send_data(self, body, PyBytes_GET_SIZE(body), True)
        if self.local_done and not self.closed:
            carrier.answered(self)
        return 0

    # The request's content ----------------------------------------------------

    cdef int take(self, bytes data) except -1:
        self.pace.come += PyBytes_GET_SIZE(data)
        if self.tunnel is not None:
            return self.tunnel.take(data)
        self.continue_owed = False
        if self.pace.since and too_slow(&self.pace, monotonic_ms(), self.carrier.shared.min_rate,
                                        self.carrier.shared.rate_grace):
            return self.expired(WAIT_BODY)
        unlink(&self.body_link)
        return self.exchange.feed(data)

    cdef int take_end(self) except -1:
        self.remote_done = True
        if self.tunnel is not None:
            return self.tunnel.take_end()
        self.continue_owed = False
        unlink(&self.body_link)
        return self.exchange.feed_end()

    cdef int grant(self) except -1:
        """Let the client send as much as was taken by the application.

        A window that the client has all but used up while the application waits is what holds
        the upload back, so it grows.
        """
        cdef Sending carrier = self.carrier
        cdef Py_ssize_t held = (self.exchange.queued if self.tunnel is None
                                else self.tunnel.held)
        cdef int64_t taken = self.charged - held
        cdef int64_t owed = taken - self.granted, more = 0, most
        if taken > self.returned:
            carrier.give_back(taken - self.returned)
            self.returned = taken
        if self.remote_done or self.closed or owed * 2 < self.window:
            return 0
        if held == 0 and self.room * 4 < self.window:
            most = carrier.shared.http2.most_stream_window
            more = min(self.window, most - self.window)
            self.window += more
        self.granted = taken
        self.room += owed + more
        write_window(carrier.outlet.buffer(), self.id, <uint32_t>(owed + more))
        return carrier.outlet.settle()

    cdef int await_body(self) except -1:
        """The application waits for content from now on."""
        cdef int64_t now = monotonic_ms()
        if self.pace.since == 0:
            self.pace.since = now
        self.body_link.owner = <void *>self
        self.carrier.shared.queue(WAIT_BODY).add(&self.body_link, now)
        return self.carrier.shared.arm_tick()

    # What waits to be sent ----------------------------------------------------

    cdef int move_waiting(self, WriteBuffer out, Py_ssize_t n) except -1:
        """n bytes of what waits, for which `out` has room."""
        cdef bytes piece
        cdef Py_ssize_t size
        self.waiting_n -= n
        self.sent += n
        while n:
            piece = <bytes>self.waiting[0]
            size = min(PyBytes_GET_SIZE(piece) - self.offset, n)
            out.put(PyBytes_AS_STRING(piece) + self.offset, size)
            self.offset += size
            n -= size
            if self.offset == PyBytes_GET_SIZE(piece):
                self.waiting.pop(0)
                self.offset = 0
        return 0

    cdef int wake(self) except -1:
        """Let the application go on if it waits for no reason any more."""
        if self.tunnel is not None:
            return self.tunnel.room()
        if self.exchange.senders and not self.blocked():
            return self.exchange.writable()
        return 0

    cdef int watch(self) except -1:
        """Look after half the time for writing whether something was taken."""
        self.taken = self.sent
        self.write_link.owner = <void *>self
        self.carrier.shared.queue(WAIT_WRITE).add(&self.write_link, monotonic_ms())
        return self.carrier.shared.arm_tick()

    cdef int expired(self, int kind) except -1:
        cdef DeadlineQueue queue
        if self.closed:
            return 0
        if kind == WAIT_BODY:
            # RFC 9110 15.5.9.
            return self.refuse(408, "the request took too long", ())
        queue = self.carrier.shared.queue(WAIT_WRITE)
        if (self.sent > self.taken
                and (self.sent - self.taken) * 1000 >= self.carrier.shared.min_rate * queue.span):
            self.stalls = 0
        else:
            self.stalls += 1
        if self.stalls == STALLS_MOST:
            # A window that stays closed holds what the application has made.
            self.carrier.shared.logger.debug("reset a stream of %s: it takes nothing",
                                             self.carrier.outlet.client_text().decode())
            self.exchange.gone = True
            return self.carrier.reset(self, FS_H2_CANCEL)
        return self.watch()

    cdef bytes switch_protocol(self, Exchange exchange, object headers, Channel successor):
        """200 to an extended CONNECT, RFC 8441 section 5; the exchange is over without a response."""
        return self.tunnel.open(successor, headers)

    cdef int drop_tunnel(self) except -1:
        """There is none any more: it was denied, or the stream is over."""
        cdef Tunnel tunnel = self.tunnel
        self.tunnel = None
        return 0 if tunnel is None else tunnel.over()

    cdef int stop(self) except -1:
        """It is over: it is in no queue, and holds nothing."""
        self.closed = True
        self.drop_tunnel()
        self.carrier.make_unready(self)
        unlink(&self.body_link)
        unlink(&self.write_link)
        self.waiting = None
        self.waiting_n = 0
        self.held = None
        self.scope = None
        return 0
