"""One HTTP exchange: the application's `receive` and `send`, whatever the protocol below."""

from libc.stdint cimport int64_t

from ..channel cimport Channel
from .call cimport Call


cdef enum ResponseState:
    RESPONSE_NONE = 0               # nothing sent by the application
    RESPONSE_HELD                   # head given, not yet on the wire
    RESPONSE_BODY                   # head sent, body under way
    RESPONSE_TRAILERS               # body complete, trailers announced and awaited
    RESPONSE_COMPLETE


# What an exchange asks of the protocol that carries it; a channel or a stream implements it.
# It is a Channel too because a class has one base only; a stream leaves that part alone.
cdef class Sink(Channel):
    # Take the response head and hold it. Raises ProtocolViolation and holds nothing
    # if HTTP cannot carry it. Sets exchange.content_length.
    cdef int hold_head(self, Exchange exchange, int status, object headers) except -1
    # Body bytes; `more` false ends the body (and, without trailers, the response).
    # The first call sends the held head.
    cdef int send_body(self, Exchange exchange, object data, Py_ssize_t n, bint more) except -1
    cdef int send_trailers(self, Exchange exchange, object headers, bint more) except -1
    cdef int send_hints(self, Exchange exchange, object links) except -1
    # A coroutine that sends `count` bytes of descriptor `fd` from `offset` (-1: where it stands).
    cdef object send_file(self, Exchange exchange, int fd, int64_t offset, int64_t count,
                          bint more, object close)
    cdef bint blocked(self) noexcept        # send should wait
    cdef int body_wanted(self, Exchange exchange) except -1
    cdef int response_complete(self, Exchange exchange) except -1
    # The application is over. failed: it left no whole response; the sink answers
    # 500 if no head is out and cuts the connection or stream otherwise.
    cdef int application_ended(self, Exchange exchange, bint failed) except -1
    # The time of the request is up: tell, and answer 504 or cut. The task is cancelled afterwards.
    cdef int overdue(self, Exchange exchange) except -1
    # Answer the exchange's wish for another protocol (101, or what means it) with `headers`;
    # what comes from here on is for `successor`. Returns what came too early, which is too.
    cdef bytes switch_protocol(self, Exchange exchange, object headers, Channel successor)


cdef int live_exchanges


cdef class Exchange(Call):
    cdef Sink sink                  # None once the application has ended
    # The WebSocket whose opening handshake this is: the application is called with its
    # receive and send in place of ours. None otherwise, and once it is open.
    cdef Call guest
    # request
    cdef list pieces                # body not yet received by the application
    cdef Py_ssize_t queued          # bytes in pieces
    cdef bint body_complete         # the whole request body has come
    cdef bint end_given             # and the application has been told
    # The sink is told of every run that is taken, and not only while more is to come.
    cdef bint metered
    cdef bint gone                  # http.disconnect from here on
    # response
    cdef ResponseState state
    cdef int status
    cdef bint bodiless              # HEAD, 204, 304: body bytes are not sent
    cdef bint trailers              # the application announced trailers
    cdef bint head_request
    cdef int version                # of HTTP: 10, 11 or 20
    cdef int64_t content_length     # declared by the application, or -1
    cdef int64_t body_sent          # body bytes the application gave

    cdef int feed(self, object data) except -1
    cdef int feed_end(self) except -1
    cdef bint starving(self) noexcept
    cdef int begin_response(self, object message) except -1
    cdef object respond(self, object message)
    cdef int send_body(self, object message) except -1
    cdef object respond_file(self, bint whole, object message)
    cdef int finish(self) except -1
    cdef int count_body(self, int64_t n, bint more) except -1
    cdef int report(self, object error) except -1
    cdef bint concerns_sink(self)
    cdef inline Call call(self):
        return self if self.guest is None else self.guest
