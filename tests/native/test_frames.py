"""FrameParser: framing, control frames, fragments, close and limits.

The numbers in names and comments are the families of the Autobahn test suite.
"""

from __future__ import annotations

import itertools
import random
import struct

import pytest
from native.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    MAX_SIZE,
    PING,
    PONG,
    TEXT,
    bytes_until_error,
    bytewise,
    close,
    error_of,
    events_of,
    feed,
    frame,
    length_bytes,
    masked,
    message,
)

from fastserve._native.websocket.frames import FrameParser

NAMES = {TEXT: "text", BINARY: "binary", PING: "ping", PONG: "pong"}


def value(opcode: int, data: bytes) -> str | bytes:
    return data.decode() if opcode == TEXT else data


# 1: framing


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 15, 16, 17, 125, 126, 127, 128, 400])
def test_messages_of_every_size_of_head(opcode: int, n: int) -> None:
    data = (b"*0aZ" * n)[:n]
    event = (NAMES[opcode], value(opcode, data))
    assert events_of(frame(opcode, data)) == [event]
    assert events_of(frame(opcode, data) * 2) == [event] * 2


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("n", [65535, 65536, 300_000])
def test_large_messages_in_reads_of_any_size(opcode: int, n: int) -> None:
    data = (bytes(range(128)) * (n // 128 + 1))[:n]
    stream = frame(opcode, data) + frame(PING, b"after")
    expected = [(NAMES[opcode], value(opcode, data)), ("ping", b"after")]
    assert feed([stream]) == expected
    for step in (997, 4096, 65536):
        pieces = [stream[i : i + step] for i in range(0, len(stream), step)]
        assert feed(pieces) == expected, step


@pytest.mark.parametrize("key", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0\0\x01"])
def test_any_key_takes_off_its_mask(key: bytes) -> None:
    assert events_of(frame(TEXT, "Grüße".encode(), key=key)) == [("text", "Grüße")]
    assert events_of(frame(PING, bytes(range(20)), key=key)) == [("ping", bytes(range(20)))]


def test_a_frame_without_a_mask_fails_at_its_second_byte() -> None:
    for opcode in (TEXT, BINARY, PING, CLOSE):
        data = bytes([0x80 | opcode, 5]) + b"hello"
        assert error_of(data) == 1002
        assert bytes_until_error(data) == 2


# 2: pings and pongs


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("payload", [b"", b"\0\xff\xfe", b"\xfe" * 125])
def test_pings_and_pongs_carry_any_bytes(opcode: int, payload: bytes) -> None:
    assert events_of(frame(opcode, payload)) == [(NAMES[opcode], payload)]


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("n", [126, 65536])
def test_a_control_frame_above_125_bytes_fails_at_its_second_byte(opcode: int, n: int) -> None:
    data = bytes([0x80 | opcode]) + length_bytes(n) + KEY
    assert error_of(data) == 1002
    assert bytes_until_error(data) == 2


def test_many_pings_in_one_read_and_byte_by_byte() -> None:
    stream = b"".join(frame(PING, b"payload-%d" % i) for i in range(10))
    assert events_of(stream) == [("ping", b"payload-%d" % i) for i in range(10)]


# 3: reserved bits


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_reserved_bits_fail_at_their_byte(rsv: int, opcode: int) -> None:
    first = frame(TEXT, b"ok")
    assert events_of(first + frame(opcode, b"ab", rsv=rsv)) == [
        ("text", "ok"), ("error", 1002, "reserved bit set"),
    ]  # fmt: skip
    assert bytes_until_error(first + frame(opcode, b"ab", rsv=rsv)) == len(first) + 1


def test_reserved_bits_of_a_continuation_fail() -> None:
    stream = frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", rsv=4)
    assert error_of(stream) == 1002


# 4: opcodes


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_fail_at_their_byte(opcode: int) -> None:
    first = frame(TEXT, b"ok")
    for payload in (b"", b"reserved"):
        stream = first + frame(opcode, payload) + frame(PING)
        assert error_of(stream) == 1002
        assert bytes_until_error(stream) == len(first) + 1


# 5: fragments


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_control_frame_cannot_be_fragmented(opcode: int) -> None:
    stream = frame(opcode, b"ab", fin=False) + frame(CONTINUATION, b"cd")
    assert error_of(stream) == 1002
    assert bytes_until_error(stream) == 1


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize(
    "parts",
    [
        (b"frag1", b"frag2"),
        (b"", b"", b""),
        (b"", b"middle", b""),
        (b"first", b"", b""),
        (b"", b"", b"last"),
        (b"a", b"b", b"c", b"d", b"e"),
        (b"x" * 300, b"y", b"z" * 126),
    ],
)
def test_fragments_make_one_message(opcode: int, parts: tuple[bytes, ...]) -> None:
    event = (NAMES[opcode], value(opcode, b"".join(parts)))
    assert events_of(message(opcode, *parts)) == [event]
    assert events_of(message(opcode, *parts) + frame(opcode, b"next")) == [
        event, (NAMES[opcode], value(opcode, b"next")),
    ]  # fmt: skip


def test_control_frames_come_out_between_fragments() -> None:
    stream = frame(TEXT, b"a", fin=False) + frame(PING, b"1") + frame(CONTINUATION, b"b", fin=False)
    stream += frame(PONG, b"2") + frame(PING, b"3") + frame(CONTINUATION, b"c") + close(1000)
    assert events_of(stream) == [
        ("ping", b"1"), ("pong", b"2"), ("ping", b"3"), ("text", "abc"), ("close", 1000, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("fin", [False, True])
def test_a_continuation_of_nothing_fails_at_its_first_byte(fin: bool) -> None:
    stream = frame(CONTINUATION, b"stray", fin=fin)
    assert error_of(stream) == 1002
    assert bytes_until_error(stream) == 1
    assert error_of(message(TEXT, b"a", b"b") + stream) == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("other", [TEXT, BINARY])
def test_a_message_inside_a_fragmented_one_fails_at_its_first_byte(opcode: int, other: int) -> None:
    first = frame(opcode, b"a", fin=False)
    assert error_of(first + frame(other, b"b")) == 1002
    assert bytes_until_error(first + frame(other, b"b")) == len(first) + 1


# 7: close


def test_nothing_is_read_after_a_close_frame() -> None:
    stream = close(1000, b"bye") + frame(PING) + b"\xff\xff"
    assert events_of(stream) == [("close", 1000, "bye")]
    inside = frame(TEXT, b"a", fin=False) + close(1001) + frame(CONTINUATION, b"b")
    assert events_of(inside) == [("close", 1001, "")]


def test_close_payloads() -> None:
    assert events_of(close()) == [("close", 1005, "")]
    assert events_of(close(1000)) == [("close", 1000, "")]
    assert events_of(close(4999, "Grüße".encode())) == [("close", 4999, "Grüße")]
    assert events_of(close(1000, b"*" * 123)) == [("close", 1000, "*" * 123)]
    assert error_of(frame(CLOSE, b"\x03")) == 1002
    assert error_of(close(1000, b"*" * 124)) == 1002


VALID = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]
INVALID = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", VALID)
def test_codes_that_may_be_sent(code: int) -> None:
    assert events_of(close(code, b"why")) == [("close", code, "why")]


@pytest.mark.parametrize("code", INVALID)
def test_codes_that_may_not_be_sent(code: int) -> None:
    assert error_of(close(code)) == 1002
    assert error_of(close(code, b"why")) == 1002


@pytest.mark.parametrize("reason", [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xed\xa0\x80", b"\xc3"])
def test_a_reason_that_is_not_utf8(reason: bytes) -> None:
    assert error_of(close(1000, reason)) == 1007


# 9: limits


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_limit_is_the_last_size_that_passes(opcode: int) -> None:
    assert events_of(frame(opcode, b"a" * 130), 130) == [(NAMES[opcode], value(opcode, b"a" * 130))]
    stream = frame(opcode, b"a" * 131)
    assert error_of(stream, 130) == 1009
    assert bytes_until_error(stream, 130) == 4, "the length's last byte"


def test_the_limit_holds_for_the_sum_of_fragments() -> None:
    parts = [b"a" * 40, b"", b"b" * 60]
    assert events_of(message(BINARY, *parts), 100) == [("binary", b"".join(parts))]
    first = frame(BINARY, b"a" * 40, fin=False) + frame(PING, b"p" * 70)
    stream = first + frame(CONTINUATION, b"b" * 61)
    assert events_of(stream, 100)[1:] == [("error", 1009, "message too large")]
    assert bytes_until_error(stream, 100) == len(first) + 2
    assert events_of(frame(BINARY, b"a" * 100) * 2, 100) == [("binary", b"a" * 100)] * 2


def test_no_limit_and_a_wrong_one() -> None:
    data = bytes(3 * MAX_SIZE)
    assert FrameParser(0).feed(frame(BINARY, data)) == [("binary", data)]
    with pytest.raises(ValueError, match="must be 0 or more"):
        FrameParser(-1)


def test_lengths_that_are_no_lengths() -> None:
    longest = b"\x82\xff" + struct.pack("!Q", (1 << 63) - 1) + KEY
    assert feed([longest, masked(b"data")], 0) == [("error", 1009, "message too large")]
    assert error_of(b"\x82\xff" + struct.pack("!Q", 1 << 63) + KEY) == 1002
    assert error_of(b"\x82\xfe" + struct.pack("!H", 125) + KEY) == 1002
    assert error_of(b"\x82\xff" + struct.pack("!Q", 65535) + KEY) == 1002


def test_cuts_at_random_change_nothing() -> None:
    rng = random.Random(6455)
    stream, expected = b"", []
    for i in range(60):
        data = rng.choice(["plain", "Grüße", "日本語", "😀"]) * rng.choice([0, 1, 20, 50, 999])
        opcode = rng.choice([TEXT, BINARY, PING])
        raw = data.encode()[:125] if opcode == PING else data.encode()
        cuts = sorted(rng.sample(range(len(raw) + 1), k=min(i % 4, len(raw))))
        parts = [raw[a:b] for a, b in itertools.pairwise([0, *cuts, len(raw)])]
        stream += frame(PING, raw) if opcode == PING else message(opcode, *parts)
        expected.append((NAMES[opcode], value(opcode, raw)))
    for _ in range(30):
        cuts = sorted(rng.sample(range(len(stream)), k=rng.choice([3, 30, 300])))
        pieces = [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]
        assert feed(pieces) == expected
    assert feed(bytewise(stream)) == expected
