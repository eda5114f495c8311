"""FrameParser: what a client announces costs nothing; what it sends costs in proportion."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator

import pytest
from native.frames import BINARY, CONTINUATION, KEY, PING, TEXT, frame, masked

from fastserve._native.websocket.frames import FrameParser

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def used() -> int:
    return tracemalloc.get_traced_memory()[0]


def peak() -> int:
    return tracemalloc.get_traced_memory()[1]


def announced(opcode: int, n: int, *, fin: bool = True) -> bytes:
    """The head of a frame of n bytes, n above 65535."""
    return bytes([fin << 7 | opcode, 0xFF]) + struct.pack("!Q", n) + KEY


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
def test_an_announced_length_costs_a_quarter_of_a_mebibyte_at_most(opcode: int, fin: bool) -> None:
    before = used()
    parser = FrameParser(0)
    assert parser.feed(announced(opcode, GIB, fin=fin)) == []
    assert used() - before < 4 * KIB
    assert parser.feed(masked(b"first bytes")) == []
    assert peak() - before < 300 * KIB


def test_a_large_message_grows_as_its_data_comes() -> None:
    part = masked(bytes(64 * KIB))
    before = used()
    parser = FrameParser(0)
    parser.feed(announced(BINARY, 100 * MIB))
    for i in range(1, 129):
        parser.feed(part)
        assert used() - before < max(300 * KIB, 4 * i * len(part) + 8 * KIB), i


def test_a_message_holds_no_more_than_its_bytes() -> None:
    before = used()
    stream = b"".join(frame(CONTINUATION, b"x" * 700, fin=False) for _ in range(400))
    parser = FrameParser(0)
    parser.feed(frame(BINARY, b"", fin=False) + stream)
    ((_, message),) = parser.feed(frame(CONTINUATION, b"end"))
    del stream
    assert len(message) == 280_003
    assert used() - before < len(message) + 8 * KIB


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_empty_fragments_by_the_thousand_cost_nothing(opcode: int) -> None:
    some = frame(CONTINUATION, fin=False) * 1000
    parser = FrameParser(100)
    parser.feed(frame(opcode, b"", fin=False))
    before = used()
    for _ in range(20):
        assert parser.feed(some) == []
    assert used() - before < KIB
    assert len(parser.feed(frame(CONTINUATION, b"end"))) == 1


def test_small_fragments_are_gathered_in_few_growing_blocks() -> None:
    one = frame(CONTINUATION, b"x", fin=False)
    parser = FrameParser(0)
    parser.feed(frame(TEXT, b"x", fin=False))
    sizes = set()
    for _ in range(20_000):
        parser.feed(one)
        sizes.add(used() // KIB)
    assert len(sizes) < 20
    assert parser.feed(frame(CONTINUATION)) == [("text", "x" * 20_001)]


def test_nothing_is_kept_after_an_error() -> None:
    before = used()
    parser = FrameParser(0)
    parser.feed(announced(BINARY, GIB, fin=False) + masked(bytes(MIB)))
    assert used() - before >= MIB
    parser = FrameParser(0)
    parser.feed(frame(BINARY, bytes(MIB), fin=False))
    assert used() - before >= MIB
    assert parser.feed(frame(BINARY))[0][0] == "error"
    assert used() - before < 8 * KIB


def test_a_part_of_a_head_is_kept_without_the_read_that_follows() -> None:
    stream = frame(PING, b"ping") + frame(BINARY, bytes(MIB))
    parser = FrameParser(0)
    parser.feed(stream[:13])
    rest = stream[13:]
    del stream
    before = used()
    tracemalloc.reset_peak()
    ((_, message),) = parser.feed(rest)
    assert len(message) == MIB
    assert peak() - before < MIB + 8 * KIB
