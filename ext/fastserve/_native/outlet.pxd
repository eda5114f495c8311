"""What a channel may ask of the connection that carries it."""

from .buffer cimport WriteBuffer, new_buffer
from .channel cimport Channel
from .deadlines cimport Expirable
from .forwarded cimport Origin
from .proxy_protocol cimport ProxyHeader

cdef enum:
    FLUSH_SIZE = 65536


cdef class Outlet(Expirable):
    # Output collects here; None while there is none, so that an idle connection has no buffer.
    cdef WriteBuffer out
    cdef Py_ssize_t held            # out.data[held:] stays when flushed (a response head); -1: nothing
    cdef bint corked                # inside a read callback: its end flushes
    cdef bint writing_paused        # the transport is above its high-water mark
    cdef bint secure                # the socket carries something else than what is written
    cdef Channel channel            # None before connection_made, and once it knows of its end
    cdef bint closing               # close() or abort() was called

    cdef int flush(self) except -1
    cdef int write_object(self, object data) except -1
    cdef int write_wire(self, object data) except -1
    cdef int pause_reading(self) except -1
    cdef int resume_reading(self) except -1
    cdef int wait_for(self, int kind) except -1
    cdef int process_soon(self) except -1
    cdef int succeed(self, Channel successor) except -1
    cdef int introduce(self, ProxyHeader header, bytes rest) except -1
    cdef int close(self, bint linger) except -1
    cdef int abort(self) except -1
    cdef int cut(self, bint reset) except -1
    cdef int write_stalled(self, bint stalled) except -1
    cdef int fail(self, object error) except -1
    cdef object transport_object(self)
    cdef bytes client_text(self)

    # The client of a request for logs: as fields of forwarding name it, else the peer.
    cdef inline bytes client_of(self, Origin origin):
        if origin is not None and origin.client is not None:
            return origin.client_text()
        return self.client_text()

    cdef inline WriteBuffer buffer(self):
        if self.out is None:
            self.out = new_buffer()
        return self.out

    # Output is worth a write of its own, or nothing else will flush it.
    cdef inline int settle(self) except -1:
        if not self.corked or (self.out is not None and self.out.used >= FLUSH_SIZE):
            self.flush()
        return 0
