"""What clients that mean harm do to a server, each in one function, as often as it is told to.

`within` is called while it is done: it fails the test if the server's memory is by more than so
many bytes above what it was before.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import cycle, islice

from soak.websocket_peers import (
    CLOSE,
    CONTINUATION,
    DEFLATE,
    PING,
    PONG,
    TEXT,
    Peer,
    connected,
    frame,
    frame_head,
    open_many,
    opening,
    packed,
    reset,
)

MAX_SIZE = 1 << 20
"""The server's limit of a message."""
PONG_HEAD = b"\x8a\0"
"""The answer to an empty ping, which shows that what came before it was read."""

Within = Callable[[int], None]
Flood = Callable[[int, int, Within], None]


def pour(peer: Peer, data: bytes, count: int) -> None:
    """Send `data` `count` times."""
    batch = max(1, 65536 // len(data))
    for _ in range(count // batch):
        peer.send(data * batch)
    peer.send(data * (count % batch))


def tiny_messages(port: int, count: int, within: Within) -> None:
    peer = Peer(port, "/count").opened()
    pour(peer, frame(TEXT, b"x"), count)
    assert peer.ask(b"how many") == b"%d" % (count + 1)
    peer.leave()


def tiny_compressed_messages(port: int, count: int, within: Within) -> None:
    peer = Peer(port, "/count", DEFLATE).opened()
    pour(peer, packed(b"hello"), count)
    assert peer.ask(b"how many") == b"%d" % (count + 1)
    peer.leave()


def empty_fragments(port: int, count: int, within: Within) -> None:
    peer = Peer(port).opened()
    peer.send(frame(TEXT, b"begin", fin=False))
    pour(peer, frame(CONTINUATION, fin=False), count)
    peer.send(frame(CONTINUATION, b" end"))
    assert peer.next() == (TEXT, b"begin end")
    peer.leave()


def pings_unread(port: int, count: int, within: Within) -> None:
    """The pongs would be 127 bytes each; those that were not written are left out."""
    peer = Peer(port, receive_buffer=4096).opened()
    pour(peer, frame(PING, b"p" * 125), count)
    within(2 << 20)
    assert peer.ask(b"and now?") == b"and now?"
    peer.leave()


def pongs(port: int, count: int, within: Within) -> None:
    peer = Peer(port).opened()
    pour(peer, frame(PONG, b"p" * 125), count)
    assert peer.ask(b"and now?") == b"and now?"
    peer.leave()


def endless_messages(port: int, count: int, within: Within) -> None:
    """A message that does not end, with pings in it, up to the limit and beyond."""
    part = frame(CONTINUATION, b"x" * 1024, fin=False) + frame(PING, b"still there?")
    for _ in range(count):
        peer = Peer(port).opened()
        peer.send(frame(TEXT, fin=False))
        peer.send(part * (MAX_SIZE // 1024 + 1))
        assert peer.wait_closed() == 1009


def huge_promises(port: int, count: int, within: Within) -> None:
    """Each announces the largest frame there may be, and sends a byte of it."""
    peers = open_many(port, count)
    for peer in peers:
        peer.send(frame(PING) + frame_head(TEXT, MAX_SIZE) + b"x")
        assert peer.take(2) == PONG_HEAD
    within(count * (32 << 10))
    for peer in peers:
        peer.reset()


def half_messages(port: int, count: int, within: Within) -> None:
    """Each fills memory with most of a large message, and leaves."""
    half = frame(TEXT, b"x" * (MAX_SIZE // 2), fin=False) + frame(PING)
    peers = open_many(port, count)
    for peer in peers:
        peer.send(half)
        assert peer.take(2) == PONG_HEAD
    # Room doubles as a message grows, so that it is not copied with every part.
    within(count * MAX_SIZE)
    for peer in peers:
        peer.reset()


def close_frames(port: int, count: int, within: Within) -> None:
    for _ in range(count):
        peer = Peer(port).opened()
        peer.send(frame(CLOSE, b"\x03\xe8") * 1000)
        assert peer.wait_closed() == 1000


def bombs(port: int, count: int, within: Within) -> None:
    """A thousand times their size, once unpacked: the largest that is taken, and a larger one."""
    largest, larger = packed(b" " * MAX_SIZE), packed(b" " * (16 * MAX_SIZE))
    assert len(larger) < 16 * MAX_SIZE / 900
    for _ in range(count):
        peer = Peer(port, "/count", DEFLATE).opened()
        peer.send(largest)
        assert peer.ask(b"how many") == b"2"
        peer.send(larger)
        assert peer.wait_closed() == 1009
    within(4 * MAX_SIZE)


def comings_and_goings(port: int, count: int, within: Within) -> None:
    for _ in range(count):
        peer = Peer(port).opened()
        assert peer.ask(b"hello") == b"hello"
        peer.leave()


HALF_PACKED = zlib.compress(b"half of something", wbits=-12)[:8]
# path, whether it opens, what is sent then
STAGES = [
    ("/echo", False, b""),
    ("/hesitate", False, b""),
    ("/hesitate", False, frame(TEXT, b"early")),
    ("/never", False, b""),
    ("/echo", True, b""),
    ("/echo", True, frame(TEXT, b"hello")),
    ("/echo", True, frame_head(TEXT, 1000)[:3]),
    ("/echo", True, frame_head(TEXT, 1000)),
    ("/echo", True, frame_head(TEXT, 1000) + b"x" * 500),
    ("/echo", True, frame(TEXT, b"part", fin=False)),
    ("/echo", True, frame(TEXT, HALF_PACKED, fin=False, packed=True)),
    ("/echo", True, frame(PING, b"p") * 20),
    ("/count", True, frame(TEXT, b"x") * 100),
    ("/source", True, b""),
    ("/source", True, frame(CLOSE, b"\x03\xe8")),
    ("/echo", True, frame(CLOSE, b"\x03\xe8")),
    ("/echo", True, frame(CLOSE, b"\x00\x01")),
]


def resets(port: int, count: int, within: Within) -> None:
    """Connections that end abruptly, at every stage in turn."""
    for path, opens, more in islice(cycle(STAGES), count):
        peer = Peer(port, path, DEFLATE)
        if opens:
            peer.opened()
        peer.send(more)
        peer.reset()


def half_handshakes(port: int, count: int, within: Within) -> None:
    head = opening("/echo")
    for number in range(count):
        sock = connected(port)
        sock.sendall(head[: number % len(head)])
        reset(sock)


# flood, how much of it in the usual test, how much in the soak
FLOODS: dict[str, tuple[Flood, int, int]] = {
    "tiny messages": (tiny_messages, 100_000, 1_000_000),
    "tiny compressed messages": (tiny_compressed_messages, 50_000, 500_000),
    "empty fragments": (empty_fragments, 300_000, 3_000_000),
    "pings of one who reads nothing": (pings_unread, 100_000, 1_000_000),
    "pongs": (pongs, 200_000, 2_000_000),
    "messages without an end": (endless_messages, 20, 200),
    "promises of huge frames": (huge_promises, 200, 1_000),
    "halves of large messages": (half_messages, 30, 200),
    "close frames": (close_frames, 100, 2_000),
    "decompression bombs": (bombs, 10, 100),
    "comings and goings": (comings_and_goings, 1_000, 10_000),
    "half handshakes": (half_handshakes, 500, 5_000),
    "resets": (resets, 1_000, 10_000),
}
