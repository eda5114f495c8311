"""One HTTP exchange: the application's `receive` and `send`, whatever the protocol below.

The ASGI rules live here (HTTP 2.5: "Response Start", "Response Body", "Disconnected
Client"), the bytes in the `Sink`. An exchange goes NONE -> HELD -> BODY -> [TRAILERS ->]
COMPLETE; independent of that, the peer can be `gone` (receive answers http.disconnect)
and then `lost` (send raises ClientDisconnected).
"""

cimport cython
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

import asyncio
import os
import stat

from fastserve._native.errors import ProtocolViolation, stems_from_disconnect


from ..channel cimport Channel
from ..deadlines cimport unlink
from .awaitables cimport DONE, failure
from .call cimport (MESSAGE_COST, RECEIVE, Call, PyMethodDef, gone, method_of, new_wait)
from .messages cimport (MESSAGE_BODY, MESSAGE_HINT, MESSAGE_PATHSEND, MESSAGE_START,
                        MESSAGE_TRAILERS, MESSAGE_ZEROCOPYSEND, MessageKind, item, message_kind,
                        plain_bytes, status_code)
from .signal cimport wake_all

cdef enum:
    PIECES_MOST = 1024              # of a body in wait for the application

cdef int live_exchanges = 0
cdef object _CancelledError = asyncio.CancelledError


cdef class Sink(Channel):

    cdef int hold_head(self, Exchange exchange, int status, object headers) except -1:
        raise NotImplementedError

    cdef int send_body(self, Exchange exchange, object data, Py_ssize_t n, bint more) except -1:
        raise NotImplementedError

    cdef int send_trailers(self, Exchange exchange, object headers, bint more) except -1:
        raise NotImplementedError

    cdef int send_hints(self, Exchange exchange, object links) except -1:
        raise NotImplementedError

    cdef object send_file(self, Exchange exchange, int fd, int64_t offset, int64_t count,
                          bint more, object close):
        raise NotImplementedError

    cdef bint blocked(self) noexcept:
        return False

    cdef int body_wanted(self, Exchange exchange) except -1:
        raise NotImplementedError

    cdef int response_complete(self, Exchange exchange) except -1:
        raise NotImplementedError

    cdef int application_ended(self, Exchange exchange, bint failed) except -1:
        raise NotImplementedError

    cdef int overdue(self, Exchange exchange) except -1:
        raise NotImplementedError

    cdef bytes switch_protocol(self, Exchange exchange, object headers, Channel successor):
        raise NotImplementedError


