"""FrameReader: each type of frame, and each way in which one can be wrong by itself."""

from __future__ import annotations

import pytest
from native.http2 import bytes_until_error, bytewise, error_of, events_of, feed
from support.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PRIORITY_UPDATE,
    PUSH,
    RESET,
    SETTINGS,
    WINDOW,
    frame,
    settings,
)

from fastserve._native.http2 import writer
from fastserve._native.http2.frames import FrameReader

PROTOCOL, FLOW, SIZE, CALM = 1, 3, 6, 11
WHOLE = END_HEADERS | END_STREAM
RESERVED = 1 << 31


# section 3.4: the preface


def test_the_preface_is_a_magic_word_and_settings() -> None:
    assert events_of(PREFACE + settings(), preface=True) == [("settings", b"")]
    assert events_of(PREFACE, preface=True) == []


@pytest.mark.parametrize("at", range(len(PREFACE)))
def test_another_preface_fails_at_its_first_wrong_byte(at: int) -> None:
    wrong = PREFACE[:at] + bytes([PREFACE[at] ^ 1])
    assert feed([wrong[:-1]]) == []
    assert feed([wrong]) == [("error", PROTOCOL, "not HTTP/2", 0)]


@pytest.mark.parametrize(
    "first",
    [
        frame(SETTINGS, ACK), frame(PING, payload=bytes(8)), frame(HEADERS, WHOLE, 1, b"x"),
        frame(77), frame(WINDOW, payload=b"\0\0\0\1"),
    ],
)  # fmt: skip
def test_the_first_frame_must_be_settings(first: bytes) -> None:
    assert error_of(PREFACE + first, preface=True) == (PROTOCOL, 0)
    assert error_of(first + settings(), preface=True)[1] == 0


# section 4.1: heads


def test_the_reserved_bit_is_ignored() -> None:
    data = frame(DATA, 0, RESERVED | 1, b"ab") + frame(PING, 0, RESERVED, bytes(8))
    assert events_of(data) == [("data", 1, b"ab", 2, False), ("ping", bytes(8))]
    update = frame(WINDOW, 0, 3, (RESERVED | 5).to_bytes(4))
    assert events_of(update) == [("window", 3, 5)]


def test_flags_that_a_type_does_not_have_are_ignored() -> None:
    assert events_of(frame(PING, 0xFE, 0, bytes(8))) == [("ping", bytes(8))]
    assert events_of(frame(RESET, 0xFF, 1, bytes(4))) == [("reset", 1, 0)]
    assert events_of(frame(WINDOW, 0xFF, 0, b"\0\0\0\1")) == [("window", 0, 1)]
    assert events_of(frame(DATA, 0xF6, 1, b"ab")) == [("data", 1, b"ab", 2, False)]


@pytest.mark.parametrize("kind", [10, 15, 17, 77, 255])
@pytest.mark.parametrize("stream", [0, 1])
def test_frames_of_unknown_types_are_passed_over(kind: int, stream: int) -> None:
    data = frame(kind, 0xFF, stream, b"junk" * 5) + frame(kind) + frame(PING, payload=bytes(8))
    assert events_of(data) == [("unknown", kind)] * 2 + [("ping", bytes(8))]


# section 4.2: sizes


@pytest.mark.parametrize(
    "kind", [DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, PRIORITY_UPDATE, 77]
)
def test_a_frame_above_the_size_we_take_fails_at_its_head(kind: int) -> None:
    stream = 1 if kind in (DATA, HEADERS, PRIORITY, RESET) else 0
    for size in (16385, 16386, (1 << 24) - 1):
        head = frame(kind, 0, stream, length=size)
        assert error_of(head) == (SIZE, 0)
        assert bytes_until_error(head) == 9


def test_the_size_we_take_is_what_we_said() -> None:
    reader = FrameReader(20000, preface=False)
    reader.feed(settings())
    data = frame(DATA, 0, 1, b"x" * 20000)
    assert reader.feed(data) == [("data", 1, b"x" * 20000, 20000, False)]
    assert reader.feed(frame(DATA, 0, 1, length=20001))[0][:2] == ("error", SIZE)


# section 6.1: DATA


def test_data() -> None:
    assert events_of(frame(DATA, 0, 1, b"hello")) == [("data", 1, b"hello", 5, False)]
    assert events_of(frame(DATA, END_STREAM, 7, b"hello")) == [("data", 7, b"hello", 5, True)]
    assert events_of(frame(DATA, 0, 1)) == [("data", 1, b"", 0, False)]
    assert events_of(frame(DATA, END_STREAM, 1)) == [("data", 1, b"", 0, True)]


