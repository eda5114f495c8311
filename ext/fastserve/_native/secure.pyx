"""TLS between a connection's transport and its channel.

A `TlsFront` drives a `TlsLayer` for a connection: when a handshake begins and how it may end,
what is delivered to the channel, what an error costs. Errors of a handshake are the peer's
affair, or its wish: a line at debug level each, and for the peer the alert that OpenSSL has for it.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

import ssl

from .asgi.scope cimport ScopeTemplate
from .buffer cimport WriteBuffer, give_back, new_buffer
from .channel cimport Channel
from .deadlines cimport DeadlineQueue
from .front cimport Front
from .http1.channel cimport Http1Channel
from .http2.channel cimport Http2Channel
from .outlet cimport Outlet
from .shared cimport MAKE_ROOM, WAIT_FIRST, WAIT_HANDSHAKE, Shared
from .tls cimport PLAIN_HTTP, TLS_OPEN, TLS_SHAKING, TLS_WAITING, TlsLayer, reason_of

cdef enum:
    OWED_MOST = 65536

cdef object SSLError = ssl.SSLError


@cython.final
cdef class TlsFront(Front):

    def __init__(self, Shared shared, Outlet outlet, context):
        self.shared = shared
        self.outlet = outlet
        self.layer = TlsLayer(context)

    # From the connection -----------------------------------------------------

    cdef int data_received(self, bytes data) except -1:
        """A read of ciphertext. The counters know only what it holds."""
        cdef Outlet outlet = self.outlet
        cdef TlsLayer layer = self.layer
        if outlet.closing:
            return 0
        outlet.corked = True
        try:
            if layer.state == TLS_WAITING:
                self.begin()
            layer.give(data)
            if layer.state == TLS_OPEN or (layer.shake() and self.complete()):
                self.deliver()
        except SSLError as error:
            self.failed(error)
            self.desert()
        except Exception as error:
            outlet.fail(error)
        finally:
            outlet.corked = False
        outlet.flush()
        return self.write_output()

    cdef bint eof_received(self) noexcept:
        """Whether the channel is to know of it, the end of a connection without close_notify.

        HTTP sees for itself whether a message was cut.
        """
        return self.layer.state != TLS_SHAKING and not self.layer.peer_ended

    cdef bint established(self) noexcept:
        return self.layer.state == TLS_OPEN

    cdef int connection_lost(self) except -1:
        if self.layer.state == TLS_SHAKING:
            self.give_up("the peer has closed the connection", False)
        self.layer.fail()
        self.outlet = None
        return 0

    cdef int timed_out(self, int kind) except -1:
        """WAIT_HANDSHAKE is over, or others have more need of its place."""
        return self.give_up("it took too long" if kind == WAIT_HANDSHAKE
                            else "too many others have begun since", False)

    cdef bint idle(self) noexcept:
        return self.layer.between_records()

    cdef int write(self, bytes before, bytes data) except -1:
        cdef object sealed
        if self.outlet is None:
            return 0
        try:
            sealed = self.layer.seal(before, data)
        except SSLError as error:
            # An application may be on the stack.
            return self.failed(error)
        if sealed is not None:
            self.shared.row.sent(PyBytes_GET_SIZE(data)
                                 + (0 if before is None else PyBytes_GET_SIZE(before)))
            self.outlet.write_wire(sealed)
        return 0

    cdef int end(self) except -1:
        """Nothing follows: close_notify, or the alert of what has failed."""
        self.layer.end()
        return self.write_output()

    # Reading -----------------------------------------------------------------

    cdef int deliver(self) except -1:
        """Give the channel what has come. Another may take its place meanwhile."""
        cdef Outlet outlet = self.outlet
        cdef Channel channel
        cdef Py_ssize_t room
        cdef bytes plain
        while not outlet.closing:
            channel = outlet.channel
            # Body of a known length is decrypted right into what the application gets.
            room = channel.body_room()
            plain = self.layer.next(room)
            if plain is None:
                break
            self.shared.row.received(PyBytes_GET_SIZE(plain))
            if not PyBytes_GET_SIZE(plain):
                channel.eof_received()
            elif room:
                channel.body_received(plain)
            else:
                channel.data_received(plain)
        return 0

    # The handshake -----------------------------------------------------------

    cdef int begin(self) except -1:
        """Make room for it: many that never come to an end shall not keep others out."""
        cdef Shared shared = self.shared
        cdef DeadlineQueue queue = shared.queue(WAIT_HANDSHAKE)
        if (shared.limit_handshakes and shared.handshakes >= shared.limit_handshakes
                and not queue.empty()):
            (<Outlet>queue.ring.after.owner).expired(MAKE_ROOM)
        self.layer.begin()
        shared.handshakes += 1
        return self.outlet.wait_for(WAIT_HANDSHAKE)

    cdef bint complete(self) except -1:
        cdef Shared shared = self.shared
        cdef ScopeTemplate template = (<Http1Channel>self.outlet.channel).template
        cdef Http2Channel channel
        shared.handshakes -= 1
        template.tls = self.layer.extension()
        self.outlet.wait_for(WAIT_FIRST)
        if shared.http2 is not None and self.layer.chosen() == "h2":
            channel = Http2Channel(shared, self.outlet, template)
            self.outlet.succeed(channel)
            channel.begin()
        return True

    # Ends --------------------------------------------------------------------

    cdef int failed(self, object error) except -1:
        cdef Outlet outlet = self.outlet
        if self.layer.state == TLS_SHAKING:
            return self.give_up(reason_of(error), True)
        self.shared.logger.debug("TLS connection with %s failed: %s",
                                 outlet.client_text().decode(), reason_of(error))
        self.layer.fail()
        outlet.out = None
        outlet.held = -1
        return outlet.close(True)

    cdef int desert(self) except -1:
        """Nothing reaches the peer any more, so no application goes on while it lingers.

        Not with an application on the stack.
        """
        cdef Channel channel = self.outlet.channel
        self.outlet.channel = None
        return channel.connection_lost()

    cdef int give_up(self, str reason, bint linger) except -1:
        """End a handshake. `linger`: the peer shall see why."""
        cdef Outlet outlet = self.outlet
        self.shared.handshakes -= 1
        self.shared.logger.debug("TLS handshake with %s failed: %s",
                                 outlet.client_text().decode(), reason)
        self.layer.fail()
        if reason == PLAIN_HTTP:
            self.answer_plainly()
        return outlet.close(linger)

    cdef int write_output(self) except -1:
        """What TLS itself has to say.

        A peer can ask for answers without end (KeyUpdate, RFC 8446 section 4.6.3), and
        not read one of them.
        """
        cdef Outlet outlet = self.outlet
        cdef bytes output = self.layer.output()
        if output is None or outlet is None:
            return 0
        outlet.write_wire(output)
        self.owed = self.owed + PyBytes_GET_SIZE(output) if outlet.writing_paused else 0
        if self.owed > OWED_MOST:
            self.shared.logger.debug("TLS connection with %s failed: the peer does not read",
                                     outlet.client_text().decode())
            outlet.abort()
        return 0

    cdef int answer_plainly(self) except -1:
        """Plain HTTP on a port that speaks TLS gets an answer that its client can read."""
        cdef WriteBuffer answer = new_buffer()
        self.shared.write_answer(answer, 400, "this port speaks TLS: use https", False)
        self.outlet.write_wire(answer.take())
        return give_back(answer)
