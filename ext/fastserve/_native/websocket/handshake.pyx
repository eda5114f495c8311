"""What a client's opening handshake asks, RFC 6455 section 4.2 and RFC 8441. Sans-IO.

Headers are [(name, value)] with names in lower case. What is refused raises `ParseError`,
which says how to answer. The connection must close afterwards: what follows the head may be
frames of a client that did not wait for the answer.

One leniency: a `Connection` without upgrade makes the request an ordinary one if there is no
key either, as RFC 9110 section 7.8 has it, and not a handshake that failed.
"""

cimport cython

import binascii
import hashlib
import re

from fastserve._native.errors import ParseError

# RFC 6455 section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = (b"sec-websocket-version", b"13")
# RFC 9110 section 15.5.22: a 426 says what to upgrade to; 7.8: and Connection names Upgrade.
# RFC 9112 section 9.6: close, too, as this connection ends.
_UPGRADE = [_VERSION, (b"upgrade", b"websocket"), (b"connection", b"upgrade, close")]

# 16 bytes in base64, RFC 4648 section 4; the last digit's unused bits may be anything.
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
# RFC 9110 section 5.6.2.
_TOKEN_RULE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TOKEN = re.compile(_TOKEN_RULE)
# An extension's parameter, RFC 6455 section 9.1; the last group is what stands in quotes.
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(%b)(?:[ \t]*=[ \t]*(?:(%b)|\"((?:[^\"\\]|\\.)*)\"))?"
    % (_TOKEN_RULE, _TOKEN_RULE))
_SEPARATOR = re.compile(rb"[ \t]*(?:,[ \t]*)+|[ \t]*\Z")


@cython.final
cdef class Handshake:
    """A handshake that can be accepted."""


cpdef bint wants_websocket(list headers):
    """Whether a request of HTTP/1.1 asks for a WebSocket.

    Upgrade must name it. A proxy may have taken upgrade out of Connection, which makes it an
    ordinary request, unless it has a key, which nothing but a handshake has.
    """
    cdef bint named = False, asked = False
    for name, value in headers:
        if name == b"upgrade":
            named = named or b"websocket" in members(value)
        elif name == b"connection":
            asked = asked or b"upgrade" in members(value)
        elif name == b"sec-websocket-key":
            asked = True
    return named and asked


cpdef Handshake read_handshake(str method, list headers, bint keyed):
    """The handshake of a request; `keyed` for HTTP/1.1, not for HTTP/2's extended CONNECT.

    Raises ParseError: 405 for another method than GET, 426 for another version than 13 (400 on
    HTTP/2, which has no Upgrade), 400 for all else.
    """
    cdef Handshake handshake = Handshake.__new__(Handshake)
    if keyed:
        if method != "GET":
            raise ParseError(405, "a WebSocket is asked for with GET", [(b"allow", b"GET")])
        check_connection(headers)
    check_version(values_of(headers, b"sec-websocket-version"), keyed)
    if keyed:
        handshake.key = read_key(values_of(headers, b"sec-websocket-key"))
        check_no_body(headers)
    handshake.subprotocols = read_subprotocols(values_of(headers, b"sec-websocket-protocol"))
    handshake.extensions = values_of(headers, b"sec-websocket-extensions")
    parse_extensions(handshake.extensions)
    return handshake


cpdef bytes accept_key(bytes key):
    """The value of Sec-WebSocket-Accept for a key, RFC 6455 section 4.2.2."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


cpdef list parse_extensions(list values):
    """[(name, [(parameter, value)])] of Sec-WebSocket-Extensions; None: a parameter has no value.

    RFC 6455 section 9.1: what does not conform to the grammar fails the handshake, so it raises
    ParseError(400). Empty members of the list do, RFC 9110 section 5.6.1.2.
    """
    cdef list found = []
    for value in values:
        at = skip_separator(value, 0)
        while at < len(value):
            name = _TOKEN.match(value, at)
            if name is None:
                raise malformed_extensions()
            at = name.end()
            parameters = []
            while (match := _PARAMETER.match(value, at)) is not None:
                at = match.end()
                parameters.append((match[1], parameter_value(match)))
            found.append((name[0], parameters))
            following = skip_separator(value, at)
            if following == at < len(value):
                raise malformed_extensions()
            at = following
    return found


cdef object parameter_value(match):
    """A parameter's value; what was quoted must be a token once it is unquoted."""
    if match[3] is None:
        return match[2]
    value = re.sub(rb"\\(.)", rb"\1", match[3])
    if _TOKEN.fullmatch(value) is None:
        raise malformed_extensions()
    return value


cdef object skip_separator(bytes value, at):
    match = _SEPARATOR.match(value, at)
    return at if match is None else match.end()


cdef object malformed_extensions():
    return ParseError(400, "malformed Sec-WebSocket-Extensions")


cdef list members(bytes value):
    """A comma list's members in lower case."""
    return [part.strip(b" \t") for part in value.lower().split(b",")]


cdef list values_of(list headers, bytes wanted):
    return [value for name, value in headers if name == wanted]


cdef int check_connection(list headers) except -1:
    for value in values_of(headers, b"connection"):
        if b"upgrade" in members(value):
            return 0
    raise ParseError(400, "Connection does not name upgrade; a proxy may have dropped it")


cdef int check_version(list versions, bint keyed) except -1:
    # RFC 6455 section 11.3.5: not more than once in a request.
    if len(versions) > 1:
        raise ParseError(400, "repeated Sec-WebSocket-Version")
    if versions != [b"13"]:
        # RFC 6455 section 4.4: the answer tells the versions that are spoken.
        raise ParseError(426 if keyed else 400, "the WebSocket version must be 13",
                         list(_UPGRADE) if keyed else [_VERSION])
    return 0


cdef bytes read_key(list keys):
    if not keys:
        raise ParseError(400, "no Sec-WebSocket-Key")
    if len(keys) > 1:
        raise ParseError(400, "repeated Sec-WebSocket-Key")
    if _KEY.fullmatch(keys[0]) is None:
        raise ParseError(400, "Sec-WebSocket-Key is not 16 bytes in base64")
    return keys[0]


cdef int check_no_body(list headers) except -1:
    """RFC 6455 has no room for one: frames follow the head."""
    for name, value in headers:
        if name == b"transfer-encoding" or name == b"content-length" and value.strip(b"0"):
            raise ParseError(400, "a WebSocket handshake has no body")
    return 0


cdef list read_subprotocols(list values):
    """RFC 6455 section 4.1 item 10: tokens, one at least, all different."""
    cdef list names = []
    for value in values:
        for part in value.split(b","):
            part = part.strip(b" \t")
            if not part:  # RFC 9110 section 5.6.1.2
                continue
            if _TOKEN.fullmatch(part) is None:
                raise ParseError(400, "malformed Sec-WebSocket-Protocol")
            names.append(part.decode("ascii"))
    if values and not names:
        raise ParseError(400, "empty Sec-WebSocket-Protocol")
    if len(set(names)) < len(names):
        raise ParseError(400, "repeated name in Sec-WebSocket-Protocol")
    return names
