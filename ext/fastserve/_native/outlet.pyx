"""What a channel may ask of the connection that carries it.

The channel lives below the connection, so it calls it through this abstract class.
"""

from .channel cimport Channel


cdef class Outlet(Expirable):

    def __cinit__(self):
        self.held = -1

    cdef int flush(self) except -1:
        """Hand what `out` holds, but for a held head, to the transport."""
        raise NotImplementedError

    cdef int write_object(self, object data) except -1:
        """Flush, then hand `data` (bytes) over as it is, in front of a held head."""
        raise NotImplementedError

    cdef int write_wire(self, object data) except -1:
        """Hand `data`, bytes or a list of them, to the transport as it is, past the front."""
        raise NotImplementedError

    cdef int pause_reading(self) except -1:
        raise NotImplementedError

    cdef int resume_reading(self) except -1:
        raise NotImplementedError

    cdef int wait_for(self, int kind) except -1:
        """Be in the deadline queue `kind` alone; WAIT_NOTHING leaves them all.

        WAIT_BODY starts afresh at every call, the others keep their due time.
        """
        raise NotImplementedError

    cdef int process_soon(self) except -1:
        """Call the channel's `process_later` from the event loop, with no application on the stack."""
        raise NotImplementedError

    def _process(self):
        """What `process_soon` asks the event loop to call."""
        cdef Channel channel = self.channel
        if channel is None or self.closing:
            return
        self.corked = True
        try:
            channel.process_later()
        except Exception as error:
            self.fail(error)
        finally:
            self.corked = False
        self.flush()

    cdef int succeed(self, Channel successor) except -1:
        """Another channel takes the present one's place."""
        raise NotImplementedError

    cdef int introduce(self, ProxyHeader header, bytes rest) except -1:
        """The connection is that of the client that the header tells; `rest` came behind it."""
        raise NotImplementedError

    cdef int close(self, bint linger) except -1:
        """Flush and close. `linger`: the peer may still be sending, so say that nothing
        follows and drop what comes for a while; else a reset could overtake the answer."""
        raise NotImplementedError

    cdef int abort(self) except -1:
        """Close at once; what is not yet sent is lost."""
        raise NotImplementedError

    cdef int cut(self, bint reset) except -1:
        """End a response that is not whole. `reset`: by a TCP reset, for a body that the end
        of the connection would end; what was written may be lost then."""
        raise NotImplementedError

    cdef int write_stalled(self, bint stalled) except -1:
        """Begin or end to count the time without progress in writing."""
        raise NotImplementedError

    cdef int fail(self, object error) except -1:
        """An error of our own: it costs this connection, and is told in full."""
        raise NotImplementedError

    cdef object transport_object(self):
        raise NotImplementedError

    cdef bytes client_text(self):
        """The peer for the access log: b"192.0.2.1:80", b"[2001:db8::1]:80" or b"unix"."""
        raise NotImplementedError
