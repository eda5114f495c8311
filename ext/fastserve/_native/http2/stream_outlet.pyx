"""A WebSocket's outlet over one stream, RFC 8441.

What a `WebSocketChannel` writes becomes the stream's DATA, and not reading is to open its window
no further. An orderly end is END_STREAM, a cut RST_STREAM (section 5). Nothing that ends the stream
calls the channel on the spot: it may be the one who asked for it.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from fastserve._native.errors import ParseError

from ..asgi.exchange cimport RESPONSE_COMPLETE, RESPONSE_NONE, Exchange
from ..asgi.scope cimport ScopeTemplate
from ..buffer cimport WriteBuffer, give_back
from ..channel cimport Channel
from ..deadlines cimport monotonic_ms, monotonic_us, unlink
from ..exchange_log cimport scheme_of, tls_of
from ..leaves cimport FS_H2_CANCEL
from ..shared cimport WAIT_LINGER, WAIT_NOTHING, WAIT_OPEN, Shared
from ..websocket.channel cimport offer_websocket
from ..websocket.handshake cimport Handshake, read_handshake
from .heads cimport RequestHead
from .response_head cimport ResponseHead
from .stream cimport Carrier, Http2Stream
from .tunnel cimport Tunnel


cdef dict offer_tunnel(Http2Stream stream, list headers):
    """RFC 8441 section 4; a WebSocket is all that is spoken."""
    cdef RequestHead head = stream.head
    cdef Shared shared = stream.carrier.shared
    cdef ScopeTemplate template = stream.carrier.template
    cdef Exchange exchange = stream.exchange
    cdef StreamOutlet outlet
    cdef Handshake handshake
    # RFC 9110 section 7.8: names of protocols are compared without regard to case.
    if head.protocol.lower() != b"websocket" or not shared.websockets:
        raise ParseError(501, "this protocol is not spoken here")
    handshake = read_handshake(head.method, headers, False)
    outlet = StreamOutlet.__new__(StreamOutlet)
    outlet.shared = shared
    outlet.carrier = stream.carrier
    outlet.stream = stream
    outlet.client = stream.carrier.outlet.client_text()
    outlet.early = bytearray()
    stream.tunnel = outlet
    outlet.wait_for(WAIT_OPEN)
    offer_websocket(shared, outlet, exchange, handshake, scheme_of(template, exchange.origin),
                    tls_of(template), headers)
    return template.websocket("2", head.raw_path, head.path_escaped, head.query_string, headers,
                              handshake.subprotocols)


@cython.final
cdef class StreamOutlet(Tunnel):

    def __cinit__(self):
        self.link.owner = <void *>self

    def __dealloc__(self):
        unlink(&self.link)

    # From the stream ---------------------------------------------------------

    cdef int take(self, bytes data) except -1:
        cdef Http2Stream stream = self.stream
        if self.closing:
            # The rest of what a client sends that was told of the end.
            return stream.grant()
        if self.channel is None:
            self.early += data
            self.held += PyBytes_GET_SIZE(data)
            return 0
        if self.reading_paused:
            self.held += PyBytes_GET_SIZE(data)
        self.deliver(data)
        return 0 if stream.closed else stream.grant()

    cdef int deliver(self, bytes data) except -1:
        """Have the channel read `data`, or the end for None; what it writes goes in one piece."""
        cdef Channel channel = self.channel
        self.corked = True
        try:
            if data is None:
                channel.eof_received()
            else:
                channel.data_received(data)
        finally:
            self.corked = False
        return self.flush()

    cdef int take_end(self) except -1:
        """END_STREAM: what the end of a connection is for HTTP/1.1."""
        if self.closing:
            return self.all_sent() if self.stream.local_done else 0
        if self.channel is not None:
            return self.deliver(None)
        return self.stream.refuse(400, "the stream has ended before it was answered", ())

    cdef int peer_left(self) except -1:
        self.stream.remote_done = True
        if self.channel is None:
            # There will be no WebSocket, whatever the application says.
            return self.carrier.reset(self.stream, FS_H2_CANCEL)
        return self.take_end()

    cdef int room(self) except -1:
        if self.writing_paused and not self.stream.blocked():
            self.writing_paused = False
            if self.channel is not None:
                self.channel.writable()
        return 0

    cdef int all_sent(self) except -1:
        """Our END_STREAM is written. The peer has some time to end its half, as with TCP, but a
        server that stops does not wait for it."""
        if self.stream.remote_done or self.shared.restarting:
            return self.carrier.answered(self.stream)
        return self.wait_for(WAIT_LINGER)

    cdef int over(self) except -1:
        unlink(&self.link)
        self.closing = True
        self.stream = None
        self.carrier = None
        self.early = None
        self.out = None
        if self.channel is not None:
            self.shared.loop.call_soon(self._lose)
        return 0

    def _lose(self):
        cdef Channel channel = self.channel
        self.channel = None
        channel.connection_lost()

    cdef bytes open(self, Channel successor, object headers):
        cdef Http2Stream stream = self.stream
        cdef Carrier carrier = self.carrier
        cdef Exchange exchange = stream.exchange
        cdef ResponseHead head = carrier.heads.check(200, headers)
        cdef bytes early
        if self.shared.times_first:
            exchange.first_us = monotonic_us()
        carrier.heads.write_head(carrier.outlet.buffer(), stream.id, head, -1,
                                 exchange.request_id, False, carrier.frame_most)
        self.shared.row.responded(200)
        exchange.state = RESPONSE_COMPLETE
        exchange.ended = True
        exchange.sink = None
        exchange.guest = None
        unlink(&exchange.deadline)
        self.wait_for(WAIT_NOTHING)
        self.channel = successor
        early = bytes(self.early)
        self.early = None
        self.held = 0
        stream.grant()
        carrier.outlet.settle()
        return early

    # From the channel: the outlet ---------------------------------------------

    cdef int flush(self) except -1:
        return self.send(False)

    cdef int send(self, bint ends) except -1:
        """Send what `out` holds. `ends`: nothing follows."""
        cdef WriteBuffer out = self.out
        cdef const char *p = b""
        cdef Py_ssize_t n = 0
        if out is not None:
            p = out.data
            n = out.used
        if self.stream is None or (n == 0 and not ends):
            return 0
        # Ours alone: while it is sent the channel may begin another.
        self.out = None
        if self.carrier.fits(self.stream, n):
            self.carrier.write_data(self.stream, p, n, ends)
            self.carrier.outlet.settle()
        else:
            self.carrier.send_data(self.stream, b"" if out is None else out.take(), n, ends)
        self.note_room()
        return 0 if out is None else give_back(out)

    cdef int note_room(self) noexcept:
        self.writing_paused = self.stream is not None and self.stream.blocked()
        return 0

    cdef int write_object(self, object data) except -1:
        self.flush()
        if self.stream is not None:
            self.carrier.send_data(self.stream, data, PyBytes_GET_SIZE(data), False)
            self.note_room()
        return 0

    cdef int pause_reading(self) except -1:
        self.reading_paused = True
        return 0

    cdef int resume_reading(self) except -1:
        self.reading_paused = False
        self.held = 0
        return 0 if self.stream is None else self.stream.grant()

    cdef int wait_for(self, int kind) except -1:
        if self.stream is None or kind == self.waiting_for:
            return 0
        self.waiting_for = kind
        if kind == WAIT_NOTHING:
            unlink(&self.link)
        else:
            self.shared.queue(kind).add(&self.link, monotonic_ms())
            self.shared.arm_tick()
        return 0

    cdef int process_soon(self) except -1:
        self.shared.loop.call_soon(self._process)
        return 0

    cdef int close(self, bint linger) except -1:
        """There is nothing to choose: a stream's end overtakes nothing."""
        if self.closing:
            return 0
        self.closing = True
        self.wait_for(WAIT_NOTHING)
        self.send(True)
        if self.stream is not None and self.stream.local_done:
            self.all_sent()
        return 0

    cdef int abort(self) except -1:
        self.closing = True
        self.out = None
        return 0 if self.stream is None else self.carrier.reset(self.stream, FS_H2_CANCEL)

    cdef int fail(self, object error) except -1:
        return 0 if self.stream is None else self.carrier.outlet.fail(error)

    cdef object transport_object(self):
        return None if self.stream is None else self.carrier.outlet.transport_object()

    cdef bytes client_text(self):
        return self.client

    # Expirable

    cdef int expired(self, int kind) except -1:
        cdef Http2Stream stream = self.stream
        self.waiting_for = WAIT_NOTHING
        if kind == WAIT_LINGER:
            # RFC 9113 section 8.1: without error, for all was sent.
            return self.carrier.answered(stream)
        if kind == WAIT_OPEN:
            if stream.exchange.state == RESPONSE_NONE:
                stream.refuse(503, "the application has not answered the handshake", ())
            return 0
        self.channel.timed_out(kind)
        return self.flush()
