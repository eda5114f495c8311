"""All connections of one event loop: made, counted, stopped."""

from .shared cimport Shared


cdef class Service(Shared):
    cdef list idle_waiters          # futures of wait_idle(), or None