@pytest.mark.parametrize("content", [b"", b"x", b"hello"])
@pytest.mark.parametrize("padding", [0, 1, 9, 255])
def test_padding_is_charged_and_not_handed_on(content: bytes, padding: int) -> None:
    payload = bytes([padding]) + content + b"\0" * padding
    data = frame(DATA, PADDED | END_STREAM, 1, payload) + frame(PING, payload=bytes(8))
    expected = [("data", 1, content, len(payload), True), ("ping", bytes(8))]
    reader = FrameReader(preface=False)
    reader.feed(settings())
    assert reader.feed(data) == expected
    if padding < 20:
        assert events_of(data) == expected


def test_the_whole_frame_is_charged_with_its_first_byte() -> None:
    reader = FrameReader(preface=False)
    reader.feed(settings())
    got = [reader.feed(byte) for byte in bytewise(frame(DATA, PADDED | 1, 1, b"\2abcpp"))]
    assert got[:10] == [[]] * 10
    assert got[10:] == [
        [("data", 1, b"a", 6, False)], [("data", 1, b"b", 0, False)],
        [("data", 1, b"c", 0, True)], [], [],
    ]  # fmt: skip


@pytest.mark.parametrize("payload", [b"\1", b"\3ab", b"\xff" + b"x" * 254])
def test_padding_as_long_as_the_frame_costs_the_connection(payload: bytes) -> None:
    data = frame(DATA, PADDED, 1, payload)
    assert error_of(data) == (PROTOCOL, 0)
    assert bytes_until_error(data) == 10


def test_padded_data_without_a_length_of_padding_is_too_small() -> None:
    assert error_of(frame(DATA, PADDED, 1)) == (SIZE, 0)


def test_data_never_waits() -> None:
    reader = FrameReader(1 << 20, preface=False)
    reader.feed(settings())
    assert reader.feed(frame(DATA, 0, 1, length=1 << 20)) == []
    for _ in range(3):
        assert reader.feed(b"x" * 5000)[0][2] == b"x" * 5000
    assert not reader.begun


# sections 6.2 and 6.10: HEADERS and CONTINUATION


def test_headers() -> None:
    assert events_of(frame(HEADERS, END_HEADERS, 1, b"ab")) == [("headers", 1, b"ab", False)]
    assert events_of(frame(HEADERS, WHOLE, 3, b"ab")) == [("headers", 3, b"ab", True)]
    assert events_of(frame(HEADERS, WHOLE, 3)) == [("headers", 3, b"", True)]


@pytest.mark.parametrize("padding", [0, 1, 20])
@pytest.mark.parametrize("priority", [b"", b"\x80\0\0\1\xff"])
def test_padding_and_priority_are_no_part_of_a_block(padding: int, priority: bytes) -> None:
    flags = WHOLE | PADDED | (PRIORITIZED if priority else 0)
    for block in (b"", b"block"):
        payload = bytes([padding]) + priority + block + b"\0" * padding
        assert events_of(frame(HEADERS, flags, 5, payload)) == [("headers", 5, block, True)]
    flags &= ~PADDED
    assert events_of(frame(HEADERS, flags, 5, priority + b"x")) == [("headers", 5, b"x", True)]


@pytest.mark.parametrize(
    ("flags", "payload", "code"),
    [
        (PADDED, b"", SIZE),
        (PRIORITIZED, b"1234", SIZE),
        (PADDED | PRIORITIZED, b"\x0012345"[:5], SIZE),
        (PADDED, b"\1", PROTOCOL),
        (PADDED, b"\3ab", PROTOCOL),
        (PADDED | PRIORITIZED, b"\x0112345", PROTOCOL),
        (PADDED | PRIORITIZED, b"\x0412345abc", PROTOCOL),
    ],
)
def test_headers_too_small_for_what_they_announce(flags: int, payload: bytes, code: int) -> None:
    for more in (0, END_HEADERS):
        assert error_of(frame(HEADERS, flags | more, 1, payload)) == (code, 0)


