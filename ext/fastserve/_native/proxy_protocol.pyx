"""The header of the PROXY protocol, in front of a connection's bytes. Sans-IO.

Versions 1 and 2. What is held back is at most one header, of HEADER_MOST bytes.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint8_t

from fastserve._native.errors import ParseError

from .leaves cimport (FS_PROXY_INET, FS_PROXY_LONG, FS_PROXY_MORE, FS_PROXY_NONE, fs_proxy,
                      fs_proxy_parse)
from .networks cimport address_text

# Addresses, and the extensions that load balancers add: names, certificates' subjects, numbers.
cdef enum:
    HEADER_MOST = 4096


@cython.final
cdef class ProxyHeader:

    cdef bytes take(self, bytes data):
        """What follows the header in `data`, None while the header is not whole.

        Raises ParseError for what is no header.
        """
        cdef fs_proxy facts
        cdef bytes all = data if self.begun is None else self.begun + data
        cdef int32_t used = fs_proxy_parse(<const uint8_t *>PyBytes_AS_STRING(all),
                                           PyBytes_GET_SIZE(all), HEADER_MOST, &facts)
        if used == FS_PROXY_MORE:
            self.begun = all
            return None
        self.begun = None
        if used < 0:
            raise ParseError(400, "PROXY header too long" if used == FS_PROXY_LONG
                             else "malformed or missing PROXY header")
        self.tells = facts.kind != FS_PROXY_NONE
        if facts.kind == FS_PROXY_INET:
            self.client = (address_text(facts.client), facts.client_port)
            self.server = (address_text(facts.server), facts.server_port)
        elif self.tells:
            path = all[facts.path_off:facts.path_off + facts.path_len]
            self.server = (path.decode("utf-8", "replace"), None)
        return all[used:]

    def feed(self, bytes data not None):
        """`take`, for tests."""
        return self.take(data)
