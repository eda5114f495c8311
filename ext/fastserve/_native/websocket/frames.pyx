"""A client's WebSocket frames as messages, RFC 6455 and RFC 7692. Sans-IO.

`give` lends the parser the bytes of one read; `next` answers one event after the other;
`stash` ends the loan and keeps what is unread. From frame to frame the parser goes
HEAD -> PAYLOAD -> HEAD; a close frame and any error end in OVER. How the input was cut
into reads changes nothing, nor at which byte an error shows.

A payload is unmasked once, from the read into where it stays. A message that is one
uncompressed frame and wholly there is made in one go: bytes, or a str filled with ASCII
until it proves otherwise. Anything else is gathered: `body` grows as data comes, whatever
was announced, and its text is checked as it comes.
"""

cimport cython
from cpython.bytes cimport (PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
                            _PyBytes_Resize)
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from ..buffer cimport Input
from ..leaves cimport *
from .deflate cimport Deflate

from fastserve._native.errors import WebSocketError

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    NO_CODE = 1005
    CONTROL = 8                     # the bit that tells opcodes of control frames
    ROOM_FIRST = 256 << 10          # bytes that are allocated on a mere announcement
    ROOM_LEAST = 256
    GROWTH = 4

cdef Py_ssize_t NO_LIMIT = PY_SSIZE_T_MAX >> 1

cdef dict _ERRORS = {
    FS_WS_BAD_RESERVED: (1002, "reserved bit set"),
    FS_WS_BAD_OPCODE: (1002, "reserved opcode"),
    FS_WS_CUT_CONTROL: (1002, "fragmented control frame"),
    FS_WS_NOT_UNDER_WAY: (1002, "continuation of no message"),
    FS_WS_INTERLEAVED: (1002, "new message inside a fragmented one"),
    FS_WS_UNMASKED: (1002, "frame not masked"),
    FS_WS_LONG_CONTROL: (1002, "control frame too long"),
    FS_WS_LONG_LENGTH: (1002, "length not in its shortest form"),
    FS_WS_HUGE_LENGTH: (1002, "length above 63 bits"),
    FS_WS_OVER_LIMIT: (1009, "message too large"),
}


@cython.final
cdef class Gathered:

    def __cinit__(self):
        self.block = NULL

    def __dealloc__(self):
        Py_XDECREF(self.block)

    cdef uint8_t *ask(self, Py_ssize_t more, Py_ssize_t announced, bint last) except NULL:
        """Where the next `more` bytes go, more > 0.

        `announced` bytes, `more` of them among these, are known to come; `last`: and no
        others. Memory is at most GROWTH times what came, or ROOM_FIRST, and twice what
        came if it was not announced, so that many small parts are not copied each time.
        """
        cdef Py_ssize_t need = self.fill + more
        cdef Py_ssize_t end = self.fill + announced
        cdef Py_ssize_t room
        if self.room < need:
            room = max(need, min(end, max(ROOM_FIRST, GROWTH * self.room)))
            if not last:
                room = max(room, ROOM_LEAST, 2 * self.room)
            self.resize(room)
        return <uint8_t *>PyBytes_AS_STRING(<object>self.block) + self.fill

    cdef int resize(self, Py_ssize_t room) except -1:
        """MemoryError leaves nothing."""
        cdef Py_ssize_t fill = self.fill
        cdef bytes block
        self.room = self.fill = 0
        if self.block == NULL:
            block = PyBytes_FromStringAndSize(NULL, room)
            Py_INCREF(block)
            self.block = <PyObject *>block
        else:
            _PyBytes_Resize(&self.block, room)
        self.room = room
        self.fill = fill
        return 0

    cdef bytes take(self):
        """All of it; there is nothing afterwards."""
        cdef bytes block
        if self.fill == 0:
            self.drop()
            return b""
        if self.fill < self.room:
            self.resize(self.fill)
        block = <bytes>self.block
        self.block = NULL
        self.room = self.fill = 0
        Py_DECREF(block)
        return block

    cdef int drop(self) except -1:
        Py_XDECREF(self.block)
        self.block = NULL
        self.room = self.fill = 0
        return 0


