"""What a client's opening handshake asks, RFC 6455 section 4.2 and RFC 8441. Sans-IO."""


cdef class Handshake:
    cdef readonly bytes key             # None without one (HTTP/2)
    cdef readonly list subprotocols     # [str] in the client's order
    cdef readonly list extensions       # [bytes], the values of Sec-WebSocket-Extensions, well-formed


cpdef bint wants_websocket(list headers)
cpdef Handshake read_handshake(str method, list headers, bint keyed)
cpdef bytes accept_key(bytes key)
cpdef list parse_extensions(list values)