def test_a_block_may_go_on_in_continuations() -> None:
    data = (
        frame(HEADERS, END_STREAM | PADDED, 1, b"\2abpp")
        + frame(CONTINUATION, 0, 1, b"cd")
        + frame(CONTINUATION, 0, 1)
        + frame(CONTINUATION, END_HEADERS, 1, b"e")
        + frame(HEADERS, 0, 3)
        + frame(CONTINUATION, END_HEADERS | END_STREAM, 3)
        + frame(HEADERS, WHOLE, 5, b"x")
    )
    assert events_of(data) == [
        ("headers", 1, b"abcde", True),
        ("headers", 3, b"", False),
        ("headers", 5, b"x", True),
    ]


@pytest.mark.parametrize(
    "between",
    [
        frame(DATA, 0, 1, b"x"), frame(HEADERS, WHOLE, 1), frame(HEADERS, WHOLE, 3),
        frame(PRIORITY, 0, 1, bytes(5)), frame(RESET, 0, 1, bytes(4)), settings(),
        frame(PUSH, 0, 1), frame(PING, payload=bytes(8)), frame(GOAWAY, payload=bytes(8)),
        frame(WINDOW, 0, 1, b"\0\0\0\1"), frame(CONTINUATION, 0, 3), frame(CONTINUATION, 0, 0),
        frame(PRIORITY_UPDATE, payload=b"\0\0\0\1"), frame(77, 0, 1), frame(77),
    ],
)  # fmt: skip
def test_nothing_comes_inside_a_block(between: bytes) -> None:
    start = frame(HEADERS, 0, 1, b"ab") + frame(CONTINUATION, 0, 1, b"cd")
    assert error_of(start + between) == (PROTOCOL, 0)
    assert bytes_until_error(start + between) == len(start) + 9


def test_continuations_need_a_block() -> None:
    assert error_of(frame(CONTINUATION, END_HEADERS, 1, b"x")) == (PROTOCOL, 0)
    after = frame(HEADERS, WHOLE, 1, b"x") + frame(CONTINUATION, END_HEADERS, 1, b"y")
    assert error_of(after) == (PROTOCOL, 0)


def test_a_block_is_bounded_in_bytes_before_they_come() -> None:
    options = {"block_most": 100}
    fits = frame(HEADERS, WHOLE, 1, b"x" * 100)
    assert events_of(fits, **options) == [("headers", 1, b"x" * 100, True)]
    one = frame(HEADERS, WHOLE, 1, length=101)
    assert error_of(one, **options) == (CALM, 0)
    assert bytes_until_error(one, **options) == 9
    parts = frame(HEADERS, 0, 1, b"x" * 60) + frame(CONTINUATION, 0, 1, b"y" * 40)
    assert error_of(parts + frame(CONTINUATION, 0, 1, length=1), **options) == (CALM, 0)
    block = ("headers", 1, b"x" * 60 + b"y" * 40, False)
    assert events_of(parts + frame(CONTINUATION, END_HEADERS, 1), **options) == [block]
    again = frame(HEADERS, 0, 3, b"x" * 60) + frame(CONTINUATION, END_HEADERS, 3, b"y" * 40)
    whole = parts + frame(CONTINUATION, END_HEADERS, 1) + again
    assert events_of(whole, **options) == [block, ("headers", 3, block[2], False)]


def test_a_block_is_bounded_in_frames() -> None:
    head = frame(HEADERS, 0, 1, b"x")
    most = head + frame(CONTINUATION, 0, 1) * 31
    got = feed([settings(), most + frame(CONTINUATION, END_HEADERS, 1)], preface=False)
    assert got[1:] == [("headers", 1, b"x", False)]
    over = [settings(), most + frame(CONTINUATION, 0, 1) * 2]
    assert feed(over, preface=False)[1:] == [
        ("error", CALM, "too many CONTINUATION frames", 0)
    ]  # fmt: skip


# section 6.3: PRIORITY


def test_priority_means_nothing_but_its_size() -> None:
    assert events_of(frame(PRIORITY, 0, 9, bytes(5))) == [("priority", 9)]
    assert events_of(frame(PRIORITY, 0, 9, (9).to_bytes(4) + b"\0")) == [("priority", 9)]


@pytest.mark.parametrize("size", [0, 1, 4, 6, 20])
def test_priority_of_another_size_costs_its_stream_alone(size: int) -> None:
    data = frame(PRIORITY, 0, 9, b"\xff" * size) + frame(PING, payload=bytes(8))
    assert events_of(data) == [
        ("error", SIZE, "PRIORITY of a wrong size", 9), ("ping", bytes(8)),
    ]  # fmt: skip


# section 6.4: RST_STREAM


