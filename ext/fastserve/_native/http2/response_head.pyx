"""Response heads of HTTP/2 as field blocks, RFC 9113 section 8.3.2.

An application mostly repeats its responses' heads. The last one is kept: where status and
fields come again, the same pairs or equal ones, nothing is checked again, and while neither
the compression's table nor the date have changed its block is copied as it was. What every
response has of its own, a length or an id, is written behind it and enters no table.
"""

cimport cython
from cpython.bytes cimport (PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize,
                            PyBytes_GET_SIZE)
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from ..buffer cimport WriteBuffer, give_back, new_buffer
from ..fields cimport ResponseFacts, lower_fields
from ..leaves cimport (FS_H2_CONTINUATION, FS_H2_END_HEADERS, FS_H2_END_STREAM, FS_H2_HEAD_LEN,
                       FS_H2_HEADERS, fs_decimal)
from ..shared cimport Shared
from .hpack_encoder cimport HPACK_INDEX, HPACK_PLAIN, HpackEncoder, policy_of
from .writer cimport patch_frame_head, write_frame_head

from fastserve._native.errors import ProtocolViolation

cdef enum:
    KEEP_MOST = 4096                # bytes of fields; a larger head is not kept
    SEND_MOST = 1 << 24             # and a larger one not sent


cdef inline bint same_bytes(PyObject *new, PyObject *old) noexcept:
    """`old` is bytes."""
    cdef Py_ssize_t n
    if new == old:
        return True
    if not PyBytes_Check(<object>new):
        return False
    n = PyBytes_GET_SIZE(<object>new)
    return (n == PyBytes_GET_SIZE(<object>old)
            and memcmp(PyBytes_AS_STRING(<object>new), PyBytes_AS_STRING(<object>old),
                       <size_t>n) == 0)


cdef inline bint same_pair(PyObject *new, PyObject *old) noexcept:
    """`old` is a tuple of two bytes."""
    cdef PyObject *name
    cdef PyObject *value
    if new == old:
        return True
    if PyTuple_CheckExact(<object>new) and PyTuple_GET_SIZE(<object>new) == 2:
        name = PyTuple_GET_ITEM(<object>new, 0)
        value = PyTuple_GET_ITEM(<object>new, 1)
    elif PyList_CheckExact(<object>new) and PyList_GET_SIZE(<object>new) == 2:
        name = PyList_GET_ITEM(<object>new, 0)
        value = PyList_GET_ITEM(<object>new, 1)
    else:
        return False
    return (same_bytes(name, PyTuple_GET_ITEM(<object>old, 0))
            and same_bytes(value, PyTuple_GET_ITEM(<object>old, 1)))


@cython.final
cdef class ResponseHead:

    cdef bint same(self, int status, list headers) noexcept:
        cdef Py_ssize_t i, n = PyList_GET_SIZE(headers)
        if status != self.status or n != PyList_GET_SIZE(self.given):
            return False
        for i in range(n):
            if not same_pair(PyList_GET_ITEM(headers, i), PyList_GET_ITEM(self.given, i)):
                return False
        return True


cdef ResponseHead new_head(int status, list headers):
    cdef ResponseHead head = ResponseHead.__new__(ResponseHead)
    head.status = status
    head.given = [pair if PyTuple_CheckExact(pair) else tuple(pair) for pair in headers]
    head.pairs = lower_fields(head.given, status >= 200 and status != 204, &head.facts)
    return head


cdef Py_ssize_t size_of(list pairs) except -1:
    """Bytes of checked pairs. An error after this would come when the compression's table has
    changed, and cost the connection."""
    cdef Py_ssize_t size = 0
    for pair in pairs:
        size += (PyBytes_GET_SIZE(<bytes>PyTuple_GET_ITEM(pair, 0))
                 + PyBytes_GET_SIZE(<bytes>PyTuple_GET_ITEM(pair, 1)))
    if size > SEND_MOST:
        raise ProtocolViolation("the header fields are too large")
    return size


