"""HpackDecoder, by the sections of RFC 7541; blocks are spelled out by hand."""

from __future__ import annotations

import pytest
from support.hpack import (
    C6,
    EOS,
    RESPONSES,
    STATIC,
    Pair,
    bits_of,
    counted,
    huffman,
    indexed,
    integer,
    literal,
    packed,
    size_update,
    string,
)

from fastserve._native.errors import Http2Error
from fastserve._native.http2.hpack_decoder import HpackDecoder

COMPRESSION_ERROR = 9
A, B, C = (b"name-a", b"value"), (b"name-b", b"value"), (b"name-c", b"value")


def add(pair: Pair) -> bytes:
    return literal(*pair)


def refused(block: bytes, decoder: HpackDecoder | None = None) -> str:
    """Why a block is refused, which is the connection's error."""
    with pytest.raises(Http2Error) as caught:
        (decoder or HpackDecoder()).decode_block(block)
    assert (caught.value.code, caught.value.stream) == (COMPRESSION_ERROR, 0)
    return caught.value.reason


# Appendix C: whole conversations --------------------------------------------

WWW, NO_CACHE = (b":authority", b"www.example.com"), (b"cache-control", b"no-cache")
CUSTOM = (b"custom-key", b"custom-value")
REQUESTS = [
    ([STATIC[1], STATIC[5], STATIC[3], WWW], [WWW]),
    ([STATIC[1], STATIC[5], STATIC[3], WWW, NO_CACHE], [NO_CACHE, WWW]),
    ([STATIC[1], STATIC[6], STATIC[4], WWW, CUSTOM], [CUSTOM, NO_CACHE, WWW]),
]
C3 = (
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
)
C4 = (
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
)
C5 = (
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
    "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f"
    "3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076"
    "657273696f6e3d31",
)


@pytest.mark.parametrize("blocks", [C3, C4], ids=["C.3", "C.4"])
def test_the_requests_of_the_rfc(blocks: tuple[str, ...]) -> None:
    decoder = HpackDecoder()
    for block, (pairs, table) in zip(blocks, REQUESTS, strict=True):
        assert decoder.decode_block(bytes.fromhex(block)) == pairs
        assert (decoder.table, decoder.table_size) == (table, counted(table))


@pytest.mark.parametrize("blocks", [C5, C6], ids=["C.5", "C.6"])
def test_the_responses_of_the_rfc(blocks: tuple[str, ...]) -> None:
    decoder = HpackDecoder(table_size=256)
    for block, (pairs, table) in zip(blocks, RESPONSES, strict=True):
        assert decoder.decode_block(bytes.fromhex(block)) == pairs
        assert (decoder.table, decoder.table_size) == (table, counted(table))


# Sections 2.3 and 6.1: tables and indexes -----------------------------------


def test_every_index_of_the_static_table() -> None:
    decoder = HpackDecoder()
    for index, pair in enumerate(STATIC, 1):
        assert decoder.decode_block(indexed(index)) == [pair]
    assert decoder.decode_block(b"".join(map(indexed, range(1, 62)))) == STATIC
    assert decoder.generation == 0


def test_new_entries_come_first_behind_the_static_table() -> None:
    decoder = HpackDecoder()
    assert decoder.decode_block(add(A) + add(B) + add(C)) == [A, B, C]
    assert decoder.table == [C, B, A]
    assert decoder.decode_block(indexed(62) + indexed(63) + indexed(64)) == [C, B, A]


def test_an_entry_is_of_use_within_the_block_that_makes_it() -> None:
    assert HpackDecoder().decode_block(add(A) + indexed(62) + indexed(62)) == [A, A, A]


def test_the_tables_are_never_joined_and_duplicates_stay() -> None:
    decoder = HpackDecoder()
    decoder.decode_block(add(A) + add(A))
    assert decoder.table == [A, A]
    assert decoder.table_size == 2 * counted([A])


