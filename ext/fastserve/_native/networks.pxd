"""Which addresses belong to a list of networks."""

from libc.stdint cimport uint8_t


cdef struct Network:
    uint8_t address[16]             # as fs_address has it
    uint8_t prefix


cdef class Networks:
    cdef Network *entries           # heap, `count` of them
    cdef Py_ssize_t count
    cdef readonly bint everyone     # "*" is in the list: so is any address, and any unix socket
    cdef readonly bint unix_sockets   # so are unix sockets

    cdef bint holds(self, const uint8_t *address) noexcept
    cdef bint holds_peer(self, str host)


# The address of fs_address as text.
cdef str address_text(const uint8_t *address)
