"""fs_hpack: every representation, cut at every byte; integers at their bounds."""

from __future__ import annotations

import ctypes
import re
from ctypes import Structure, byref, c_int64, c_size_t, c_uint, c_uint8, c_uint32, c_void_p

import pytest
from c.conftest import SOURCES, GuardedPage, compile_c
from support import hpack as by_hand
from support.hpack import STATIC, TABLES, indexed, integer, literal, size_update, string

MOST = 0xFFFFFFFF
KINDS = {1: "indexed", 2: "index", 3: "plain", 4: "never", 5: "size"}


class String(Structure):
    _fields_ = [("p", c_void_p), ("n", c_uint32), ("huffman", c_uint8)]


class Item(Structure):
    _fields_ = [("kind", c_uint8), ("index", c_uint32), ("name", String), ("value", String)]


class StaticPair(Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("value", ctypes.c_char_p),
        ("name_len", c_uint8), ("value_len", c_uint8),
    ]  # fmt: skip


class Hpack:
    """The leaf: bytes in, facts or the name of the error out."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.fs_hpack_read.restype = c_int64
        library.fs_hpack_write_integer.restype = c_size_t
        library.fs_hpack_write_string.restype = c_size_t
        library.fs_hpack_static_pair.restype = ctypes.POINTER(StaticPair)
        self.page, self.target = GuardedPage(), GuardedPage()
        text = (SOURCES / "fs_hpack.h").read_text()
        pairs = re.findall(r"\bFS_HPACK_([A-Z_]+) = (-\d+)", text)
        self.names = {int(number): name for name, number in pairs}

    def read_integer(self, data: bytes, prefix: int) -> tuple[int, int] | str:
        """(value, bytes used), or the name of the error."""
        value = c_uint32()
        used = self.library.fs_hpack_read_integer(
            c_void_p(self.page.put(data)), c_size_t(len(data)), c_uint(prefix), byref(value)
        )
        return self.names[used] if used < 0 else (value.value, used)

    def read(self, data: bytes):
        """(kind, index, name or None, value or None, bytes used); strings as they stand."""
        item = Item()
        used = self.library.fs_hpack_read(
            c_void_p(self.page.put(data)), c_size_t(len(data)), byref(item)
        )
        if used < 0:
            return self.names[used]
        kind = KINDS[item.kind]
        literal = kind in ("index", "plain", "never")
        name = self.text(item.name) if literal and item.index == 0 else None
        return kind, item.index, name, self.text(item.value) if literal else None, used

    def text(self, string: String) -> tuple[bytes, bool]:
        return ctypes.string_at(string.p, string.n), bool(string.huffman)

    def decide(self, data: bytes):
        """The answer, which needs every byte and no byte more."""
        for n in range(1, len(data)):
            assert self.read(data[:n]) == "CUT", n
        whole = self.read(data)
        for behind in (b"\x00", b"\xff" * 20):
            assert self.read(data + behind) == whole
        return whole

    def write_integer(self, first: int, prefix: int, value: int) -> bytes:
        place = self.target.put(b"\xa5" * 6)
        size = self.library.fs_hpack_write_integer(
            c_void_p(place), c_uint8(first), c_uint(prefix), c_uint32(value)
        )
        return ctypes.string_at(place, size)

    def write_string(self, text: bytes) -> bytes:
        place = self.target.put(b"\xa5" * (6 + len(text)))
        size = self.library.fs_hpack_write_string(
            c_void_p(place), c_void_p(self.page.put(text)), c_uint32(len(text))
        )
        return ctypes.string_at(place, size)


@pytest.fixture(scope="module")
def leaf(tmp_path_factory: pytest.TempPathFactory) -> Hpack:
    output = tmp_path_factory.mktemp("hpack") / "leaf.so"
    sources = (SOURCES / "fs_hpack.c", SOURCES / "fs_huffman.c")
    compile_c(output, "-O2", "-fPIC", "-shared", *sources)
    return Hpack(ctypes.CDLL(str(output)))


# Integers, section 5.1 -------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "prefix", "data"), [(10, 5, "0a"), (1337, 5, "1f9a0a"), (42, 8, "2a")]
)
def test_the_integers_of_the_rfc(leaf: Hpack, value: int, prefix: int, data: str) -> None:
    assert leaf.write_integer(0, prefix, value).hex() == data
    assert leaf.read_integer(bytes.fromhex(data), prefix) == (value, len(data) // 2)


@pytest.mark.parametrize("prefix", range(1, 9))
def test_integers_are_read_as_they_are_written(leaf: Hpack, prefix: int) -> None:
    most = (1 << prefix) - 1
    edges = {0, 1, most - 1, most, most + 1, most + 127, most + 128, MOST - 1, MOST}
    edges |= {most + (1 << bits) + by for bits in (14, 21, 28, 31) for by in (-1, 0)}
    first = 0xFF & ~most
    for value in edges:
        data = leaf.write_integer(first, prefix, value)
        assert data == integer(value, prefix, first)
        assert leaf.read_integer(data, prefix) == (value, len(data))
        assert leaf.read_integer(data + b"\xff", prefix) == (value, len(data))
        for n in range(len(data)):
            assert leaf.read_integer(data[:n], prefix) == "CUT"


@pytest.mark.parametrize("prefix", range(1, 9))
def test_an_integer_above_32_bits_is_refused(leaf: Hpack, prefix: int) -> None:
    assert leaf.read_integer(integer(MOST, prefix), prefix) == (MOST, 6)
    assert leaf.read_integer(integer(MOST + 1, prefix), prefix) == "BAD_INTEGER"
    assert leaf.read_integer(b"\xff" * 5 + b"\x7f", prefix) == "BAD_INTEGER"


def test_an_integer_may_not_go_on_without_end(leaf: Hpack) -> None:
    zeros = b"\x1f" + b"\x80" * 4 + b"\x00"
    assert leaf.read_integer(zeros, 5) == (31, 6), "zeros that add nothing are allowed"
    assert leaf.read_integer(b"\x1f" + b"\x80" * 5, 5) == "BAD_INTEGER"
    assert leaf.read_integer(b"\x1f" + b"\x80" * 100, 5) == "BAD_INTEGER"
    assert leaf.read_integer(b"\x1f" + b"\x80" * 5 + b"\x00", 5) == "BAD_INTEGER"


# Representations, section 6 --------------------------------------------------


def test_the_representations_of_the_rfc(leaf: Hpack) -> None:
    for data, expected in (
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572",
         ("index", 0, (b"custom-key", False), (b"custom-header", False))),
        ("040c2f73616d706c652f70617468", ("plain", 4, None, (b"/sample/path", False))),
        ("100870617373776f726406736563726574",
         ("never", 0, (b"password", False), (b"secret", False))),
        ("82", ("indexed", 2, None, None)),
    ):  # fmt: skip
        assert leaf.decide(bytes.fromhex(data)) == (*expected, len(data) // 2)


@pytest.mark.parametrize("kind", ["index", "plain", "never"])
@pytest.mark.parametrize("coded", [False, True])
def test_a_literal_of_each_kind(leaf: Hpack, kind: str, coded: bool) -> None:
    for name in (b"", b"x", b"a-name" * 40):
        for value in (b"", b"y", b"some value " * 40):
            data = literal(name, value, kind, coded=coded)
            shown = by_hand.huffman if coded else bytes
            assert leaf.decide(data) == (
                kind, 0, (shown(name), coded), (shown(value), coded), len(data)
            )  # fmt: skip
    for index in (1, 14, 15, 61, 62, 63, 64, 5000, MOST):
        data = literal(index, b"value", kind)
        assert leaf.decide(data) == (kind, index, None, (b"value", False), len(data))


def test_an_index_and_a_size_of_each_length(leaf: Hpack) -> None:
    for value in (1, 30, 31, 61, 62, 126, 127, 128, 4096, MOST):
        data = indexed(value)
        assert leaf.decide(data) == ("indexed", value, None, None, len(data))
        data = size_update(value)
        assert leaf.decide(data) == ("size", value, None, None, len(data))
    assert leaf.decide(size_update(0)) == ("size", 0, None, None, 1)


def test_the_index_0_is_no_field(leaf: Hpack) -> None:
    assert leaf.read(b"\x80") == "BAD_INDEX"


@pytest.mark.parametrize("first", [0xFF, 0x7F, 0x3F, 0x1F, 0x0F])
def test_an_integer_too_large_in_each_kind(leaf: Hpack, first: int) -> None:
    assert leaf.read(bytes([first]) + b"\xff" * 5 + b"\x01") == "BAD_INTEGER"


@pytest.mark.parametrize("first", [0x40, 0x00, 0x10])
def test_a_string_longer_than_the_block_is_cut(leaf: Hpack, first: int) -> None:
    for length in (4, 200, MOST - 1, MOST):
        assert leaf.read(bytes([first]) + integer(length, 7) + b"abc") == "CUT"
        assert leaf.read(bytes([first | 1]) + integer(length, 7, 0x80) + b"abc") == "CUT"
    assert leaf.read(bytes([first]) + b"\x7f" + b"\xff" * 6) == "BAD_INTEGER"
    assert leaf.read(bytes([first]) + b"\x01a" + b"\x7f" + b"\xff" * 6) == "BAD_INTEGER"


# Writing ---------------------------------------------------------------------


def test_a_string_is_written_in_its_shorter_form(leaf: Hpack) -> None:
    for text in (b"", b"a", b"0", b"~", b"\xff" * 3, b"text/html; charset=utf-8", b"a" * 300):
        written = leaf.write_string(text)
        forms = string(text), string(text, coded=True)
        assert written in forms
        assert len(written) == min(map(len, forms))
    assert leaf.write_string(b"&&") == string(b"&&"), "no gain, no code"


def test_the_static_table_is_the_rfcs(leaf: Hpack) -> None:
    for index, (name, value) in enumerate(STATIC, 1):
        pair = leaf.library.fs_hpack_static_pair(c_uint(index)).contents
        assert (pair.name, pair.value) == (name, value)
        assert (pair.name_len, pair.value_len) == (len(name), len(value))
    assert (len(STATIC), STATIC[0], STATIC[60]) == (61, (b":authority", b""),
                                                    (b"www-authenticate", b""))  # fmt: skip


def test_the_tables_are_what_the_tool_makes() -> None:
    assert TABLES.HEADER.read_text() == TABLES.made()
