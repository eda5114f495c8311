"""HTTP/1.1 over a connection: parser in, responses out, one exchange at a time.

`process` is the one loop: it takes events until the input is used up or the current
exchange needs time, and starts the application when all of a small request is there.
It never runs with an application on the stack: what completes later comes back through
`outlet.process_soon`. A pipelined request waits, unparsed, until its turn.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fastserve._native.errors import ParseError

from ..asgi.exchange cimport RESPONSE_COMPLETE, RESPONSE_HELD, RESPONSE_NONE, Exchange
from ..asgi.scope cimport ScopeTemplate
from ..buffer cimport WriteBuffer
from ..channel cimport Channel
from ..deadlines cimport monotonic_ms, too_slow, unlink
from ..exchange_log cimport log_refusal, scheme_of, tls_of
from ..forwarded cimport Origin
from ..http2.channel cimport Http2Channel
from ..http2.heads cimport RequestHead
from ..outlet cimport Outlet
from ..requests cimport (LEFT, admit, complete_scope, discard, log_end, missing_answer,
                         new_exchange, start_application)
from ..shared cimport (WAIT_BODY, WAIT_FIRST, WAIT_HEAD, WAIT_IDLE, WAIT_KEEP_ALIVE, WAIT_NOTHING,
                       WAIT_OPEN, Shared)
from ..websocket.channel cimport offer_websocket
from ..websocket.handshake cimport Handshake, read_handshake, wants_websocket
from .parser cimport (EVENT_BODY, EVENT_END, EVENT_HEAD, EVENT_HTTP2, STATE_LENGTH, Event,
                      RequestParser, method_name)
from .response cimport DISCARD_MOST, ResponseHalf
from .upgrade cimport asked_settings, upgraded_head
from .writer cimport status_line, write_fields

cdef enum:
    BODY_HIGH = 262144              # bytes of body the application has not taken: stop reading
    BODY_LOW = 65536                # and read on
    PIPELINE_MOST = 65536           # bytes of later requests we take while one is served
    HEAD_READ = 8192                # one read where a head is expected and a body may follow


@cython.final
cdef class Http1Channel(ResponseHalf):

    def __init__(self, Shared shared, Outlet outlet, ScopeTemplate template):
        self.shared = shared
        self.outlet = outlet
        self.template = template
        self.parser = RequestParser(shared.limits)
        if shared.http2 is not None:
            self.parser.takes_http2 = True
            self.parser.only_http2 = shared.http2.only

    # From the connection -----------------------------------------------------

    cdef int data_received(self, bytes data) except -1:
        if self.closed:
            return 0
        self.parser.give(data, PyBytes_GET_SIZE(data))
        try:
            self.process()
        finally:
            self.parser.stash()
        # Later requests wait behind a running exchange. Reading on shows when the client
        # leaves, but many of them make the client wait too.
        if (self.exchange is not None and not self.in_message
                and self.parser.n - self.parser.pos > PIPELINE_MOST):
            self.outlet.pause_reading()
        return 0

    cdef int process_later(self) except -1:
        self.process()
        return self.parser.stash()

    cdef Py_ssize_t body_room(self):
        """How many bytes of body, and nothing but body, may be read past the parser."""
        if (self.in_message and not self.closed and self.exchange is not None
                and self.parser.state == STATE_LENGTH and not self.parser.waiting()):
            return <Py_ssize_t>self.parser.left
        return 0

    cdef Py_ssize_t read_size(self, Py_ssize_t most):
        """How many bytes the next read should ask for: never beyond a body of known length."""
        cdef Py_ssize_t room = self.body_room()
        if room:
            return room if room < most else most
        return most if self.in_message or self.closed else HEAD_READ

    cdef int body_received(self, bytes data) except -1:
        """A run of body that was read past the parser."""
        if PyBytes_GET_SIZE(data) > self.body_room():
            # The exchange ended between the choice and the read.
            return self.data_received(data)
        self.parser.take_length(PyBytes_GET_SIZE(data))
        self.pace.come += PyBytes_GET_SIZE(data)
        self.continue_owed = False
        self.exchange.feed(data)
        return self.process()

    cdef int process(self) except -1:
        """Take what can be taken just now. No application may be on the stack."""
        if self.processing or self.closed:
            return 0
        self.processing = True
        try:
            self.take_events()
        except ParseError as error:
            if self.closed:
                # It is the successor's, to which there is nothing to say in HTTP/1.1.
                raise
            self.refuse(error.status, error.reason, error.headers)
        finally:
            self.processing = False
        if self.closed:
            return 0
        if self.peer_done and self.exchange is None:
            # What is left, if anything, can never become a whole request.
            self.closed = True
            self.outlet.close(False)
        else:
            self.set_wait()
        return 0

    cdef int take_events(self) except -1:
        cdef Event event
        while not self.closed:
            if self.exchange is not None:
                if not self.in_message:
                    # Its request is complete, its response is not.
                    return 0
                if self.scope is None and self.exchange.queued >= BODY_HIGH:
                    self.outlet.pause_reading()
                    if self.parser.waiting():
                        return 0
                    # All bytes are used; the end of the message may be due without another.
            event = self.parser.next()
            if event == EVENT_HEAD:
                self.begin_request()
            elif event == EVENT_BODY:
                self.take_body()
            elif event == EVENT_END:
                self.take_end()
            elif event == EVENT_HTTP2:
                self.become_http2(None, None)
            elif self.scope is not None:
                self.start()
            else:
                return 0
        return 0

    cdef int eof_received(self) except -1:
        """The peer will send no more; it may still read what it asked for."""
        self.peer_done = True
        if self.exchange is not None:
            self.exchange.disconnect(False)
            self.shared.client_left(self.exchange.call(), False)
        return self.process()

    cdef int connection_lost(self) except -1:
        cdef Exchange exchange = self.exchange
        self.closed = True
        self.exchange = None
        self.scope = None
        if exchange is not None:
            self.log(exchange, LEFT)
            exchange.disconnect(True)
            self.shared.client_left(exchange.call(), False)
        self.outlet = None
        return 0

    cdef int writable(self) except -1:
        if self.exchange is not None:
            self.exchange.writable()
        return 0

    cdef int timed_out(self, int kind) except -1:
        """The deadline `kind` has passed."""
        if self.closed:
            return 0
        if kind == WAIT_IDLE:
            # Not just between two requests: hold no more memory than waiting takes.
            self.parser.forget()
            self.outlet.wait_for(WAIT_KEEP_ALIVE)
        elif kind == WAIT_OPEN:
            if self.exchange is not None and self.exchange.state == RESPONSE_NONE:
                self.refuse(503, "the application has not answered the handshake", ())
        elif (kind == WAIT_FIRST or kind == WAIT_KEEP_ALIVE
              or (kind == WAIT_HEAD and not self.parser.waiting())):
            self.closed = True
            self.outlet.close(False)
        elif self.exchange is None and self.in_message:
            # The rest of a body nobody wants.
            self.closed = True
            self.outlet.close(False)
        else:
            # RFC 9110 15.5.9.
            self.refuse(408, "the request took too long", ())
        return 0

    cdef bint idle(self) noexcept:
        """Whether no request is under way, and none has begun to come."""
        return (not self.closed and self.exchange is None and not self.in_message
                and not self.parser.waiting())

    cdef int leave(self) except -1:
        """Close an idle connection."""
        self.closed = True
        return self.outlet.close(False)

    # Requests ----------------------------------------------------------------

    cdef int begin_request(self) except -1:
        cdef RequestParser parser = self.parser
        cdef Shared shared = self.shared
        cdef Exchange exchange
        cdef bytes raw_path = parser.raw_path()
        cdef bytes query_string
        cdef Origin origin = None
        cdef list headers
        cdef str method = method_name(parser.head_p + parser.head.method_off,
                                      parser.head.method_len)
        parser.takes_http2 = False
        if parser.has_upgrade and shared.http2 is not None and not self.outlet.secure:
            headers = parser.header_list()
            settings = asked_settings(parser, headers)
            if settings is not None:
                return self.become_http2(upgraded_head(parser, method, headers), settings)
        if parser.forwarding & self.template.believed:
            origin = shared.trust.origin(
                parser.headers, parser.forwarding & self.template.believed)
        shared.row.note(parser.head_p + parser.head.method_off,
                        parser.head.target_off + parser.head.target_len
                        - parser.head.method_off)
        exchange = new_exchange(
            shared, self, method,
            raw_path if PyBytes_GET_SIZE(raw_path) == parser.head.target_len
            else parser.whole_target(),
            11 if parser.head.minor else 10, origin)
        exchange.gone = self.peer_done
        self.exchange = exchange
        self.in_message = True
        # Whatever the wait is for afterwards, it is for something new.
        self.outlet.wait_for(WAIT_NOTHING)
        self.chunked = False
        self.discarded = 0
        self.pace.come = self.pace.waited = self.pace.since = 0
        self.keep_alive = parser.keep_alive()
        # RFC 9110 10.1.1: no 100 where the body has begun to come, or none will.
        self.continue_owed = (parser.expect_continue and parser.head.minor >= 1
                              and not parser.waiting()
                              and (parser.chunked or parser.length > 0))
        if shared.limit_connection_requests:
            self.requests += 1
            if self.requests >= shared.limit_connection_requests:
                self.keep_alive = False
        headers = parser.header_list()
        query_string = parser.query_string()
        admit(shared, self.template, exchange, headers, parser.host_at(), raw_path, query_string,
              False)
        if (parser.has_upgrade and parser.head.minor >= 1 and shared.websockets
                and wants_websocket(headers)):
            self.begin_websocket(raw_path, query_string, headers)
        else:
            self.scope = self.template.http(
                method, None if parser.head.minor else "1.0", raw_path,
                parser.target.path_escaped, query_string, headers)
        return complete_scope(self.template, exchange, self.scope, raw_path,
                              parser.target.path_escaped)

    cdef int begin_websocket(self, bytes raw_path, bytes query_string, list headers) except -1:
        """An opening handshake, RFC 6455 section 4.2.1. Its exchange is answered by a guest."""
        cdef RequestParser parser = self.parser
        cdef Handshake handshake
        # What follows the head may be frames of a client that was too eager: if there will
        # be no WebSocket, they must not be read as requests.
        self.closing = True
        handshake = read_handshake(self.exchange.method, headers, True)
        offer_websocket(self.shared, self.outlet, self.exchange, handshake,
                        scheme_of(self.template, self.exchange.origin), tls_of(self.template),
                        headers)
        self.scope = self.template.websocket(
            "1.1", raw_path, parser.target.path_escaped, query_string, headers,
            handshake.subprotocols)
        return 0

    cdef int become_http2(self, RequestHead head, bytes settings) except -1:
        """Let HTTP/2 take our place: for the preface, or for a request that asks for it."""
        cdef Outlet outlet = self.outlet
        cdef Http2Channel successor = Http2Channel(self.shared, outlet, self.template)
        cdef bytes rest
        self.closed = True
        if head is not None:
            # The end of its message, which has no body.
            self.parser.next()
            outlet.buffer().write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n"
                                  b"upgrade: h2c\r\n\r\n", 71)
        rest = self.parser.take_rest()
        self.outlet = None
        outlet.wait_for(WAIT_NOTHING)
        outlet.succeed(successor)
        if head is None:
            successor.begin()
        else:
            successor.begin_upgraded(head, settings)
        return successor.data_received(rest)

    cdef int take_body(self) except -1:
        cdef Exchange exchange = self.exchange
        self.continue_owed = False
        self.pace.come += self.parser.body_n
        if exchange is None:
            self.discarded += self.parser.body_n
            if self.discarded > DISCARD_MOST:
                self.closed = True
                self.outlet.close(True)
            return 0
        exchange.feed(self.parser.body_bytes())
        return 0

    cdef int take_end(self) except -1:
        self.in_message = False
        self.parser.trailer_pairs = None
        if self.exchange is None:
            return 0
        self.continue_owed = False
        self.exchange.feed_end()
        if self.scope is not None:
            self.start()
        return 0

    cdef int start(self) except -1:
        cdef dict scope = self.scope
        self.scope = None
        # Its client has left where it was pipelined in front of the end.
        return start_application(self.shared, self.exchange, scope, self.peer_done)

    cdef int refuse(self, int status, str reason, object headers) except -1:
        """Answer what cannot be served, and close. Nothing after it is read."""
        cdef Exchange exchange = self.exchange
        self.closed = True
        self.scope = None
        self.exchange = None
        self.shared.logger.debug("refused a request from %s with %d: %s",
                                 self.outlet.client_of(None if exchange is None
                                                       else exchange.origin).decode(),
                                 status, reason)
        if exchange is None:
            self.shared.write_answer(self.outlet.buffer(), status, reason, False, headers)
            self.shared.row.responded(status)
            if self.shared.access is not None:
                log_refusal(self.shared.access, self.outlet, self.template, status,
                            len(reason) + 1)
        elif exchange.state == RESPONSE_NONE or exchange.state == RESPONSE_HELD:
            self.write_answer(exchange, status, reason, headers)
            self.log(exchange, status)
        else:
            self.log(exchange, exchange.status)
            self.outlet.cut(not self.chunked and exchange.content_length < 0)
        if exchange is not None:
            discard(self.shared, exchange)
        if self.outlet is not None:
            self.outlet.close(True)
        return 0

    cdef int set_wait(self) except -1:
        """Choose the deadline that fits the state."""
        if self.pace.since and too_slow(&self.pace, monotonic_ms(), self.shared.min_rate,
                                        self.shared.rate_grace):
            return self.timed_out(WAIT_BODY)
        if self.exchange is not None and self.exchange.guest is not None:
            self.outlet.wait_for(WAIT_OPEN if self.exchange.state == RESPONSE_NONE
                                 else WAIT_NOTHING)
        elif self.exchange is not None:
            if self.in_message and not self.peer_done and self.exchange.starving():
                return self.await_body()
            self.outlet.wait_for(WAIT_NOTHING)
        elif self.in_message:
            return self.await_body()
        elif self.parser.waiting():
            self.outlet.wait_for(WAIT_HEAD)
        else:
            self.outlet.wait_for(WAIT_IDLE if self.served else WAIT_FIRST)
        return 0

    cdef int await_body(self) except -1:
        """Somebody waits for more body from now on."""
        self.pace.since = monotonic_ms()
        return self.outlet.wait_for(WAIT_BODY)

    # Responses: the rest of the exchange's sink ---------------------------------

    cdef int body_wanted(self, Exchange exchange) except -1:
        if exchange is not self.exchange:
            return 0
        if self.continue_owed:
            # RFC 9110 10.1.1: only once the application asks, never after a final status.
            self.continue_owed = False
            if exchange.state == RESPONSE_NONE or exchange.state == RESPONSE_HELD:
                self.write_interim(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.in_message and exchange.queued <= BODY_LOW:
            self.outlet.resume_reading()
            if not self.processing:
                if self.parser.waiting():
                    self.outlet.process_soon()
                elif exchange.starving():
                    self.await_body()
        return 0

    cdef int response_complete(self, Exchange exchange) except -1:
        if exchange is not self.exchange:
            return 0
        self.exchange = None
        self.served = True
        self.log(exchange, exchange.status)
        if (self.peer_done and not self.parser.waiting()) or self.unwanted_body():
            self.closing = True
        if self.closing:
            self.closed = True
            self.outlet.close(self.in_message or self.parser.waiting())
            return 0
        if not self.processing:
            # The application is still on the stack, so the next request comes through the loop.
            self.outlet.resume_reading()
            if self.parser.waiting():
                self.outlet.process_soon()
            else:
                self.set_wait()
        return 0

    cdef int application_ended(self, Exchange exchange, bint failed) except -1:
        cdef str text
        cdef int status
        self.shared.running.discard(exchange.call())
        self.shared.exchange_ends()
        if exchange is not self.exchange or not failed:
            return 0
        self.exchange = None
        self.closed = True
        if exchange.state == RESPONSE_NONE or exchange.state == RESPONSE_HELD:
            self.drop_held()
            if self.peer_done or self.outlet.closing:
                self.log(exchange, LEFT)
                if not self.outlet.closing:
                    self.outlet.abort()
                return 0
            status, text = missing_answer(exchange)
            self.write_answer(exchange, status, text, ())
            self.log(exchange, status)
            self.outlet.close(self.in_message or self.parser.waiting())
        elif exchange.bodiless and self.peer_done:
            self.log(exchange, exchange.status)
            self.outlet.close(False)
        else:
            # The client must see that the response is cut short: no last chunk, or fewer
            # bytes than announced. Where only the end of the connection ends the body, a reset.
            self.log(exchange, LEFT if exchange.gone else exchange.status)
            self.outlet.cut(not self.chunked and exchange.content_length < 0)
        return 0

    cdef int overdue(self, Exchange exchange) except -1:
        if exchange is self.exchange:
            self.shared.tell_overdue(exchange.call())
            self.refuse(504, "the application took too long", ())
        return 0

    cdef bytes switch_protocol(self, Exchange exchange, object headers, Channel successor):
        """101, RFC 9110 section 15.2.2; the exchange is over without a response."""
        cdef Outlet outlet = self.outlet
        cdef WriteBuffer out = outlet.buffer()
        cdef Py_ssize_t before = out.used
        cdef bytes line = status_line(101)
        cdef bytes rest
        try:
            out.write(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
            out.write(b"upgrade: websocket\r\nconnection: Upgrade\r\n", 41)
            write_fields(out, headers, False, &self.facts)
            self.write_own_fields(out, exchange)
        except BaseException:
            out.used = before
            raise
        out.write(b"\r\n", 2)
        self.shared.row.responded(101)
        self.exchange = None
        self.closed = True
        exchange.state = RESPONSE_COMPLETE
        exchange.sink = None
        exchange.guest = None
        unlink(&exchange.deadline)
        rest = self.parser.take_rest()
        outlet.wait_for(WAIT_NOTHING)
        outlet.succeed(successor)
        outlet.resume_reading()
        outlet.settle()
        self.outlet = None
        return rest

    cdef int log(self, Exchange exchange, int status) except -1:
        return log_end(self.shared, exchange, self.outlet, self.template, status,
                       self.parser.headers.pairs, self.parser.body_taken())