def test_reset() -> None:
    assert events_of(frame(RESET, 0, 3, b"\0\0\0\x08")) == [("reset", 3, 8)]
    assert events_of(frame(RESET, 0, 3, b"\xff\xff\xff\xff")) == [("reset", 3, 0xFFFFFFFF)]


# section 6.5: SETTINGS


def test_settings_are_handed_on_whole() -> None:
    data = settings({3: 100, 4: 65535, 0x0A0A: 7})
    assert events_of(data) == [("settings", data[9:])]
    assert events_of(settings() + frame(SETTINGS, ACK)) == [("settings", b""), ("settings_ack",)]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (2, 2, PROTOCOL), (2, 0xFFFFFFFF, PROTOCOL), (9, 2, PROTOCOL),
        (4, 1 << 31, FLOW), (4, 0xFFFFFFFF, FLOW),
        (5, 0, PROTOCOL), (5, 16383, PROTOCOL), (5, 1 << 24, PROTOCOL),
    ],
)  # fmt: skip
def test_a_setting_out_of_its_range_costs_the_connection(name: int, value: int, code: int) -> None:
    assert error_of(settings({1: 0, name: value, 3: 1})) == (code, 0)
    assert error_of(PREFACE + settings({name: value}), preface=True) == (code, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [(1, 0), (1, 0xFFFFFFFF), (2, 0), (2, 1), (3, 0), (4, 0), (4, 0x7FFFFFFF), (5, 16384),
     (5, 0xFFFFFF), (6, 0), (8, 7), (9, 0), (9, 1), (0xFFFF, 0xFFFFFFFF)],
)  # fmt: skip
def test_settings_within_their_ranges(name: int, value: int) -> None:
    data = settings({name: value})
    assert events_of(data) == [("settings", data[9:])]


def test_what_waits_in_memory_is_bounded_whatever_frames_we_take() -> None:
    for kind in (SETTINGS, PRIORITY_UPDATE):
        head = frame(kind, length=16386)
        assert error_of(head, frame_most=1 << 20) == (CALM, 0)
        assert bytes_until_error(head, frame_most=1 << 20) == 9


# sections 6.6 to 6.9


def test_a_client_cannot_push() -> None:
    assert error_of(frame(PUSH, END_HEADERS, 1, b"\0\0\0\2x")) == (PROTOCOL, 0)


def test_pings() -> None:
    data = frame(PING, 0, 0, b"12345678") + frame(PING, ACK, 0, b"87654321")
    assert events_of(data) == [("ping", b"12345678"), ("ping_ack", b"87654321")]


def test_goaway_with_words_of_any_length() -> None:
    for words in (b"", b"bye", b"x" * 3000):
        payload = b"\0\0\0\7\0\0\0\2" + words
        got = feed([settings() + frame(GOAWAY, 0, 0, payload) + settings()], preface=False)
        assert got[1:] == [("goaway", 2), ("settings", b"")]
    assert events_of(frame(GOAWAY, 0, 0, bytes(8) + b"words")) == [("goaway", 0)]


def test_window_updates() -> None:
    data = frame(WINDOW, payload=b"\0\0\0\1") + frame(WINDOW, 0, 3, b"\x7f\xff\xff\xff")
    assert events_of(data) == [("window", 0, 1), ("window", 3, 0x7FFFFFFF)]


@pytest.mark.parametrize("nothing", [bytes(4), b"\x80\0\0\0"])
def test_a_window_update_of_nothing_costs_what_it_is_about(nothing: bytes) -> None:
    assert error_of(frame(WINDOW, 0, 0, nothing)) == (PROTOCOL, 0)
    data = frame(WINDOW, 0, 3, nothing) + frame(PING, payload=bytes(8))
    assert events_of(data) == [("error", PROTOCOL, "WINDOW_UPDATE of 0", 3), ("ping", bytes(8))]


# RFC 9218 section 7.1: PRIORITY_UPDATE


def test_priority_updates() -> None:
    data = frame(PRIORITY_UPDATE, 0, 0, b"\x80\0\0\5u=1, i") + frame(
        PRIORITY_UPDATE, 0, 0, b"\0\0\0\7"
    )
    assert events_of(data) == [("priority_update", 5, b"u=1, i"), ("priority_update", 7, b"")]
    assert error_of(frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1")) == (PROTOCOL, 0)


# streams and sizes of each type, sections 6.1 to 6.10


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (RESET, [0, 3, 5]), (SETTINGS, [1, 5, 7]), (PING, [0, 7, 9]), (GOAWAY, [0, 7]),
        (WINDOW, [0, 3, 5]), (PRIORITY_UPDATE, [0, 3]),
    ],
)  # fmt: skip
def test_other_sizes_than_a_type_has_cost_the_connection(kind: int, sizes: list[int]) -> None:
    stream = 1 if kind == RESET else 0
    for size in sizes:
        data = frame(kind, 0, stream, bytes(size))
        assert error_of(data) == (SIZE, 0)
        assert bytes_until_error(data) == 9


