"""Memory that a socket is read into, and that then is the `bytes` somebody gets."""


# Memory for one read of body: a bytes object that nobody else knows yet.
cdef class Lease:
    cdef bytes block

    cdef bytes take(self, Py_ssize_t n)
