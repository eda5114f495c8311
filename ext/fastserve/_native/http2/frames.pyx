"""A client's HTTP/2 frames as events, RFC 9113 sections 3.4, 4 and 6. Sans-IO.

`give` lends the reader the bytes of one read; `next` answers one event after the other; `stash`
ends the loan and keeps what is unread. From frame to frame the reader goes HEAD -> FRAME, or
HEAD -> PAD -> DATA -> SKIP; a connection error ends in OVER. How the input was cut into reads
changes nothing but how DATA is cut, nor at which byte an error shows.

Everything is checked here that a frame can be wrong in by itself or by the one before it; whether
its stream is open, and what a setting does, is the channel's to know. A head is judged before a
byte of its payload is read. DATA is handed on as it comes and a payload that means nothing is
skipped as it comes; any other frame waits until it is whole, of a bounded size. A frame is never
refused for a reserved bit, nor for a flag that its type does not have.

Stricter than RFC 9113 where it gives the choice: a frame that is too long costs the connection
even where it could cost its stream alone (section 4.2), and so does DATA too short for its padding.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from ..buffer cimport Input, ReadBuffer
from ..leaves cimport *

from fastserve._native.errors import Http2Error

cdef enum:
    PREFACE_LEN = 24
    PRIORITY_LEN = 5                # of a HEADERS frame's priority fields
    STREAM_BITS = 0x7fffffff
    CONTINUATIONS_MOST = 32         # of one field block
    SETTINGS_MOST = 16384           # bytes of SETTINGS or PRIORITY_UPDATE, which wait in memory

cdef const uint8_t *PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

cdef dict _ERRORS = {
    FS_H2_LONG_FRAME: (FS_H2_FRAME_SIZE_ERROR, "frame too large"),
    FS_H2_BAD_LENGTH: (FS_H2_FRAME_SIZE_ERROR, "frame of a wrong size"),
    FS_H2_BAD_PRIORITY: (FS_H2_FRAME_SIZE_ERROR, "PRIORITY of a wrong size"),
    FS_H2_NO_STREAM: (FS_H2_PROTOCOL_ERROR, "frame needs a stream"),
    FS_H2_ON_STREAM: (FS_H2_PROTOCOL_ERROR, "frame must not be on a stream"),
    FS_H2_PUSHED: (FS_H2_PROTOCOL_ERROR, "PUSH_PROMISE from a client"),
    FS_H2_NO_BLOCK: (FS_H2_PROTOCOL_ERROR, "CONTINUATION of no field block"),
    FS_H2_INTERLEAVED: (FS_H2_PROTOCOL_ERROR, "frame inside a field block"),
}


@cython.final
cdef class FrameReader(Input):
    """See the module. `feed` is the same machine for tests: bytes in, list of events out.

    `block_most` bounds the frames of a field block, heads aside; `preface` False: somebody else
    has read it.
    """

    def __init__(self, uint32_t frame_most=FS_H2_LEAST_FRAME, uint32_t block_most=65536, *,
                 bint preface=True):
        self.frame_most = frame_most
        self.block_most = block_most
        self.first = True
        self.state = STATE_PREFACE if preface else STATE_HEAD

    cdef H2Event next(self) except? H2_MORE:
        """The next event; raises Http2Error. After one that costs a stream alone the reader goes
        on behind the frame; after any other it answers H2_MORE for ever."""
        cdef H2Event event
        if self.block_given:
            self.block_given = False
            self.block.consume(self.block.end - self.block.begin)
        while True:
            if self.state == STATE_HEAD:
                if not self.read_head():
                    return self.wait()
                event = self.begin_frame()
            elif self.state == STATE_FRAME:
                if self.n - self.pos < <Py_ssize_t>self.need:
                    return self.wait()
                event = self.end_frame()
            elif self.state == STATE_DATA:
                if self.n == self.pos and self.left > 0:
                    return self.wait()
                return self.read_data()
            elif self.state == STATE_OVER:
                self.pos = self.n
                return H2_MORE
            elif self.pass_over():
                continue
            else:
                return self.wait()
            if event != H2_MORE:
                return event

    cdef bint pass_over(self) except -1:
        """Whether what tells no event has been passed over."""
        if self.state == STATE_PREFACE:
            return self.read_preface()
        if self.state == STATE_PAD:
            return self.read_padding()
        return self.skip_rest()

    cdef H2Event wait(self) noexcept:
        self.begun = (self.early_n > 0 or self.block_stream != 0 or self.state == STATE_FRAME
                      or (self.state == STATE_SKIP and self.head.type != FS_H2_DATA))
        return H2_MORE

    cdef bint read_preface(self) except -1:
        """Whether the client's preface is over, section 3.4."""
        cdef Py_ssize_t n = min(self.n - self.pos, PREFACE_LEN - <Py_ssize_t>self.early_n)
        if n > 0 and memcmp(self.p + self.pos, PREFACE + self.early_n, <size_t>n) != 0:
            self.fail(FS_H2_PROTOCOL_ERROR, "not HTTP/2", 0)
        self.pos += n
        self.early_n += <uint8_t>n
        if self.early_n < PREFACE_LEN:
            return False
        self.early_n = 0
        self.state = STATE_HEAD
        return True

    cdef bint read_head(self) except -1:
        """Whether a head is whole. A part of one is kept apart, so that a read is never copied
        behind it."""
        cdef Py_ssize_t n = self.n - self.pos
        if self.early_n == 0 and n >= FS_H2_HEAD_LEN:
            fs_h2_read_head(self.p + self.pos, &self.head)
            self.pos += FS_H2_HEAD_LEN
            return True
        n = min(n, FS_H2_HEAD_LEN - <Py_ssize_t>self.early_n)
        if n > 0:
            memcpy(&self.early[self.early_n], self.p + self.pos, <size_t>n)
            self.pos += n
            self.early_n += <uint8_t>n
        if self.early_n < FS_H2_HEAD_LEN:
            return False
        fs_h2_read_head(self.early, &self.head)
        self.early_n = 0
        return True

    cdef H2Event begin_frame(self) except? H2_MORE:
        """Judge the head, and say how its payload is read."""
        cdef int answer = fs_h2_check_head(&self.head, self.frame_most, self.block_stream)
        cdef uint8_t kind = self.head.type
        if answer < 0:
            self.refuse(answer)
        if self.first:
            # Section 3.4: the preface includes a SETTINGS frame, which may be empty.
            if kind != FS_H2_SETTINGS or self.head.flags & FS_H2_ACK:
                self.fail(FS_H2_PROTOCOL_ERROR, "first frame is not SETTINGS", 0)
            self.first = False
        self.need = self.head.length
        self.skip = 0
        self.state = STATE_FRAME
        if kind == FS_H2_DATA:
            self.left = self.due = self.head.length
            self.state = STATE_PAD if self.head.flags & FS_H2_PADDED else STATE_DATA
        elif kind == FS_H2_HEADERS or kind == FS_H2_CONTINUATION:
            self.begin_block()
        elif kind == FS_H2_SETTINGS or kind == FS_H2_PRIORITY_UPDATE:
            if self.head.length > SETTINGS_MOST:
                self.fail(FS_H2_ENHANCE_YOUR_CALM, "frame too large", 0)
        elif kind == FS_H2_GOAWAY:
            self.need = 8
            self.skip = self.head.length - 8
        elif kind > FS_H2_CONTINUATION:
            self.skip = self.head.length
            self.value = kind
            self.size = 0
            self.state = STATE_SKIP
            return H2_UNKNOWN
        return H2_MORE

    cdef int begin_block(self) except -1:
        """Count a frame of a field block before it is read."""
        if self.head.type == FS_H2_HEADERS:
            self.block_n = self.block_frames = 0
        elif self.block_frames == CONTINUATIONS_MOST:
            self.fail(FS_H2_ENHANCE_YOUR_CALM, "too many CONTINUATION frames", 0)
        else:
            self.block_frames += 1
        if self.head.length > self.block_most - self.block_n:
            self.fail(FS_H2_ENHANCE_YOUR_CALM, "field block too large", 0)
        self.block_n += self.head.length
        return 0

    cdef bint read_padding(self) except -1:
        """Whether it is known how much padding a frame of DATA has."""
        if self.pos == self.n:
            return False
        self.skip = self.p[self.pos]
        self.pos += 1
        # Section 6.1: padding that leaves no room for itself costs the connection.
        if self.skip >= self.left:
            self.fail(FS_H2_PROTOCOL_ERROR, "more padding than frame", 0)
        self.left -= 1 + self.skip
        self.state = STATE_DATA
        return True

    cdef H2Event read_data(self) noexcept:
        """Section 6.1. The whole frame is charged with the first run of its content."""
        cdef uint32_t n = <uint32_t>min(self.n - self.pos, <Py_ssize_t>self.left)
        self.stream = self.head.stream
        self.content = self.p + self.pos
        self.size = n
        self.charged = self.due
        self.ends = False
        self.pos += n
        self.due = 0
        self.left -= n
        if self.left == 0:
            self.ends = self.head.flags & FS_H2_END_STREAM
            self.state = STATE_SKIP if self.skip else STATE_HEAD
        return H2_DATA

    cdef bint skip_rest(self) noexcept:
        """Whether what nobody reads has been passed over."""
        cdef Py_ssize_t n = min(self.n - self.pos, <Py_ssize_t>self.skip)
        self.pos += n
        self.skip -= <uint32_t>n
        if self.skip > 0:
            return False
        self.state = STATE_HEAD
        return True

    cdef H2Event end_frame(self) except? H2_MORE:
        """The event of a frame that is whole; H2_MORE for one that goes on in the next frame."""
        cdef const uint8_t *p = self.p + self.pos
        cdef uint8_t kind = self.head.type
        self.pos += self.need
        self.state = STATE_SKIP if self.skip else STATE_HEAD
        self.stream = self.head.stream
        self.content = p
        self.size = self.need
        if kind == FS_H2_HEADERS or kind == FS_H2_CONTINUATION:
            return self.read_block()
        if kind == FS_H2_WINDOW_UPDATE:
            self.value = fs_h2_load32(p) & STREAM_BITS
            if self.value == 0:
                # Section 6.9: an error of the stream, or of the connection if it is about that.
                self.fail(FS_H2_PROTOCOL_ERROR, "WINDOW_UPDATE of 0", self.stream)
            return H2_WINDOW
        if kind == FS_H2_RST_STREAM:
            self.value = fs_h2_load32(p)
            return H2_RESET
        if kind == FS_H2_SETTINGS:
            return self.read_settings()
        if kind == FS_H2_PING:
            return H2_PING_ACK if self.head.flags & FS_H2_ACK else H2_PING
        if kind == FS_H2_PRIORITY:
            return H2_PRIORITY
        if kind == FS_H2_PRIORITY_UPDATE:
            # RFC 9218 section 7.1.
            self.stream = fs_h2_load32(p) & STREAM_BITS
            if self.stream == 0:
                self.fail(FS_H2_PROTOCOL_ERROR, "PRIORITY_UPDATE of no stream", 0)
            self.content += 4
            self.size -= 4
            return H2_PRIORITY_UPDATE
        self.value = fs_h2_load32(p + 4)
        return H2_GOAWAY

    cdef H2Event read_block(self) except? H2_MORE:
        """Sections 6.2 and 6.10. Priority fields mean nothing any more, section 5.3.2."""
        cdef const uint8_t *p = self.content
        cdef Py_ssize_t n = self.size
        cdef Py_ssize_t padding = 0
        cdef uint8_t flags = self.head.flags
        if self.head.type == FS_H2_HEADERS:
            if flags & FS_H2_PADDED:
                padding = p[0]
                p += 1
                n -= 1
            if flags & FS_H2_HAS_PRIORITY:
                p += PRIORITY_LEN
                n -= PRIORITY_LEN
            if padding > n:
                self.fail(FS_H2_PROTOCOL_ERROR, "more padding than frame", 0)
            n -= padding
            self.ends = flags & FS_H2_END_STREAM
            if flags & FS_H2_END_HEADERS:
                self.content = p
                self.size = n
                return H2_HEADERS
            if self.block is None:
                self.block = ReadBuffer.__new__(ReadBuffer)
            self.block_stream = self.stream
        if n > 0:
            self.block.append(<const char *>p, n)
        if not flags & FS_H2_END_HEADERS:
            return H2_MORE
        self.content = <const uint8_t *>self.block.data + self.block.begin
        self.size = self.block.end - self.block.begin
        self.block_stream = 0
        self.block_given = True
        return H2_HEADERS

    cdef H2Event read_settings(self) except? H2_MORE:
        """Section 6.5.2; settings that nobody knows are let pass."""
        cdef const uint8_t *p = self.content
        cdef Py_ssize_t at = 0
        cdef int code
        if self.head.flags & FS_H2_ACK:
            return H2_SETTINGS_ACK
        while at < self.size:
            code = fs_h2_check_setting(<uint16_t>fs_h2_load16(p + at), fs_h2_load32(p + at + 2))
            if code != FS_H2_NO_ERROR:
                self.fail(code, "setting out of range", 0)
            at += FS_H2_SETTING_LEN
        return H2_SETTINGS

    cdef int refuse(self, int answer) except -1:
        """Fail with what `fs_h2_check_head` found."""
        code, reason = _ERRORS[answer]
        self.skip = self.head.length
        self.state = STATE_SKIP
        return self.fail(code, reason, self.head.stream if answer == FS_H2_BAD_PRIORITY else 0)

    cdef int fail(self, int code, str reason, uint32_t stream) except -1:
        if stream == 0:
            self.state = STATE_OVER
            self.pos = self.n
            self.early_n = 0
            self.block_stream = 0
            self.block = None
        raise Http2Error(code, reason, stream)

    def feed(self, bytes data not None):
        """Parse `data` behind what came before; see docs/design/http2.md for the events."""
        cdef list events = []
        cdef H2Event event
        self.give(data, PyBytes_GET_SIZE(data))
        try:
            while True:
                try:
                    event = self.next()
                except Http2Error as error:
                    events.append(("error", error.code, error.reason, error.stream))
                    continue
                if event == H2_MORE:
                    return events
                events.append(self._tell(event))
        finally:
            self.stash()

    def _tell(self, int event):
        content = PyBytes_FromStringAndSize(<const char *>self.content, self.size)
        if event == H2_DATA:
            return ("data", self.stream, content, self.charged, self.ends)
        if event == H2_HEADERS:
            return ("headers", self.stream, content, self.ends)
        if event == H2_SETTINGS:
            return ("settings", content)
        if event == H2_PING or event == H2_PING_ACK:
            return ("ping" if event == H2_PING else "ping_ack", content)
        if event == H2_WINDOW or event == H2_RESET:
            return ("window" if event == H2_WINDOW else "reset", self.stream, self.value)
        if event == H2_GOAWAY or event == H2_UNKNOWN:
            return ("goaway" if event == H2_GOAWAY else "unknown", self.value)
        if event == H2_PRIORITY_UPDATE:
            return ("priority_update", self.stream, content)
        return ("priority", self.stream) if event == H2_PRIORITY else ("settings_ack",)
