"""WebSocket over an outlet, RFC 6455: frames in and out, one session.

`pump` takes frames until the input is used up or as many messages wait as may; what is
left of the input stays as it came, and reading is paused. Whatever ends the session goes
through `finish`, once: it logs and counts, and closes the outlet unless the peer did.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy, memset

from fastserve._native.errors import ProtocolViolation, WebSocketError

from ..access cimport AccessRecord
from ..asgi.exchange cimport Exchange, Sink
from ..asgi.websocket cimport MessageSink, WebSocket
from ..buffer cimport WriteBuffer
from ..deadlines cimport monotonic_us
from ..outlet cimport Outlet
from ..shared cimport WAIT_CLOSE, WAIT_PING, WAIT_PONG, Shared
from .deflate cimport negotiate
from .frames cimport (FRAME_BINARY, FRAME_CLOSE, FRAME_MORE, FRAME_PING, FRAME_TEXT,
                      FrameEvent, FrameParser)
from .handshake cimport Handshake, accept_key
from .writer cimport (OP_BINARY, OP_PING, OP_PONG, OP_TEXT, write_close, write_frame,
                      write_frame_head)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef enum:
    QUEUE_BYTES = 1 << 20           # memory of unread messages above which no more are taken
    COPY_MOST = 4096                # a longer message is joined with its head in an object of its own
    JOIN_MOST = 65536               # a longer one goes to the transport uncopied

cdef enum:
    ABNORMAL = 1006
    INTERNAL_ERROR = 1011

cdef str _SILENT = "keepalive ping timeout"


cdef WebSocket offer_websocket(Shared shared, Outlet outlet, Exchange exchange,
                               Handshake handshake, str scheme, str tls, list headers):
    cdef WebSocket session = WebSocket.__new__(WebSocket)
    cdef WebSocketChannel channel = WebSocketChannel.__new__(WebSocketChannel)
    channel.shared = shared
    channel.outlet = outlet
    channel.session = session
    channel.handshake = handshake
    channel.version = exchange.version
    channel.scheme = scheme
    channel.tls = tls
    if shared.access is not None:
        channel.headers = shared.access.keep(headers)
    session.sink = channel
    session.opening = exchange
    session.subprotocols = list(handshake.subprotocols)
    session.loop = shared.loop
    session.logger = shared.logger
    session.method = exchange.method
    session.target = exchange.target
    session.origin = exchange.origin
    session.started_us = exchange.started_us
    session.request_id = exchange.request_id
    session.restarting = shared.restarting
    exchange.guest = session
    return session


@cython.final
cdef class WebSocketChannel(MessageSink):

    # From the connection -----------------------------------------------------

    cdef int data_received(self, bytes data) except -1:
        return self.block_received(data, PyBytes_GET_SIZE(data))

    cdef int block_received(self, bytes block, Py_ssize_t n) except -1:
        if self.closed:
            return 0
        if not self.heard:
            self.heard = True
            if not self.close_sent:
                self.outlet.wait_for(WAIT_PING)
        self.parser.give(block, n)
        self.pump()
        self.hold_reading()
        return self.session.arrived(True)

    cdef int process_later(self) except -1:
        self.pump()
        self.hold_reading()
        return self.session.arrived(True)

    cdef int eof_received(self) except -1:
        """RFC 6455 section 7.1.5: an end without a close frame is no clean one."""
        if not self.closed:
            self.session.end(ABNORMAL, "", False)
            self.finish(self.code if self.close_sent else ABNORMAL)
            self.outlet.close(False)
            self.session.arrived(True)
        return 0

    cdef int connection_lost(self) except -1:
        cdef WebSocket session
        # A close frame of ours stays what ended it, though the peer has not answered.
        self.finish(self.code if self.close_sent else ABNORMAL)
        self.session.end(ABNORMAL, "", False)
        self.outlet = None
        session = self.session
        self.session = None
        session.arrived(True)
        if not session.closed_by_application:
            self.shared.client_left(session, True)
        return 0

    cdef int writable(self) except -1:
        if self.owed_pong is not None:
            payload = self.owed_pong
            self.owed_pong = None
            self.pong(payload)
        return self.session.writable()

    cdef int timed_out(self, int kind) except -1:
        if self.closed:
            return 0
        if kind == WAIT_PING:
            self.ping()
        elif kind == WAIT_PONG:
            # While we do not read, a pong may wait where we cannot see it; and where the peer
            # is slow to read, our ping may, behind what is to be written.
            if self.held or self.outlet.writing_paused:
                self.outlet.wait_for(WAIT_PING)
            else:
                self.session.end(INTERNAL_ERROR, _SILENT, False)
                self.close_session(INTERNAL_ERROR, _SILENT)
                self.finish(INTERNAL_ERROR)
                self.outlet.flush()
                self.outlet.abort()
                self.session.arrived(True)
        elif kind == WAIT_CLOSE:
            self.finish(self.code)
            self.outlet.abort()
        return 0

    # Frames from the peer ------------------------------------------------------

    cdef bint full(self) noexcept:
        cdef WebSocket session = self.session
        return (session.messages is not None and not self.close_sent
                and (len(session.messages) >= self.shared.ws_max_queue
                     or session.queued >= QUEUE_BYTES))

    cdef int pump(self) except -1:
        """Take frames while there is room. Wakes nobody."""
        cdef FrameEvent event
        if self.pumping:
            return 0
        self.pumping = True
        try:
            while not self.closed and not self.full():
                event = self.parser.next()
                if event == FRAME_TEXT or event == FRAME_BINARY:
                    self.take_message()
                elif event == FRAME_MORE:
                    break
                elif event == FRAME_PING:
                    self.pong(<bytes>self.parser.message)
                elif event == FRAME_CLOSE:
                    self.peer_closed(self.parser.code, self.parser.reason)
        except WebSocketError as error:
            self.fail(error.code, error.reason)
        finally:
            self.pumping = False
            if self.parser is not None:
                self.parser.stash()
        return 0

    cdef int take_message(self) except -1:
        cdef object message = self.parser.message
        self.parser.message = None
        if self.close_sent:
            # RFC 6455 section 1.4: we may drop what comes behind our close frame.
            return 0
        self.messages_in += 1
        self.bytes_in += self.parser.size
        self.shared.row.message_received(self.parser.size)
        return self.session.feed(message)

    cdef int hold_reading(self) except -1:
        """Read on while there is room, and not while there is none."""
        if self.closed or self.outlet is None:
            return 0
        if self.full():
            if not self.held:
                self.held = True
                self.outlet.pause_reading()
        elif self.held:
            self.held = False
            self.outlet.resume_reading()
        return 0

    cdef int messages_wanted(self) except -1:
        if self.outlet is not None and not self.closed and self.held:
            self.pump()
            self.hold_reading()
            # Others may wait besides the one on the stack.
            self.session.arrived(False)
        return 0

    cdef int pong(self, bytes payload) except -1:
        if self.close_sent or self.closed:
            return 0
        if self.outlet.writing_paused:
            # RFC 6455 section 5.5.3: the latest of several may be answered alone. So a flood
            # of pings from a peer that reads nothing takes no memory.
            self.owed_pong = payload
            return 0
        return self.send_control(OP_PONG, payload)

    cdef int send_control(self, int opcode, bytes payload) except -1:
        cdef WriteBuffer out = self.outlet.buffer()
        self.sent -= out.used
        write_frame(out, opcode, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        self.sent += out.used
        return self.outlet.settle()

    cdef int ping(self) except -1:
        if self.outlet.writing_paused:
            # It would come behind what the peer does not read: the write timeout's affair.
            return self.outlet.wait_for(WAIT_PING)
        self.heard = False
        self.send_control(OP_PING, b"")
        return self.outlet.wait_for(WAIT_PONG if self.shared.queue(WAIT_PONG).span else WAIT_PING)

    cdef int peer_closed(self, int code, str reason) except -1:
        """The peer's close frame: the first of the two, or the answer to ours."""
        self.let_answer()
        if not self.close_sent:
            self.session.end(code, reason, False)
            # RFC 6455 section 5.5.1: the answer has the same code.
            self.close_session(code, "")
            self.finish(code)
        else:
            self.finish(self.code)
        # RFC 6455 section 7.1.1: the server closes first.
        return self.outlet.close(False)

    cdef int fail(self, int code, str reason) except -1:
        """RFC 6455 section 7.1.7: say what is wrong, and close; the peer may still be sending."""
        self.shared.logger.debug("failed a WebSocket of %s with %d: %s",
                                 self.outlet.client_of(self.session.origin).decode(), code,
                                 reason)
        self.let_answer()
        self.session.end(code, reason, False)
        if not self.close_sent:
            self.close_session(code, reason)
        self.finish(self.code)
        return self.outlet.close(True)

    cdef int let_answer(self) except -1:
        """Messages before the end, of the same read, may still be answered (RFC 6455 section 5.5.1)."""
        if not self.close_sent and self.session.messages:
            self.session.arrived(True)
        return 0

    cdef int finish(self, int code) except -1:
        """The WebSocket is over: count it, and note it in the access log. Once."""
        cdef Shared shared = self.shared
        if self.closed or self.handshake is not None:
            return 0
        self.closed = True
        shared.row.websocket_closed(code)
        if shared.access is not None:
            self.write_access_line(code)
        self.parser = None
        self.deflate = None
        self.owed_pong = None
        return 0

    cdef int write_access_line(self, int code) except -1:
        cdef WebSocket session = self.session
        cdef bytes client = self.outlet.client_of(session.origin)
        cdef bytes peer = self.outlet.client_text()
        cdef AccessRecord record
        memset(&record, 0, sizeof(record))
        record.client = <PyObject *>client
        record.peer = <PyObject *>peer
        record.method = <PyObject *>session.method
        record.target = <PyObject *>session.target
        record.scheme = <PyObject *>self.scheme
        if self.headers is not None:
            record.headers = <PyObject *>self.headers
        if session.request_id is not None:
            record.request_id = <PyObject *>session.request_id
        if self.tls is not None:
            record.tls = <PyObject *>self.tls
        record.version = self.version
        record.status = 101 if self.version == 11 else 200
        record.bytes_in = record.messages_bytes_in = self.bytes_in
        record.bytes_out = self.sent
        record.duration_us = monotonic_us() - session.started_us
        record.first_us = session.first_us - session.started_us if session.first_us else -1
        record.code = code
        record.messages_in = self.messages_in
        record.messages_out = self.messages_out
        record.messages_bytes_out = self.bytes_out
        return self.shared.access.add(&record)

    # The session's sink --------------------------------------------------------

    cdef int accept(self, WebSocket session, object subprotocol, list headers) except -1:
        """RFC 6455 section 4.2.2."""
        cdef Handshake handshake = self.handshake
        cdef Shared shared = self.shared
        cdef list fields = []
        # Held here: the connection lets it go when we take its place.
        cdef Sink sink = session.opening.sink
        if handshake.key is not None:
            fields.append((b"sec-websocket-accept", accept_key(handshake.key)))
        if subprotocol is not None:
            fields.append((b"sec-websocket-protocol", subprotocol))
        if shared.ws_deflate is not None and handshake.extensions:
            self.deflate = negotiate(shared.ws_deflate, handshake.extensions)
            if self.deflate is not None:
                fields.append((b"sec-websocket-extensions", self.deflate.answer))
        self.parser = FrameParser(shared.ws_max_size, self.deflate)
        rest = sink.switch_protocol(session.opening, fields + headers, self)
        session.first_us = session.opening.first_us
        self.handshake = None
        self.takes_blocks = True
        self.heard = True
        shared.row.websocket_opened()
        self.outlet.wait_for(WAIT_PING)
        if rest:
            # What the client sent too early. It is read once the application has heard of
            # its accept, for the session might be over behind it.
            self.parser.give(rest, PyBytes_GET_SIZE(rest))
            self.parser.stash()
            self.outlet.process_soon()
        return 0

    cdef bint blocked(self) noexcept:
        return self.outlet is not None and self.outlet.writing_paused

    cdef Py_ssize_t send_message(self, object data, bint text) except -1:
        cdef Py_ssize_t n = 0
        cdef const char *p
        cdef int opcode = OP_TEXT if text else OP_BINARY
        cdef object whole = data
        cdef bint compressed = False
        if text:
            try:
                # Text that is no ASCII would keep its encoded form for as long as it lives.
                if not PyUnicode_IS_COMPACT_ASCII(data):
                    whole = data.encode()
                    p = PyBytes_AS_STRING(whole)
                    n = PyBytes_GET_SIZE(whole)
                else:
                    p = PyUnicode_AsUTF8AndSize(data, &n)
            except UnicodeEncodeError as error:
                raise ProtocolViolation(f"the text cannot be sent: {error}") from None
        else:
            p = PyBytes_AS_STRING(data)
            n = PyBytes_GET_SIZE(data)
        self.messages_out += 1
        self.bytes_out += n
        self.shared.row.message_sent(n)
        size = n
        if self.deflate is not None and n >= self.deflate.threshold:
            if isinstance(whole, str):
                whole = whole.encode()
            whole = self.deflate.deflate(whole)
            p = PyBytes_AS_STRING(whole)
            n = PyBytes_GET_SIZE(whole)
            compressed = True
        self.write_message(opcode, compressed, whole, p, n)
        return size

    cdef int write_message(self, int opcode, bint compressed, object whole, const char *p,
                           Py_ssize_t n) except -1:
        """The frame of a whole message; p[:n] is what `whole`, bytes or ASCII text, holds."""
        cdef Outlet outlet = self.outlet
        cdef WriteBuffer out = outlet.buffer()
        cdef bytes frame
        cdef Py_ssize_t begin = out.used, head
        write_frame_head(out, opcode, compressed, n)
        head = out.used - begin
        self.sent += head + n
        if n <= COPY_MOST:
            out.write(p, n)
        elif n <= JOIN_MOST:
            # One copy into one object costs less than a system call that gathers two.
            frame = PyBytes_FromStringAndSize(NULL, head + n)
            memcpy(PyBytes_AS_STRING(frame), out.data + begin, <size_t>head)
            memcpy(PyBytes_AS_STRING(frame) + head, p, <size_t>n)
            out.used = begin
            outlet.write_object(frame)
        else:
            outlet.write_object(whole if isinstance(whole, bytes) else whole.encode())
        return outlet.settle()

    cdef int close_session(self, int code, str reason) except -1:
        cdef WriteBuffer out
        if self.closed or self.close_sent or self.outlet is None:
            return 0
        out = self.outlet.buffer()
        self.sent -= out.used
        write_close(out, code, reason)
        self.sent += out.used
        self.close_sent = True
        self.code = code
        # Once it has come, the peer's close frame is behind what is not wanted any more.
        self.outlet.wait_for(WAIT_CLOSE)
        self.outlet.settle()
        if self.held:
            self.held = False
            self.outlet.resume_reading()
            self.outlet.process_soon()
        return 0

    cdef int application_ended(self, WebSocket session) except -1:
        self.shared.running.discard(session)
        return self.shared.exchange_ends()
