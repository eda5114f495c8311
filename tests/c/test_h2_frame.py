"""fs_h2_frame: heads of every kind, what is wrong with them, and settings."""

from __future__ import annotations

import ctypes
import re
from ctypes import Structure, byref, c_uint8, c_uint16, c_uint32, c_void_p

import pytest
from c.conftest import SOURCES, GuardedPage, compile_c

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = range(9)
CONTINUATION, PRIORITY_UPDATE = 9, 16
ACK, PADDED, HAS_PRIORITY = 0x01, 0x08, 0x20
MOST = 16384


class Head(Structure):
    _fields_ = [
        ("length", c_uint32), ("stream", c_uint32), ("type", c_uint8), ("flags", c_uint8),
    ]  # fmt: skip


class Frames:
    """The leaf: bytes in, facts or the name of the answer out."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.page = GuardedPage()
        text = (SOURCES / "fs_h2_frame.h").read_text()
        self.values = {
            name: int(number, 0) for name, number in re.findall(r"\bFS_H2_(\w+) = (-?\w+)", text)
        }
        self.names = {value: name for name, value in self.values.items() if value < 0}

    def read(self, data: bytes) -> tuple[int, int, int, int]:
        head = Head()
        self.library.fs_h2_read_head(c_void_p(self.page.put(data)), byref(head))
        return head.length, head.type, head.flags, head.stream

    def write(self, length: int, kind: int, flags: int, stream: int) -> bytes:
        room = self.page.put(b"\xa5" * 9)
        self.library.fs_h2_write_head(
            c_void_p(room), c_uint32(length), c_uint8(kind), c_uint8(flags), c_uint32(stream)
        )
        return ctypes.string_at(room, 9)

    def check(self, kind: int, length: int, *, flags: int = 0, stream: int = 0, block: int = 0):
        """The name of what is wrong, or None."""
        head = Head(length, stream, kind, flags)
        got = self.library.fs_h2_check_head(byref(head), c_uint32(MOST), c_uint32(block))
        return self.names[got] if got else None

    def lengths(self, kind: int, *, flags: int = 0, stream: int = 0) -> set[int]:
        """The lengths to 30 that are not wrong."""
        return {n for n in range(31) if self.check(kind, n, flags=flags, stream=stream) is None}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    output = tmp_path_factory.mktemp("h2_frame") / "leaf.so"
    compile_c(output, "-O2", "-fPIC", "-shared", SOURCES / "fs_h2_frame.c")
    return Frames(ctypes.CDLL(str(output)))


HEADS = [
    (b"\0\0\0\0\0\0\0\0\0", (0, 0, 0, 0)),
    (b"\0\0\x05\x01\x25\0\0\0\x01", (5, HEADERS, 0x25, 1)),
    (b"\x01\x02\x03\x10\xff\x7f\xff\xff\xff", (0x010203, 16, 0xFF, 0x7FFFFFFF)),
    (b"\xff\xff\xff\xff\0\x01\x02\x03\x04", ((1 << 24) - 1, 0xFF, 0, 0x01020304)),
]


@pytest.mark.parametrize(("data", "facts"), HEADS)
def test_heads_are_read_and_written(frames: Frames, data: bytes, facts: tuple[int, ...]) -> None:
    assert frames.read(data) == facts
    assert frames.write(*facts) == data


def test_the_reserved_bit_is_not_part_of_the_stream(frames: Frames) -> None:
    assert frames.read(b"\0\0\0\0\0\x80\0\0\x07") == (0, 0, 0, 7)
    assert frames.read(b"\0\0\0\0\0\xff\xff\xff\xff") == (0, 0, 0, 0x7FFFFFFF)


ALL = set(range(31))


@pytest.mark.parametrize(
    ("kind", "flags", "stream", "allowed"),
    [
        (DATA, 0, 1, ALL),
        (DATA, PADDED, 1, ALL - {0}),
        (DATA, HAS_PRIORITY, 1, ALL),
        (HEADERS, 0, 1, ALL),
        (HEADERS, PADDED, 1, ALL - {0}),
        (HEADERS, HAS_PRIORITY, 1, ALL - set(range(5))),
        (HEADERS, PADDED | HAS_PRIORITY, 1, ALL - set(range(6))),
        (PRIORITY, 0, 1, {5}),
        (RST_STREAM, 0, 1, {4}),
        (SETTINGS, 0, 0, {0, 6, 12, 18, 24, 30}),
        (SETTINGS, ACK, 0, {0}),
        (PING, 0, 0, {8}),
        (PING, ACK, 0, {8}),
        (GOAWAY, 0, 0, ALL - set(range(8))),
        (WINDOW_UPDATE, 0, 0, {4}),
        (WINDOW_UPDATE, 0, 1, {4}),
        (PRIORITY_UPDATE, 0, 0, ALL - set(range(4))),
        (10, 0xFF, 0, ALL),
        (0xFF, 0, 1, ALL),
    ],
)
def test_lengths_that_a_type_may_have(
    frames: Frames, kind: int, flags: int, stream: int, allowed: set[int]
) -> None:
    assert frames.lengths(kind, flags=flags, stream=stream) == allowed
    wrong = "BAD_PRIORITY" if kind == PRIORITY else "BAD_LENGTH"
    for n in ALL - allowed:
        assert frames.check(kind, n, flags=flags, stream=stream) == wrong


RIGHT = {PRIORITY: 5, RST_STREAM: 4, PING: 8, GOAWAY: 8, WINDOW_UPDATE: 4, PRIORITY_UPDATE: 4}
ON_STREAM = {DATA, HEADERS, PRIORITY, RST_STREAM}
ON_CONNECTION = {SETTINGS, PING, GOAWAY, PRIORITY_UPDATE}


def test_streams_that_a_type_may_have(frames: Frames) -> None:
    for kind in range(256):
        if kind in (PUSH_PROMISE, CONTINUATION):
            expected = ["PUSHED" if kind == PUSH_PROMISE else "NO_BLOCK"] * 2
        else:
            expected = [
                "NO_STREAM" if kind in ON_STREAM else None,
                "ON_STREAM" if kind in ON_CONNECTION else None,
            ]
        n = RIGHT.get(kind, 0)
        assert [frames.check(kind, n, stream=stream) for stream in (0, 1)] == expected
        assert frames.check(kind, n, stream=0x7FFFFFFF) == expected[1]


def test_no_type_may_be_longer_than_we_take(frames: Frames) -> None:
    for kind in range(256):
        block = 1 if kind == CONTINUATION else 0
        stream = 0 if kind in ON_CONNECTION else 1
        assert frames.check(kind, MOST + 1, stream=stream, block=block) == "LONG_FRAME"
        assert frames.check(kind, MOST, stream=stream, block=block) != "LONG_FRAME"


def test_only_its_own_continuation_may_be_inside_a_block(frames: Frames) -> None:
    for kind in range(256):
        for stream in (0, 1, 3):
            answer = frames.check(kind, RIGHT.get(kind, 0), stream=stream, block=3)
            right = kind == CONTINUATION and stream == 3
            assert answer == (None if right else "INTERLEAVED")


def test_settings_have_their_ranges(frames: Frames) -> None:
    values = frames.values
    wrong = values["PROTOCOL_ERROR"]
    flow = values["FLOW_CONTROL_ERROR"]
    table = {
        values["ENABLE_PUSH"]: {0: 0, 1: 0, 2: wrong, 0xFFFFFFFF: wrong},
        values["NO_RFC7540_PRIORITIES"]: {0: 0, 1: 0, 2: wrong, 0xFFFFFFFF: wrong},
        values["INITIAL_WINDOW_SIZE"]: {0: 0, 0x7FFFFFFF: 0, 0x80000000: flow, 0xFFFFFFFF: flow},
        values["MAX_FRAME_SIZE"]: {
            0: wrong, 16383: wrong, 16384: 0, (1 << 24) - 1: 0, 1 << 24: wrong,
        },
    }  # fmt: skip
    for other in (0, 1, 3, 6, 7, 8, 10, 0x0A0A, 0xFFFF):
        table[other] = {0: 0, 0xFFFFFFFF: 0}
    check = frames.library.fs_h2_check_setting
    for name, cases in table.items():
        for value, expected in cases.items():
            assert check(c_uint16(name), c_uint32(value)) == expected, (name, value)


def test_the_numbers_are_those_of_the_standards(frames: Frames) -> None:
    hyperframe = pytest.importorskip("hyperframe.frame")
    by_name = {name.replace("_", ""): value for name, value in frames.values.items()}
    names = {"DATA", "RSTSTREAM", "PUSHPROMISE", "WINDOWUPDATE", "GOAWAY", "CONTINUATION"}
    for kind, each in hyperframe.FRAMES.items():
        if kind <= CONTINUATION:
            name = each.__name__.removesuffix("Frame").upper()
            assert by_name[name] == kind
            names.discard(name)
    assert not names
    settings = (
        "HEADER_TABLE_SIZE ENABLE_PUSH MAX_CONCURRENT_STREAMS MAX_FRAME_SIZE "
        "INITIAL_WINDOW_SIZE MAX_HEADER_LIST_SIZE ENABLE_CONNECT_PROTOCOL"
    )
    for name in settings.split():
        assert frames.values[name] == getattr(hyperframe.SettingsFrame, name)
    codes = pytest.importorskip("h2.errors").ErrorCodes
    assert {frames.values[code.name] for code in codes} == set(range(14))
    assert all(frames.values[code.name] == code for code in codes)
