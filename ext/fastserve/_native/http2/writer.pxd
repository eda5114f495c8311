"""A server's HTTP/2 frames as bytes, RFC 9113 section 6."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ..buffer cimport WriteBuffer
from ..leaves cimport FS_H2_HEAD_LEN, fs_h2_write_head
from .policy cimport Http2Policy


# A frame's head; the caller writes the n bytes of its payload.
cdef inline int write_frame_head(WriteBuffer out, uint32_t n, uint8_t kind, uint8_t flags,
                                 uint32_t stream) except -1:
    out.reserve(FS_H2_HEAD_LEN)
    fs_h2_write_head(<uint8_t *>out.data + out.used, n, kind, flags, stream)
    out.used += FS_H2_HEAD_LEN
    return 0

# The head at out.data[at:], once all that was written behind it is its payload.
cdef inline int patch_frame_head(WriteBuffer out, Py_ssize_t at, uint8_t kind, uint8_t flags,
                                 uint32_t stream) except -1:
    fs_h2_write_head(<uint8_t *>out.data + at, <uint32_t>(out.used - at - FS_H2_HEAD_LEN), kind,
                     flags, stream)
    return 0

cdef int write_settings(WriteBuffer out, const uint16_t *ids, const uint32_t *values,
                        int count) except -1
cdef int write_preface(WriteBuffer out, Http2Policy policy, uint32_t head_most,
                       bint protocols) except -1
cdef int write_settings_ack(WriteBuffer out) except -1
cdef int write_ping(WriteBuffer out, const uint8_t *data, bint ack) except -1
cdef int write_reset(WriteBuffer out, uint32_t stream, uint32_t code) except -1
cdef int write_goaway(WriteBuffer out, uint32_t last, uint32_t code, bytes text) except -1
cdef int write_window(WriteBuffer out, uint32_t stream, uint32_t increment) except -1
