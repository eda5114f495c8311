"""Where a request over plain HTTP should have gone."""

import re

from fastserve._native.errors import ParseError

from ..forwarded cimport Origin

# Stricter than RFC 3986: what is sent back as a link is a host's name or address and no more.
cdef object _host = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?").fullmatch


cdef int redirect(str scheme, Origin origin, list headers, bytes target, bytes path, bytes query,
                  int port) except -1:
    """Raise the `ParseError` that answers with the same URL over HTTPS at `port`: 308, or 400.

    Does nothing if the request is not over plain HTTP: `scheme` is the connection's, `origin`
    (or None) what a trusted proxy says, whose host is in `headers` already. `target`: as on the
    wire; `path` and `query` are its parts, for one in absolute form.
    """
    cdef bytes host = b""
    if origin is not None and origin.scheme is not None:
        scheme = origin.scheme
    if scheme != "http":
        return 0
    for name, value in headers:
        if name == b"host":
            host = value
    match = _host(host)
    if match is None or path == b"*":
        raise ParseError(400, "HTTPS is spoken here, and this request names no URL to go to")
    if target.startswith(b"/"):
        path = target
    elif query:
        path = path + b"?" + query
    place = match[1] if port == 443 else b"%b:%d" % (match[1], port)
    raise ParseError(308, "HTTPS is spoken here", [(b"location", b"https://" + place + path)])
