"""A server's WebSocket frames as bytes, RFC 6455: whole messages, never masked.

`encode`, `encode_close` and `may_send` are the same for tests: bytes out.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from ..buffer cimport WriteBuffer, give_back, new_buffer
from ..leaves cimport FS_WS_WRITE_HEAD_MOST, fs_ws_close_code_ok, fs_ws_write_head

cdef enum:
    FIN = 0x80
    RSV1 = 0x40
    CONTROL_MOST = 125              # bytes of a control frame's payload, RFC 6455 section 5.5
    NO_CODE = 1005                  # stands for a close frame without a code, section 7.4.1


cdef inline int put_head(WriteBuffer out, int first, Py_ssize_t n) except -1:
    """The head of a frame; there is room for it."""
    out.used += fs_ws_write_head(<uint8_t *>out.data + out.used, <uint8_t>first, n)
    return 0


cdef int write_frame_head(WriteBuffer out, int opcode, bint compressed, Py_ssize_t n) except -1:
    """The head of a whole message or control frame whose n bytes of payload the caller writes."""
    out.reserve(FS_WS_WRITE_HEAD_MOST)
    return put_head(out, FIN | (RSV1 if compressed else 0) | opcode, n)


cdef int write_frame(WriteBuffer out, int opcode, const void *p, Py_ssize_t n) except -1:
    """A whole message or control frame; a control frame's n is at most 125."""
    out.reserve(FS_WS_WRITE_HEAD_MOST + n)
    put_head(out, FIN | opcode, n)
    out.put(p, n)
    return 0


cdef int write_close(WriteBuffer out, int code, str reason) except -1:
    """A close frame; with code 1005 an empty one.

    A reason above 123 bytes of UTF-8 is cut at a character; a surrogate becomes "?".
    """
    cdef uint8_t payload[CONTROL_MOST]
    cdef bytes text
    cdef const uint8_t *p
    cdef Py_ssize_t n
    if code == NO_CODE:
        return write_frame_head(out, OP_CLOSE, False, 0)
    text = reason.encode("utf-8", "replace")
    p = <const uint8_t *>PyBytes_AS_STRING(text)
    n = PyBytes_GET_SIZE(text)
    if n > CONTROL_MOST - 2:
        n = CONTROL_MOST - 2
        while p[n] & 0xc0 == 0x80:
            n -= 1
    payload[0] = <uint8_t>(code >> 8)
    payload[1] = <uint8_t>(code & 0xff)
    memcpy(&payload[2], p, <size_t>n)
    return write_frame(out, OP_CLOSE, payload, n + 2)


cdef bint may_send_code(int code) noexcept:
    """Whether a close frame may carry `code`, RFC 6455 section 7.4.

    1010 is a client's to send, and let pass: it harms nobody.
    """
    return code > 0 and fs_ws_close_code_ok(<unsigned int>code)


def encode(int opcode, bytes payload not None, *, bint compressed=False):
    """A frame of its head and its payload, written apart if it is a compressed one."""
    cdef WriteBuffer out = new_buffer()
    cdef bytes frame
    if compressed:
        write_frame_head(out, opcode, True, PyBytes_GET_SIZE(payload))
        out.write(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    else:
        write_frame(out, opcode, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    frame = out.take()
    give_back(out)
    return frame


def encode_close(int code, str reason not None=""):
    cdef WriteBuffer out = new_buffer()
    cdef bytes frame
    write_close(out, code, reason)
    frame = out.take()
    give_back(out)
    return frame


def may_send(int code):
    return bool(may_send_code(code))