cdef int end_block(WriteBuffer out, Py_ssize_t at, uint32_t stream, bint ends,
                   uint32_t frame_most) except -1:
    """HEADERS of the block that begins behind the frame head at out.data[at:], and where it is
    longer than a frame may be CONTINUATION, RFC 9113 section 6.10."""
    cdef uint8_t flags = FS_H2_END_STREAM if ends else 0
    cdef uint8_t kind = FS_H2_HEADERS
    cdef Py_ssize_t n = out.used - at - FS_H2_HEAD_LEN
    cdef Py_ssize_t sent = 0, part
    cdef bytes block
    if n <= frame_most:
        return patch_frame_head(out, at, kind, flags | FS_H2_END_HEADERS, stream)
    block = PyBytes_FromStringAndSize(out.data + at + FS_H2_HEAD_LEN, n)
    out.used = at
    while sent < n:
        part = min(n - sent, <Py_ssize_t>frame_most)
        if sent + part == n:
            flags |= FS_H2_END_HEADERS
        write_frame_head(out, <uint32_t>part, kind, flags, stream)
        out.write(PyBytes_AS_STRING(block) + sent, part)
        sent += part
        kind = FS_H2_CONTINUATION
        flags = 0
    return 0


cdef inline int put_length(WriteBuffer out, int64_t length) except -1:
    """content-length as a literal that no table knows, RFC 7541 section 6.2.2."""
    cdef uint8_t *p
    out.reserve(3 + 20)
    p = <uint8_t *>out.data + out.used
    # Name 28 of the static table, over a prefix of four bits; then the digits as they are.
    p[0] = 0x0f
    p[1] = 28 - 15
    p[2] = <uint8_t>fs_decimal(p + 3, <uint64_t>length)
    out.used += 3 + p[2]
    return 0


