"""One request's scope: a copy of a template that already has every key."""


from libc.stdint cimport uint32_t

from ..forwarded cimport Origin


cdef class ScopeTemplate:
    cdef dict base                  # every key of an HTTP scope; copied, never handed out
    cdef str root_path              # without a trailing slash
    cdef dict state                 # lifespan's, or None
    cdef dict tls                   # of ASGI's tls extension; None: the connection is plain
    cdef uint32_t believed          # which fields of forwarding this peer may set, by field_bit

    cdef dict http(self, str method, str http_version, bytes raw_path, bint escaped,
                   bytes query_string, list headers)
    cdef dict websocket(self, str http_version, bytes raw_path, bint escaped, bytes query_string,
                        list headers, list subprotocols)
    cdef int relocate(self, dict scope, Origin origin, bytes raw_path, bint escaped) except -1
    cdef tuple server_of(self, Origin origin, str scheme)
    cdef str mounted(self, str path)
    cdef dict tls_extension(self)


cdef str decode_path(bytes raw_path, bint escaped)
