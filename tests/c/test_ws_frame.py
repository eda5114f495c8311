"""fs_ws_frame: every head, byte by byte; each error at the byte that shows it."""

from __future__ import annotations

import ctypes
import re
from ctypes import Structure, byref, c_size_t, c_uint, c_uint8, c_uint64, c_void_p

import pytest
from c.conftest import SOURCES, GuardedPage, compile_c

KEY = b"\x01\x80\xff\x00"
UNDER_WAY, DEFLATE = 1, 2
NO_LIMIT = (1 << 63) - 1
CONTROL = (8, 9, 10)


class Head(Structure):
    _fields_ = [
        ("length", c_uint64), ("key", c_uint8 * 4), ("opcode", c_uint8), ("fin", c_uint8),
        ("rsv1", c_uint8),
    ]  # fmt: skip


class Frames:
    """The leaf: bytes in, facts or the name of the answer out."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.fs_ws_write_head.restype = c_size_t
        self.page = GuardedPage()
        text = (SOURCES / "fs_ws_frame.h").read_text()
        pairs = re.findall(r"\bFS_WS_([A-Z_]+) = (-\d+)", text)
        self.names = {int(number): name for name, number in pairs}

    def read(self, data: bytes, allowed: int = 0, most: int = NO_LIMIT):
        """(length, key, opcode, fin, rsv1, bytes used), "MORE" or an error's name."""
        head = Head()
        got = self.library.fs_ws_read_head(
            c_void_p(self.page.put(data)), c_size_t(len(data)), c_uint(allowed), c_uint64(most),
            byref(head),
        )  # fmt: skip
        if got <= 0:
            return self.names[got] if got < 0 else "MORE"
        return head.length, bytes(head.key), head.opcode, head.fin, head.rsv1, got

    def decide(self, data: bytes, allowed: int = 0, most: int = NO_LIMIT):
        """(answer, bytes it took); more bytes behind never change it."""
        for n in range(len(data) + 1):
            got = self.read(data[:n], allowed, most)
            if got != "MORE":
                for behind in (data[n:], b"\x00", b"\xff" * 20):
                    assert self.read(data[:n] + behind, allowed, most) == got
                return got, n
        return "MORE", len(data)

    def write(self, first: int, n: int) -> bytes:
        room = self.page.put(b"\xa5" * 10)
        size = self.library.fs_ws_write_head(c_void_p(room), c_uint8(first), c_uint64(n))
        data = ctypes.string_at(room, 10)
        assert data[size:] == b"\xa5" * (10 - size)
        return data[:size]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    output = tmp_path_factory.mktemp("ws_frame") / "leaf.so"
    compile_c(output, "-O2", "-fPIC", "-shared", SOURCES / "fs_ws_frame.c")
    return Frames(ctypes.CDLL(str(output)))


def head(first: int, length: bytes = b"\x80", key: bytes = KEY) -> bytes:
    return bytes([first]) + length + key


def first_byte_error(first: int, allowed: int) -> str | None:
    """RFC 6455 section 5.2 and RFC 7692 section 6, spelled as a table would."""
    fin, rsv1, others, opcode = first >> 7, first >> 6 & 1, first >> 4 & 3, first & 15
    under_way = bool(allowed & UNDER_WAY)
    if others or (rsv1 and not (allowed & DEFLATE and opcode in (1, 2))):
        return "BAD_RESERVED"
    if opcode not in (0, 1, 2, *CONTROL):
        return "BAD_OPCODE"
    if opcode in CONTROL:
        return None if fin else "CUT_CONTROL"
    if opcode == 0:
        return None if under_way else "NOT_UNDER_WAY"
    return "INTERLEAVED" if under_way else None


@pytest.mark.parametrize("allowed", range(4))
def test_every_first_byte_in_every_state(frames: Frames, allowed: int) -> None:
    for first in range(256):
        got = frames.decide(head(first), allowed)
        error = first_byte_error(first, allowed)
        if error:
            assert got == (error, 1), hex(first)
        else:
            facts = (0, KEY, first & 15, first >> 7, first >> 6 & 1, 6)
            assert got == (facts, 6), hex(first)


def test_an_unmasked_frame_shows_at_the_second_byte(frames: Frames) -> None:
    for second in range(128):
        assert frames.decide(bytes([0x81, second]) + b"\x01" * 12) == ("UNMASKED", 2)


@pytest.mark.parametrize("opcode", CONTROL)
def test_a_long_control_frame_shows_at_the_second_byte(frames: Frames, opcode: int) -> None:
    for second in range(0x80, 0x100):
        got, used = frames.decide(bytes([0x80 | opcode, second]) + KEY, most=0)
        if second > 0xFD:
            assert (got, used) == ("LONG_CONTROL", 2)
        else:
            assert (got[0], used) == (second & 127, 6)


LENGTHS = [
    (b"\x80", 0), (b"\xfd", 125), (b"\xfe\x00\x7e", 126), (b"\xfe\x00\x7f", 127),
    (b"\xfe\x01\x00", 256), (b"\xfe\xff\xff", 65535), (b"\xff\0\0\0\0\0\1\0\0", 65536),
    (b"\xff\0\0\0\0\1\0\0\0", 1 << 24), (b"\xff\0\0\1\0\0\0\0\0", 1 << 40),
    (b"\xff\x7f\xff\xff\xff\xff\xff\xff\xff", NO_LIMIT),
]  # fmt: skip


@pytest.mark.parametrize(("spelled", "length"), LENGTHS)
def test_lengths_in_their_shortest_form(frames: Frames, spelled: bytes, length: int) -> None:
    size = 1 + len(spelled) + 4
    got = frames.decide(head(0x82, spelled))
    assert got == ((length, KEY, 2, 1, 0, size), size)
    assert frames.write(0x82, length) == bytes([0x82, spelled[0] & 127]) + spelled[1:]


@pytest.mark.parametrize(
    ("spelled", "error", "used"),
    [
        (b"\xfe\x00\x00", "LONG_LENGTH", 4),
        (b"\xfe\x00\x7d", "LONG_LENGTH", 4),
        (b"\xff\0\0\0\0\0\0\0\0", "LONG_LENGTH", 8),
        (b"\xff\0\0\0\0\0\0\xff\xff", "LONG_LENGTH", 8),
        (b"\xff\x80\0\0\0\0\0\0\0", "HUGE_LENGTH", 3),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", "HUGE_LENGTH", 3),
    ],
)
def test_other_spellings_of_a_length(frames: Frames, spelled: bytes, error: str, used: int) -> None:
    assert frames.decide(head(0x82, spelled)) == (error, used)


@pytest.mark.parametrize(("spelled", "length"), LENGTHS[1:])
def test_the_limit_shows_with_the_length_before_the_key(
    frames: Frames, spelled: bytes, length: int
) -> None:
    assert frames.decide(head(0x82, spelled), most=length)[0][0] == length
    got = frames.decide(head(0x82, spelled), most=length - 1)
    assert got == ("OVER_LIMIT", 1 + len(spelled))


def test_close_codes(frames: Frames) -> None:
    allowed = {code for code in range(70000) if frames.library.fs_ws_close_code_ok(c_uint(code))}
    registered = set(range(1000, 1015)) - {1004, 1005, 1006}
    assert allowed == registered | set(range(3000, 5000))
