"""One request's scope: a copy of a template that already has every key."""


cdef class ScopeTemplate:
    cdef dict base                  # every key of an HTTP scope; copied, never handed out
    cdef str root_path              # without a trailing slash
    cdef dict state                 # lifespan's, or None
    cdef dict tls                   # of ASGI's tls extension; None: the connection is plain

    cdef dict http(self, str method, str http_version, bytes raw_path, bint escaped,
                   bytes query_string, list headers)
    cdef dict websocket(self, str http_version, bytes raw_path, bint escaped, bytes query_string,
                        list headers, list subprotocols)
    cdef str mounted(self, str path)
    cdef dict tls_extension(self)


cdef str decode_path(bytes raw_path, bint escaped)
