"""Who a request is from, by the forwarding fields of proxies that are trusted."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from .headers cimport HeaderBlock
from .networks cimport Networks


# An entry of a list, or a part of one; p is NULL where there is none. Borrows the block's bytes.
cdef struct Run:
    const uint8_t *p
    Py_ssize_t n

# What all fields together say of the client's hop.
cdef struct Finding:
    Py_ssize_t hop                  # -1: no address was found; or SKIPPED
    bint addressed
    uint8_t address[16]
    uint16_t port
    Run proto
    Run host


# What the fields of one request say; None and 0 where they say nothing.
cdef class Origin:
    cdef readonly tuple client      # (host, port); port 0: not told
    cdef bytes text                 # client_text(), made when first asked for
    cdef readonly str scheme        # "http" or "https"
    cdef readonly bytes host        # valid as the value of a Host field, and not empty
    cdef readonly str server_host   # its host, without brackets
    cdef readonly int port          # of `host`, or told by itself
    cdef readonly str prefix        # decoded, "/a/b"

    cpdef bytes client_text(self)
    cdef int put_host(self, list headers, int at) except -1


cdef class Trust:
    cdef readonly Networks networks
    cdef readonly int hops          # 0: networks decide
    cdef readonly bint anybody      # any peer is believed
    cdef readonly uint32_t fields   # those that are believed, a bit of `field_bit` for each

    cdef uint32_t believed(self, str host) except? 0
    cdef Origin origin(self, HeaderBlock block, uint32_t present)
    cdef Origin resolve(self, HeaderBlock block, uint32_t present)

    cdef Py_ssize_t at(self, const Finding *found) noexcept
    cdef int read_lists(self, HeaderBlock block, uint32_t present, Finding *found) noexcept
    cdef bint read_single(self, HeaderBlock block, uint32_t present, uint8_t kind,
                          Finding *found) noexcept
    cdef int walk_addresses(self, HeaderBlock block, Finding *found) noexcept
    cdef bint step(self, const Run *run, bint strict, Finding *found) noexcept
    cdef int ran_out(self, Finding *found) noexcept
    cdef bint read_forwarded(self, HeaderBlock block, Finding *found) noexcept
