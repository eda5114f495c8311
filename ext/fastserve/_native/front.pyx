"""What may stand between a connection's transport and its channel: one thing at a time."""


cdef class Front:

    def __init__(self, Shared shared, Outlet outlet):
        self.shared = shared
        self.outlet = outlet

    cdef int data_received(self, bytes data) except -1:
        """A read of the transport."""
        raise NotImplementedError

    cdef bint eof_received(self) noexcept:
        """Whether the channel is to know that the peer sends no more."""
        return True

    cdef bint established(self) noexcept:
        """Whether the connection is kept if the channel is not to know."""
        return False

    cdef int connection_lost(self) except -1:
        self.outlet = None
        return 0

    cdef int timed_out(self, int kind) except -1:
        """One of its own deadlines, WAIT_HANDSHAKE, is over; or others have need of its place."""
        return 0

    cdef bint idle(self) noexcept:
        """Whether nothing has begun to come."""
        return True

    cdef int write(self, bytes before, bytes data) except -1:
        """Put on the wire what the channel writes: `before`, a head or None, and `data`."""
        return 0

    cdef int end(self) except -1:
        """Nothing follows."""
        return 0
