"""Field blocks as requests, RFC 9113 section 8.

What is wrong with a head has one of two ends. A malformed one (section 8.1.1) raises Http2Error,
which costs its stream. One that is well-formed HTTP/2 and asks for what HTTP does not allow or
what is above a limit raises ParseError, which is answered with its status, as HTTP/1.1 would.

A client's next request often has the block of the last one byte for byte. `HeadReader` keeps the
last block that left the decoder's table alone: while the table stays as it was, the same bytes
mean the same head.

Stricter than RFC 9113 where it gives the choice: a request needs :authority or host, a host that
differs from :authority is malformed, Content-Length must not be repeated, :scheme is http or https.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE, PyList_GetSlice
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ..headers cimport (NAME_CONNECTION, NAME_CONTENT_LENGTH, NAME_EXPECT, NAME_FORWARDED,
                        NAME_HOST, NAME_KEEP_ALIVE, NAME_OTHER, NAME_PRIORITY,
                        NAME_PROXY_CONNECTION, NAME_PSEUDO_AUTHORITY, NAME_PSEUDO_METHOD,
                        NAME_PSEUDO_OTHER, NAME_PSEUDO_PATH, NAME_PSEUDO_PROTOCOL,
                        NAME_PSEUDO_SCHEME, NAME_TE, NAME_TRANSFER_ENCODING, NAME_UPGRADE,
                        field_bit)
from ..http1.parser cimport CONNECT, ParserLimits, method_name
from ..leaves cimport *
from .hpack_decoder cimport HpackDecoder

from fastserve._native.errors import Http2Error, ParseError

cdef enum:
    KEEP_MOST = 4096                # bytes of a block that is kept
    PSEUDO_COUNT = 5
    LINE_EXTRA = 10                 # what a request line of HTTP/1.1 has besides method and target
    DIGITS_MOST = 18                # of a Content-Length: stays below 2**63
    DEFAULT_URGENCY = 3

cdef tuple _PSEUDO = (":method", ":scheme", ":authority", ":path", ":protocol")


cdef Priority default_priority() noexcept:
    return Priority(urgency=DEFAULT_URGENCY, incremental=False)


cdef int read_priority(const uint8_t *p, Py_ssize_t n, Priority *out) noexcept:
    """Change *out as a Priority field value says, RFC 9218 section 4.

    A dictionary of RFC 8941; members that nobody knows, and values that are none of theirs, are
    passed over.
    """
    cdef Py_ssize_t at = 0, begin, end
    while at < n:
        while at < n and (p[at] == c" " or p[at] == c"\t" or p[at] == c","):
            at += 1
        begin = at
        while at < n and p[at] != c"," and p[at] != c";":
            if p[at] == c'"':
                at = pass_string(p, at, n)
            else:
                at += 1
        end = at
        while at < n and p[at] != c",":
            at = pass_string(p, at, n) if p[at] == c'"' else at + 1
        while end > begin and (p[end - 1] == c" " or p[end - 1] == c"\t"):
            end -= 1
        if end - begin == 3 and p[begin] == c"u" and p[begin + 1] == c"=":
            if c"0" <= p[begin + 2] <= c"7":
                out.urgency = p[begin + 2] - c"0"
        elif end - begin >= 1 and p[begin] == c"i":
            if end - begin == 1:
                out.incremental = True
            elif end - begin == 4 and p[begin + 1] == c"=" and p[begin + 2] == c"?":
                if c"0" <= p[begin + 3] <= c"1":
                    out.incremental = p[begin + 3] == c"1"
    return 0


cdef inline Py_ssize_t pass_string(const uint8_t *p, Py_ssize_t at, Py_ssize_t n) noexcept:
    """Where the quoted string that begins at p[at] is over, or n."""
    at += 1
    while at < n and p[at] != c'"':
        at += 2 if p[at] == c"\\" else 1
    return min(at + 1, n)


def priority_of(bytes value not None):
    """(urgency, incremental) of a Priority field value; for tests."""
    cdef Priority priority = default_priority()
    read_priority(<const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), &priority)
    return priority.urgency, bool(priority.incremental)


@cython.final
cdef class RequestHead:

    cpdef list copy(self):
        """The pairs in a list of the caller's own."""
        return PyList_GetSlice(self.pairs, 0, PyList_GET_SIZE(self.pairs))

    @property
    def urgency(self):
        return self.priority.urgency

    @property
    def incremental(self):
        return bool(self.priority.incremental)


