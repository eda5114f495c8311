"""HPACK against the `hpack` package: theirs decoded here, ours decoded there, and noise in both."""

from __future__ import annotations

import contextlib
import random
import tracemalloc

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hpack import Pair, indexed, literal, size_update

from fastserve._native.errors import Http2Error
from fastserve._native.http2.hpack_decoder import HpackDecoder
from fastserve._native.http2.hpack_encoder import HpackEncoder

NAMES = [b":method", b":path", b":status", b"accept", b"cookie", b"set-cookie", b"content-type",
         b"content-length", b"etag", b"x-one", b"x-two", b"x-" + b"long" * 30]  # fmt: skip
VALUES = [b"", b"GET", b"/", b"200", b"404", b"gzip, deflate", b"text/html", b"a=b; c=d", b"42",
          b"v" * 90, b"~" * 300, b"w" * 2000, bytes(range(256))]  # fmt: skip

pairs = st.tuples(
    st.sampled_from(NAMES) | st.binary(min_size=1, max_size=12),
    st.sampled_from(VALUES) | st.binary(max_size=40),
)
# What comes: lists of fields and, in between, new limits of the table.
steps = st.lists(
    st.lists(pairs, max_size=8) | st.sampled_from([0, 40, 100, 333, 1000, 2048, 4095, 4096]),
    max_size=12,
)


def decoded_there(decoder: hpack.Decoder, block: bytes) -> list[Pair]:
    return [(name, value) for name, value in decoder.decode(block, raw=True)]


@settings(max_examples=200, deadline=None)
@given(steps=steps, coded=st.booleans(), sensitive=st.booleans())
def test_what_they_encode_is_decoded_here(
    steps: list[list[Pair] | int], coded: bool, sensitive: bool
) -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder()
    for step in steps:
        if isinstance(step, int):
            # The same size twice, and theirs forgets to signal it.
            if step != encoder.header_table_size:
                encoder.header_table_size = step
            continue
        fields = [(*pair, sensitive and len(pair[1]) == 2) for pair in step]
        block = encoder.encode(fields, huffman=coded)
        assert decoder.decode_block(block) == step
        assert decoder.table == list(encoder.header_table.dynamic_entries)
        assert decoder.table_size == encoder.header_table._current_size


@settings(max_examples=200, deadline=None)
@given(steps=steps, policy=st.sampled_from([None, "index", "plain", "never"]))
def test_what_is_encoded_here_they_decode(steps: list[list[Pair] | int], policy) -> None:
    encoder, decoder, ours = HpackEncoder(), hpack.Decoder(), HpackDecoder()
    for step in steps:
        if isinstance(step, int):
            encoder.set_limit(step)
            continue
        block = encoder.encode_block([pair for pair in step if pair[0] != b":status"], policy)
        expected = [pair for pair in step if pair[0] != b":status"]
        assert decoded_there(decoder, block) == expected
        assert ours.decode_block(block) == expected
        assert encoder.table == ours.table == list(decoder.header_table.dynamic_entries)
        assert encoder.table_size == ours.table_size


@pytest.mark.parametrize("size", [0, 31, 32, 64, 1000, 4096, 65536])
def test_tables_of_each_size_agree(size: int) -> None:
    dice = random.Random(size)
    encoder, decoder = hpack.Encoder(), HpackDecoder(table_size=size)
    encoder.header_table.maxsize = size
    for _ in range(60):
        fields = [(dice.choice(NAMES), dice.choice(VALUES)) for _ in range(dice.randrange(12))]
        assert decoder.decode_block(encoder.encode(fields)) == fields
        assert decoder.table == list(encoder.header_table.dynamic_entries)


# Noise ----------------------------------------------------------------------


def invent(dice: random.Random) -> bytes:
    """A block that is mostly one."""
    parts = [size_update(dice.choice([0, 50, 4096]))] * (dice.random() < 0.1)
    for _ in range(dice.randrange(8)):
        name: bytes | int = dice.choice(NAMES)
        if dice.random() < 0.5:
            name = dice.randrange(1, 70)
        kind, coded = dice.choice(["index", "plain", "never"]), dice.random() < 0.5
        parts.append(
            indexed(dice.randrange(1, 66))
            if dice.random() < 0.4
            else literal(name, dice.choice(VALUES[:11]), kind, coded=coded)
        )
    return b"".join(parts)


def spoil(dice: random.Random, block: bytes) -> bytes:
    """One thing of the block changed."""
    at = dice.randrange(len(block) + 1)
    way = dice.randrange(4)
    if way == 0:
        return block[:at]
    if way == 1:
        return block[:at] + dice.randbytes(1 + dice.randrange(3)) + block[at:]
    if way == 2 and at < len(block):
        return block[:at] + bytes([block[at] ^ 1 << dice.randrange(8)]) + block[at + 1 :]
    return block[:at] + block[at + 1 :]


def answer_there(decoder: hpack.Decoder, block: bytes) -> list[Pair] | None:
    try:
        return decoded_there(decoder, block)
    except hpack.HPACKError:
        return None


def answer_here(decoder: HpackDecoder, block: bytes) -> list[Pair] | None:
    try:
        return decoder.decode_block(block)
    except Http2Error:
        return None


@pytest.mark.parametrize("seed", range(4))
def test_blocks_with_noise_mean_the_same_in_both(seed: int) -> None:
    dice = random.Random(seed)
    agreed = refused = 0
    while agreed + refused < 600:
        here, there = HpackDecoder(), hpack.Decoder(max_header_list_size=1 << 30)
        for _ in range(6):
            block = invent(dice)
            if dice.random() < 0.3:
                block = spoil(dice, block)
            ours, other = answer_here(here, block), answer_there(there, block)
            assert ours == other, block
            if ours is None:
                refused += 1
                break
            agreed += 1
            assert here.table == list(there.header_table.dynamic_entries)
    assert agreed > 100
    assert refused > 100


def test_noise_leaves_nothing_behind() -> None:
    def use(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(400):
            decoder = HpackDecoder(table_size=dice.choice([0, 100, 4096]))
            for _ in range(4):
                with contextlib.suppress(Http2Error):
                    decoder.decode_block(spoil(dice, invent(dice)), fields=dice.randrange(9))

    use(1)
    tracemalloc.start()
    try:
        use(2)
        before = tracemalloc.get_traced_memory()[0]
        use(2)
        assert tracemalloc.get_traced_memory()[0] - before < 8192
    finally:
        tracemalloc.stop()
