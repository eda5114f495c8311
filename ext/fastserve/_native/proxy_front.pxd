"""The PROXY header in front of a connection."""

from .front cimport Front
from .proxy_protocol cimport ProxyHeader


cdef class ProxyFront(Front):
    cdef ProxyHeader header

    cdef int refuse(self) except -1
    cdef int close(self, str reason) except -1
