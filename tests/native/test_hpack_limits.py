"""HpackDecoder: what it tells of names and values, its limits, and what attackers send."""

from __future__ import annotations

import contextlib
import sys
import tracemalloc

import pytest
from support.hpack import Pair, counted, huffman, indexed, integer, literal, size_update

from fastserve._native.errors import Http2Error
from fastserve._native.http2.hpack_decoder import HpackDecoder

A, B = (b"name-a", b"value"), (b"name-b", b"value")


def add(pair: Pair) -> bytes:
    return literal(*pair)


# Names and values, RFC 9113 section 8.2.1 -------------------------------------


@pytest.mark.parametrize("name", [b"host", b"x-token_1!#$%&'*+.^`|~", b":method", b":other", b"0"])
def test_a_good_name(name: bytes) -> None:
    assert not told_malformed(name, b"value")


@pytest.mark.parametrize(
    "name",
    [b"", b":", b"Host", b"HOST", b"x-Name", b":Path", b"a b", b"a:b", b"::a", b"a\0", b"\xe9",
     b"a\t", b"a,b", b"a/b", b"x" * 700 + b"X"],
)  # fmt: skip
def test_a_bad_name(name: bytes) -> None:
    assert told_malformed(name, b"value")


@pytest.mark.parametrize("value", [b"", b"v", b"a b\tc", b"\xe9\xff\x80", b"~!", b"x" * 2000])
def test_a_good_value(value: bytes) -> None:
    assert not told_malformed(b"name", value)


@pytest.mark.parametrize(
    "value",
    [b" ", b"\t", b" v", b"v ", b"\tv", b"v\t", b"a\rb", b"a\nb", b"a\0b", b"a\x01b", b"a\x7fb",
     b"x" * 2000 + b"\n"],
)  # fmt: skip
def test_a_bad_value(value: bytes) -> None:
    assert told_malformed(b"name", value)


def told_malformed(name: bytes, value: bytes) -> bool:
    """The same spelled out and indexed, with each coding, and with the name by index."""
    answers = set()
    for coded in (False, True):
        decoder = HpackDecoder(table_size=65536)
        for block in (
            literal(name, value, "plain", coded=coded), literal(name, value, coded=coded),
            indexed(62), literal(62, value, coded=coded), indexed(62), indexed(63),
        ):  # fmt: skip
            assert decoder.decode_block(block) == [(name, value)]
            answers.add(decoder.malformed)
        decoder.decode_block(indexed(2))
        assert not decoder.malformed, "it is told of one block"
    (answer,) = answers
    return answer


def test_marks_tell_names() -> None:
    decoder = HpackDecoder()
    names = [b":method", b":scheme", b":authority", b":path", b":protocol", b"host", b"cookie",
             b"te", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding",
             b"upgrade", b"expect", b"content-length", b"priority", b"x-forwarded-for"]  # fmt: skip
    decoder.decode_block(b"".join(literal(name, b"v") for name in names))
    marks = decoder.marks_of()
    assert len(set(marks)) == len(names)
    decoder.decode_block(b"".join(indexed(62 + i) for i in range(len(names))))
    assert decoder.marks_of() == marks[::-1]
    decoder.decode_block(indexed(2) + indexed(38) + literal(b":new", b"") + literal(b"new", b""))
    method, host, other, none = decoder.marks_of()
    assert (method, host, none) == (marks[0], marks[5], 0)
    assert other not in {0, *marks}
    decoder.decode_block(literal(b":Method", b"") + literal(b"Host", b""))
    assert decoder.marks_of() == [0, 0]


# Limits ---------------------------------------------------------------------


def test_a_list_up_to_its_limits_is_taken() -> None:
    decoder = HpackDecoder()
    pairs = [A, B, (b"x" * 40, b"y"), (b"z", b"v" * 40)]
    block = b"".join(literal(*pair) for pair in pairs)
    assert decoder.decode_block(block, fields=4, size=counted(pairs), field=40) == pairs
    assert (decoder.over, decoder.size) == (False, counted(pairs))


@pytest.mark.parametrize(
    ("limits", "left"),
    [({"fields": 3}, [0, 1, 2]), ({"fields": 0}, []), ({"size": 5}, []), ({"field": 39}, [0, 1]),
     ({"size": 185}, [0, 1, 2]), ({"field": 5}, [])],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["index", "plain"])
