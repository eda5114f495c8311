"""fs_huffman against the RFC's examples and a decoder that goes bit by bit."""

from __future__ import annotations

import ctypes
import random
import re
from ctypes import c_int64, c_size_t, c_void_p

import pytest
from c.conftest import SOURCES, GuardedPage, compile_c
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hpack import CODES, EOS, bits_of, huffman, packed, read_huffman

# RFC 7541 appendix C.4 and C.6.
EXAMPLES = {
    b"www.example.com": "f1e3c2e5f23a6ba0ab90f4ff",
    b"no-cache": "a8eb10649cbf",
    b"custom-key": "25a849e95ba97d7f",
    b"custom-value": "25a849e95bb8e8b4bf",
    b"302": "6402",
    b"307": "640eff",
    b"private": "aec3771a4b",
    b"gzip": "9bd9ab",
    b"Mon, 21 Oct 2013 20:13:21 GMT": "d07abe941054d444a8200595040b8166e082a62d1bff",
    b"https://www.example.com": "9d29ad171863c78f0b97c8e9ae82ae43d3",
    b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1":
        "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
}  # fmt: skip


class Huffman:
    """The leaf: bytes in, bytes or the name of the error out."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.fs_huffman_decode.restype = c_int64
        library.fs_huffman_length.restype = library.fs_huffman_encode.restype = c_size_t
        self.source, self.target = GuardedPage(), GuardedPage()
        text = (SOURCES / "fs_huffman.h").read_text()
        pairs = re.findall(r"\bFS_HUFFMAN_([A-Z_]+) = (-\d+)", text)
        self.names = {int(number): name for name, number in pairs}

    def decode_into(self, data: bytes, room: int) -> tuple[int | str, bytes]:
        """The answer, and the `room` bytes that end at the guard."""
        place = self.target.put(b"\xa5" * room)
        got = self.library.fs_huffman_decode(
            c_void_p(place), c_size_t(room), c_void_p(self.source.put(data)), c_size_t(len(data))
        )
        return (self.names[got] if got < 0 else got), ctypes.string_at(place, room)

    def decode(self, data: bytes) -> bytes | str:
        length, _ = self.decode_into(data, 0)
        if isinstance(length, str):
            assert self.decode_into(data, 2 * len(data))[0] == length
            return length
        for room in {length, length + 1, length + 40}:
            again, text = self.decode_into(data, room)
            assert (again, text[length:]) == (length, b"\xa5" * (room - length))
        return text[:length]

    def encode(self, text: bytes) -> bytes:
        p, n = c_void_p(self.source.put(text)), c_size_t(len(text))
        length = self.library.fs_huffman_length(p, n)
        place = self.target.put(b"\xa5" * length)
        assert self.library.fs_huffman_encode(c_void_p(place), p, n) == length
        return ctypes.string_at(place, length)


@pytest.fixture(scope="module")
def leaf(tmp_path_factory: pytest.TempPathFactory) -> Huffman:
    output = tmp_path_factory.mktemp("huffman") / "leaf.so"
    compile_c(output, "-O2", "-fPIC", "-shared", SOURCES / "fs_huffman.c")
    return Huffman(ctypes.CDLL(str(output)))


@pytest.mark.parametrize("text", EXAMPLES, ids=repr)
def test_the_examples_of_the_rfc(leaf: Huffman, text: bytes) -> None:
    coded = bytes.fromhex(EXAMPLES[text])
    assert leaf.encode(text) == coded
    assert leaf.decode(coded) == text


def test_nothing_is_nothing(leaf: Huffman) -> None:
    assert leaf.encode(b"") == b""
    assert leaf.decode(b"") == b""


def test_each_byte_before_and_behind_each_other(leaf: Huffman) -> None:
    for first in range(256):
        text = b"".join(bytes([first, second]) for second in range(256))
        assert leaf.encode(text) == huffman(text)
        assert leaf.decode(huffman(text)) == text


def test_each_byte_at_each_place_of_a_word(leaf: Huffman) -> None:
    for byte in range(256):
        for before in range(12):
            text = b"0" * before + bytes([byte])
            assert leaf.encode(text) == huffman(text)
            assert leaf.decode(huffman(text)) == text, text


def test_all_of_one_and_two_bytes(leaf: Huffman) -> None:
    for n in (1, 2):
        for number in range(256**n):
            data = number.to_bytes(n, "big")
            expected = read_huffman(data)
            got, text = leaf.decode_into(data, 4)
            if expected is None:
                assert got == "BAD_END", data
            else:
                assert (got, text[:got]) == (len(expected), expected), data


def test_padding_is_of_ones_and_less_than_a_byte(leaf: Huffman) -> None:
    for text in (b"0", b"a", b"00000000", b"www.example.com", b"~"):
        good = bits_of(list(text))
        spare = -len(good) % 8
        assert leaf.decode(packed(good)) == text
        assert leaf.decode(packed(good) + b"\xff") == "BAD_END"
        assert leaf.decode(packed(good) + b"\xff\xff") == "BAD_END"
        for at in range(spare):
            bad = good + "1" * at + "0" + "1" * (spare - at - 1)
            assert leaf.decode(packed(bad)) == (read_huffman(packed(bad)) or "BAD_END")
        if spare:
            assert leaf.decode(packed(good, "0")) in ("BAD_END", read_huffman(packed(good, "0")))


@pytest.mark.parametrize("before", [b"", b"0", b"www.example.com", b"\x00\xff"])
@pytest.mark.parametrize("behind", [b"", b"0", b"abcdefghijklmnop"])
def test_the_symbol_eos_is_an_error_wherever_it_is(
    leaf: Huffman, before: bytes, behind: bytes
) -> None:
    data = packed(bits_of([*before, EOS, *behind]))
    assert read_huffman(data) is None
    assert leaf.decode(data) == "BAD_EOS"


def test_a_code_that_is_cut_off_is_an_error(leaf: Huffman) -> None:
    for byte, (code, bits) in enumerate(CODES[:EOS]):
        if bits > 8:
            cut = f"{code:0{bits}b}"[: bits // 8 * 8]
            if len(cut) < bits:
                assert leaf.decode(packed(cut)) == "BAD_END", byte


def test_a_text_longer_than_its_room_is_measured_and_cut(leaf: Huffman) -> None:
    text = b"the quick brown fox (jumps) over <the> lazy dog " * 3
    for room in range(len(text)):
        assert leaf.decode_into(huffman(text), room) == (len(text), text[:room])


@settings(max_examples=300, deadline=None)
@given(text=st.binary(max_size=80))
def test_what_is_encoded_can_be_decoded(leaf: Huffman, text: bytes) -> None:
    assert leaf.encode(text) == huffman(text)
    assert leaf.decode(huffman(text)) == text


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_mean_what_they_mean_bit_by_bit(leaf: Huffman, data: bytes) -> None:
    got, expected = leaf.decode(data), read_huffman(data)
    assert got == expected if expected is not None else got in ("BAD_END", "BAD_EOS")


def test_texts_with_one_bit_changed_mean_what_they_mean_bit_by_bit(leaf: Huffman) -> None:
    dice = random.Random(7541)
    for text in EXAMPLES:
        coded = bytes.fromhex(EXAMPLES[text])
        for _ in range(100):
            bit = dice.randrange(len(coded) * 8)
            data = bytearray(coded)
            data[bit >> 3] ^= 128 >> (bit & 7)
            got, expected = leaf.decode(bytes(data)), read_huffman(bytes(data))
            assert got == expected if expected is not None else got in ("BAD_END", "BAD_EOS")