def test_an_index_beyond_both_tables_is_refused() -> None:
    for entries in range(3):
        for over in (0, 1, 70, 5000, 0xFFFFFFFF - 64):
            decoder = HpackDecoder()
            decoder.decode_block(add(A) * entries)
            assert refused(indexed(62 + entries + over), decoder) == "no field with this index"


def test_an_index_beyond_both_tables_is_refused_for_a_name() -> None:
    for kind in ("index", "plain", "never"):
        assert refused(literal(62, b"v", kind)) == "no field with this index"
        assert refused(literal(0xFFFFFFFF, b"v", kind)) == "no field with this index"


def test_the_index_0_is_refused() -> None:
    assert refused(b"\x80") == "no field with this index"


def test_an_entry_that_has_left_the_table_is_refused() -> None:
    decoder = HpackDecoder(table_size=counted([A, B]))
    decoder.decode_block(add(A) + add(B) + add(C))
    assert decoder.decode_block(indexed(63)) == [B]
    assert refused(indexed(64), decoder) == "no field with this index"


# Section 6.2: literals ------------------------------------------------------


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("kind", ["plain", "never"])
def test_a_literal_without_indexing_leaves_the_table_alone(kind: str, coded: bool) -> None:
    decoder = HpackDecoder()
    block = literal(b"x-name", b"some value", kind, coded=coded)
    block += literal(4, b"/some/path", kind, coded=coded)
    assert decoder.decode_block(block) == [(b"x-name", b"some value"), (b":path", b"/some/path")]
    assert (decoder.table, decoder.generation) == ([], 0)


@pytest.mark.parametrize("coded", [False, True])
def test_a_literal_with_indexing_becomes_an_entry(coded: bool) -> None:
    decoder = HpackDecoder()
    pairs = [(b"x-name", b"some value"), (b":path", b"/some/path"), (b"x-name", b"other")]
    block = literal(b"x-name", b"some value", coded=coded) + literal(4, b"/some/path", coded=coded)
    block += literal(63, b"other", coded=coded)
    assert decoder.decode_block(block) == pairs
    assert decoder.table == pairs[::-1]


