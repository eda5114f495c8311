"""HpackEncoder: what it writes byte for byte, what it indexes, and what it never does."""

from __future__ import annotations

import sys
import tracemalloc

import pytest
from support.hpack import C6, RESPONSES, STATIC, Pair, counted, indexed, literal, size_update

from fastserve._native.errors import ProtocolViolation
from fastserve._native.http2.hpack_decoder import HpackDecoder
from fastserve._native.http2.hpack_encoder import HpackEncoder, policy_name

TYPE = (b"content-type", b"text/html; charset=utf-8")
NEW = (b"x-new", b"a value")


def encoded(*pairs: Pair, policy=None, encoder: HpackEncoder | None = None) -> bytes:
    return (encoder or HpackEncoder()).encode_block(list(pairs), policy)


def test_the_responses_of_the_rfc() -> None:
    encoder = HpackEncoder()
    encoder.set_limit(256)
    begin = size_update(256)
    # "307" is no shorter coded; it stays as it is in C.5.
    blocks = (C6[0], "4803333037c1c0bf", C6[2])
    for block, (pairs, table) in zip(blocks, RESPONSES, strict=True):
        assert encoder.encode_block(pairs, "index") == begin + bytes.fromhex(block)
        assert (encoder.table, encoder.table_size) == (table, counted(table))
        begin = b""


@pytest.mark.parametrize("index", range(8, 15))
def test_a_status_of_the_static_table_takes_one_byte(index: int) -> None:
    assert encoded(STATIC[index - 1]) == indexed(index)


def test_another_status_is_indexed() -> None:
    encoder = HpackEncoder()
    status = (b":status", b"302")
    assert encoded(status, encoder=encoder) == bytes.fromhex("48826402"), "RFC 7541 C.6.1"
    assert encoded(status, encoder=encoder) == indexed(62)


def test_what_repeats_takes_one_byte() -> None:
    encoder = HpackEncoder()
    first = encoded(TYPE, NEW, encoder=encoder)
    assert first == literal(31, TYPE[1], coded=True) + literal(*NEW, coded=True)
    assert encoder.table == [NEW, TYPE]
    assert encoded(TYPE, NEW, encoder=encoder) == indexed(63) + indexed(62)


def test_a_value_is_coded_only_where_that_is_shorter() -> None:
    assert encoded((b"x-new", b"~~")) == b"\x40" + literal(b"x-new", b"", coded=True)[1:-1] + (
        b"\x02~~"
    )


def test_a_name_is_of_a_table_where_it_is_there() -> None:
    encoder = HpackEncoder()
    encoded(NEW, TYPE, encoder=encoder)
    assert encoded((b"x-new", b"0"), encoder=encoder) == literal(63, b"0")
    assert encoded((b"age", b"0"), encoder=encoder) == literal(21, b"0", "plain")
    assert encoded((b"x-new", b"1"), policy="plain", encoder=encoder) == literal(62, b"1", "plain")


def test_an_empty_value_of_the_static_table_is_indexed() -> None:
    assert encoded((b"age", b""), (b"www-authenticate", b"")) == indexed(21) + indexed(61)
    assert encoded((b"accept-encoding", b"gzip, deflate")) == indexed(16)


def test_every_pair_of_the_static_table_has_its_index() -> None:
    for index, pair in enumerate(STATIC, 1):
        if policy_name(pair[0]) != "never":
            assert encoded(pair) == indexed(index)


def test_a_plain_field_is_not_indexed_but_found() -> None:
    encoder = HpackEncoder()
    for _ in range(2):
        assert encoded(NEW, policy="plain", encoder=encoder) == literal(*NEW, "plain", coded=True)
    encoded(NEW, encoder=encoder)
    assert encoded(NEW, policy="plain", encoder=encoder) == indexed(62)


@pytest.mark.parametrize(
    "name", [b"set-cookie", b"cookie", b"authorization", b"proxy-authorization", b"x-csrf-token"]
)
def test_what_is_secret_is_never_indexed(name: bytes) -> None:
    encoder = HpackEncoder()
    assert policy_name(name) == "never"
    for _ in range(2):
        block = encoded((name, b"secret"), encoder=encoder)
        assert block[0] & 0xF0 == 0x10
    assert (encoder.table, encoder.generation) == ([], 0)
    assert encoded((name, b""), encoder=encoder)[0] & 0xF0 == 0x10, "not even if it is empty"


@pytest.mark.parametrize("name", [b"content-length", b"etag", b"location", b"x-request-id", b"age"])
def test_what_changes_each_time_is_plain(name: bytes) -> None:
    encoder = HpackEncoder()
    assert policy_name(name) == "plain"
    assert encoded((name, b"12345"), encoder=encoder)[0] & 0xF0 == 0
    assert encoder.table == []


@pytest.mark.parametrize("name", [b"", b"server", b"content-type", b"x-unknown", b"etag2", b"eta"])
def test_all_else_is_indexed(name: bytes) -> None:
    assert policy_name(name) == "index"


def test_the_oldest_entries_leave() -> None:
    encoder = HpackEncoder()
    pairs = [(b"x-%d" % i, b"v" * 100) for i in range(200)]
    for pair in pairs:
        encoded(pair, encoder=encoder)
    kept = len(encoder.table)
    assert encoder.table == pairs[: -kept - 1 : -1]
    assert 4096 - counted(pairs[:1]) - 2 < encoder.table_size <= 4096
    assert encoded(pairs[-kept], encoder=encoder) == indexed(61 + kept)
    assert encoded(pairs[0], encoder=encoder)[0] & 0xC0 == 0x40, "it has left"


