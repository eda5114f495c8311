"""permessage-deflate, RFC 7692: offers, policy, both directions. Sans-IO."""


# What the server wants of every connection.
cdef class DeflatePolicy:
    cdef readonly int window            # bits of the LZ77 window, each way, at most
    cdef readonly bint keep_context     # messages refer to earlier ones
    cdef readonly int level
    cdef readonly int memory_level      # 0: what fits the window
    cdef readonly Py_ssize_t threshold


# Of one connection, both directions; memory only once it is used.
cdef class Deflate:
    cdef readonly bytes answer          # the value of our Sec-WebSocket-Extensions
    cdef readonly Py_ssize_t threshold  # shorter messages go out as they are
    cdef int level
    cdef int memory_level
    cdef int our_window
    cdef int their_window
    cdef bint we_forget                 # server_no_context_takeover
    cdef bint they_forget               # client_no_context_takeover
    cdef object compressor              # None while there is no context
    cdef object decompressor
    cdef bint began                     # the message that comes in has given some bytes

    cpdef bytes inflate(self, object data, bint last, Py_ssize_t most)
    cpdef bytes deflate(self, object data)

    cdef bytes read(self, object data, Py_ssize_t most)
    cdef bytes read_on(self, bytes first, Py_ssize_t most)


cpdef Deflate negotiate(DeflatePolicy policy, list offers)
