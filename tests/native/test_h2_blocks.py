"""HeadReader: its limits, blocks that repeat, trailers, and the priorities of RFC 9218."""

from __future__ import annotations

import random

import pytest
from h2.exceptions import ProtocolError
from h2.utilities import HeaderValidationFlags, validate_headers
from native.http2 import (
    COMPRESSION,
    GET,
    PROTOCOL,
    Pair,
    Peer,
    assert_answered,
    assert_malformed,
    given,
    head,
    without,
)

from fastserve._native.errors import Http2Error, ParseError
from fastserve._native.http2.heads import priority_of
from fastserve._native.http2.hpack_decoder import HpackDecoder

# limits


def test_too_many_fields() -> None:
    most = [("x", str(n)) for n in range(100)]
    assert len(head(*GET, *most).copy()) == 101
    assert_answered(431, *GET, *most, ("x", "more"))
    assert_answered(431, *GET, *most * 20)
    most = [("x", str(n)) for n in range(3)]
    assert len(head(*GET, *most, fields=3).copy()) == 4
    assert_answered(431, *GET, *most, ("x", "more"), fields=3)
    assert_answered(431, *without(":authority"), ("host", "x.test"), *most, fields=3)


def test_large_fields() -> None:
    assert head(*GET, ("x", "y" * 199), field=200).copy()[1][1] == b"y" * 199
    assert_answered(431, *GET, ("x", "y" * 200), field=200)
    assert_answered(431, *GET, ("x" * 200, "y"), field=200)
    assert_answered(431, *GET, ("x", "y" * 20000), field=200)


def test_large_heads() -> None:
    assert_answered(431, *GET, *[("x", "y" * 100)] * 8, head=1000)
    assert len(head(*GET, *[("x", "y" * 100)] * 5, head=1000).copy()) == 6


def test_long_targets() -> None:
    path = "/" + "x" * (200 - len("GET  HTTP/1.1\r\n") + 1)
    assert head(*given((":path", path)), line=200).target == path.encode()
    assert_answered(414, *given((":path", path + "x")), line=200)
    assert head(*given((":path", path)), line=200, field=100).target == path.encode()


def test_a_head_above_the_limits_is_malformed_first() -> None:
    assert_malformed(*GET, ("x", " y"), ("x", "y" * 2000), field=200)


# blocks that repeat

PLAIN = b"\x82\x87\x84\x01\1x"  # GET https /, with the :authority "x", all without the table


def test_a_block_that_repeats_gives_the_same_head() -> None:
    peer = Peer()
    pairs = (*GET, ("user-agent", "x"), ("cookie", "a=1"))
    heads = [peer.head(*pairs) for _ in range(5)]
    assert heads[1] is heads[2] is heads[3] is heads[4]
    assert heads[0] is not heads[1], "the first block filled the table"
    assert heads[0].copy() == heads[1].copy()


def test_another_block_between_gives_another_head() -> None:
    peer = Peer()
    one, two = given((":path", "/1")), given((":path", "/2"))
    for _ in range(3):
        assert peer.head(*one).target == b"/1"
        assert peer.head(*two).target == b"/2"


def test_the_same_bytes_mean_another_head_once_the_table_has_changed() -> None:
    peer = Peer()
    peer.reader.pass_over(b"\x40\3x-a\0011")
    newest = PLAIN + b"\xbe"
    head = peer.reader.head(newest)
    assert peer.reader.head(newest) is head
    assert head.copy() == [(b"host", b"x"), (b"x-a", b"1")]
    peer.reader.pass_over(b"\x40\3x-b\0012")
    assert peer.reader.head(newest).copy() == [(b"host", b"x"), (b"x-b", b"2")]


def test_a_block_that_sets_the_tables_size_is_decoded_each_time() -> None:
    peer = Peer()
    peer.encoder.header_table_size = 0
    small = peer.block(*GET[:2], (":authority", "x"), GET[3])
    assert small[:1] == b"\x20"
    peer.reader.head(small)
    large = b"\x3f\xe1\x1f" + small[1:]
    peer.reader.head(large)
    peer.reader.head(small)
    peer.reader.pass_over(b"\x40\1a\1b")
    assert peer.decoder.table_size == 0


