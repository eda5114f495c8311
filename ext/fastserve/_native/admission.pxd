"""Who may connect: how many in all, how many from an address."""

from libc.stdint cimport int64_t


cdef class Admission:
    cdef int limit                  # connections that count, in all; 0: any number
    cdef int per_client             # from one address; 0: any number
    cdef int most_descriptors       # of connections and all else; 0: any number
    cdef int others                 # descriptors that are not connections', as far as is known
    cdef int count                  # connections that count
    cdef int lingering              # refused ones that have time to read why
    cdef dict clients               # client_key -> connections; None where they are not limited
    cdef int64_t refused
    cdef int64_t measured_at        # monotonic_ms
    cdef int64_t told_at            # monotonic_ms of the last warning; 0: none yet
    cdef object logger

    cdef int see(self, int number, int connections) except -1
    cdef int excess(self) noexcept
    cdef int measure(self, int connections) except -1
    cdef object enter_client(self, str host)
    cdef int leave_client(self, object key) except -1
    cdef bint may_linger(self)
    cdef int refuse(self, str limit) except -1
    cdef int tell(self, str text, tuple arguments) except -1


cdef object client_key(str host)