def test_a_field_that_would_push_out_much_is_plain() -> None:
    encoder = HpackEncoder()
    encoded(NEW, encoder=encoder)
    large = (b"x-large", b"v" * 3072)
    assert encoded(large, encoder=encoder)[0] & 0xF0 == 0
    assert encoder.table == [NEW]
    fits = (b"x-fits", b"v" * (3072 - 32 - 6))
    encoded(fits, encoder=encoder)
    assert encoder.table == [fits, NEW]


def test_values_that_look_alike_are_told_apart() -> None:
    encoder, decoder = HpackEncoder(), HpackDecoder()
    middle = [b"a" * 20 + b"%c" % c + b"b" * 20 for c in range(97, 123)]
    pairs = [(b"x-a", value) for value in middle] + [(b"x-b", value) for value in middle]
    for _ in range(2):
        assert decoder.decode_block(encoded(*pairs, encoder=encoder)) == pairs


# The peer's limit of the table, sections 4.2 and 4.3 ------------------------


def test_a_peer_that_allows_more_changes_nothing() -> None:
    encoder = HpackEncoder()
    for most in (4096, 65536, 0xFFFFFFFF):
        encoder.set_limit(most)
        assert encoded(STATIC[7], encoder=encoder) == indexed(8)


def test_a_lower_limit_is_signalled_once_and_kept() -> None:
    encoder = HpackEncoder()
    encoded(TYPE, NEW, encoder=encoder)
    encoder.set_limit(counted([NEW]))
    assert encoder.table == [NEW]
    assert encoded(NEW, encoder=encoder) == size_update(counted([NEW])) + indexed(62)
    assert encoded(NEW, encoder=encoder) == indexed(62)
    assert encoded(TYPE, encoder=encoder)[0] & 0xF0 == 0, "it is too large now"


def test_a_table_of_no_size_takes_nothing() -> None:
    encoder = HpackEncoder()
    encoder.set_limit(0)
    assert encoded(NEW, encoder=encoder) == size_update(0) + literal(*NEW, "plain", coded=True)
    assert encoded((b"", b""), encoder=encoder) == literal(b"", b"", "plain")
    assert encoder.table == []


def test_of_several_limits_the_lowest_and_the_last_are_signalled() -> None:
    encoder = HpackEncoder()
    encoded(NEW, encoder=encoder)
    for most in (300, 100, 0, 500, 200):
        encoder.set_limit(most)
    assert encoded(encoder=encoder) == size_update(0) + size_update(200)
    assert encoder.table == []
    encoder.set_limit(100)
    encoder.set_limit(200)
    assert encoded(encoder=encoder) == size_update(100) + size_update(200)
    encoder.set_limit(4096)
    assert encoded(encoder=encoder) == size_update(4096)
    assert encoded(encoder=encoder) == b""


# Generations ----------------------------------------------------------------


def test_a_generation_stays_while_blocks_can_be_sent_again() -> None:
    encoder = HpackEncoder()
    encoded(TYPE, NEW, encoder=encoder)
    before = encoder.generation
    encoded(TYPE, NEW, (b"etag", b"1"), (b"set-cookie", b"a=b"), STATIC[7], encoder=encoder)
    assert encoder.generation == before
    encoded((b"x-other", b"1"), encoder=encoder)
    assert encoder.generation > before
    before = encoder.generation
    encoder.set_limit(100)
    assert encoder.generation > before


# Bounds ---------------------------------------------------------------------


def test_a_long_value_is_encoded_whole() -> None:
    for n in (126, 127, 128, 1000, 20_000, 1_000_000):
        pair = (b"x-long", b"a~" * (n // 2))
        assert HpackDecoder().decode_block(encoded(pair)) == [pair]


def test_a_value_without_any_measure_is_refused() -> None:
    encoder = HpackEncoder()
    with pytest.raises(ProtocolViolation):
        encoded((b"x", b"v" * (1 << 24)), encoder=encoder)
    assert (encoder.table, encoder.generation) == ([], 0)


def test_references_are_given_back() -> None:
    name, value = bytes([120]) * 30, b"value of %d" % 42
    before = sys.getrefcount(name), sys.getrefcount(value)
    encoder = HpackEncoder()
    for _ in range(3):
        encoded((name, value), encoder=encoder)
    assert (sys.getrefcount(name), sys.getrefcount(value)) == (before[0] + 1, before[1] + 1)
    encoder.set_limit(0)
    assert (sys.getrefcount(name), sys.getrefcount(value)) == before
    encoder.set_limit(4096)
    encoded((name, value), encoder=encoder)
    del encoder
    assert (sys.getrefcount(name), sys.getrefcount(value)) == before


def test_an_encoder_used_for_long_stays_small() -> None:
    encoder = HpackEncoder()

    def use() -> None:
        for i in range(2000):
            encoded((b"x-%d" % (i % 9), b"%d" % i), encoder=encoder)

    use()
    tracemalloc.start()
    try:
        use()
        before = tracemalloc.get_traced_memory()[0]
        use()
        assert tracemalloc.get_traced_memory()[0] - before < 4096
    finally:
        tracemalloc.stop()
