"""Which transports have something to be read."""

cdef list unread(list transports)
