"""From HTTP/1.1 to HTTP/2 without TLS: what `Upgrade: h2c` asks for, RFC 7540 section 3.2.

RFC 9113 has dropped it; clients that know no better way use it still. RFC 9110 section 7.8 lets a
server ignore any wish to upgrade, so whatever is odd about one makes it an ordinary request.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t

import base64
import re

from ..http2.heads cimport RequestHead, default_priority
from ..leaves cimport (FS_H2_NO_ERROR, FS_H2_SETTING_LEN, fs_h2_check_setting, fs_h2_load16,
                       fs_h2_load32)
from .parser cimport RequestParser

cdef object _base64url = re.compile(rb"[A-Za-z0-9_-]*").fullmatch
cdef tuple _HOP_BY_HOP = (b"connection", b"upgrade", b"http2-settings")


cdef bytes asked_settings(RequestParser parser, list headers):
    cdef bytes settings = None
    cdef bint h2c = False, named = False
    if parser.chunked or parser.length:
        return None
    for name, value in headers:
        if name == b"upgrade":
            h2c = h2c or b"h2c" in members(value)
        elif name == b"connection":
            named = named or {b"upgrade", b"http2-settings"} <= set(members(value))
        elif name == b"http2-settings":
            if settings is not None or _base64url(value) is None or len(value) % 4 == 1:
                return None
            settings = base64.urlsafe_b64decode(value + b"=" * (3 - (len(value) + 3) % 4))
    return settings if h2c and named and settings is not None and are_sound(settings) else None


cdef list members(bytes value):
    return [part.strip(b" \t") for part in value.lower().split(b",")]


cdef bint are_sound(bytes settings):
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(settings)
    cdef Py_ssize_t at, n = PyBytes_GET_SIZE(settings)
    if n % FS_H2_SETTING_LEN:
        return False
    for at in range(0, n, FS_H2_SETTING_LEN):
        if fs_h2_check_setting(<uint16_t>fs_h2_load16(p + at),
                               fs_h2_load32(p + at + 2)) != FS_H2_NO_ERROR:
            return False
    return True


cdef RequestHead upgraded_head(RequestParser parser, str method, list headers):
    cdef RequestHead head = RequestHead.__new__(RequestHead)
    cdef Py_ssize_t i
    head.method = method
    head.target = parser.whole_target()
    head.raw_path = parser.raw_path()
    head.query_string = parser.query_string()
    head.path_escaped = parser.target.path_escaped
    head.scheme = "http"
    head.pairs = [pair for pair in headers if pair[0] not in _HOP_BY_HOP]
    head.length = -1
    head.forwarding = parser.forwarding
    head.host_at = -1
    for i in range(len(head.pairs)):
        if head.pairs[i][0] == b"host":
            head.host_at = <int>i
    head.priority = default_priority()
    return head