def test_what_is_over_a_limit_is_dropped_but_keeps_the_table_right(
    limits: dict[str, int], left: list[int], kind: str
) -> None:
    decoder = HpackDecoder()
    pairs = [A, B, (b"x" * 40, b"y"), (b"z", b"v" * 40)]
    block = b"".join(literal(*pair, kind) for pair in pairs)
    assert decoder.decode_block(block, **limits) == [pairs[i] for i in left]
    assert (decoder.over, decoder.size) == (True, counted(pairs))
    assert decoder.table == (pairs[::-1] if kind == "index" else [])
    if kind == "index":
        again = b"".join(indexed(65 - i) for i in range(4))
        assert decoder.decode_block(again, **limits) == [pairs[i] for i in left]
        assert (decoder.over, decoder.size) == (True, counted(pairs))
        assert decoder.decode_block(again) == pairs
        assert not decoder.over


# Attacks --------------------------------------------------------------------


def peak_of(decoder: HpackDecoder, block: bytes, **limits: int) -> int:
    """Bytes that decoding takes at most."""
    tracemalloc.start()
    try:
        decoder.decode_block(block, **limits)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_entry_named_thousands_of_times_costs_no_memory() -> None:
    decoder = HpackDecoder()
    large = (b"n", b"v" * 4000)
    decoder.decode_block(add(large))
    block = indexed(62) * 60_000
    assert peak_of(decoder, block, size=65536, fields=100) < 16384
    assert (decoder.over, decoder.size) == (True, 60_000 * counted([large]))
    assert decoder.pairs == [large] * 16


def test_a_text_that_nobody_takes_is_not_made() -> None:
    data = huffman(b"0" * 1_000_000)
    for first in (b"\x01", b"\x41", b"\x00\x01x", b"\x40\x01x"):
        block = first + integer(len(data), 7, 0x80) + data
        decoder = HpackDecoder()
        assert peak_of(decoder, block, field=8192) < 16384
        assert (decoder.over, decoder.pairs) == (True, [])
        assert decoder.size > 1_000_000
    for name in (b"\x00", b"\x40"):
        block = name + integer(len(data), 7, 0x80) + data + b"\x01v"
        assert peak_of(HpackDecoder(), block, field=8192) < 16384


def test_a_block_over_its_limits_makes_nothing_more() -> None:
    block = indexed(2) * 101 + literal(b"n", b"v" * 500, "plain", coded=True) * 1000
    assert peak_of(HpackDecoder(), block, fields=100, size=65536, field=8192) < 16384


def test_a_table_turned_over_again_and_again_stays_small() -> None:
    decoder = HpackDecoder()
    block = b"".join(literal(b"n%d" % (i % 7), b"v" * (i % 900)) for i in range(500))
    for _ in range(3):
        assert peak_of(decoder, block * 5, fields=100, size=65536, field=8192) < 65536
        assert decoder.table_size <= 4096


def test_references_are_given_back() -> None:
    decoder = HpackDecoder()
    value = b"value of a test that counts references"
    (pair,) = decoder.decode_block(literal(b"name-of-a-test", value))
    name = pair[0]
    decoder.decode_block(indexed(2))
    before = sys.getrefcount(pair), sys.getrefcount(name), sys.getrefcount(pair[1])
    for block in (indexed(62) * 50, literal(62, b"v", "plain") * 9, indexed(62) * 9 + b"\x80"):
        with contextlib.suppress(Http2Error):
            decoder.decode_block(block, fields=20)
    decoder.decode_block(indexed(2))
    assert (sys.getrefcount(pair), sys.getrefcount(name), sys.getrefcount(pair[1])) == before
    decoder.decode_block(size_update(0))
    assert sys.getrefcount(pair) == before[0] - 1
    del decoder
    assert sys.getrefcount(name) == before[1]


def test_a_decoder_that_goes_takes_its_table_along() -> None:
    decoder = HpackDecoder()
    (pair,) = decoder.decode_block(add(A))
    before = sys.getrefcount(pair)
    del decoder
    assert sys.getrefcount(pair) == before - 2, "the table's, and that of the list of pairs"
