"""TLS in front of a channel: ciphertext to plaintext and back."""

from libc.stdint cimport uint8_t

cdef int live_layers

cdef enum TlsState:
    TLS_WAITING                     # for the first byte: no SSLObject yet
    TLS_SHAKING
    TLS_OPEN
    TLS_OVER                        # by our close or a fatal error: nothing is read or written


cdef class TlsLayer:
    cdef TlsState state
    cdef bint peer_ended            # its close_notify has come
    cdef object context             # has `wrap` and `extension`
    cdef object ssl_object          # None until the first byte
    cdef object incoming            # ssl.MemoryBIO
    cdef object outgoing            # ssl.MemoryBIO
    cdef object read_method
    cdef object write_method
    cdef object pending_method
    cdef bytes lent                 # the read that is being worked off, or None
    cdef Py_ssize_t fed             # bytes of it that OpenSSL has
    cdef bint readable              # OpenSSL has a whole record, or the rest of one
    cdef bint inside                # ... the rest of one, decrypted
    # Where records end, as their headers tell (RFC 8446 section 5.1).
    cdef uint8_t head[5]
    cdef int head_n                 # bytes of a header that have come
    cdef Py_ssize_t left            # bytes of a record that are still to come
    cdef bint untracked             # no such headers: OpenSSL shall say

    cdef int begin(self) except -1
    cdef int give(self, bytes data) except -1
    cdef bint shake(self) except -1
    cdef bytes next(self, Py_ssize_t most)
    cdef object seal(self, bytes before, bytes data)
    cdef bytes output(self)
    cdef int end(self) except -1
    cdef int fail(self) except -1
    cdef dict extension(self)
    cdef object chosen(self)
    cdef bint between_records(self) noexcept
    cdef int feed(self) except -1
    cdef Py_ssize_t measure(self, const uint8_t *p, Py_ssize_t n) noexcept


cdef str PLAIN_HTTP                 # `reason_of` a handshake that begins as an HTTP request
cdef str reason_of(object error)
