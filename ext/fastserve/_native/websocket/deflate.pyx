"""permessage-deflate, RFC 7692: offers, policy, both directions. Sans-IO.

The work is zlib's, through the standard library's module, or isal's if it is there and has
the level: raw streams (negative window bits), flushed for every message, with the flush's
last four bytes left off on the wire.

Two leniencies. A compressed message of no bytes at all, which section 7.2.3.6 has no use
for, is empty. And after a final block (section 7.2.3.4) a new stream may begin anywhere in
the message; it starts with an empty window, as its sender's does.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

import zlib

try:
    from isal import isal_zlib
except ImportError:
    isal_zlib = None

from .handshake cimport parse_extensions

from fastserve._native.errors import WebSocketError


cdef enum:
    QUICK_MOST = 3                  # the highest level that isal has
    WINDOW_LEAST = 9                # zlib's deflate has no smaller one
    WINDOW_MOST = 15
    TAIL = 4
    JOIN_MOST = 4096                # up to here a copy costs less than a second call of zlib
    # Streams that end within one frame cost time each, however small they are.
    FINALS_MOST = 1024
    PIECE = 4096                    # what follows one is given to zlib in pieces: it copies the rest

# RFC 7692 section 7.2.1: left off by the sender, put back by the receiver.
cdef bytes _tail = b"\x00\x00\xff\xff"
# Section 7.2.3.6.
cdef bytes _empty = b"\x00"

cdef object _compressobj = zlib.compressobj
# Intel's deflate, with the interface of zlib: twice as fast, in the same memory. Only for what we
# send: what strangers send is inflated by zlib, which has seen more of them.
cdef object _quick_compressobj = (zlib if isal_zlib is None else isal_zlib).compressobj
cdef object _decompressobj = zlib.decompressobj
cdef object _error = zlib.error
cdef int _DEFLATED = zlib.DEFLATED
cdef int _SYNC_FLUSH = zlib.Z_SYNC_FLUSH

# Section 7.1.2: no leading zeros.
_WINDOWS = {b"%d" % bits: bits for bits in range(8, WINDOW_MOST + 1)}


@cython.final
cdef class DeflatePolicy:
    """What the server wants: `window` (9 to 15) bits of window each way at most, whether messages
    may refer to earlier ones, zlib's `level` (1 to 9) and `memory_level` (1 to 9; 0: what fits
    the window), and `threshold`, bytes of a message worth compressing."""

    def __init__(self, *, int window=12, bint keep_context=True, int level=1,
                 int memory_level=0, Py_ssize_t threshold=128):
        for name, value, least, most in (("window", window, WINDOW_LEAST, WINDOW_MOST),
                                         ("level", level, 1, 9),
                                         ("memory level", memory_level, 0, 9)):
            if not least <= value <= most:
                raise ValueError(f"the {name} must be from {least} to {most}, not {value}")
        if threshold < 0:
            raise ValueError(f"the threshold must be 0 or more, not {threshold}")
        self.window = window
        self.keep_context = keep_context
        self.level = level
        self.memory_level = memory_level
        self.threshold = threshold


@cython.final
cdef class Deflate:
    """The extension as agreed for one connection; made by `negotiate`."""

    cpdef bytes inflate(self, object data, bint last, Py_ssize_t most):
        """Inflate one frame's payload, the message's `last` or not.

        More than `most` bytes raise WebSocketError(1009), having made one too many at most; what
        is no deflate stream WebSocketError(1007). Nothing can be read after either.
        """
        cdef Py_ssize_t n = len(data)
        cdef bytes found
        if n == 0 and not (last and self.began):
            return b""
        if self.decompressor is None:
            # Room for more than was agreed harms nobody: 8 is what some senders call 9.
            self.decompressor = _decompressobj(-max(self.their_window, <int>WINDOW_LEAST))
        if not last:
            self.began = True
            return self.read(data, most)
        if n <= JOIN_MOST:
            found = self.read(b"".join((data, _tail)), most)
        else:
            found = self.read(data, most)
            found += self.read(_tail, most - PyBytes_GET_SIZE(found))
        self.began = False
        if self.they_forget:
            self.decompressor = None
        return found

    cdef bytes read(self, object data, Py_ssize_t most):
        cdef bytes found
        try:
            # A limit of 0 would be none.
            found = self.decompressor.decompress(data, max(most, 0) + 1)
            if self.decompressor.eof:
                found = self.read_on(found, most)
        except _error:
            self.decompressor = None
            raise WebSocketError(1007, "compressed data is broken") from None
        if PyBytes_GET_SIZE(found) > most:
            self.decompressor = None
            raise WebSocketError(1009, "message too large")
        return found

    cdef bytes read_on(self, bytes first, Py_ssize_t most):
        """What a stream's end, a block with BFINAL set, is followed by; `first` is what it gave."""
        cdef list parts = [first]
        cdef object rest = memoryview(self.decompressor.unused_data)
        cdef Py_ssize_t at = 0, n = len(rest), given = PyBytes_GET_SIZE(first), ended = 0
        while True:
            if self.decompressor.eof:
                ended += 1
                if ended > FINALS_MOST:
                    self.decompressor = None
                    raise WebSocketError(1007, "compressed data ends too often")
                self.decompressor = _decompressobj(-max(self.their_window, <int>WINDOW_LEAST))
            if at >= n or given > most:
                return b"".join(parts)
            piece = rest[at:at + PIECE]
            found = self.decompressor.decompress(piece, most + 1 - given)
            at += len(piece) - len(self.decompressor.unused_data)
            given += len(found)
            parts.append(found)

    cpdef bytes deflate(self, object data):
        """The payload of one frame with RSV1 that is the whole message `data`, bytes or a buffer."""
        cdef bytes head, end
        if len(data) == 0:
            return _empty
        if self.compressor is None:
            # Its levels end at 3, and save what zlib's first ones do.
            compressobj = _compressobj if self.level > QUICK_MOST else _quick_compressobj
            self.compressor = compressobj(
                self.level, _DEFLATED, -self.our_window, self.memory_level)
        head = self.compressor.compress(data)
        end = self.compressor.flush(_SYNC_FLUSH)
        if self.we_forget:
            self.compressor = None
        # The flush gives the tail whole, so it is never the head that ends in it.
        end = end[:PyBytes_GET_SIZE(end) - TAIL]
        return head + end if head else end


