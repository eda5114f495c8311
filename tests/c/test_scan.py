"""fs_scan: every length, alignment and byte; both builds alike; nothing read behind the end."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

TCHAR = set(b"!#$%&'*+-.^_`|~" + (string.ascii_letters + string.digits).encode())
CLASSES = {
    "field_value": {0x09, *range(0x20, 0x7F), *range(0x80, 0x100)},
    "target": set(range(0x21, 0x7F)) - {ord("#")},
    "token": TCHAR,
    "quotable": set(range(0x20, 0x7F)) - set(b'"\\'),
}
# A letter, and bytes of the class that the SIMD paths treat apart.
FILLERS = {"field_value": b"a \t\xff", "target": b"a/~", "token": b"a-Z0_~", "quotable": b"a ~"}
MOST = 130


@pytest.mark.parametrize("name", CLASSES)
def test_every_byte_value_is_in_its_class_or_stops_the_run(leaves, name):
    for value in range(256):
        assert leaves.scan(name, bytes([value])) == (value in CLASSES[name]), value


@pytest.mark.parametrize(("name", "filler"), [(n, f) for n in CLASSES for f in FILLERS[n]])
def test_every_length_alignment_place_and_byte(leaves, name, filler):
    allowed = bytes(value in CLASSES[name] for value in range(256))
    # The table has no blocks, so nothing new happens to it beyond a few bytes.
    most = MOST if filler == ord("a") and leaves.build == "simd" else 36
    assert leaves.sweep(list(CLASSES).index(name), allowed, filler, most) == 0


@given(st.binary(max_size=100))
def test_both_builds_agree_on_any_bytes(libraries, data):
    for name in CLASSES:
        lengths = {build.scan(name, data) for build in libraries.values()}
        stop = next((i for i, byte in enumerate(data) if byte not in CLASSES[name]), len(data))
        assert lengths == {stop}


@pytest.mark.parametrize("in_place", [True, False])
def test_lower_makes_ascii_letters_lower_and_leaves_the_rest(leaves, in_place):
    everything = bytes(range(256))
    for length in range(80):
        for start in range(0, 256 - length, 7):
            data = everything[start : start + length]
            assert leaves.lower(data, in_place=in_place) == data.lower()


def test_equal_nocase_takes_ascii_letters_alone_as_equal(leaves):
    for length in (*range(10), 15, 16, 17, 23, 39):
        text = (b"content-length-and-more-header-name-text" * 2)[:length]
        assert leaves.equal_nocase(text, text) == 1
        assert leaves.equal_nocase(text.upper(), text) == 1
        for at in range(length):
            for byte in range(256):
                other = text[:at] + bytes([byte]) + text[at + 1 :]
                assert leaves.equal_nocase(other, text) == (other.lower() == text)
