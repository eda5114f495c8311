"""The PROXY header in front of a connection.

It has the time of a request head. Nothing is answered to whoever sends none: it is a proxy that
is not set up for it, or none at all.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from fastserve._native.errors import ParseError

from .deadlines cimport monotonic_ms
from .front cimport Front
from .outlet cimport Outlet
from .proxy_protocol cimport ProxyHeader
from .shared cimport WAIT_HEAD, Shared

# Connections that are closed for want of trust or of a header are told of so often, in ms: the
# operator should know, and nobody should fill a disk.
cdef enum:
    WARN_EVERY = 60000


@cython.final
cdef class ProxyFront(Front):

    def __init__(self, Shared shared, Outlet outlet):
        self.shared = shared
        self.outlet = outlet
        self.header = ProxyHeader.__new__(ProxyHeader)

    cdef int data_received(self, bytes data) except -1:
        cdef Outlet outlet = self.outlet
        # The connection lets go of us when it introduces itself.
        cdef ProxyFront _held = self
        cdef bytes rest
        if outlet.closing or not PyBytes_GET_SIZE(data):
            return 0
        outlet.wait_for(WAIT_HEAD)
        try:
            rest = self.header.take(data)
        except ParseError as error:
            return self.close(error.reason)
        if rest is None:
            return 0
        self.outlet = None
        return outlet.introduce(self.header, rest)

    cdef bint idle(self) noexcept:
        return self.header.begun is None

    cdef int refuse(self) except -1:
        """Close a connection of a peer that is not trusted."""
        return self.close("not one of --forwarded-allow-ips, which alone may send a PROXY header")

    cdef int close(self, str reason) except -1:
        cdef Shared shared = self.shared
        cdef int64_t now = monotonic_ms()
        cdef str client = self.outlet.client_text().decode()
        if shared.proxy_warned_ms == 0 or now - shared.proxy_warned_ms >= WARN_EVERY:
            shared.proxy_warned_ms = now
            shared.logger.warning(
                "closed a connection from %s: %s (others within a minute: at level debug)",
                client, reason)
        else:
            shared.logger.debug("closed a connection from %s: %s", client, reason)
        return self.outlet.close(False)
