"""Who may connect: how many in all, how many from an address.

Descriptors are dear to count, but the system gives out the lowest number that is free: a
connection that gets number n shows that n others are in use. What of them are no connections is
the rest of the process. They are counted only where that seems too many, and once a second.

Only counts; what becomes of a connection that is one too many is the connection's affair. A
warning for the operator comes once in a while, however many are refused.
"""

cimport cython
from libc.stdint cimport int64_t

import os
import socket

from .deadlines cimport monotonic_ms

cdef enum:
    LINGER_MOST = 32                # a flood must not hold descriptors: the rest is closed at once
    TELL_MS = 30000                 # between two warnings
    MEASURE_MS = 900                # between two counts of descriptors

cdef bytes _MAPPED = bytes(10) + b"\xff\xff"


@cython.final
cdef class Admission:

    def __init__(self, logger, *, int limit=0, int per_client=0, int most_descriptors=0):
        self.logger = logger
        self.limit = limit
        self.per_client = per_client
        self.most_descriptors = most_descriptors
        if per_client:
            self.clients = {}

    @property
    def active(self):
        """Whether anything is limited."""
        return bool(self.limit or self.per_client or self.most_descriptors)

    cdef int see(self, int number, int connections) except -1:
        """A connection has got this descriptor; so many are open with it."""
        if number + 1 - connections > self.others:
            self.others = number + 1 - connections
        return 0

    cdef int excess(self) noexcept:
        """How many connections there are too many for the descriptors; below 0: how many fewer."""
        return self.count + self.lingering + self.others - self.most_descriptors

    cdef int measure(self, int connections) except -1:
        """Count the descriptors, if that was not just done; so many connections are open."""
        cdef int64_t now = monotonic_ms()
        cdef int n
        if now - self.measured_at < MEASURE_MS:
            return 0
        self.measured_at = now
        try:
            n = <int>len(os.listdir("/dev/fd")) - 1 - connections
        except OSError:
            # There is no such directory, or not even a descriptor for it: what was seen fades.
            n = self.others - 1 - self.others // 8
        self.others = max(n, 0)
        return 0

    cdef object enter_client(self, str host):
        """Count one more from this address; its key for `leave_client`, or None: too many."""
        cdef object key = client_key(host)
        cdef int n = self.clients.get(key, 0)
        if n >= self.per_client:
            return None
        self.clients[key] = n + 1
        return key

    cdef int leave_client(self, object key) except -1:
        cdef int n = self.clients[key]
        if n == 1:
            del self.clients[key]
        else:
            self.clients[key] = n - 1
        return 0

    cdef bint may_linger(self):
        """Whether one more may wait until its client has read the refusal; counts it if so."""
        if self.lingering >= LINGER_MOST:
            return False
        self.lingering += 1
        return True

    cdef int refuse(self, str limit) except -1:
        """Count one that is turned away. `limit`: in words, with its option."""
        self.refused += 1
        return self.tell("at the limit of %s: %d refused so far", (limit, self.refused))

    cdef int tell(self, str text, tuple arguments) except -1:
        """Warn the operator, if that was not just done."""
        cdef int64_t now = monotonic_ms()
        if self.told_at == 0 or now - self.told_at >= TELL_MS:
            self.told_at = now
            self.logger.warning(text, *arguments)
        return 0

    # For tests.

    def take(self, str host not None):
        """`enter_client`."""
        return self.enter_client(host)

    def give(self, key not None):
        """`leave_client`."""
        self.leave_client(key)


cdef object client_key(str host):
    """What counts as one client: an IPv4 address, or the /64 network that an IPv6 host is given.

    IPv4 in IPv6's clothes is IPv4.
    """
    cdef bytes address
    try:
        if ":" not in host:
            return socket.inet_pton(socket.AF_INET, host)
        address = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return host
    if address.startswith(_MAPPED):
        return address[12:]
    return address[:8]
