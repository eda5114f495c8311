"""fs_utf8 against CPython's decoder, cut everywhere; a bad byte is told by its offset."""

from __future__ import annotations

import ctypes
import itertools
from ctypes import Structure, byref, c_size_t, c_uint8, c_void_p

import pytest
from c.conftest import BUILDS, SOURCES, GuardedPage, compile_c
from hypothesis import given, settings
from hypothesis import strategies as st


class State(Structure):
    _fields_ = [("inside", c_uint8)]


class Utf8:
    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.fs_utf8_run.restype = c_size_t
        self.page = GuardedPage()

    def run(self, pieces: list[bytes]) -> tuple[int, bool]:
        """How many bytes can be text, and whether it may end there."""
        state, total = State(), 0
        for piece in pieces:
            address = c_void_p(self.page.put(piece))
            used = self.library.fs_utf8_run(byref(state), address, c_size_t(len(piece)))
            total += used
            if used < len(piece):
                return total, False
        return total, state.inside == 0


@pytest.fixture(params=sorted(BUILDS), scope="module")
def utf8(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Utf8:
    """The leaf, once with and once without SIMD."""
    output = tmp_path_factory.mktemp("utf8") / f"{request.param}.so"
    flags = BUILDS[request.param]
    compile_c(output, "-O2", "-fPIC", "-shared", *flags, SOURCES / "fs_utf8.c")
    return Utf8(ctypes.CDLL(str(output)))


# What a character may begin with, from the characters themselves; the last byte is free.
CHARACTERS = (chr(n) for n in range(0x80, 0x110000, 64) if not 0xD800 <= n <= 0xDFFF)
BEGUN = {each[:n] for each in map(str.encode, CHARACTERS) for n in range(1, len(each))}


def expected(data: bytes) -> tuple[int, bool]:
    """The same by CPython's decoder, whose incremental form learns of a surrogate too late."""
    begun = b""
    for at in range(len(data)):
        begun += data[at : at + 1]
        try:
            begun.decode()
        except UnicodeDecodeError:
            if begun not in BEGUN:
                return at, False
        else:
            begun = b""
    return len(data), begun == b""


def decide(utf8: Utf8, data: bytes) -> tuple[int, bool]:
    """The answer, the same for every split and byte by byte."""
    whole = utf8.run([data])
    for at in range(len(data) + 1):
        assert utf8.run([data[:at], data[at:]]) == whole, at
    assert utf8.run([data[i : i + 1] for i in range(len(data))]) == whole
    return whole


def test_every_pair_of_bytes(utf8: Utf8) -> None:
    for pair in itertools.product(range(256), repeat=2):
        data = bytes(pair)
        assert utf8.run([data]) == expected(data), data


BOUNDS = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xFF)


def test_every_lead_with_bytes_at_the_bounds(utf8: Utf8) -> None:
    rest = (0x7F, 0x80, 0xBF)
    for tail in itertools.product(range(0xC0, 0x100), BOUNDS, rest, rest):
        data = bytes(tail)
        got = utf8.run([data])
        assert got == expected(data), data
        assert utf8.run([data[:1], data[1:2], data[2:3], data[3:]]) == got, data


def test_every_character_of_the_first_plane_and_the_edges_of_the_others(utf8: Utf8) -> None:
    edges = (page << 12 | low for page in range(0x110) for low in (0, 0xFFF))
    for number in itertools.chain(range(0x10000), edges):
        if not 0xD800 <= number <= 0xDFFF:
            data = chr(number).encode()
            assert utf8.run([data]) == (len(data), True), hex(number)


def test_each_length_and_place_of_a_bad_byte_among_blocks(utf8: Utf8) -> None:
    for filler in (b"a", "é".encode(), "€".encode(), "😀".encode()):
        for n in range(70):
            good = (filler * n)[:n]
            assert utf8.run([good]) == expected(good)
            for bad in (b"\xff", b"\x80", b"\xed\xa0"):
                data = good + bad + filler * 20
                assert utf8.run([data]) == expected(data), (filler, n, bad)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60), noise=st.binary(max_size=3), data=st.data())
def test_any_text_with_any_noise_in_it(utf8: Utf8, text: str, noise: bytes, data) -> None:
    good = text.encode()
    at = data.draw(st.integers(0, len(good)))
    stream = good[:at] + noise + good[at:]
    assert decide(utf8, stream) == expected(stream)
