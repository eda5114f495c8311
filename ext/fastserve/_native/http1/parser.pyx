"""HTTP/1.1 requests as events of a byte stream, RFC 9112. Sans-IO.

`give` lends the parser the bytes of one read; `next` answers one event after the
other; `stash` ends the loan and keeps what is unread. Between head and head the
parser goes HEAD -> LENGTH | CHUNKED -> TRAILERS -> HEAD; any error ends in DEAD.
How the input was cut into reads changes nothing but how the body is cut.

Strict where a lenient server behind a proxy would be a smuggling hole. Beyond what
RFC 9112 demands, these are refused although it lets a server accept them: bare LF
as a line end, repeated Content-Length even if equal, and transfer codings other
than chunked alone.
"""

cimport cython
from cpython.bytes cimport (PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE)
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from ..buffer cimport Input
from ..headers cimport (NAME_CONNECTION, NAME_CONTENT_LENGTH, NAME_EXPECT, NAME_FORWARDED,
                        NAME_HOST, NAME_OTHER, NAME_TE, NAME_TRANSFER_ENCODING, NAME_UPGRADE,
                        HeaderBlock, field_bit)
from ..leaves cimport *

from urllib.parse import unquote_to_bytes

from fastserve._native.errors import ParseError

# Empty lines before a request line, RFC 9112 section 2.2: a robust client sends none.
cdef enum:
    EMPTY_LINES_MOST = 8
    EXTENSIONS_MOST = 16384         # bytes of chunk extensions in one body
    DIGITS_MOST = 18                # of a Content-Length: stays below 2**63

cdef fs_field scratch[FS_FIELDS_MAX]

# The line that HTTP/2's preface begins with, RFC 9113 section 3.4; an unknown version is told of
# whole lines only.
cdef const char *_PREFACE = b"PRI * HTTP/2.0"

_ERRORS = {
    FS_BAD_REQUEST_LINE: (400, "malformed request line"),
    FS_BAD_METHOD: (400, "malformed method"),
    FS_BAD_TARGET: (400, "malformed request target"),
    FS_BAD_VERSION: (400, "malformed HTTP version"),
    FS_UNKNOWN_VERSION: (505, "HTTP version not supported"),
    FS_LONG_METHOD: (501, "method not implemented"),
    FS_LONG_LINE: (414, "request line too long"),
    FS_BAD_LINE_END: (400, "lines must end in CRLF"),
    FS_BAD_FIELD_NAME: (400, "malformed field name"),
    FS_BAD_FIELD_SPACE: (400, "white space before the colon of a field"),
    FS_BAD_FIELD_FOLD: (400, "folded field line"),
    FS_BAD_FIELD_VALUE: (400, "forbidden byte in a field value"),
    FS_LONG_FIELD: (431, "header field too large"),
    FS_MANY_FIELDS: (431, "too many header fields"),
    FS_LONG_HEAD: (431, "header section too large"),
    FS_CHUNK_BAD_SIZE: (400, "malformed chunk size"),
    FS_CHUNK_BAD_EXTENSION: (400, "malformed chunk extension"),
    FS_CHUNK_BAD_END: (400, "malformed chunk"),
    FS_CHUNK_TOO_BIG: (413, "chunk too large"),
    FS_TARGET_BAD: (400, "malformed request target"),
    FS_TARGET_BAD_ESCAPE: (400, "malformed percent-encoding in the request target"),
    FS_TARGET_BAD_AUTHORITY: (400, "malformed authority in the request target"),
}


cdef Event refuse(int64_t code) except? EVENT_MORE:
    status, reason = _ERRORS[code]
    raise ParseError(status, reason)


