"""The response half of HTTP/1.1: what an exchange sends, as bytes.

A head is held in the outlet's buffer until the first body message, when it is known how
the body is framed (RFC 9112 section 6). Requests, and what follows a response, are the
channel's affair.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from fastserve._native.errors import ClientDisconnected

from ..asgi.call cimport gone
from ..asgi.exchange cimport RESPONSE_BODY, RESPONSE_HELD, Exchange, Sink
from ..buffer cimport WriteBuffer
from ..request_ids cimport with_request_id
from ..sendfile import send_file as copy_file
from .parser cimport STATE_CHUNKED
from .writer cimport (status_line, write_chunk_head, write_decimal, write_fields, write_pairs)

cdef enum:
    COPY_MOST = 16384               # a larger body goes to the transport uncopied


cdef class ResponseHalf(Sink):

    cdef bint blocked(self) noexcept:
        return self.outlet is not None and self.outlet.writing_paused

    cdef int hold_head(self, Exchange exchange, int status, object headers) except -1:
        cdef Outlet outlet = self.outlet
        cdef WriteBuffer out = outlet.buffer()
        cdef bytes line = status_line(status)
        outlet.held = out.used
        try:
            out.write(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
            write_fields(out, headers, status != 204, &self.facts)
        except BaseException:
            self.drop_held()
            raise
        exchange.content_length = self.facts.content_length if status != 204 else -1
        return 0

    cdef int drop_held(self) except -1:
        if self.outlet.held >= 0:
            self.outlet.out.used = self.outlet.held
            self.outlet.held = -1
        return 0

    cdef int write_answer(self, Exchange exchange, int status, str text, object headers) except -1:
        """The server's own answer, in place of what the application may have begun."""
        self.drop_held()
        self.begin_answer(exchange)
        self.shared.write_answer(self.outlet.buffer(), status, text, exchange.head_request,
                                 with_request_id(headers, exchange))
        exchange.body_sent = len(text) + 1
        exchange.bodiless = exchange.head_request
        return 0

    cdef int commit_head(self, Exchange exchange, Py_ssize_t n, bint more) except -1:
        """Finish the held head: it knows now how the body is framed, RFC 9112 section 6."""
        cdef WriteBuffer out
        cdef bint trailers = (exchange.trailers and self.parser.accepts_trailers
                              and exchange.version > 10)
        if self.outlet.held < 0:
            # It went with a connection that was cut; the word of that is still on its way.
            exchange.gone = True
            raise gone()
        out = self.outlet.out
        self.trailers_sent = self.trailers_begun = False
        self.write_own_fields(out, exchange)
        if exchange.content_length < 0:
            if exchange.bodiless:
                # A HEAD answer may tell the length a GET would have; a 304 or 204 none.
                if exchange.head_request and n and not more:
                    out.write(b"content-length: ", 16)
                    write_decimal(out, n)
                    out.write(b"\r\n", 2)
            elif not more and not trailers:
                out.write(b"content-length: ", 16)
                write_decimal(out, n)
                out.write(b"\r\n", 2)
            elif exchange.version > 10:
                self.chunked = True
                self.trailers_sent = trailers
                out.write(b"transfer-encoding: chunked\r\n", 28)
            else:
                # HTTP/1.0 knows no chunks: the end of the connection ends the body.
                self.closing = True
        if (self.facts.close or not self.keep_alive or self.shared.draining
                or (self.peer_done and not self.parser.waiting())
                or (not more and self.unwanted_body())):
            self.closing = True
        if self.closing:
            out.write(b"connection: close\r\n\r\n", 21)
        elif exchange.version == 10:
            out.write(b"connection: keep-alive\r\n\r\n", 26)
        else:
            out.write(b"\r\n", 2)
        self.outlet.held = -1
        return 0

    cdef int send_body(self, Exchange exchange, object data, Py_ssize_t n, bint more) except -1:
        cdef WriteBuffer out
        if exchange.state == RESPONSE_HELD:
            self.commit_head(exchange, n, more)
        if exchange.bodiless:
            n = 0
        out = self.outlet.buffer()
        if n:
            if self.chunked:
                write_chunk_head(out, n)
            if n <= COPY_MOST:
                out.write(PyBytes_AS_STRING(data), n)
            else:
                self.outlet.write_object(data)
                out = self.outlet.buffer()
            if self.chunked:
                out.write(b"\r\n", 2)
        if self.chunked and not more and not self.trailers_sent:
            out.write(b"0\r\n\r\n", 5)
        self.outlet.settle()
        return 0

    cdef int send_trailers(self, Exchange exchange, object headers, bint more) except -1:
        cdef WriteBuffer out = self.outlet.buffer()
        cdef Py_ssize_t before = out.used
        try:
            if self.trailers_sent and not self.trailers_begun:
                out.write(b"0\r\n", 3)
            write_pairs(out, headers)
        except BaseException:
            out.used = before
            raise
        self.trailers_begun = True
        if not self.trailers_sent:
            # The client did not ask for trailers (TE, RFC 9110 10.1.4): checked, not sent.
            out.used = before
        elif not more:
            out.write(b"\r\n", 2)
        self.outlet.settle()
        return 0

    cdef int send_hints(self, Exchange exchange, object links) except -1:
        """103 Early Hints, RFC 8297."""
        cdef WriteBuffer hints
        if exchange.version == 10:
            return 0
        hints = WriteBuffer.__new__(WriteBuffer)
        hints.write(b"HTTP/1.1 103 Early Hints\r\n", 26)
        write_pairs(hints, [(b"link", link) for link in links])
        hints.write(b"\r\n", 2)
        return self.write_interim(hints.take())

    cdef int write_interim(self, bytes response) except -1:
        """An interim response leaves before the held head."""
        if self.outlet.held >= 0:
            self.outlet.write_object(response)
        else:
            self.outlet.buffer().write(PyBytes_AS_STRING(response), PyBytes_GET_SIZE(response))
            self.outlet.settle()
        return 0

    cdef object send_file(self, Exchange exchange, int fd, int64_t offset, int64_t count,
                          bint more, object close):
        cdef WriteBuffer out
        if exchange.state == RESPONSE_HELD:
            self.commit_head(exchange, count, more)
            exchange.state = RESPONSE_BODY
        out = self.outlet.buffer()
        if self.chunked and count and not exchange.bodiless:
            write_chunk_head(out, count)
        return self._send_file(exchange, fd, offset, count, more, close)

    async def _send_file(self, Exchange exchange, int fd, int64_t offset, int64_t count,
                         bint more, object close):
        try:
            if count and not exchange.bodiless:
                await copy_file(self.outlet, exchange, self.shared.row, fd, offset, count)
        except BaseException as error:
            # The announced bytes cannot follow any more.
            if self.outlet is not None and exchange is self.exchange:
                exchange.gone = exchange.gone or isinstance(error, ClientDisconnected)
                self.outlet.abort()
            raise
        finally:
            if close is not None:
                close.close()
        if self.outlet is None or exchange is not self.exchange:
            raise ClientDisconnected("the client has disconnected")
        if self.chunked and not exchange.bodiless:
            if count:
                self.outlet.buffer().write(b"\r\n", 2)
            if not more and not self.trailers_sent:
                self.outlet.buffer().write(b"0\r\n\r\n", 5)
        self.outlet.settle()
        if not more:
            exchange.finish()

    cdef bint unwanted_body(self):
        """Whether the rest of the request is not worth reading, or may never come."""
        return self.in_message and (self.continue_owed or self.parser.state == STATE_CHUNKED
                                    or self.parser.left > DISCARD_MOST)