cdef int malformed(str reason, uint32_t stream) except -1:
    raise Http2Error(FS_H2_PROTOCOL_ERROR, reason, stream)


cdef inline const uint8_t *bytes_of(bytes value) noexcept:
    return <const uint8_t *>PyBytes_AS_STRING(value)


@cython.final
cdef class HeadReader:
    """The heads of a connection's requests; every field block has to pass through it, in order.

    `protocols`: SETTINGS_ENABLE_CONNECT_PROTOCOL was sent, RFC 8441 section 3.
    """

    def __cinit__(self):
        self.block = NULL

    def __init__(self, ParserLimits limits not None, HpackDecoder decoder not None, *,
                 bint protocols=True):
        self.limits = limits
        self.decoder = decoder
        self.protocols = protocols

    def __dealloc__(self):
        PyMem_Free(self.block)

    cdef RequestHead read(self, const uint8_t *p, Py_ssize_t n, uint32_t stream, bint ends):
        """The head of a request; `ends`: nothing follows it.

        Raises Http2Error or ParseError, see the module. Only an Http2Error without a stream
        leaves the decoder of no more use.
        """
        cdef RequestHead head
        if (n == self.block_n and self.kept is not None
                and self.decoder.generation == self.generation
                and memcmp(p, self.block, <size_t>n) == 0):
            head = self.kept
        else:
            head = self.make(p, n, stream)
        # Section 8.1.1: the length is that of all DATA.
        if ends and head.length > 0:
            malformed("Content-Length without content", stream)
        return head

    cdef list read_trailers(self, const uint8_t *p, Py_ssize_t n, uint32_t stream):
        """The pairs of a trailer section, section 8.1."""
        cdef HpackDecoder decoder = self.decoder
        cdef Py_ssize_t i
        cdef uint8_t kind
        decoder.decode(p, n, self.limits.trailers.fields, self.limits.trailers.head,
                       self.limits.trailers.field)
        if decoder.malformed:
            malformed("malformed field", stream)
        for i in range(PyList_GET_SIZE(decoder.pairs)):
            kind = decoder.marks[i]
            if NAME_PSEUDO_METHOD <= kind <= NAME_PSEUDO_OTHER:
                malformed("pseudo-header in trailers", stream)
            if is_of_connection(kind):
                malformed("field of a connection", stream)
        if decoder.over:
            raise ParseError(431, "header section too large")
        return decoder.pairs

    cdef int skip(self, const uint8_t *p, Py_ssize_t n) except -1:
        """A block that nobody needs: what it does to the decoder's table must be done."""
        self.decoder.decode(p, n, 0, 0, 0)
        return 0

    cdef int forget(self) except -1:
        """Give back what only speeds up the next request; for a connection that idles."""
        PyMem_Free(self.block)
        self.block = NULL
        self.block_n = 0
        self.kept = self.authority = self.host = None
        return 0

    cdef RequestHead make(self, const uint8_t *p, Py_ssize_t n, uint32_t stream):
        cdef HpackDecoder decoder = self.decoder
        cdef fs_http1_limits *limits = &self.limits.head
        cdef RequestHead head
        cdef uint64_t generation = decoder.generation
        decoder.decode(p, n, limits.fields + PSEUDO_COUNT, limits.head,
                       max(limits.field, limits.line))
        if decoder.malformed:
            malformed("malformed field", stream)
        if decoder.over:
            raise ParseError(431, "header section too large")
        head = RequestHead.__new__(RequestHead)
        head.length = head.host_at = -1
        head.priority = default_priority()
        self.read_pseudo(stream)
        self.read_fields(head, stream)
        self.read_request(head, stream)
        # A block that sets the table's size must be decoded each time.
        if n <= KEEP_MOST and decoder.generation == generation and p[0] & 0xe0 != 0x20:
            self.keep(p, n, head)
        return head

    cdef int keep(self, const uint8_t *p, Py_ssize_t n, RequestHead head) except -1:
        cdef void *block = self.block
        if self.block_n < n or self.block == NULL:
            block = PyMem_Realloc(self.block, <size_t>n)
            if block == NULL:
                raise MemoryError
        self.block = <uint8_t *>block
        memcpy(self.block, p, <size_t>n)
        self.block_n = n
        self.generation = self.decoder.generation
        self.kept = head
        return 0

    cdef int read_pseudo(self, uint32_t stream) except -1:
        """Take note of the pseudo-headers, section 8.3."""
        cdef HpackDecoder decoder = self.decoder
        cdef Py_ssize_t i, count = PyList_GET_SIZE(decoder.pairs)
        cdef uint8_t kind
        memset(self.pseudo, 0, sizeof(self.pseudo))
        self.first = 0
        for i in range(count):
            kind = decoder.marks[i]
            if not NAME_PSEUDO_METHOD <= kind <= NAME_PSEUDO_OTHER:
                break
            if kind == NAME_PSEUDO_OTHER or (kind == NAME_PSEUDO_PROTOCOL and not self.protocols):
                malformed("unknown pseudo-header", stream)
            if self.pseudo[kind - NAME_PSEUDO_METHOD] != NULL:
                malformed("repeated " + _PSEUDO[kind - NAME_PSEUDO_METHOD], stream)
            self.pseudo[kind - NAME_PSEUDO_METHOD] = <PyObject *>(
                <tuple>decoder.pairs[i])[1]
            self.first = i + 1
        return 0

    cdef int read_fields(self, RequestHead head, uint32_t stream) except -1:
        """Read the pairs behind the pseudo-headers into `head`."""
        cdef HpackDecoder decoder = self.decoder
        cdef Py_ssize_t i, count = PyList_GET_SIZE(decoder.pairs)
        cdef uint32_t most = self.limits.head.field
        cdef uint8_t kind
        cdef tuple pair
        if count - self.first > self.limits.head.fields:
            raise ParseError(431, "too many header fields")
        for i in range(self.first, count):
            pair = <tuple>decoder.pairs[i]
            kind = decoder.marks[i]
            if PyBytes_GET_SIZE(<bytes>pair[0]) + PyBytes_GET_SIZE(<bytes>pair[1]) > most:
                raise ParseError(431, "header field too large")
            if kind >= NAME_FORWARDED:
                head.forwarding |= field_bit(kind)
            elif kind != NAME_OTHER:
                self.read_field(head, kind, <bytes>pair[1], <int>(i - self.first), stream)
        return 0

    cdef int read_field(self, RequestHead head, uint8_t kind, bytes value, int at,
                        uint32_t stream) except -1:
        if is_of_connection(kind):
            malformed("field of a connection", stream)
        elif NAME_PSEUDO_METHOD <= kind <= NAME_PSEUDO_OTHER:
            malformed("pseudo-header behind a field", stream)
        elif kind == NAME_HOST:
            # As in HTTP/1.1, RFC 9112 3.2.
            if head.host_at >= 0:
                raise ParseError(400, "repeated Host")
            if not fs_target_host_ok(bytes_of(value), PyBytes_GET_SIZE(value)):
                raise ParseError(400, "malformed Host")
            head.host_at = at
        elif kind == NAME_CONTENT_LENGTH:
            if head.length >= 0:
                raise ParseError(400, "repeated Content-Length")
            self.read_length(head, value)
        elif kind == NAME_TE:
            # Section 8.2.2: no other transfer coding than none.
            if not is_word(value, b"trailers"):
                malformed("TE other than trailers", stream)
            head.accepts_trailers = True
        elif kind == NAME_EXPECT:
            # RFC 9110 10.1.1: the one expectation there is; others may get 417.
            if not is_word(value, b"100-continue"):
                raise ParseError(417, "unknown expectation")
            head.expect_continue = True
        elif kind == NAME_PRIORITY:
            read_priority(bytes_of(value), PyBytes_GET_SIZE(value), &head.priority)
        return 0

    cdef int read_length(self, RequestHead head, bytes value) except -1:
        if not value.isdigit():
            raise ParseError(400, "malformed Content-Length")
        if PyBytes_GET_SIZE(value) > DIGITS_MOST:
            raise ParseError(413, "request body too large")
        head.length = int(value)
        if self.limits.body and <uint64_t>head.length > self.limits.body:
            raise ParseError(413, "request body too large")
        return 0

    cdef bytes value_of(self, int kind):
        """The value of a pseudo-header, or None."""
        cdef PyObject *value = self.pseudo[kind - NAME_PSEUDO_METHOD]
        return None if value == NULL else <bytes>value

    cdef int read_request(self, RequestHead head, uint32_t stream) except -1:
        """Make sense of the pseudo-headers together, sections 8.3.1 and 8.5."""
        cdef bytes method = self.value_of(NAME_PSEUDO_METHOD)
        cdef bytes scheme = self.value_of(NAME_PSEUDO_SCHEME)
        cdef bytes authority = self.value_of(NAME_PSEUDO_AUTHORITY)
        cdef bytes path = self.value_of(NAME_PSEUDO_PATH)
        cdef Py_ssize_t n
        if method is None:
            malformed("missing :method", stream)
        n = PyBytes_GET_SIZE(method)
        if n == 0 or <Py_ssize_t>fs_scan_token(bytes_of(method), n) < n:
            raise ParseError(400, "malformed method")
        if n > FS_METHOD_MAX:
            raise ParseError(501, "method not implemented")
        head.method = method_name(bytes_of(method), n)
        head.protocol = self.value_of(NAME_PSEUDO_PROTOCOL)
        if head.method is CONNECT and head.protocol is None:
            if scheme is not None or path is not None:
                malformed("CONNECT with :scheme or :path", stream)
            if authority is None:
                malformed("CONNECT without :authority", stream)
            return self.read_connect(head, authority)
        if head.protocol is not None and (head.method is not CONNECT or authority is None):
            # RFC 8441 section 4.
            malformed(":protocol without CONNECT or :authority", stream)
        if scheme is None:
            malformed("missing :scheme", stream)
        if path is None or PyBytes_GET_SIZE(path) == 0:
            malformed("missing :path", stream)
        if is_word(scheme, b"https"):
            head.scheme = "https"
        elif is_word(scheme, b"http"):
            head.scheme = "http"
        else:
            raise ParseError(400, "unknown scheme")
        self.read_target(head, path, method)
        return self.put_host(head, authority, stream)

    cdef int read_target(self, RequestHead head, bytes path, bytes method) except -1:
        """:path, which is in origin form, or "*" for OPTIONS."""
        cdef fs_target target
        cdef const uint8_t *p = bytes_of(path)
        cdef Py_ssize_t n = PyBytes_GET_SIZE(path)
        cdef int form
        if n + PyBytes_GET_SIZE(method) + LINE_EXTRA > self.limits.head.line:
            raise ParseError(414, "request line too long")
        if <Py_ssize_t>fs_scan_target(p, n) < n or (p[0] != c"/" and n > 1):
            raise ParseError(400, "malformed request target")
        if head.protocol is not None:
            # An extended CONNECT has a path as any other request has.
            form = fs_target_parse(p, n, b"GET", 3, &target)
        else:
            form = fs_target_parse(p, n, bytes_of(method), PyBytes_GET_SIZE(method), &target)
        if form == FS_TARGET_BAD_ESCAPE:
            raise ParseError(400, "malformed percent-encoding in the request target")
        if form < 0:
            raise ParseError(400, "malformed request target")
        head.target = path
        head.raw_path = path
        head.query_string = b""
        head.path_escaped = target.path_escaped
        if form == FS_TARGET_ORIGIN and <Py_ssize_t>target.path_len < n:
            head.raw_path = PyBytes_FromStringAndSize(<const char *>p, target.path_len)
            head.query_string = PyBytes_FromStringAndSize(<const char *>p + target.query_off,
                                                          target.query_len)
        return 0

    cdef int read_connect(self, RequestHead head, bytes authority) except -1:
        """A CONNECT to a host and port, section 8.5."""
        cdef fs_target target
        cdef Py_ssize_t n = PyBytes_GET_SIZE(authority)
        if (n == 0 or <Py_ssize_t>fs_scan_target(bytes_of(authority), n) < n
                or fs_target_parse(bytes_of(authority), n, b"CONNECT", 7, &target) < 0):
            raise ParseError(400, "malformed authority in the request target")
        head.target = authority
        head.raw_path = head.query_string = b""
        return self.put_host(head, authority, 0)

    cdef int put_host(self, RequestHead head, bytes authority, uint32_t stream) except -1:
        """Set the pairs; :authority takes host's place, section 8.3.1."""
        cdef list pairs = self.decoder.pairs
        cdef Py_ssize_t count = PyList_GET_SIZE(pairs)
        if authority is None:
            if head.host_at < 0:
                raise ParseError(400, "missing Host")
            head.pairs = PyList_GetSlice(pairs, self.first, count)
            return 0
        if authority is not self.authority:
            # No user information either: section 8.3.1 wants none.
            if (PyBytes_GET_SIZE(authority) == 0
                    or not fs_target_host_ok(bytes_of(authority), PyBytes_GET_SIZE(authority))):
                raise ParseError(400, "malformed authority")
            self.authority = authority
            self.host = (b"host", authority)
        if head.host_at >= 0 and not is_same(
                authority, <bytes>(<tuple>pairs[self.first + head.host_at])[1]):
            malformed("host differs from :authority", stream)
        # There is room for host where the last pseudo-header was.
        head.pairs = PyList_GetSlice(pairs, self.first - 1, count)
        head.pairs[0] = self.host
        if head.host_at >= 0:
            del head.pairs[1 + head.host_at]
        head.host_at = 0
        return 0

    # For tests: the same from bytes.

    def head(self, bytes block not None, uint32_t stream=1, *, bint ends=True):
        return self.read(bytes_of(block), PyBytes_GET_SIZE(block), stream, ends)

    def trailers(self, bytes block not None, uint32_t stream=1):
        return self.read_trailers(bytes_of(block), PyBytes_GET_SIZE(block), stream)

    def pass_over(self, bytes block not None):
        self.skip(bytes_of(block), PyBytes_GET_SIZE(block))


cdef inline bint is_of_connection(uint8_t kind) noexcept:
    """Whether a field must not be in a message of HTTP/2, section 8.2.2."""
    return (kind == NAME_CONNECTION or kind == NAME_TRANSFER_ENCODING or kind == NAME_UPGRADE
            or kind == NAME_KEEP_ALIVE or kind == NAME_PROXY_CONNECTION)


cdef inline bint is_same(bytes a, bytes b):
    """Whether two hosts are the same but for case."""
    return a is b or a == b or a.lower() == b.lower()


cdef inline bint is_word(bytes value, bytes lower) noexcept:
    """Whether a value is a word, in any case."""
    return (PyBytes_GET_SIZE(value) == PyBytes_GET_SIZE(lower)
            and fs_equal_nocase(bytes_of(value), PyBytes_AS_STRING(lower),
                                PyBytes_GET_SIZE(lower)))