def test_a_table_that_must_shrink_makes_a_repeated_block_wrong() -> None:
    peer = Peer()
    block = PLAIN
    assert peer.reader.head(block) is peer.reader.head(block)
    peer.decoder.set_limit(100)
    with pytest.raises(Http2Error) as caught:
        peer.reader.head(block)
    assert (caught.value.code, caught.value.stream) == (COMPRESSION, 0)


def test_large_blocks_are_not_kept() -> None:
    peer = Peer()
    block = PLAIN + b"\0\1a\x7f\xa1\x1f" + b"v" * 4128
    heads = [peer.reader.head(block) for _ in range(2)]
    assert heads[0] is not heads[1]
    assert heads[0].copy() == heads[1].copy()


def test_a_block_that_cannot_be_decoded_costs_the_connection() -> None:
    for block in (b"\xff\xff\xff\xff\xff\xff", b"\x80", b"\xc0", b"\x40\5ab"):
        with pytest.raises(Http2Error) as caught:
            Peer().reader.head(block, 7)
        assert (caught.value.code, caught.value.stream) == (COMPRESSION, 0)


# trailers


def test_trailers() -> None:
    peer = Peer()
    pairs = peer.reader.trailers(peer.block(("x-sum", "1"), ("x-sum", "2")))
    assert pairs == [(b"x-sum", b"1"), (b"x-sum", b"2")]
    assert peer.reader.trailers(b"") == []


@pytest.mark.parametrize(
    "pair", [*GET, (":status", "200"), (":x", ""), ("connection", "x"), ("X-A", "1"), ("x", "\n")]
)
def test_malformed_trailers(pair: Pair) -> None:
    peer = Peer()
    with pytest.raises(Http2Error) as caught:
        peer.reader.trailers(peer.block(("x-a", "1"), pair), 7)
    assert (caught.value.code, caught.value.stream) == (PROTOCOL, 7)


def test_trailers_above_their_limits() -> None:
    for pairs in ([("x", "y" * 300)], [("x", "y" * 60)] * 6, [("x", "y")] * 4):
        peer = Peer(trailers=200, field=250, fields=3)
        with pytest.raises(ParseError) as caught:
            peer.reader.trailers(peer.block(*pairs))
        assert caught.value.status == 431
        assert peer.head(*GET).copy() == [(b"host", b"x.test")]


# RFC 9218 section 4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", (3, False)), ("u=0", (0, False)), ("u=7", (7, False)), ("i", (3, True)),
        ("u=1, i", (1, True)), ("i,u=1", (1, True)), (" u=5 ,\ti ", (5, True)),
        ("i=?1", (3, True)), ("i=?0", (3, False)), ("i, i=?0", (3, False)),
        ("u=2, u=4", (4, False)), ("u=1;x=3", (1, False)), ("i;x", (3, True)),
        # what is not known, or not in range
        ("u=8", (3, False)), ("u=-1", (3, False)), ("u=10", (3, False)), ("u=1.5", (3, False)),
        ("u", (3, False)), ("u=", (3, False)), ("u=?1", (3, False)), ("i=1", (3, False)),
        ("i=?2", (3, False)), ("U=1", (3, False)), ("x=5, u=2, y", (2, False)),
        ('x="a, u=0, i", u=6', (6, False)), ('x="\\", u=0", i', (3, True)),
        ('x="unended, u=0', (3, False)), ('x=1;y="a,u=0",i', (3, True)), (",,,", (3, False)),
        ('"\\', (3, False)), ("u=1 x", (3, False)), ("=", (3, False)), (";u=1", (3, False)),
    ],
)  # fmt: skip
def test_priorities(value: str, expected: tuple[int, bool]) -> None:
    assert priority_of(value.encode()) == expected


def test_several_priority_fields_are_one() -> None:
    got = head(*GET, ("priority", "u=1"), ("priority", "i"))
    assert (got.urgency, got.incremental) == (1, True)


# at random


