"""No distance in what we compress is longer than the window that was agreed on."""

from __future__ import annotations

import random
import zlib

import pytest

from fastserve._native.websocket.deflate import Deflate, DeflatePolicy, negotiate

STEP = 16


def inflate(peer: zlib._Decompress, data: bytes) -> bytes:
    """In steps so small that what is further back has to be in the peer's window.

    Within one call zlib also looks into the output, whatever its window is.
    """
    pieces = []
    while data:
        pieces.append(peer.decompress(data, STEP))
        data = peer.unconsumed_tail
    while more := peer.decompress(b"", STEP):
        pieces.append(more)
    return b"".join(pieces)


def agreed(level: int, window: int) -> Deflate:
    found = negotiate(DeflatePolicy(level=level, window=window), [b"permessage-deflate"])
    assert found is not None
    return found


def test_a_window_that_is_not_kept_to_is_seen() -> None:
    noise = random.Random(1).randbytes(8000)
    stream = zlib.compressobj(wbits=-15)
    data = stream.compress(noise * 2) + stream.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(zlib.error, match="distance"):
        inflate(zlib.decompressobj(wbits=-9), data)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("window", range(9, 16))
def test_a_message_is_inflated_with_the_agreed_window(window: int, level: int) -> None:
    us, peer = agreed(level, window), zlib.decompressobj(wbits=-window)
    noise = random.Random(window).randbytes((1 << window) + 500)
    just_fits, too_far = noise[: (1 << window) - 50] * 2, noise * 2
    for message in (just_fits, too_far, just_fits, b"", noise[:100], too_far):
        assert inflate(peer, us.deflate(message) + b"\0\0\xff\xff") == message
