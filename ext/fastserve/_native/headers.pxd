"""Field lines as Python pairs, made once and reused while a client repeats them."""

from libc.stdint cimport uint8_t, uint32_t

from .leaves cimport fs_field


# Fields that some stratum must recognise; every other name is NAME_OTHER.
cdef enum:
    NAME_OTHER = 0
    NAME_HOST
    NAME_CONTENT_LENGTH
    NAME_TRANSFER_ENCODING
    NAME_CONNECTION
    NAME_EXPECT
    NAME_TE
    NAME_UPGRADE
    NAME_DATE
    NAME_SERVER
    NAME_TRAILER
    NAME_REQUEST_ID
    NAME_COOKIE
    NAME_PRIORITY
    # with NAME_CONNECTION, NAME_TRANSFER_ENCODING and NAME_UPGRADE: of a connection, and so not
    # of HTTP/2
    NAME_KEEP_ALIVE
    NAME_PROXY_CONNECTION
    # of HTTP/2, RFC 9113 section 8.3, these to NAME_PSEUDO_OTHER
    NAME_PSEUDO_METHOD
    NAME_PSEUDO_SCHEME
    NAME_PSEUDO_AUTHORITY
    NAME_PSEUDO_PATH
    NAME_PSEUDO_PROTOCOL
    NAME_PSEUDO_OTHER
    # of forwarding, these to the last
    NAME_FORWARDED
    NAME_X_FORWARDED_FOR
    NAME_X_FORWARDED_PROTO
    NAME_X_FORWARDED_HOST
    NAME_X_FORWARDED_PORT
    NAME_X_FORWARDED_PREFIX
    NAME_X_REAL_IP
    NAME_CF_CONNECTING_IP

# One bit for each field of forwarding, 0 for others.
cdef inline uint32_t field_bit(uint8_t kind) noexcept:
    return <uint32_t>1 << (kind - NAME_FORWARDED) if kind >= NAME_FORWARDED else 0

cdef uint8_t name_id(const uint8_t *p, Py_ssize_t n) noexcept
cdef bytes lower_name(const uint8_t *p, Py_ssize_t n)
cdef bytes exact_name(const uint8_t *p, Py_ssize_t n, uint8_t *kind, bint *well)


# A block of pairs with names in lower case that came in no section.
cdef HeaderBlock block_of(list pairs)


cdef class HeaderBlock:
    cdef uint8_t *raw               # the section as it came, through its empty line; NULL: none kept
    cdef uint32_t raw_len
    cdef fs_field *fields           # offsets into raw; heap, `count` entries, then `count` ids
    cdef uint8_t *ids               # NAME_* of each field; points behind fields
    cdef uint32_t count
    cdef object origin              # what fields of forwarding make of it; None: nobody has asked
    cdef list pairs                 # [(name, value)], never handed out itself: see copy()

    cdef bint same(self, const uint8_t *p, Py_ssize_t n) noexcept
    cdef list copy(self)
    cdef int load(self, const uint8_t *p, uint32_t start, uint32_t end,
                  const fs_field *fields, uint32_t count) except -1
    cdef void forget(self) noexcept
    cdef bint repeats(self, uint32_t i, const uint8_t *p, const fs_field *new)