@cython.final
cdef class HeadWriter:
    """The methods of Python are the same for tests: frames out as bytes."""

    def __init__(self, Shared shared not None):
        self.shared = shared
        self.encoder = HpackEncoder()

    cdef ResponseHead check(self, int status, object headers):
        """Raises ProtocolViolation for what HTTP could not carry."""
        cdef ResponseHead head = self.last
        cdef list fields = headers if PyList_CheckExact(headers) else list(headers)
        if head is not None and head.same(status, fields):
            head.repeated = True
            return head
        head = new_head(status, fields)
        self.last = head if size_of(head.given) <= KEEP_MOST else None
        return head

    cdef int write_head(self, WriteBuffer out, uint32_t stream, ResponseHead head, int64_t length,
                        bytes request_id, bint ends, uint32_t frame_most) except -1:
        """The head with the server's own fields. length: the content-length to add, -1: none;
        request_id: the x-request-id, or None."""
        cdef Shared shared = self.shared
        cdef Py_ssize_t at = out.used
        cdef int64_t second = -1
        if shared.date_wanted and not head.facts.has_date:
            second = shared.keep_date()
        write_frame_head(out, 0, 0, 0, 0)
        self.encoder.begin(out)
        if (head.block is not None and head.second == second
                and head.generation == self.encoder.generation):
            out.write(PyBytes_AS_STRING(head.block), PyBytes_GET_SIZE(head.block))
        else:
            self.encode(out, head, second)
        if length >= 0:
            put_length(out, length)
        if request_id is not None and not head.facts.has_request_id:
            self.encoder.put(out, b"x-request-id", request_id, HPACK_PLAIN)
        return end_block(out, at, stream, ends, frame_most)

    cdef int encode(self, WriteBuffer out, ResponseHead head, int64_t second) except -1:
        """The block of the head and the server's fields; kept if it is good for another time."""
        cdef Shared shared = self.shared
        cdef HpackEncoder encoder = self.encoder
        cdef uint64_t generation = encoder.generation
        cdef Py_ssize_t at = out.used
        encoder.put_status(out, head.status)
        self.put_pairs(out, head.pairs)
        if second >= 0:
            encoder.put(out, b"date", shared.date_value(), HPACK_INDEX)
        if not head.facts.has_server:
            self.put_pairs(out, shared.server_pairs)
        self.put_pairs(out, shared.fixed_pairs)
        head.block = None
        if head.repeated and encoder.generation == generation:
            head.block = PyBytes_FromStringAndSize(out.data + at, out.used - at)
            head.generation = generation
            head.second = second
        return 0

    cdef int put_pairs(self, WriteBuffer out, list pairs) except -1:
        cdef tuple pair
        cdef bytes name
        for pair in pairs:
            name = <bytes>PyTuple_GET_ITEM(pair, 0)
            self.encoder.put(out, name, <bytes>PyTuple_GET_ITEM(pair, 1), policy_of(name))
        return 0

    cdef list check_trailers(self, object headers):
        """Checked pairs for `write_trailers`; what frames a message is none (RFC 9110 section 6.5.1)."""
        cdef ResponseFacts facts
        cdef list pairs = lower_fields(list(headers), False, &facts)
        size_of(pairs)
        return pairs

    cdef int write_trailers(self, WriteBuffer out, uint32_t stream, list pairs,
                            uint32_t frame_most) except -1:
        """They end the stream."""
        cdef Py_ssize_t at = out.used
        write_frame_head(out, 0, 0, 0, 0)
        self.encoder.begin(out)
        self.put_pairs(out, pairs)
        return end_block(out, at, stream, True, frame_most)

    cdef int write_interim(self, WriteBuffer out, uint32_t stream, int status, list pairs,
                           uint32_t frame_most) except -1:
        """100 or 103, RFC 9113 section 8.1; pairs as of `check_trailers`."""
        cdef Py_ssize_t at = out.used
        write_frame_head(out, 0, 0, 0, 0)
        self.encoder.begin(out)
        self.encoder.put_status(out, status)
        self.put_pairs(out, pairs)
        return end_block(out, at, stream, False, frame_most)

    cdef bytes write_answer(self, WriteBuffer out, uint32_t stream, int status, str text,
                            bint bodiless, object headers, uint32_t frame_most):
        """The head of the server's own answer; returns its body, to be sent as DATA that ends the
        stream. Where it is to be `bodiless` the head ends it, and None is returned."""
        cdef bytes body = (text + "\n").encode()
        cdef list fields = self.shared.answer_fields(status, len(body), headers)
        self.write_head(out, stream, new_head(status, fields), -1, None, bodiless, frame_most)
        return None if bodiless else body

    cdef int forget(self) except -1:
        """Give back what is kept for the next response."""
        self.last = None
        return 0

    def limit(self, uint32_t most):
        """The peer's SETTINGS_HEADER_TABLE_SIZE."""
        self.encoder.limit(most)

    def hold(self, int status, headers):
        return self.check(status, headers)

    def head(self, uint32_t stream, ResponseHead head not None, *, int64_t length=-1,
             bytes request_id=None, bint ends=False, uint32_t frame_most=16384):
        cdef WriteBuffer out = new_buffer()
        self.write_head(out, stream, head, length, request_id, ends, frame_most)
        return taken(out)

    def trailers(self, uint32_t stream, headers, *, uint32_t frame_most=16384):
        cdef WriteBuffer out = new_buffer()
        self.write_trailers(out, stream, self.check_trailers(headers), frame_most)
        return taken(out)

    def interim(self, uint32_t stream, int status, headers, *, uint32_t frame_most=16384):
        cdef WriteBuffer out = new_buffer()
        self.write_interim(out, stream, status, self.check_trailers(headers), frame_most)
        return taken(out)

    def answer(self, uint32_t stream, int status, str text not None, headers=(), *,
               bint bodiless=False, uint32_t frame_most=16384):
        """(frames of the head, body)."""
        cdef WriteBuffer out = new_buffer()
        body = self.write_answer(out, stream, status, text, bodiless, headers, frame_most)
        return taken(out), body


cdef bytes taken(WriteBuffer out):
    cdef bytes frames = out.take()
    give_back(out)
    return frames