NAMES = (
    ":method", ":scheme", ":path", ":authority", ":protocol", ":status", "host", "te", "cookie",
    "connection", "transfer-encoding", "content-length", "x-a", "X-B", "", "expect",
)  # fmt: skip
VALUES = (
    "GET", "CONNECT", "https", "/", "/a?b", "", "*", "x.test", "X.test", "y.test", "x.test:443",
    "trailers", "websocket", "5", " x", "100-continue",
)  # fmt: skip


# What we answer though HTTP/2 itself has nothing against it: HTTP has.
STRICTER = {
    "malformed Content-Length", "malformed Host", "malformed authority", "malformed method",
    "malformed request target", "missing Host", "repeated Content-Length", "repeated Host",
    "unknown expectation", "unknown scheme",
}  # fmt: skip


def some_pairs(dice: random.Random) -> list[Pair]:
    pairs: list[Pair] = list(GET)
    for _ in range(dice.choice([0, 1, 1, 2, 4])):
        way = dice.randrange(4)
        if way == 0:
            del pairs[dice.randrange(len(pairs))]
        elif way == 1:
            at = dice.randrange(len(pairs))
            pairs[at] = (pairs[at][0], dice.choice(VALUES))
        else:
            at = dice.choice([len(pairs), dice.randrange(len(pairs) + 1)])
            pairs.insert(at, (dice.choice(NAMES), dice.choice(VALUES)))
        pairs = pairs or [GET[0]]
    return pairs


def h2_takes(pairs: list[Pair]) -> bool:
    """Whether h2 does. It compares host and :authority byte by byte; case means nothing there."""
    flags = HeaderValidationFlags(
        is_client=False, is_trailer=False, is_response_header=False, is_push_promise=False
    )
    raw = [
        (name.encode(), (value.lower() if name in ("host", ":authority") else value).encode())
        for name, value in pairs
    ]
    try:
        list(validate_headers(raw, flags))
    except ProtocolError:
        return False
    return True


def test_what_we_take_h2_takes_and_we_say_why_we_take_less() -> None:
    dice = random.Random(8)
    taken, reasons = 0, set()
    for _ in range(3000):
        peer = Peer()
        pairs = some_pairs(dice)
        try:
            peer.head(*pairs, ends=False)
        except Http2Error as error:
            if h2_takes(pairs):
                reasons.add(error.reason)
        except ParseError as error:
            reasons.add(error.reason)
        else:
            taken += 1
            assert h2_takes(pairs), pairs
    assert 300 < taken < 2000
    assert reasons <= STRICTER


def test_a_reader_that_keeps_blocks_reads_as_one_that_does_not() -> None:
    dice = random.Random(9)
    repeated = 0
    for _ in range(60):
        peer, plain = Peer(), HpackDecoder()
        choices = [[*GET, ("x-a", str(n)), ("x-b", str(n % 2))] for n in range(3)]
        last = None
        for _ in range(40):
            if dice.random() < 0.1:
                peer.encoder.header_table_size = dice.choice([0, 60, 4096])
            block = peer.block(*dice.choice(choices))
            pairs = plain.decode_block(block)
            got = peer.reader.head(block)
            repeated += got is last
            last = got
            assert got.copy()[1:] == pairs[4:]
    assert repeated > 100


def test_spoilt_blocks_end_in_a_head_or_an_error() -> None:
    dice = random.Random(10)
    for _ in range(1500):
        peer = Peer()
        for _ in range(4):
            block = bytearray(peer.block(*some_pairs(dice)))
            for _ in range(dice.randrange(3)):
                block[dice.randrange(len(block))] = dice.randrange(256)
            outcome = outcome_of(peer, bytes(block))
            assert outcome in ((PROTOCOL, 3), (COMPRESSION, 0)) or outcome[0] in STATUSES
            if outcome == (COMPRESSION, 0):
                break


STATUSES = (200, 400, 413, 414, 417, 431, 501)


def outcome_of(peer: Peer, block: bytes) -> tuple[int, int]:
    """(a status, 0) or (an error's code, its stream)."""
    try:
        assert peer.reader.head(block, 3, ends=False).method
    except ParseError as error:
        return error.status, 0
    except Http2Error as error:
        return error.code, error.stream
    return 200, 0
