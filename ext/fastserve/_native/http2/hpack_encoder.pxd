"""HPACK, RFC 7541: what we send, encoded."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

from ..buffer cimport WriteBuffer


cdef enum:
    SLOTS_OF_SENT = 64


# How a field is to be written.
cdef enum HpackPolicy:
    HPACK_INDEX                     # by its index, and into the table where it is not there yet
    HPACK_PLAIN                     # by its index if it has one, else as a literal
    HPACK_NEVER                     # as a literal that no proxy may index: section 7.1.3

cdef HpackPolicy policy_of(bytes name) noexcept


# An entry of the dynamic table.
cdef struct Sent:
    PyObject *name                  # ours, as the value
    PyObject *value
    uint32_t size
    uint32_t hash                   # of the pair
    uint32_t name_hash
    uint32_t before                 # the sequence number of an older entry in the pair's slot
    uint32_t name_before            # and in the name's


cdef class HpackEncoder:
    cdef readonly uint64_t generation   # while it stays, a block means what it did
    cdef Sent *ring                     # an entry is at its sequence number modulo slots
    cdef uint32_t slots                 # a power of two, or 0
    cdef uint32_t sequence              # of the newest entry
    cdef uint32_t entries
    cdef uint32_t used
    cdef uint32_t most
    cdef uint32_t lowest                # since the last block, of `most`
    cdef bint owes                      # the next block begins with the table's size
    # sequence numbers of the newest entries with a hash; who is too old has left the table
    cdef uint32_t pairs_at[SLOTS_OF_SENT]
    cdef uint32_t names_at[SLOTS_OF_SENT]

    cdef int limit(self, uint32_t most) except -1
    cdef int begin(self, WriteBuffer out) except -1
    cdef int put_status(self, WriteBuffer out, int status) except -1
    cdef int put(self, WriteBuffer out, bytes name, bytes value, HpackPolicy policy) except -1

    cdef uint32_t find_pair(self, bytes name, bytes value, uint32_t hash) noexcept
    cdef uint32_t find_name(self, bytes name, uint32_t hash) noexcept
    cdef int insert(self, bytes name, bytes value, uint32_t size, uint32_t name_hash,
                    uint32_t hash) except -1
    cdef int grow(self) except -1
    cdef void evict(self, uint32_t most) noexcept