def test_an_acknowledgement_has_no_settings() -> None:
    assert error_of(frame(SETTINGS, ACK, 0, bytes(6))) == (SIZE, 0)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [(DATA, b"x"), (HEADERS, b"x"), (PRIORITY, bytes(5)), (RESET, bytes(4))],
)
def test_frames_of_a_stream_need_one(kind: int, payload: bytes) -> None:
    assert error_of(frame(kind, END_HEADERS, 0, payload)) == (PROTOCOL, 0)
    assert bytes_until_error(frame(kind, END_HEADERS, RESERVED, payload)) == 9


@pytest.mark.parametrize(
    ("kind", "payload"),
    [(SETTINGS, b""), (PING, bytes(8)), (GOAWAY, bytes(8)), (PRIORITY_UPDATE, b"\0\0\0\1")],
)
def test_frames_of_the_connection_have_no_stream(kind: int, payload: bytes) -> None:
    assert error_of(frame(kind, 0, 1, payload)) == (PROTOCOL, 0)
    assert error_of(frame(kind, 0, 0x7FFFFFFF, payload)) == (PROTOCOL, 0)


# what the channel asks


def test_it_tells_whether_something_has_begun() -> None:
    reader = FrameReader()
    told = []
    stream = (
        PREFACE + settings({3: 1}) + frame(HEADERS, 0, 1, b"ab") + frame(CONTINUATION, 4, 1, b"c")
    )
    for byte in bytewise(stream):
        reader.feed(byte)
        told.append(reader.begun)
    ends = [24, 24 + 15, len(stream)]
    assert [at for at, begun in enumerate(told, 1) if not begun] == ends
    for byte in bytewise(frame(77, payload=b"x")):
        reader.feed(byte)
        told.append(reader.begun)
    assert told[-10:] == [True] * 9 + [False]


def test_data_under_way_is_nothing_that_has_begun() -> None:
    reader = FrameReader(preface=False)
    reader.feed(settings())
    told = []
    for byte in bytewise(frame(DATA, PADDED, 1, b"\2abcpp")):
        reader.feed(byte)
        told.append(reader.begun)
    assert told == [True] * 8 + [False] * 7


# our own frames


def test_our_frames_are_read_as_they_are_written() -> None:
    data = (
        writer.settings([(3, 100), (4, 1 << 20)])
        + writer.settings_ack()
        + writer.ping(b"12345678", False)
        + writer.ping(b"12345678", True)
        + writer.frame(HEADERS, WHOLE, 1, b"block")
        + writer.frame(DATA, END_STREAM, 1, b"x" * 5000)
        + writer.reset(3, 8)
        + writer.window(0, 0x7FFFFFFF)
        + writer.window(5, 1)
        + writer.goaway(0x7FFFFFFF, 11, b"calm")
    )
    assert feed([data], preface=False) == [
        ("settings", b"\0\3\0\0\0\x64\0\4\0\x10\0\0"), ("settings_ack",),
        ("ping", b"12345678"), ("ping_ack", b"12345678"),
        ("headers", 1, b"block", True), ("data", 1, b"x" * 5000, 5000, True),
        ("reset", 3, 8), ("window", 0, 0x7FFFFFFF), ("window", 5, 1), ("goaway", 11),
    ]  # fmt: skip


def test_our_frames_are_those_of_the_standard() -> None:
    assert writer.settings([]) == settings()
    assert writer.settings([(8, 1), (3, 7)]) == settings({8: 1, 3: 7})
    assert writer.settings_ack() == frame(SETTINGS, ACK)
    assert writer.reset(0x7FFFFFFF, 14) == frame(RESET, 0, 0x7FFFFFFF, b"\0\0\0\x0e")
    assert writer.goaway(5, 1, b"why") == frame(GOAWAY, 0, 0, b"\0\0\0\5\0\0\0\1why")
    assert writer.frame(0xAB, 0xCD, 0x01020304, b"x" * 70000) == frame(
        0xAB, 0xCD, 0x01020304, b"x" * 70000
    )