@cython.final
cdef class ParserLimits:

    def __init__(self, *, line, field, head, fields, body, trailers):
        for name, value, most in (("request line", line, 1 << 24), ("field", field, 1 << 24),
                                  ("head", head, 1 << 26), ("fields", fields, FS_FIELDS_MAX),
                                  ("trailers", trailers, 1 << 26)):
            if not 1 <= value <= most:
                raise ValueError(f"the {name} limit must be from 1 to {most}, not {value}")
        if not 0 <= body < 1 << 63:
            raise ValueError(f"the body limit must be 0 or more, not {body}")
        self.head = fs_http1_limits(line=line, field=field, head=head, fields=fields)
        self.trailers = fs_http1_limits(line=line, field=field, head=trailers, fields=fields)
        self.body = body


@cython.final
cdef class RequestParser(Input):
    """See the module. `feed` is the same machine for tests: bytes in, list of events out."""

    def __cinit__(self):
        self.state = STATE_HEAD
        self.host_index = -1
        self.headers = HeaderBlock.__new__(HeaderBlock)

    def __init__(self, ParserLimits limits=None, **numbers):
        self.limits = limits if limits is not None else ParserLimits(**numbers)

    cdef int take_length(self, Py_ssize_t n) except -1:
        """Count n bytes of body, at most `left`, that somebody else has read (STATE_LENGTH)."""
        self.left -= n
        return 0

    cdef int64_t body_taken(self) noexcept:
        """How many bytes of body have come of the message whose head was the last."""
        return <int64_t>(self.body_seen if self.chunked else self.length - self.left)

    cdef int forget(self) except -1:
        """Give back what only speeds up the next request; for a connection that idles."""
        self.headers.forget()
        return 0

    cdef Event next(self) except? EVENT_MORE:
        """The next event; raises ParseError, after which the parser answers EVENT_MORE for ever."""
        try:
            if self.state == STATE_HEAD:
                return self.read_head()
            if self.state == STATE_LENGTH:
                return self.read_length()
            if self.state == STATE_CHUNKED:
                return self.read_chunked()
            if self.state == STATE_TRAILERS:
                return self.read_trailers()
            self.pos = self.n
            return EVENT_MORE
        except ParseError:
            self.state = STATE_DEAD
            self.pos = self.n
            raise

    cdef Event read_head(self) except? EVENT_MORE:
        cdef const uint8_t *p = self.p + self.pos
        cdef Py_ssize_t n = self.n - self.pos
        cdef int64_t used
        cdef uint32_t count = 0
        if self.only_http2:
            if memcmp(p, _PREFACE, min(n, 14)) != 0:
                raise ParseError(505, "HTTP/2 alone is spoken here")
            return EVENT_HTTP2 if n else EVENT_MORE
        if n > 0 and (p[0] == 13 or p[0] == 10):
            used = fs_http1_skip_empty(p, n, EMPTY_LINES_MOST - self.empty_lines)
            if used < 0:
                return refuse(used)
            self.empty_lines += <uint8_t>(used >> 1)
            self.pos += used
            p += used
            n -= used
        if n == 0:
            return EVENT_MORE
        used = fs_http1_request_line(p, n, &self.limits.head, &self.head)
        if used < 0:
            if used == FS_MORE:
                return EVENT_MORE
            if used == FS_UNKNOWN_VERSION and self.takes_http2 and memcmp(p, _PREFACE, 14) == 0:
                return EVENT_HTTP2
            return refuse(used)
        self.head_p = p
        if (self.headers.same(p + used, n - used)
                and used + self.headers.raw_len <= self.limits.head.head):
            used += self.headers.raw_len
            self.load_target()
        else:
            # A target that cannot be read is refused as soon as its line is there.
            self.load_target()
            used = fs_http1_fields(p, n, used, &self.limits.head, &self.resume, scratch, &count)
            if used == FS_MORE:
                return EVENT_MORE
            if used < 0:
                return refuse(used)
            self.headers.load(p, self.head.fields_off, <uint32_t>used, scratch, count)
            self.load_facts()
        memset(&self.resume, 0, sizeof(self.resume))
        self.empty_lines = 0
        self.check_message()
        self.pos += used
        return EVENT_HEAD

    cdef int load_target(self) except -1:
        cdef int form = fs_target_parse(self.head_p + self.head.target_off, self.head.target_len,
                                        self.head_p + self.head.method_off, self.head.method_len,
                                        &self.target)
        if form < 0:
            refuse(form)
        return 0

    cdef int check_message(self) except -1:
        """What depends on request line and fields together; sets the state for the body."""
        if self.head.minor == 0:
            # RFC 9112 6.1: a 1.0 message with Transfer-Encoding has faulty framing.
            if self.chunked:
                raise ParseError(400, "Transfer-Encoding in an HTTP/1.0 request")
        elif self.host_index < 0:
            raise ParseError(400, "missing Host")
        self.body_seen = 0
        if self.chunked:
            fs_chunked_init(&self.chunk, EXTENSIONS_MOST)
            self.state = STATE_CHUNKED
        else:
            if self.limits.body and self.length > self.limits.body:
                raise ParseError(413, "request body too large")
            self.left = self.length
            self.state = STATE_LENGTH
        return 0

    cdef Event read_length(self) noexcept:
        cdef Py_ssize_t n = self.n - self.pos
        if self.left == 0:
            self.state = STATE_HEAD
            return EVENT_END
        if n == 0:
            return EVENT_MORE
        if <uint64_t>n > self.left:
            n = <Py_ssize_t>self.left
        self.body_p = self.p + self.pos
        self.body_n = n
        self.pos += n
        self.left -= n
        return EVENT_BODY

    cdef Event read_chunked(self) except? EVENT_MORE:
        cdef size_t used = 0, data_off = 0, data_len = 0
        cdef int found = fs_chunked_next(&self.chunk, self.p + self.pos, self.n - self.pos,
                                         &used, &data_off, &data_len)
        if found < 0:
            return refuse(found)
        if found == FS_CHUNK_DATA:
            self.body_p = self.p + self.pos + data_off
            self.body_n = data_len
            self.body_seen += data_len
        self.pos += used
        # Late count, RFC 9110 15.5.14: the announced chunk counts before it is read.
        if self.limits.body and self.body_seen + self.chunk.left > self.limits.body:
            raise ParseError(413, "request body too large")
        if found == FS_CHUNK_LAST:
            self.state = STATE_TRAILERS
            return self.read_trailers()
        return EVENT_BODY if found == FS_CHUNK_DATA else EVENT_MORE

    cdef Event read_trailers(self) except? EVENT_MORE:
        cdef const uint8_t *p = self.p + self.pos
        cdef Py_ssize_t n = self.n - self.pos
        cdef uint32_t count = 0
        cdef HeaderBlock block
        cdef int64_t used = fs_http1_fields(p, n, 0, &self.limits.trailers, &self.resume, scratch,
                                            &count)
        if used == FS_MORE:
            return EVENT_MORE
        if used < 0:
            return refuse(used)
        memset(&self.resume, 0, sizeof(self.resume))
        self.trailer_pairs = None
        if count:
            block = HeaderBlock.__new__(HeaderBlock)
            block.load(p, 0, <uint32_t>used, scratch, count)
            self.trailer_pairs = block.pairs
        self.pos += used
        self.state = STATE_HEAD
        return EVENT_END

    cdef int load_facts(self) except -1:
        """Read the fields that frame the message or steer the connection."""
        cdef HeaderBlock block = self.headers
        cdef uint32_t i
        cdef int length_at = -1, coding_at = -1
        cdef uint8_t kind
        self.close_asked = self.keep_alive_asked = self.upgrade_asked = False
        self.expect_continue = self.accepts_trailers = self.has_upgrade = False
        self.host_index = -1
        self.forwarding = 0
        for i in range(block.count):
            kind = block.ids[i]
            if kind == NAME_OTHER:
                continue
            if kind >= NAME_FORWARDED:
                self.forwarding |= field_bit(kind)
                continue
            value = <bytes>(<tuple>block.pairs[i])[1]
            if kind == NAME_HOST:
                # RFC 9112 3.2: one Host and a valid one, or 400.
                if self.host_index >= 0:
                    raise ParseError(400, "repeated Host")
                if not fs_target_host_ok(<const uint8_t *>PyBytes_AS_STRING(value),
                                         PyBytes_GET_SIZE(value)):
                    raise ParseError(400, "malformed Host")
                self.host_index = <int>i
            elif kind == NAME_CONTENT_LENGTH:
                if length_at >= 0:
                    raise ParseError(400, "repeated Content-Length")
                length_at = <int>i
            elif kind == NAME_TRANSFER_ENCODING:
                if coding_at >= 0:
                    raise ParseError(400, "repeated Transfer-Encoding")
                coding_at = <int>i
            elif kind == NAME_CONNECTION:
                for token in _tokens(value):
                    if token == b"close":
                        self.close_asked = True
                    elif token == b"keep-alive":
                        self.keep_alive_asked = True
                    elif token == b"upgrade":
                        self.upgrade_asked = True
            elif kind == NAME_UPGRADE:
                self.has_upgrade = True
            elif kind == NAME_EXPECT:
                # RFC 9110 10.1.1: the one expectation there is; others may get 417.
                if value.lower() != b"100-continue":
                    raise ParseError(417, "unknown expectation")
                self.expect_continue = True
            elif kind == NAME_TE:
                if b"trailers" in _tokens(value):
                    self.accepts_trailers = True
        return self.set_framing(length_at, coding_at)

    cdef int set_framing(self, int content_length_index, int coding_index) except -1:
        """RFC 9112 section 6.3, strict."""
        cdef bytes value
        self.chunked = self.has_length = False
        self.length = 0
        if coding_index >= 0:
            # RFC 9112 6.3: both together may be an attempt at request smuggling.
            if content_length_index >= 0:
                raise ParseError(400, "both Transfer-Encoding and Content-Length")
            value = (<tuple>self.headers.pairs[coding_index])[1]
            if value.lower() != b"chunked":
                codings = _tokens(value)
                # RFC 9112 6.3: without chunked as the last coding the end cannot be known.
                if (value.count(b",") >= len(codings) or codings[len(codings) - 1] != b"chunked"
                        or codings.count(b"chunked") > 1):
                    raise ParseError(400, "malformed Transfer-Encoding")
                raise ParseError(501, "transfer coding not implemented")
            self.chunked = True
        elif content_length_index >= 0:
            value = (<tuple>self.headers.pairs[content_length_index])[1]
            if not value.isdigit() or len(value) > DIGITS_MOST:
                raise ParseError(413 if value.isdigit() else 400,
                                 "malformed Content-Length" if not value.isdigit()
                                 else "request body too large")
            self.length = int(value)
            self.has_length = True
        return 0

    cdef bint keep_alive(self) noexcept:
        """Whether the client lets the connection live on, RFC 9112 section 9.3."""
        if self.close_asked:
            return False
        return self.head.minor >= 1 or self.keep_alive_asked

    cdef object body_bytes(self):
        """The run of body as bytes; the read itself, uncopied, where it is nothing else."""
        if (self.source is not None and self.body_n == PyBytes_GET_SIZE(self.source)
                and <const char *>self.body_p == PyBytes_AS_STRING(self.source)):
            return self.source
        return PyBytes_FromStringAndSize(<const char *>self.body_p, self.body_n)

    cdef bytes whole_target(self):
        """The request target as it came."""
        return PyBytes_FromStringAndSize(
            <const char *>self.head_p + self.head.target_off, self.head.target_len)

    cdef bytes raw_path(self):
        """The target's path as it came; an absolute form without one means "/"."""
        if self.target.path_len == 0:
            if self.target.form == FS_TARGET_ASTERISK:
                return b"*"
            if self.target.form == FS_TARGET_ABSOLUTE:
                return b"/"
        return PyBytes_FromStringAndSize(
            <const char *>self.head_p + self.head.target_off + self.target.path_off,
            self.target.path_len)

    cdef bytes query_string(self):
        """What follows the target's "?", as it came."""
        if self.target.query_len == 0:
            return b""
        return PyBytes_FromStringAndSize(
            <const char *>self.head_p + self.head.target_off + self.target.query_off,
            self.target.query_len)

    cdef list header_list(self):
        """The head's pairs, a fresh list.

        RFC 9112 3.2.2: with a target in absolute form its authority takes the place
        of Host, whatever Host said.
        """
        cdef list pairs = self.headers.copy()
        if self.target.form == FS_TARGET_ABSOLUTE:
            host = (b"host", PyBytes_FromStringAndSize(
                <const char *>self.head_p + self.head.target_off + self.target.host_off,
                self.target.host_len))
            if self.host_index >= 0:
                pairs[self.host_index] = host
            else:
                pairs.insert(0, host)
        return pairs

    cdef int host_at(self) noexcept:
        """Where `header_list` has Host; -1: nowhere."""
        if self.host_index < 0 and self.target.form == FS_TARGET_ABSOLUTE:
            return 0
        return self.host_index

    def feed(self, bytes data not None):
        """Parse `data` behind what came before; see docs/design/http1-server.md for the events."""
        cdef list events = []
        cdef Event event
        if self.state == STATE_DEAD:
            return events
        self.give(data, PyBytes_GET_SIZE(data))
        try:
            while True:
                event = self.next()
                if event == EVENT_MORE:
                    break
                if event == EVENT_HEAD:
                    events.append(("head", self._head_facts()))
                elif event == EVENT_BODY:
                    events.append(("body", self.body_bytes()))
                else:
                    events.append(("end", self.trailer_pairs or []))
                    self.trailer_pairs = None
        except ParseError as error:
            events.append(("error", error.status, error.reason))
        finally:
            self.stash()
        return events

    def _head_facts(self):
        forms = {FS_TARGET_ORIGIN: "origin", FS_TARGET_ABSOLUTE: "absolute",
                 FS_TARGET_AUTHORITY: "authority", FS_TARGET_ASTERISK: "asterisk"}
        return {
            "method": method_name(self.head_p + self.head.method_off, self.head.method_len),
            "target": self.whole_target(),
            "http_version": f"1.{min(self.head.minor, 1)}",
            "form": forms[self.target.form],
            "path": unquote_to_bytes(self.raw_path()).decode("utf-8", "replace"),
            "raw_path": self.raw_path(),
            "query_string": self.query_string(),
            "headers": self.header_list(),
            "keep_alive": bool(self.keep_alive()),
            "expect_continue": bool(self.expect_continue and self.head.minor >= 1),
            "content_length": self.length if self.has_length else None,
            "chunked": bool(self.chunked),
            "upgrade": bool(self.upgrade_asked),
        }


def _tokens(value):
    """A comma list's non-empty members, in lower case."""
    return [token for token in (part.strip(b" \t").lower() for part in value.split(b","))
            if token]


GET, POST, HEAD, CONNECT = "GET", "POST", "HEAD", "CONNECT"
cdef dict _methods = {name.encode(): name for name in (
    GET, POST, HEAD, CONNECT, "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PROPFIND",
    "REPORT", "PURGE")}


cdef str method_name(const uint8_t *p, Py_ssize_t n):
    """The method in upper case; for a common one always the same object."""
    cdef object name
    cdef bytes raw
    if n == 3 and memcmp(p, b"GET", 3) == 0:
        return GET
    if n == 4 and memcmp(p, b"POST", 4) == 0:
        return POST
    raw = PyBytes_FromStringAndSize(<const char *>p, n).upper()
    name = _methods.get(raw)
    return name if name is not None else PyUnicode_DecodeASCII(raw, n, NULL)
