"""Field blocks as requests, RFC 9113 section 8."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ..http1.parser cimport ParserLimits
from .hpack_decoder cimport HpackDecoder


# RFC 9218 section 4.
cdef struct Priority:
    int urgency                     # 0 to 7, the first first
    bint incremental

cdef Priority default_priority() noexcept
cdef int read_priority(const uint8_t *p, Py_ssize_t n, Priority *out) noexcept


# A request's head, never changed once it is made: requests that repeat the block share it.
cdef class RequestHead:
    cdef readonly str method        # http1.parser.method_name's objects
    cdef readonly bytes target      # :path as it came; of a plain CONNECT the authority
    cdef readonly bytes raw_path    # without the query; of a plain CONNECT b""
    cdef readonly bytes query_string
    cdef readonly bint path_escaped
    cdef readonly str scheme        # "http" or "https"; None: a plain CONNECT
    cdef readonly bytes protocol    # of an extended CONNECT, RFC 8441; else None
    cdef list pairs                 # :authority as host first, then the fields; see copy()
    cdef readonly int64_t length    # Content-Length; -1: none
    cdef readonly uint32_t forwarding           # which fields of forwarding there are, by field_bit
    cdef readonly int host_at       # which pair is host; -1: none
    cdef readonly bint accepts_trailers         # te: trailers
    cdef readonly bint expect_continue
    cdef Priority priority

    cpdef list copy(self)


cdef class HeadReader:
    cdef HpackDecoder decoder
    cdef ParserLimits limits
    cdef bint protocols             # extended CONNECT was offered
    # the last head, and the block that gave it and left the decoder's table as it was
    cdef RequestHead kept
    cdef uint8_t *block             # heap; NULL: none
    cdef Py_ssize_t block_n
    cdef uint64_t generation        # of the table that the block refers to
    # the last host
    cdef bytes authority
    cdef tuple host
    # of the head that is read; borrowed from the decoder's pairs
    cdef PyObject *pseudo[5]        # values, by NAME_PSEUDO_* from NAME_PSEUDO_METHOD on
    cdef Py_ssize_t first           # how many pseudo-headers there are

    cdef RequestHead read(self, const uint8_t *p, Py_ssize_t n, uint32_t stream, bint ends)
    cdef list read_trailers(self, const uint8_t *p, Py_ssize_t n, uint32_t stream)
    cdef int skip(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int forget(self) except -1

    cdef RequestHead make(self, const uint8_t *p, Py_ssize_t n, uint32_t stream)
    cdef int keep(self, const uint8_t *p, Py_ssize_t n, RequestHead head) except -1
    cdef int read_pseudo(self, uint32_t stream) except -1
    cdef int read_fields(self, RequestHead head, uint32_t stream) except -1
    cdef int read_field(self, RequestHead head, uint8_t kind, bytes value, int at,
                        uint32_t stream) except -1
    cdef int read_length(self, RequestHead head, bytes value) except -1
    cdef bytes value_of(self, int kind)
    cdef int read_request(self, RequestHead head, uint32_t stream) except -1
    cdef int read_target(self, RequestHead head, bytes path, bytes method) except -1
    cdef int read_connect(self, RequestHead head, bytes authority) except -1
    cdef int put_host(self, RequestHead head, bytes authority, uint32_t stream) except -1
