"""Which addresses belong to a list of networks.

An IPv4 address and the same one mapped into IPv6 are one: a dual-stack socket shows the second.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memset

from .leaves cimport (FS_ADDRESS_BAD, FS_ADDRESS_TEXT_MOST, fs_address_format, fs_address_in,
                      fs_address_parse)

cdef enum:
    MAPPED_BITS = 96
cdef uint8_t MAPPED[16]
memset(MAPPED, 0, 16)
MAPPED[10] = MAPPED[11] = 0xff


@cython.final
cdef class Networks:
    """texts: addresses ("192.0.2.1"), networks ("10.0.0.0/8"), "unix" and "*".

    Raises ValueError, which names the text, for anything else; a network with bits set
    behind its prefix too.
    """

    def __cinit__(self, texts=()):
        self.entries = <Network *>PyMem_Malloc((len(texts) + 1) * sizeof(Network))
        if self.entries == NULL:
            raise MemoryError

    def __init__(self, texts=()):
        for text in texts:
            if text == "*":
                self.everyone = self.unix_sockets = True
            elif text == "unix":
                self.unix_sockets = True
            else:
                read_network(text, &self.entries[self.count])
                self.count += 1

    def __dealloc__(self):
        PyMem_Free(self.entries)

    def __contains__(self, str host):
        return self.holds_peer(host)

    cdef bint holds(self, const uint8_t *address) noexcept:
        cdef Py_ssize_t i
        cdef bint mapped
        if self.everyone:
            return True
        # An IPv6 network that spans the mapped ones means IPv6 addresses, not all of IPv4 too.
        mapped = fs_address_in(address, MAPPED, MAPPED_BITS)
        for i in range(self.count):
            if (fs_address_in(address, self.entries[i].address, self.entries[i].prefix)
                    and (not mapped or self.entries[i].prefix >= MAPPED_BITS)):
                return True
        return False

    cdef bint holds_peer(self, str host):
        """`host` as a socket tells it, with the zone that it may have; "unix" for a unix socket."""
        cdef uint8_t address[16]
        cdef Py_ssize_t n = 0
        cdef const char *p
        cdef const char *zone
        if self.everyone:
            return True
        if host == "unix":
            return self.unix_sockets
        p = PyUnicode_AsUTF8AndSize(host, &n)
        zone = <const char *>memchr(p, c'%', n)
        if zone != NULL:
            n = zone - p
        return fs_address_parse(<const uint8_t *>p, n, address) > 0 and self.holds(address)


cdef int read_network(object text, Network *out) except -1:
    cdef bytes raw = text.encode("utf-8", "replace")
    cdef uint8_t alone[16]
    cdef int family, i, most
    address, slash, digits = raw.partition(b"/")
    family = fs_address_parse(<const uint8_t *>PyBytes_AS_STRING(address),
                              PyBytes_GET_SIZE(address), out.address)
    if family == FS_ADDRESS_BAD:
        raise ValueError(f"{text!r} is no address and no network")
    most = 32 if family == 4 else 128
    if slash and not (digits.isdigit() and len(digits) <= 3 and int(digits) <= most):
        raise ValueError(f"{text!r} has no prefix length from 0 to {most}")
    out.prefix = <uint8_t>(128 - most + (int(digits) if slash else most))
    memset(alone, 0, sizeof(alone))
    for i in range(out.prefix // 8):
        alone[i] = out.address[i]
    if out.prefix % 8:
        alone[out.prefix // 8] = <uint8_t>(
            out.address[out.prefix // 8] & (0xff << (8 - out.prefix % 8)))
    if not fs_address_in(out.address, alone, 128):
        raise ValueError(f"{text!r} has bits set behind its prefix; {address_text(alone)}/"
                         f"{digits.decode()} is the network")
    return 0


cdef str address_text(const uint8_t *address):
    cdef uint8_t text[FS_ADDRESS_TEXT_MOST]
    return PyUnicode_DecodeASCII(<const char *>text,
                                 <Py_ssize_t>fs_address_format(text, address), NULL)
