"""A server's HTTP/2 frames as bytes, RFC 9113 section 6: whole frames, never padded.

The functions of Python are the same for tests: bytes out.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from ..buffer cimport WriteBuffer, give_back, new_buffer
from ..leaves cimport *
from .policy cimport Http2Policy

cdef enum:
    MOST_SETTINGS = 16
    # Section 6.5.2.
    DEFAULT_TABLE = 4096
    DEFAULT_WINDOW = 65535


cdef inline uint8_t *begin(WriteBuffer out, uint32_t n, uint8_t kind, uint8_t flags,
                           uint32_t stream) except NULL:
    """Write a head; answers where its n bytes of payload go, for which there is room."""
    cdef uint8_t *p
    out.reserve(FS_H2_HEAD_LEN + n)
    p = <uint8_t *>out.data + out.used
    fs_h2_write_head(p, n, kind, flags, stream)
    out.used += FS_H2_HEAD_LEN + n
    return p + FS_H2_HEAD_LEN


cdef int write_settings(WriteBuffer out, const uint16_t *ids, const uint32_t *values,
                        int count) except -1:
    """Section 6.5: `count` settings in this order."""
    cdef uint8_t *p = begin(out, count * FS_H2_SETTING_LEN, FS_H2_SETTINGS, 0, 0)
    cdef int i
    for i in range(count):
        p[0] = <uint8_t>(ids[i] >> 8)
        p[1] = <uint8_t>(ids[i] & 0xff)
        fs_h2_store32(p + 2, values[i])
        p += FS_H2_SETTING_LEN
    return 0


cdef int write_preface(WriteBuffer out, Http2Policy policy, uint32_t head_most,
                       bint protocols) except -1:
    """Section 3.4: the settings, and the window of the connection. `protocols`: of RFC 8441."""
    cdef uint16_t[7] ids
    cdef uint32_t[7] values
    cdef int n = 5
    ids[0], values[0] = FS_H2_MAX_CONCURRENT_STREAMS, policy.max_streams
    ids[1], values[1] = FS_H2_INITIAL_WINDOW_SIZE, policy.stream_window
    ids[2], values[2] = FS_H2_MAX_FRAME_SIZE, policy.frame_size
    ids[3], values[3] = FS_H2_MAX_HEADER_LIST_SIZE, head_most
    ids[4], values[4] = FS_H2_NO_RFC7540_PRIORITIES, 1
    if policy.table_size != DEFAULT_TABLE:
        ids[n], values[n] = FS_H2_HEADER_TABLE_SIZE, policy.table_size
        n += 1
    if protocols:
        ids[n], values[n] = FS_H2_ENABLE_CONNECT_PROTOCOL, 1
        n += 1
    write_settings(out, ids, values, n)
    if policy.connection_window > DEFAULT_WINDOW:
        write_window(out, 0, policy.connection_window - DEFAULT_WINDOW)
    return 0


cdef int write_settings_ack(WriteBuffer out) except -1:
    begin(out, 0, FS_H2_SETTINGS, FS_H2_ACK, 0)
    return 0


cdef int write_ping(WriteBuffer out, const uint8_t *data, bint ack) except -1:
    """Section 6.7: the 8 bytes at data, which do not lie in `out`."""
    write_frame_head(out, 8, FS_H2_PING, FS_H2_ACK if ack else 0, 0)
    return out.write(data, 8)


cdef int write_reset(WriteBuffer out, uint32_t stream, uint32_t code) except -1:
    fs_h2_store32(begin(out, 4, FS_H2_RST_STREAM, 0, stream), code)
    return 0


cdef int write_goaway(WriteBuffer out, uint32_t last, uint32_t code, bytes text) except -1:
    """Section 6.8: `last` is the highest stream that may have been acted on; `text`, at most 1024
    bytes, tells a person why."""
    cdef uint8_t *p = begin(out, 8 + <uint32_t>PyBytes_GET_SIZE(text), FS_H2_GOAWAY, 0, 0)
    fs_h2_store32(p, last)
    fs_h2_store32(p + 4, code)
    memcpy(p + 8, PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text))
    return 0


cdef int write_window(WriteBuffer out, uint32_t stream, uint32_t increment) except -1:
    """Section 6.9: `increment` from 1 to 2^31 - 1."""
    fs_h2_store32(begin(out, 4, FS_H2_WINDOW_UPDATE, 0, stream), increment)
    return 0


cdef bytes taken(WriteBuffer out):
    cdef bytes frame = out.take()
    give_back(out)
    return frame


def frame(uint8_t kind, uint8_t flags, uint32_t stream, bytes payload not None):
    """A frame of any kind, its head filled in at the end."""
    cdef WriteBuffer out = new_buffer()
    write_frame_head(out, 0, 0, 0, 0)
    out.write(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    patch_frame_head(out, 0, kind, flags, stream)
    return taken(out)


def settings(pairs):
    """[(id, value)], at most 16 of them."""
    cdef WriteBuffer out = new_buffer()
    cdef uint16_t[MOST_SETTINGS] ids
    cdef uint32_t[MOST_SETTINGS] values
    cdef int count = 0
    for ids[count], values[count] in pairs[:MOST_SETTINGS]:
        count += 1
    write_settings(out, ids, values, count)
    return taken(out)


def settings_ack():
    cdef WriteBuffer out = new_buffer()
    write_settings_ack(out)
    return taken(out)


def ping(bytes data not None, bint ack):
    cdef WriteBuffer out = new_buffer()
    if PyBytes_GET_SIZE(data) != 8:
        raise ValueError("a PING has 8 bytes")
    write_ping(out, <const uint8_t *>PyBytes_AS_STRING(data), ack)
    return taken(out)


def reset(uint32_t stream, uint32_t code):
    cdef WriteBuffer out = new_buffer()
    write_reset(out, stream, code)
    return taken(out)


def goaway(uint32_t last, uint32_t code, bytes text not None):
    cdef WriteBuffer out = new_buffer()
    write_goaway(out, last, code, text)
    return taken(out)


def window(uint32_t stream, uint32_t increment):
    cdef WriteBuffer out = new_buffer()
    write_window(out, stream, increment)
    return taken(out)
