"""One HTTP exchange: the application's `receive` and `send`, whatever the protocol below."""

from libc.stdint cimport int64_t

from .task cimport TaskOwner


cdef enum ResponseState:
    RESPONSE_NONE = 0               # nothing sent by the application
    RESPONSE_HELD                   # head given, not yet on the wire
    RESPONSE_BODY                   # head sent, body under way
    RESPONSE_TRAILERS               # body complete, trailers announced and awaited
    RESPONSE_COMPLETE


# What an exchange asks of the protocol that carries it; a channel or a stream implements it.
cdef class Sink:
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


cdef int live_exchanges


cdef class Exchange(TaskOwner):
    cdef Sink sink                  # None once the application has ended
    cdef object loop
    cdef object logger
    cdef object task                # the application's task while it runs
    cdef bint ended                 # the application is over
    cdef bint cancelled             # we cancelled it: its CancelledError is no news
    # request
    cdef list pieces                # body not yet received by the application
    cdef Py_ssize_t queued          # bytes in pieces
    cdef bint body_complete         # the whole request body has come
    cdef bint end_given             # and the application has been told
    cdef bint gone                  # http.disconnect from here on
    cdef bint lost                  # sending is over too: ClientDisconnected
    cdef list receivers             # futures of waiting receive() calls
    cdef list senders               # futures of waiting send() calls
    # response
    cdef ResponseState state
    cdef int status
    cdef bint bodiless              # HEAD, 204, 304: body bytes are not sent
    cdef bint trailers              # the application announced trailers
    cdef bint head_request
    cdef int64_t content_length     # declared by the application, or -1
    cdef int64_t body_sent          # body bytes the application gave
    cdef int64_t burst              # of these, what was sent without a wait
    # for the access log
    cdef str method
    cdef bytes target
    cdef int minor
    cdef int64_t started_us

    cdef int run(self, object app, object scope, object context) except -1
    cdef int feed(self, object data) except -1
    cdef int feed_end(self) except -1
    cdef bint starving(self) noexcept
    cdef int disconnect(self, bint lost) except -1
    cdef int writable(self) except -1
    cdef int cancel(self) except -1
    cdef object next_event(self)
    cdef int begin_response(self, object message) except -1
    cdef object respond(self, object message)
    cdef int send_body(self, object message) except -1
    cdef object respond_file(self, bint whole, object message)
    cdef int finish(self) except -1
    cdef int count_body(self, int64_t n, bint more) except -1
    cdef int report(self, object error) except -1
    cdef bint concerns_sink(self)