@cython.final
cdef class FrameParser(Input):
    """See the module. `feed` is the same machine for tests: bytes in, list of events out."""

    def __init__(self, Py_ssize_t max_size, Deflate deflate=None):
        """`max_size`: bytes of a message, before and after inflating; 0: no limit."""
        if max_size < 0:
            raise ValueError(f"the message limit must be 0 or more, not {max_size}")
        self.max_size = min(max_size or NO_LIMIT, NO_LIMIT)
        self.deflate = deflate
        self.allowed = 0 if deflate is None else FS_WS_DEFLATE
        self.code = NO_CODE
        self.reason = ""
        self.body = Gathered.__new__(Gathered)
        self.payload = Gathered.__new__(Gathered)

    cdef FrameEvent next(self) except? FRAME_MORE:
        """The next event; raises WebSocketError, after which the parser answers FRAME_MORE."""
        cdef FrameEvent event
        while self.pos < self.n:
            if self.state == STATE_HEAD:
                if not self.read_head():
                    return FRAME_MORE
            elif self.state == STATE_OVER:
                self.pos = self.n
                return FRAME_MORE
            if self.head.opcode & CONTROL:
                event = self.read_control()
            else:
                event = self.read_data()
            if event != FRAME_MORE:
                return event
        return FRAME_MORE

    cdef bint read_head(self) except -1:
        """Whether a head is whole. A part of one is kept apart, so that a read is never copied
        behind it."""
        cdef const uint8_t *p = self.p + self.pos
        cdef Py_ssize_t n = self.n - self.pos
        cdef uint64_t most = <uint64_t>(self.max_size - self.body.fill)
        cdef int used
        if self.early_n == 0:
            used = fs_ws_read_head(p, n, self.allowed, most, &self.head)
            if used > 0:
                self.pos += used
                return self.begin_frame()
            if used == FS_WS_MORE:
                memcpy(self.early, p, n)
                self.early_n = <uint8_t>n
                self.pos = self.n
                return False
        else:
            used = FS_WS_MORE
            while used == FS_WS_MORE:
                if self.pos == self.n:
                    return False
                self.early[self.early_n] = self.p[self.pos]
                self.early_n += 1
                self.pos += 1
                used = fs_ws_read_head(self.early, self.early_n, self.allowed, most, &self.head)
            self.early_n = 0
            if used > 0:
                return self.begin_frame()
        return self.refuse(used)

    cdef int begin_frame(self) except -1:
        self.left = <Py_ssize_t>self.head.length
        self.state = STATE_PAYLOAD
        if self.head.opcode == FS_WS_TEXT or self.head.opcode == FS_WS_BINARY:
            self.opcode = self.head.opcode
            self.compressed = self.head.rsv1
        return True

    cdef FrameEvent read_control(self) except? FRAME_MORE:
        cdef bytes payload = self.take_payload()
        if payload is None:
            return FRAME_MORE
        self.state = STATE_HEAD
        if self.head.opcode == FS_WS_CLOSE:
            return self.read_close(payload)
        self.message = payload
        return FRAME_PING if self.head.opcode == FS_WS_PING else FRAME_PONG

    cdef FrameEvent read_close(self, bytes payload) except? FRAME_MORE:
        """RFC 6455 section 5.5.1."""
        cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(payload)
        cdef Py_ssize_t n = PyBytes_GET_SIZE(payload)
        cdef int code
        if n == 1:
            self.fail(1002, "close frame with half a code")
        if n > 0:
            code = p[0] << 8 | p[1]
            if not fs_ws_close_code_ok(code):
                self.fail(1002, "close code not allowed")
            self.reason = self.decode(p + 2, n - 2)
            self.code = code
        self.end()
        return FRAME_CLOSE

    cdef FrameEvent read_data(self) except? FRAME_MORE:
        if self.compressed:
            return self.read_compressed()
        if self.head.fin and self.left <= self.n - self.pos and self.body.fill == 0:
            self.size = self.left
            if self.opcode == FS_WS_TEXT:
                self.message = self.take_text()
            else:
                self.message = self.take_bytes()
            return self.end_frame()
        return self.gather()

    cdef FrameEvent gather(self) except? FRAME_MORE:
        """Add what there is of the frame's payload to `body`."""
        cdef Py_ssize_t n = min(self.left, self.n - self.pos)
        cdef size_t phase = <size_t>(<Py_ssize_t>self.head.length - self.left)
        cdef uint8_t *to
        if n > 0:
            to = self.body.ask(n, self.left, self.head.fin)
            if self.opcode == FS_WS_BINARY:
                fs_unmask(to, self.p + self.pos, n, self.head.key, phase)
            elif (not fs_unmask_ascii(to, self.p + self.pos, n, self.head.key, phase)
                    or self.text.inside):
                self.check_text(to, n)
            self.body.fill += n
            self.pos += n
            self.left -= n
        return self.end_frame() if self.left == 0 else FRAME_MORE

    cdef FrameEvent read_compressed(self) except? FRAME_MORE:
        cdef bytes part = self.take_payload()
        if part is None:
            return FRAME_MORE
        if PyBytes_GET_SIZE(part) > 0 or self.head.fin:
            try:
                part = self.deflate.inflate(part, self.head.fin, self.max_size - self.body.fill)
            except WebSocketError:
                self.end()
                raise
        if self.head.fin and self.body.fill == 0:
            self.size = PyBytes_GET_SIZE(part)
            self.message = part
            if self.opcode == FS_WS_TEXT:
                self.message = self.decode(<const uint8_t *>PyBytes_AS_STRING(part), self.size)
        elif PyBytes_GET_SIZE(part) > 0:
            self.add(part)
        return self.end_frame()

    cdef int add(self, bytes part) except -1:
        """Add what was inflated to `body`."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(part)
        cdef uint8_t *to = self.body.ask(n, n, self.head.fin)
        memcpy(to, PyBytes_AS_STRING(part), <size_t>n)
        if self.opcode == FS_WS_TEXT:
            self.check_text(to, n)
        self.body.fill += n
        return 0

    cdef FrameEvent end_frame(self) except? FRAME_MORE:
        """A frame of a data message is over; if the message is too, `message` has it unless it
        was gathered."""
        self.state = STATE_HEAD
        if not self.head.fin:
            self.allowed |= FS_WS_UNDER_WAY
            return FRAME_MORE
        self.allowed &= ~<unsigned int>FS_WS_UNDER_WAY
        if self.body.fill > 0:
            self.size = self.body.fill
            if self.opcode == FS_WS_BINARY:
                self.message = self.body.take()
            else:
                if self.text.inside:
                    self.fail(1007, "text is not UTF-8")
                self.message = self.decode(
                    <const uint8_t *>PyBytes_AS_STRING(<object>self.body.block), self.size)
                self.body.drop()
        return FRAME_TEXT if self.opcode == FS_WS_TEXT else FRAME_BINARY

    cdef bytes take_payload(self):
        """The frame's payload once it is whole, else None."""
        cdef Py_ssize_t n = self.n - self.pos
        cdef size_t phase
        if self.payload.fill == 0 and self.left <= n:
            return self.take_bytes()
        n = min(self.left, n)
        if n > 0:
            phase = <size_t>self.payload.fill
            fs_unmask(self.payload.ask(n, self.left, True), self.p + self.pos, n,
                      self.head.key, phase)
            self.payload.fill += n
            self.pos += n
            self.left -= n
        return self.payload.take() if self.left == 0 else None

    cdef bytes take_bytes(self):
        """The frame's payload, all of which is there."""
        cdef bytes data = PyBytes_FromStringAndSize(NULL, self.left)
        fs_unmask(<uint8_t *>PyBytes_AS_STRING(data), self.p + self.pos, self.left,
                  self.head.key, 0)
        self.pos += self.left
        self.left = 0
        return data

    cdef str take_text(self):
        """The frame's payload, all of which is there, as text."""
        cdef Py_ssize_t n = self.left
        cdef str text
        cdef uint8_t *data
        if n == 0:
            return ""
        text = PyUnicode_New(n, 127)
        data = <uint8_t *>PyUnicode_DATA(text)
        if not fs_unmask_ascii(data, self.p + self.pos, n, self.head.key, 0):
            text = self.decode(data, n)
        self.pos += n
        self.left = 0
        return text

    cdef str decode(self, const uint8_t *p, Py_ssize_t n):
        try:
            return PyUnicode_DecodeUTF8(<const char *>p, n, NULL)
        except UnicodeDecodeError:
            pass
        self.fail(1007, "text is not UTF-8")

    cdef int check_text(self, const uint8_t *p, Py_ssize_t n) except -1:
        """The next n bytes of a text that is gathered; they may end within a character."""
        if <Py_ssize_t>fs_utf8_run(&self.text, p, n) < n:
            self.fail(1007, "text is not UTF-8")
        return 0

    cdef int refuse(self, int answer) except -1:
        code, reason = _ERRORS[answer]
        return self.fail(code, reason)

    cdef int fail(self, int code, str reason) except -1:
        self.end()
        raise WebSocketError(code, reason)

    cdef int end(self) except -1:
        """Nothing more is read; what was kept goes."""
        self.state = STATE_OVER
        self.pos = self.n
        self.body.drop()
        self.payload.drop()
        return 0

    def feed(self, bytes data not None):
        """Parse `data` behind what came before; see docs/design/websocket.md for the events."""
        cdef list events = []
        cdef FrameEvent event
        self.give(data, PyBytes_GET_SIZE(data))
        try:
            while True:
                event = self.next()
                if event == FRAME_MORE:
                    break
                if event == FRAME_CLOSE:
                    events.append(("close", self.code, self.reason))
                else:
                    events.append((_NAMES[event], self.message))
                    self.message = None
        except WebSocketError as error:
            events.append(("error", error.code, error.reason))
        finally:
            self.stash()
        return events


_NAMES = {FRAME_TEXT: "text", FRAME_BINARY: "binary", FRAME_PING: "ping", FRAME_PONG: "pong"}