@pytest.mark.parametrize(
    "length", [0, 1, 126, 127, 128, 637, 638, 639, 640, 1023, 1024, 1025, 5000]
)
@pytest.mark.parametrize("coded", [False, True])
def test_strings_of_each_length(length: int, coded: bool) -> None:
    text = (b"0123456789abcdefghijklmnopqrstuvwxyz-_.~!#$&" * (length // 40 + 1))[:length]
    decoder = HpackDecoder(table_size=16384)
    pair = (text or b"x", text)
    for kind in ("plain", "index"):
        assert decoder.decode_block(literal(*pair, kind, coded=coded)) == [pair]
    assert decoder.decode_block(indexed(62)) == [pair]


def test_a_name_that_is_common_is_the_same_object_every_time() -> None:
    decoder = HpackDecoder()
    (static,) = decoder.decode_block(indexed(58))
    for coded in (False, True):
        (spelled,) = decoder.decode_block(literal(b"user-agent", b"x", coded=coded))
        assert spelled[0] is static[0]


def test_an_indexed_field_is_the_tables_own_pair() -> None:
    decoder = HpackDecoder()
    (first,) = decoder.decode_block(add(A))
    assert decoder.decode_block(indexed(62))[0] is first
    assert decoder.decode_block(indexed(2))[0] is decoder.decode_block(indexed(2))[0]
    assert decoder.decode_block(indexed(2)) is not decoder.decode_block(indexed(2))


# Section 4: the dynamic table's size ----------------------------------------


def test_the_oldest_entries_leave_for_a_new_one() -> None:
    decoder = HpackDecoder(table_size=counted([A, B, C]))
    decoder.decode_block(add(A) + add(B) + add(C))
    assert decoder.table == [C, B, A]
    large = (b"name", b"v" * (counted([A]) - 36 + 1))
    decoder.decode_block(add(large))
    assert decoder.table == [large, C]
    assert decoder.table_size == counted([large, C])


def test_an_entry_may_fill_the_table() -> None:
    decoder = HpackDecoder(table_size=100)
    full = (b"name", b"v" * 64)
    decoder.decode_block(add(A) + add(full))
    assert (decoder.table, decoder.table_size) == ([full], 100)


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = HpackDecoder(table_size=100)
    large = (b"name", b"v" * 65)
    assert decoder.decode_block(add(A) + add(large) + add(B)) == [A, large, B]
    assert decoder.table == [B]


def test_a_name_may_be_of_the_entry_that_leaves_for_it() -> None:
    decoder = HpackDecoder(table_size=counted([A]) + 31)
    decoder.decode_block(add(A))
    for value in (b"new", b"v" * 30, b"newer"):
        pair = (A[0], value)
        assert decoder.decode_block(literal(62, value)) == [pair]
        assert decoder.table == [pair]


def test_a_table_of_no_size_takes_nothing() -> None:
    decoder = HpackDecoder(table_size=0)
    assert decoder.decode_block(add(A)) == [A]
    assert refused(indexed(62), decoder) == "no field with this index"


def test_a_table_is_as_large_as_it_is_told() -> None:
    small = (b"", b"")
    decoder = HpackDecoder(table_size=65536)
    for n in range(1, 3000):
        decoder.decode_block(literal(b"", b""))
        assert decoder.table_size == min(n, 2048) * 32
    assert decoder.table == [small] * 2048


# Sections 4.2 and 6.3: updates of the size ----------------------------------


def test_an_update_lowers_the_size_and_evicts() -> None:
    decoder = HpackDecoder()
    decoder.decode_block(add(A) + add(B) + add(C))
    assert decoder.decode_block(size_update(counted([B, C])) + indexed(62)) == [C]
    assert decoder.table == [C, B]
    decoder.decode_block(add(A))
    assert decoder.table == [A, C]


def test_an_update_may_raise_the_size_up_to_the_limit() -> None:
    decoder = HpackDecoder()
    decoder.decode_block(size_update(0))
    decoder.decode_block(add(A))
    assert decoder.table == []
    decoder.decode_block(size_update(4096) + add(A))
    assert decoder.table == [A]


def test_an_update_above_the_limit_is_refused() -> None:
    assert HpackDecoder().decode_block(size_update(4096)) == []
    assert refused(size_update(4097)) == "table size over its limit"
    assert refused(size_update(0xFFFFFFFF)) == "table size over its limit"


def test_several_updates_may_begin_a_block() -> None:
    decoder = HpackDecoder()
    decoder.decode_block(add(A))
    assert decoder.decode_block(size_update(0) + size_update(4096) + add(B)) == [B]
    assert decoder.table == [B]


def test_an_update_behind_a_field_is_refused() -> None:
    why = "table size changed within a field block"
    for field in (indexed(2), add(A), literal(b"n", b"v", "plain")):
        assert refused(field + size_update(100)) == why
        assert refused(size_update(0) + field + size_update(4096)) == why


def test_a_limit_that_is_lowered_asks_for_an_update() -> None:
    for block in (indexed(2), add(A), b"", size_update(101), size_update(101) + size_update(0)):
        decoder = HpackDecoder()
        decoder.set_limit(100)
        with pytest.raises(Http2Error):
            decoder.decode_block(block)
    assert refused(indexed(2), limited(100)) == "table size not lowered"
    assert refused(size_update(101), limited(100)) == "table size over its limit"
    for size in (0, 100):
        decoder = limited(100)
        assert decoder.decode_block(size_update(size) + indexed(2)) == [STATIC[1]]
        assert decoder.decode_block(indexed(2)) == [STATIC[1]], "once is enough"
        assert refused(size_update(101), decoder) == "table size over its limit"


def limited(*limits: int) -> HpackDecoder:
    decoder = HpackDecoder()
    for limit in limits:
        decoder.set_limit(limit)
    return decoder


def test_the_lowest_of_several_limits_must_be_signalled() -> None:
    assert refused(size_update(4096), limited(0, 4096)) == "table size over its limit"
    decoder = limited(100, 200, 4096)
    assert decoder.decode_block(size_update(100) + size_update(4096) + add(A)) == [A]
    assert decoder.table == [A]


def test_a_limit_that_is_lowered_evicts_at_once() -> None:
    decoder = HpackDecoder()
    decoder.decode_block(add(A) + add(B))
    decoder.set_limit(counted([B]))
    assert decoder.table == [B]


def test_a_limit_that_is_raised_asks_for_nothing() -> None:
    decoder = limited(8192)
    assert decoder.decode_block(indexed(2)) == [STATIC[1]]
    large = (b"name", b"v" * 5000)
    decoder.decode_block(add(large))
    assert decoder.table == [], "the encoder has not said that it takes more"
    decoder.decode_block(size_update(8192) + add(large))
    assert decoder.table == [large]


# Section 5: integers and strings --------------------------------------------


def test_a_block_cut_anywhere_within_a_field_is_refused() -> None:
    fields = [
        indexed(2), add(A), literal(4, b"/path", "plain", coded=True), indexed(62),
        literal(b"name", b"value " * 50, "never", coded=True), literal(62, b"v" * 200),
    ]  # fmt: skip
    block = b"".join(fields)
    ends = {len(b"".join(fields[:n])) for n in range(len(fields) + 1)}
    for n in range(len(block)):
        if n in ends:
            HpackDecoder().decode_block(block[:n])
        else:
            assert refused(block[:n]) == "field block is cut off", n


def test_an_integer_too_large_is_refused() -> None:
    for first in (b"\xff", b"\x7f", b"\x3f", b"\x1f", b"\x0f", b"\x40\x7f", b"\x40\x01a\x7f"):
        for rest in (b"\xff\xff\xff\xff\x7f", b"\x80" * 5 + b"\x01", b"\xff" * 50):
            assert refused(first + rest) == "integer of a field block too large"


@pytest.mark.parametrize("text", [b"0", b"www.example.com", b"x" * 999])
def test_a_bad_end_of_huffman_code_is_refused(text: bytes) -> None:
    bits = bits_of(list(text))
    for data in (huffman(text) + b"\xff", huffman(text) + b"\xff\xff", packed(bits, "0")):
        for block in (
            b"\x40" + integer(len(data), 7, 0x80) + data + string(b"value"),
            b"\x41" + integer(len(data), 7, 0x80) + data,
            b"\x01" + integer(len(data), 7, 0x80) + data,
        ):
            assert refused(block) == "bad Huffman code"


@pytest.mark.parametrize("text", [b"", b"0", b"www.example.com", b"x" * 1000])
def test_the_symbol_eos_is_refused(text: bytes) -> None:
    data = packed(bits_of([*text, EOS]))
    assert refused(b"\x01" + integer(len(data), 7, 0x80) + data) == "bad Huffman code"


def test_a_bad_code_is_refused_where_nobody_wants_the_text() -> None:
    data = packed(bits_of([*b"x" * 1000, EOS]))
    bad = b"\x01" + integer(len(data), 7, 0x80) + data
    for limits in ({"fields": 0}, {"size": 0}, {"field": 0}):
        with pytest.raises(Http2Error):
            HpackDecoder().decode_block(indexed(2) + bad, **limits)


# Generations, which say whether a block still means the same ----------------


def test_a_generation_stays_while_the_table_does() -> None:
    decoder = HpackDecoder()
    decoder.decode_block(add(A) + add(B))
    before = decoder.generation
    decoder.decode_block(indexed(62) + indexed(2) + literal(b"n", b"v", "plain"))
    assert decoder.generation == before


def test_whatever_changes_the_table_begins_another_generation() -> None:
    decoder = HpackDecoder(table_size=200)
    seen = {decoder.generation}
    changes = [
        add(A), add(A), size_update(100), size_update(200), add((b"n", b"v" * 300)),
        literal(b"n", b"v" * 300),
    ]  # fmt: skip
    for n, block in enumerate(changes, 2):
        decoder.decode_block(block)
        seen.add(decoder.generation)
        assert len(seen) == n
    decoder.set_limit(50)
    assert decoder.generation not in seen, "for the same block is an error now"