cpdef Deflate negotiate(DeflatePolicy policy, list offers):
    """The first offer that can be met, or None; `offers`: values of Sec-WebSocket-Extensions.

    Without a policy (None) there is none. Raises ParseError for a malformed list, which
    `read_handshake` has refused before.
    """
    cdef Deflate found
    if policy is None:
        return None
    for name, parameters in parse_extensions(offers):
        if name == b"permessage-deflate":
            found = agree(policy, parameters)
            if found is not None:
                return found
    return None


cdef Deflate agree(DeflatePolicy policy, list parameters):
    """What an offer with these parameters and the policy agree on; None: nothing.

    RFC 7692 section 7.1: unknown and repeated parameters and unfit values decline the offer.
    """
    cdef Deflate found = Deflate.__new__(Deflate)
    cdef dict offer = dict(parameters)
    if len(offer) < len(parameters):
        return None
    for name, value in parameters:
        if name in (b"server_no_context_takeover", b"client_no_context_takeover"):
            if value is not None:
                return None
        elif name in (b"server_max_window_bits", b"client_max_window_bits"):
            # Section 7.1.2.2: the client's may come without a value.
            if value not in _WINDOWS and (value is not None or name[:1] == b"s"):
                return None
        else:
            return None
    found.our_window = min(policy.window, _WINDOWS[offer.get(b"server_max_window_bits", b"15")])
    if found.our_window < WINDOW_LEAST:
        return None
    found.their_window = WINDOW_MOST
    if b"client_max_window_bits" in offer:
        found.their_window = min(policy.window, _WINDOWS[offer[b"client_max_window_bits"] or b"15"])
    found.we_forget = not policy.keep_context or b"server_no_context_takeover" in offer
    found.they_forget = not policy.keep_context or b"client_no_context_takeover" in offer
    found.level = policy.level
    # zlib's own pair is 8 for 15; below 4 it is much slower and saves little.
    found.memory_level = policy.memory_level or max(found.our_window - 7, 4)
    found.threshold = policy.threshold
    found.answer = answer_to(offer, found)
    return found


cdef bytes answer_to(dict offer, Deflate agreed):
    """The value of Sec-WebSocket-Extensions in the answer, RFC 7692 section 7.1."""
    cdef list parts = [b"permessage-deflate"]
    if agreed.we_forget:
        parts.append(b"server_no_context_takeover")
    if agreed.they_forget:
        parts.append(b"client_no_context_takeover")
    if agreed.our_window < WINDOW_MOST or b"server_max_window_bits" in offer:
        parts.append(b"server_max_window_bits=%d" % agreed.our_window)
    # Section 7.1.2.2: only if it was offered.
    if b"client_max_window_bits" in offer:
        parts.append(b"client_max_window_bits=%d" % agreed.their_window)
    return b"; ".join(parts)