@cython.final
cdef class Exchange(Call):

    def __cinit__(self):
        global live_exchanges
        live_exchanges += 1
        self.content_length = -1

    def __dealloc__(self):
        global live_exchanges
        live_exchanges -= 1
        unlink(&self.deadline)

    # What the application holds.

    def receive(self):
        """ASGI `receive`: awaitable of the next event."""
        return new_wait(self, RECEIVE)

    def send(self, message):
        """ASGI `send`: awaitable that is done once the message is in the send buffer.

        It raises ProtocolViolation for a message that breaks ASGI or HTTP, and
        ClientDisconnected (an OSError) when nobody is there to send to.
        """
        if self.elsewhere():
            return self._send_later(message)
        try:
            return self.respond(message)
        except Exception as error:
            return failure(error)

    # What the protocol below calls.

    cdef int run(self, object app, object scope, object context) except -1:
        return self.start(app, scope, context, receive_method, send_method)

    cdef int feed(self, object data) except -1:
        """A run of the request body."""
        if self.pieces is None:
            self.pieces = []
        self.pieces.append(data)
        if len(self.pieces) > PIECES_MOST:
            # Tiny chunks: each takes many times what it holds, and the longer the list, the more
            # it costs to take the first.
            self.pieces = [b"".join(self.pieces)]
        self.queued += len(data)
        wake_all(self.receivers, False)
        return 0

    cdef int feed_end(self) except -1:
        """The request body is complete."""
        self.body_complete = True
        wake_all(self.receivers, False)
        return 0

    cdef bint starving(self) noexcept:
        """Whether the application waits for body that has not come."""
        return (self.receivers is not None and len(self.receivers) != 0
                and not self.body_complete)

    cdef bint concerns_sink(self):
        return self.sink is not None and not self.gone and self.state != RESPONSE_COMPLETE

    cdef int disconnect(self, bint lost) except -1:
        """The peer sends no more: receive says so behind what has come.

        `lost`: it reads no more either; receive says so at once, and send raises.
        """
        self.gone = True
        if self.guest is not None:
            self.guest.disconnect(lost)
        wake_all(self.receivers, False)
        if lost and not self.lost:
            self.lost = True
            self.pieces = None
            self.queued = 0
            wake_all(self.senders, False)
        return 0

    cdef int expired(self, int kind) except -1:
        """The request's time is up, or what its client has left to it.

        The application is told once. One that ignores it holds nothing but itself: there is
        nobody to send to any more.
        """
        cdef Call call = self.call()
        if self.gone:
            return call.abandon()
        if self.sink is not None and call.task is not None:
            self.sink.overdue(self)
            # Once, whatever else its client's leaving would bring upon it.
            unlink(&call.deadline)
            if not call.cancelled:
                call.cancel()
        return 0

    # The rules.

    cdef object next_event(self):
        """The event for `receive`, or None while there is none."""
        cdef object data
        cdef bint more
        if self.lost or self.state == RESPONSE_COMPLETE:
            return {"type": "http.disconnect"}
        if self.pieces:
            data = self.pieces.pop(0)
            self.queued -= len(data)
            more = not self.body_complete or len(self.pieces) != 0
            if not more:
                self.end_given = True
            if (not self.body_complete or self.metered) and self.concerns_sink():
                self.sink.body_wanted(self)
            return {"type": "http.request", "body": data, "more_body": more}
        if self.body_complete and not self.end_given:
            self.end_given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self.gone:
            return {"type": "http.disconnect"}
        return None

    cdef object respond(self, object message):
        cdef MessageKind kind = message_kind(message["type"])
        cdef bint more
        if self.state == RESPONSE_COMPLETE:
            # ASGI, "Response Body": further messages are ignored.
            return DONE
        if self.lost:
            raise gone()
        if self.sink is None:
            raise ProtocolViolation("the application has ended")
        if kind == MESSAGE_BODY:
            self.send_body(message)
        elif kind == MESSAGE_START:
            self.begin_response(message)
        elif kind == MESSAGE_TRAILERS:
            if self.state != RESPONSE_TRAILERS:
                raise unexpected(message, self.state)
            more = bool(message.get("more_trailers", False))
            self.sink.send_trailers(self, message.get("headers", ()), more)
            if not more:
                self.finish()
        elif kind == MESSAGE_HINT:
            # The text wants hints after start; the head is held, so both sides of it work.
            if self.state != RESPONSE_NONE and self.state != RESPONSE_HELD:
                raise unexpected(message, self.state)
            self.sink.send_hints(self, message["links"])
        elif kind == MESSAGE_PATHSEND or kind == MESSAGE_ZEROCOPYSEND:
            return self.respond_file(kind == MESSAGE_PATHSEND, message)
        else:
            raise unexpected(message, self.state)
        if self.state == RESPONSE_COMPLETE:
            return DONE
        return self.sent()

    cdef int await_event(self) except -1:
        if self.concerns_sink():
            self.sink.body_wanted(self)
        return 0

    cdef bint held_up(self) except -1:
        if self.lost:
            raise gone()
        return (self.sink is not None and self.state != RESPONSE_COMPLETE
                and self.sink.blocked())

    cdef int send_body(self, object message) except -1:
        cdef object data = item(message, "body")
        cdef object more_body = item(message, "more_body")
        cdef bint more = more_body is not None and bool(more_body)
        cdef Py_ssize_t n
        if self.state != RESPONSE_HELD and self.state != RESPONSE_BODY:
            raise unexpected(message, self.state)
        if data is None:
            data = b""
        elif not PyBytes_CheckExact(data):
            data = plain_bytes(data)
        if self.bodiless and more and self.gone and self.state == RESPONSE_BODY:
            # Nothing is written any more that could tell whether somebody reads.
            raise gone()
        n = PyBytes_GET_SIZE(data)
        self.count_body(n, more)
        self.burst += n + MESSAGE_COST
        self.sink.send_body(self, data, n, more)
        if self.state == RESPONSE_HELD:
            self.state = RESPONSE_BODY
        if not more:
            self.finish()
        return 0

    cdef int begin_response(self, object message) except -1:
        cdef object value = message["status"]
        cdef object headers = item(message, "headers")
        cdef object trailers = item(message, "trailers")
        cdef int status
        if self.state != RESPONSE_NONE:
            raise unexpected(message, self.state)
        status = status_code(value)
        self.bodiless = self.head_request or status == 204 or status == 304
        self.trailers = trailers is not None and bool(trailers)
        self.sink.hold_head(self, status, () if headers is None else headers)
        self.status = status
        self.state = RESPONSE_HELD
        return 0

    cdef int count_body(self, int64_t n, bint more) except -1:
        """Check the body against the declared Content-Length, before anything is sent."""
        if self.bodiless or self.content_length < 0:
            self.body_sent += n
            return 0
        if self.body_sent + n > self.content_length:
            raise ProtocolViolation(
                f"the body is longer than its content-length of {self.content_length}")
        if not more and self.body_sent + n < self.content_length:
            raise ProtocolViolation(
                f"the body ended after {self.body_sent + n} bytes, its content-length "
                f"is {self.content_length}")
        self.body_sent += n
        return 0

    cdef int finish(self) except -1:
        """The body is complete: so is the response, unless trailers are to follow."""
        if self.trailers and self.state == RESPONSE_BODY:
            self.state = RESPONSE_TRAILERS
            return 0
        self.state = RESPONSE_COMPLETE
        unlink(&self.deadline)
        wake_all(self.receivers, False)
        self.pieces = None
        self.sink.response_complete(self)
        return 0

    cdef object respond_file(self, bint whole, object message):
        """The extensions "Path Send" and "Zero Copy Send"."""
        cdef int64_t offset = 0, count, size
        cdef bint more = False
        cdef object close = None
        if self.state != RESPONSE_HELD and (whole or self.state != RESPONSE_BODY):
            raise unexpected(message, self.state)
        if whole:
            path = message["path"]
            if not isinstance(path, str) or not os.path.isabs(path):
                raise ProtocolViolation(f"pathsend needs an absolute path, not {path!r}")
            close = open(path, "rb", buffering=0)
            fd = close.fileno()
        else:
            file = message["file"]
            fd = file if isinstance(file, int) else file.fileno()
            more = bool(message.get("more_body", False))
            offset = -1 if message.get("offset") is None else message["offset"]
        try:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise ProtocolViolation("only a regular file can be sent")
            size = facts.st_size
            begin = os.lseek(fd, 0, os.SEEK_CUR) if offset < 0 else offset
            asked = message.get("count") if close is None else None
            count = max(0, size - begin) if asked is None else asked
            if count < 0 or begin < 0 or begin + count > size:
                raise ProtocolViolation("offset and count reach beyond the file")
            self.count_body(count, more)
            return self.sink.send_file(self, fd, offset, count, more, close)
        except BaseException:
            if close is not None:
                close.close()
            raise

    cdef int task_ended(self, object error) except -1:
        """The application is over. Whatever it left undone is dealt with here."""
        cdef bint failed = False
        cdef Sink sink
        self.ended = True
        self.task = None
        if error is not None:
            self.report(error)
        if self.state != RESPONSE_COMPLETE and not self.lost:
            failed = True
            if error is None and not self.gone:
                self.logger.error("ASGI application returned without %s (%s)",
                                  "starting a response" if self.state == RESPONSE_NONE
                                  else "completing the response",
                                  self.told(), extra=self.facts())
        sink = self.sink
        self.sink = None
        sink.application_ended(self, failed)
        return 0

    cdef int report(self, object error) except -1:
        """Log what the application raised, unless it only follows from the client leaving."""
        if isinstance(error, _CancelledError) and self.cancelled:
            return 0
        # Nor is what an application makes of half a request body, though it may have answered 500.
        return self.log_error(
            error, stems_from_disconnect(error) or (self.gone and not self.body_complete)
            or (self.state != RESPONSE_COMPLETE
                and (self.lost or (self.gone and isinstance(error, _CancelledError)))))


cdef object unexpected(message, ResponseState state):
    expected = {RESPONSE_NONE: "http.response.start",
                RESPONSE_HELD: "http.response.body",
                RESPONSE_BODY: "http.response.body",
                RESPONSE_TRAILERS: "http.response.trailers"}[state]
    return ProtocolViolation(f"expected {expected!r}, but got {message['type']!r}")


cdef PyMethodDef *receive_method = method_of(Exchange, "receive")
cdef PyMethodDef *send_method = method_of(Exchange, "send")
