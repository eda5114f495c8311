"""A stream of HTTP/2 as the sink of its exchange, and what it asks of its connection.

A stream owns what its application has sent and the peer's window has not yet taken, and counts
what of the request the application has taken, so that the client may send more.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t

import os

from fastserve._native.errors import ClientDisconnected, ProtocolViolation

from ..asgi.call cimport DRAIN, new_wait
from ..asgi.exchange cimport RESPONSE_BODY, RESPONSE_COMPLETE, RESPONSE_HELD, RESPONSE_NONE
from ..asgi.exchange cimport Exchange, Sink
from ..buffer cimport WriteBuffer
from ..channel cimport Channel
from ..deadlines cimport DeadlineQueue, monotonic_ms, monotonic_us, too_slow, unlink
from ..leaves cimport FS_BOARD_RESET_STALLED, FS_H2_CANCEL, FS_H2_INTERNAL_ERROR
from ..outlet cimport Outlet
from ..request_ids cimport with_request_id
from ..requests cimport discard, missing_answer
from ..shared cimport WAIT_BODY, WAIT_WRITE
from .heads cimport Priority
from .tunnel cimport Tunnel
from .writer cimport write_window

cdef enum:
    STALLS_MOST = 2                 # halves of the time for writing without progress


cdef class Carrier(Channel):

    cdef int send_data(self, Http2Stream stream, object data, Py_ssize_t n, bint ends) except -1:
        """Send content of exactly bytes, now or when there is room. `ends`: it is the last."""
        raise NotImplementedError

    cdef int write_data(self, Http2Stream stream, const char *p, Py_ssize_t n,
                        bint ends) except -1:
        """Send content that `fits`."""
        raise NotImplementedError

    cdef int make_unready(self, Http2Stream stream) noexcept:
        """It has nothing to send, or no room for it."""
        return 0

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
        cdef Carrier carrier = self.carrier
        cdef int64_t length = -1
        cdef bint ends = not more and (exchange.bodiless or (n == 0 and not exchange.trailers))
        if self.tunnel is not None:
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
        cdef Carrier carrier = self.carrier
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
        cdef Carrier carrier = self.carrier
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
                if exchange.state == RESPONSE_COMPLETE:
                    raise ProtocolViolation("the response was completed while a file was sent")
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
        if exchange.state == RESPONSE_COMPLETE:
            return
        if ends and not self.local_done and not self.end_waiting:
            self.carrier.send_data(self, b"", 0, True)
        self.carrier.outlet.settle()
        if not more:
            exchange.finish()

    cdef int body_wanted(self, Exchange exchange) except -1:
        cdef Carrier carrier = self.carrier
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
        cdef Carrier carrier = self.carrier
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
        cdef Carrier carrier = self.carrier
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
        cdef Carrier carrier = self.carrier
        cdef Exchange exchange = self.exchange
        cdef bytes body
        if self.tunnel is not None:
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
        return carrier.outlet.settle()

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
        cdef Carrier carrier = self.carrier
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
        self.moved = self.carrier.moved
        self.write_link.owner = <void *>self
        self.carrier.shared.queue(WAIT_WRITE).add(&self.write_link, monotonic_ms())
        return self.carrier.shared.arm_tick()

    cdef bint has_moved(self) noexcept:
        """Whether the peer has taken enough since `watch`; of others, if this one had to wait."""
        cdef Carrier carrier = self.carrier
        cdef DeadlineQueue queue = carrier.shared.queue(WAIT_WRITE)
        cdef int64_t least = carrier.shared.min_rate * queue.span
        if self.sent > self.taken and (self.sent - self.taken) * 1000 >= least:
            return True
        if carrier.outlet.writing_paused:
            # The connection's own deadline sees to that.
            return True
        return (self.ready_link.before != NULL and carrier.moved > self.moved
                and (carrier.moved - self.moved) * 1000 >= least * len(carrier.streams))

    cdef int expired(self, int kind) except -1:
        if self.closed:
            return 0
        if kind == WAIT_BODY:
            # RFC 9110 15.5.9.
            return self.refuse(408, "the request took too long", ())
        if self.has_moved():
            self.stalls = 0
        else:
            self.stalls += 1
        if self.stalls == STALLS_MOST:
            # A window that stays closed holds what the application has made.
            self.carrier.shared.logger.debug("reset a stream of %s: it takes nothing",
                                             self.carrier.outlet.client_text().decode())
            self.exchange.gone = True
            self.carrier.shared.row.stream_reset(FS_BOARD_RESET_STALLED)
            return self.carrier.reset(self, FS_H2_CANCEL)
        return self.watch()

    cdef bytes switch_protocol(self, Exchange exchange, object headers, Channel successor):
        """200 to an extended CONNECT, RFC 8441 section 5; the exchange is over without a response."""
        return self.tunnel.open(successor, headers)

    cdef int drop_tunnel(self) except -1:
        """There is none any more: it was denied, or the stream is over."""
        cdef Tunnel tunnel = self.tunnel
        self.tunnel = None
        return tunnel.over()

    cdef int stop(self) except -1:
        """It is over: it is in no queue, and holds nothing."""
        self.closed = True
        if self.tunnel is not None:
            self.drop_tunnel()
        self.carrier.make_unready(self)
        unlink(&self.body_link)
        unlink(&self.write_link)
        self.waiting = None
        self.waiting_n = 0
        self.held = None
        self.scope = None
        return 0
