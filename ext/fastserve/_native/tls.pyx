"""TLS in front of a channel: ciphertext to plaintext and back.

A `TlsLayer` is the server's side of one connection: an `ssl.SSLObject` between two
`ssl.MemoryBIO`s. It does no input or output. OpenSSL is asked for plaintext only where a
record is whole, because the exception by which it says that it needs more costs as much as
a small record's decryption. A memory BIO keeps the most that it ever held, so it
gets no more than about a record at a time.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

import ssl

cdef enum:
    RECORD_MOST = 16384             # plaintext of a record, RFC 8446 section 5.1
    RECORD_WIRE_MOST = 18432        # its ciphertext, RFC 5246 section 6.2.3
    FEED_MOST = 8192                # after so many bytes OpenSSL gets no further record
    HEADER = 5
    FIRST_TYPE = 20                 # change_cipher_spec
    LAST_TYPE = 24                  # heartbeat

cdef object SSLError = ssl.SSLError
cdef object SSLWantReadError = ssl.SSLWantReadError
cdef object SSLZeroReturnError = ssl.SSLZeroReturnError
cdef object MemoryBIO = ssl.MemoryBIO

cdef str PLAIN_HTTP = "http request"

cdef int live_layers = 0


@cython.final
cdef class TlsLayer:
    """One connection's TLS. `context` has `wrap(incoming, outgoing)`, which gives the
    SSLObject, and `extension(ssl_object)`, the dict of ASGI's tls extension."""

    def __cinit__(self, context):
        global live_layers
        live_layers += 1
        self.context = context
        self.state = TLS_WAITING

    def __dealloc__(self):
        global live_layers
        live_layers -= 1

    cdef int begin(self) except -1:
        """The first byte has come; a connection that stays silent costs no SSLObject."""
        self.incoming = MemoryBIO()
        self.outgoing = MemoryBIO()
        self.ssl_object = self.context.wrap(self.incoming, self.outgoing)
        # Its methods only call those of the object inside, a Python frame each.
        inner = getattr(self.ssl_object, "_sslobj", self.ssl_object)
        self.read_method = inner.read
        self.write_method = inner.write
        self.pending_method = inner.pending
        self.state = TLS_SHAKING
        return 0

    cdef int give(self, bytes data) except -1:
        """Lend a read, until `shake` has said no, `next` has given None, or all is over."""
        self.lent = data
        self.fed = 0
        return 0

    cdef bint shake(self) except -1:
        """Go on with the handshake. True when it is complete. Raises ssl.SSLError."""
        while self.fed < PyBytes_GET_SIZE(self.lent):
            self.feed()
            try:
                self.ssl_object.do_handshake()
            except SSLWantReadError:
                continue
            self.state = TLS_OPEN
            self.readable = <Py_ssize_t>self.incoming.pending > 0
            return True
        self.lent = None
        return False

    cdef bytes next(self, Py_ssize_t most):
        """The next plaintext, at most `most` bytes of it where that is not 0.

        None: more must be given first. Empty: the peer's close_notify has come, and nothing
        after it is read (RFC 8446 section 6.1). Raises ssl.SSLError.
        """
        cdef bytes data
        cdef Py_ssize_t n
        while self.state == TLS_OPEN and not self.peer_ended:
            if not self.readable:
                if self.lent is None or self.fed == PyBytes_GET_SIZE(self.lent):
                    break
                self.feed()
                continue
            # A record's plaintext is shorter than its ciphertext.
            n = RECORD_MOST if self.inside else <Py_ssize_t>self.incoming.pending
            n = min(n, RECORD_MOST)
            if most and most < n:
                n = most
            try:
                data = self.read_method(n)
            except SSLWantReadError:
                self.readable = self.inside = False
                continue
            except SSLZeroReturnError:
                data = b""
            if PyBytes_GET_SIZE(data) == 0:
                self.peer_ended = True
                self.lent = None
            elif PyBytes_GET_SIZE(data) < n:
                # Shorter than asked for: so ends the record.
                self.inside = False
                self.readable = <Py_ssize_t>self.incoming.pending > 0
            else:
                self.inside = <Py_ssize_t>self.pending_method() > 0
                self.readable = self.inside or <Py_ssize_t>self.incoming.pending > 0
            return data
        self.lent = None
        return None

    cdef object seal(self, bytes before, bytes data):
        """Ciphertext of `before`, a few bytes or None, and `data`, and of what TLS has to say.

        bytes, or a list of them; None where nothing can be sent any more. Raises
        ssl.SSLError, also where a renegotiation would have to end first.
        """
        cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = 0
        cdef list parts
        if self.state != TLS_OPEN or n == 0:
            return None
        if n <= RECORD_MOST and before is None:
            self.write_method(data)
            return self.outgoing.read()
        parts = []
        view = memoryview(data)
        if before is not None:
            # A record less is worth more than a copy.
            at = max(0, RECORD_MOST - PyBytes_GET_SIZE(before))
            self.write_method(before + view[:at])
            parts.append(self.outgoing.read())
        while at < n:
            self.write_method(view[at:at + RECORD_MOST])
            parts.append(self.outgoing.read())
            at += RECORD_MOST
        return parts

    cdef bytes output(self):
        """What TLS itself has to say, or None: handshake messages, tickets, alerts."""
        if self.outgoing is None or <Py_ssize_t>self.outgoing.pending == 0:
            return None
        return self.outgoing.read()

    cdef int end(self) except -1:
        """Say close_notify; `output` has it then. Nothing is read or written afterwards."""
        if self.state == TLS_OPEN:
            try:
                self.ssl_object.unwrap()
            except OSError:
                pass    # it would wait for the peer's
        return self.fail()

    cdef int fail(self) except -1:
        """It is over. `output` still has a fatal alert of ours."""
        self.state = TLS_OVER
        self.lent = None
        return 0

    cdef dict extension(self):
        return self.context.extension(self.ssl_object)

    cdef object chosen(self):
        """The protocol that ALPN agreed on, RFC 7301; None: none."""
        return self.ssl_object.selected_alpn_protocol()

    cdef bint between_records(self) noexcept:
        """Whether the peer has not begun to say anything that is still to be read."""
        return self.state == TLS_WAITING or (
            self.state == TLS_OPEN and self.left == 0 and self.head_n == 0)

    cdef int feed(self) except -1:
        """Hand the next bytes of what was lent to OpenSSL; `readable` when it has a record."""
        cdef bytes lent = self.lent
        cdef Py_ssize_t rest = PyBytes_GET_SIZE(lent) - self.fed
        cdef Py_ssize_t n = self.measure(
            <const uint8_t *>PyBytes_AS_STRING(lent) + self.fed, rest)
        if n == PyBytes_GET_SIZE(lent):
            self.incoming.write(lent)
        else:
            self.incoming.write(memoryview(lent)[self.fed:self.fed + n])
        self.fed += n
        return 0

    cdef Py_ssize_t measure(self, const uint8_t *p, Py_ssize_t n) noexcept:
        """How many of the n bytes at p come next: up to the end of a record where there is one."""
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t step
        while at < n and not self.untracked:
            if self.left == 0:
                self.head[self.head_n] = p[at]
                self.head_n += 1
                at += 1
                if self.head_n < HEADER:
                    continue
                self.head_n = 0
                self.left = self.head[3] << 8 | self.head[4]
                if (not FIRST_TYPE <= self.head[0] <= LAST_TYPE
                        or self.left > RECORD_WIRE_MOST):
                    self.untracked = True
                    break
            step = min(self.left, n - at)
            self.left -= step
            at += step
            if self.left == 0:
                self.readable = True
                if at >= FEED_MOST or not whole_record(p + at, n - at):
                    return at
        if self.untracked:
            self.left = 0
            self.readable = True
            return min(n, RECORD_MOST)
        return at

    # For tests: all of it without a connection.

    def receive(self, bytes data not None, Py_ssize_t most=0):
        """(runs of plaintext, an empty one for the peer's end; what is to be sent)"""
        cdef list runs = []
        if self.state == TLS_WAITING:
            self.begin()
        try:
            self.give(data)
            if self.state == TLS_OPEN or (self.state == TLS_SHAKING and self.shake()):
                while (run := self.next(most)) is not None:
                    runs.append(run)
        except SSLError:
            self.fail()
            raise
        return runs, self.output()

    def send(self, bytes data not None, bytes before=None):
        """What `data` becomes, as it goes out."""
        sealed = self.seal(before, data)
        return b"".join(sealed) if isinstance(sealed, list) else sealed

    def close(self):
        """The last bytes to be sent."""
        self.end()
        return self.output()

    @property
    def open(self):
        """Whether the handshake is complete and the connection not over."""
        return self.state == TLS_OPEN

    @property
    def resting(self):
        return self.between_records()

    def take(self):
        """What is still to be sent, or None."""
        return self.output()


cdef bint whole_record(const uint8_t *p, Py_ssize_t n) noexcept:
    return n >= HEADER and n >= HEADER + (p[3] << 8 | p[4])


cdef str reason_of(object error):
    """What went wrong, for a line of the log: "no shared cipher"."""
    cdef object reason = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if isinstance(reason, str) else str(error)
