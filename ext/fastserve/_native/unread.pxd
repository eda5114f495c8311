"""Which transports have something to be read."""

cdef list unread(list transports)
cdef Py_ssize_t untaken(object transport)
