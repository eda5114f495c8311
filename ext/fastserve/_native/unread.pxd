"""What waits in the kernel: to be read by us, or to be taken by a peer."""

cdef list unread(list transports)
cdef Py_ssize_t untaken(object transport)
