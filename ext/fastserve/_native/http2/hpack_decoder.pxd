"""HPACK, RFC 7541: what a peer sends, decoded."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t


# An entry of the dynamic table.
cdef struct Received:
    PyObject *pair                  # (name, value), ours
    uint32_t size                   # section 4.1
    uint8_t mark                    # NAME_* of the name
    uint8_t bad                     # BAD_NAME | BAD_VALUE

# What a caller takes of one block.
cdef struct BlockLimits:
    uint32_t fields
    uint32_t size
    uint32_t field


cdef class HpackDecoder:
    cdef readonly uint64_t generation   # while it stays, a block means what it did
    # of the block decoded last
    cdef readonly list pairs            # [(name, value)], the caller's; None after an error
    cdef uint8_t *marks                 # NAME_* of each; good until the next block
    cdef readonly bint malformed        # RFC 9113 section 8.2.1 forbids one of the pairs
    cdef readonly bint over             # fields beyond the limits are not in pairs
    cdef readonly uint64_t size         # RFC 9113 section 6.5.2, with what was over

    cdef PyObject **found               # pairs while they are decoded, ours; `marks` points behind
    cdef uint32_t count                 # of them
    cdef uint32_t room                  # for so many
    cdef Received *ring
    cdef uint32_t slots                 # a power of two, or 0
    cdef uint32_t next                  # where the next entry goes, modulo slots
    cdef uint32_t entries
    cdef uint32_t used                  # sum of the entries' sizes, at most
    cdef uint32_t most                  # what the encoder has set, at most
    cdef uint32_t granted               # SETTINGS_HEADER_TABLE_SIZE
    cdef uint32_t owed                  # a block must begin with an update to this or less
    cdef bint owes

    cdef int decode(self, const uint8_t *p, Py_ssize_t n, uint32_t fields_most,
                    uint32_t size_most, uint32_t field_most) except -1
    cdef int limit(self, uint32_t most) except -1

    cdef int read_block(self, const uint8_t *p, Py_ssize_t n, const BlockLimits *limits) except -1
    cdef Py_ssize_t read_sizes(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef Py_ssize_t read_field(self, const uint8_t *p, Py_ssize_t n,
                               const BlockLimits *limits) except -1
    cdef int read_literal(self, void *item, const BlockLimits *limits) except -1
    cdef int insert(self, const Received *entry) except -1
    cdef void evict(self, uint32_t most) noexcept
    cdef int grow(self) except -1
    cdef int grow_found(self) except -1
    cdef int drop_found(self) noexcept
