"""A connection as one of many: counted, made room for, or turned away."""

from .front cimport Front
from .outlet cimport Outlet
from .shared cimport Shared


cdef class CountedOutlet(Outlet):
    cdef Shared shared
    cdef object transport           # None before connection_made and after connection_lost
    cdef Front front                # what is between transport and channel; None: nothing
    cdef object client              # (host, port) or None, as in the scope
    cdef bint counted               # among the connections that are limited
    cdef bint lingering             # of those refused
    cdef object client_key          # as counted, or None

    cdef int admit(self) except -1
    cdef int admit_client(self) except -1
    cdef int leave_count(self) except -1
    cdef int turn_away(self, str reason, str limit) except -1
