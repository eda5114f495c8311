"""The header of the PROXY protocol, in front of a connection's bytes. Sans-IO."""


cdef class ProxyHeader:
    cdef bytes begun                # of a header that has not all come; None: nothing has
    cdef readonly bint tells        # whose connection it is: what follows means something
    cdef readonly object client     # (host, port), or None for a unix socket
    cdef readonly object server     # (host, port) or (path, None)

    cdef bytes take(self, bytes data)
