"""FrameParser with permessage-deflate agreed, RFC 7692: RSV1, fragments, limits, UTF-8."""

from __future__ import annotations

import random
import zlib

import pytest
from native.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    bytes_until_error,
    events_of,
    feed,
    frame,
)

from fastserve._native.websocket.deflate import Deflate, DeflatePolicy, negotiate

TEXT_DATA = "Grüße, 日本語, 😀, and some ASCII; " * 6


def agreed() -> Deflate:
    deflate = negotiate(DeflatePolicy(), [b"permessage-deflate"])
    assert deflate is not None
    return deflate


def compressed(data: bytes) -> bytes:
    """A message of its own context, as RFC 7692 section 7.2.1 has it."""
    compressor = zlib.compressobj(wbits=-15)
    whole = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return whole[:-4]


def cut(opcode: int, packed: bytes, *at: int) -> bytes:
    """A compressed message in frames that end at these offsets."""
    ends = [*at, len(packed)]
    stream, begin = b"", 0
    for i, end in enumerate(ends):
        fin = i == len(ends) - 1
        part = packed[begin:end]
        stream += frame(CONTINUATION, part, fin=fin) if i else frame(opcode, part, fin=fin, rsv=4)
        begin = end
    return stream


def test_messages_with_and_without_compression_side_by_side() -> None:
    data = TEXT_DATA.encode()
    stream = cut(TEXT, compressed(data)) + frame(TEXT, b"plain") + cut(BINARY, compressed(data))
    expected = [("text", TEXT_DATA), ("text", "plain"), ("binary", data)]
    assert events_of(stream, deflate=agreed) == expected


def test_an_empty_message() -> None:
    assert events_of(frame(TEXT, b"\x00", rsv=4), deflate=agreed) == [("text", "")]
    assert events_of(frame(BINARY, b"\x00", rsv=4), deflate=agreed) == [("binary", b"")]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_fragments_cut_anywhere_with_pings_between(opcode: int) -> None:
    data = TEXT_DATA.encode()
    packed = compressed(data)
    event = ("text", TEXT_DATA) if opcode == TEXT else ("binary", data)
    for at in range(len(packed) + 1):
        assert feed([cut(opcode, packed, at)], deflate=agreed) == [event]
    assert events_of(cut(opcode, packed, 0, 0, 5, 5, 9, len(packed)), deflate=agreed) == [event]
    assert feed([cut(opcode, packed, *range(len(packed)))], deflate=agreed) == [event]
    first = frame(opcode, packed[:5], fin=False, rsv=4)
    stream = first + frame(PING, b"1") + frame(CONTINUATION, packed[5:])
    assert events_of(stream, deflate=agreed) == [("ping", b"1"), event]


def test_large_messages_in_reads_of_any_size() -> None:
    rng = random.Random(7692)
    data = bytes(rng.choice(b"abcdefgh") for _ in range(600_000))
    stream = frame(BINARY, compressed(data), rsv=4)
    for step in (len(stream), 1000, 65536):
        pieces = [stream[i : i + step] for i in range(0, len(stream), step)]
        assert feed(pieces, deflate=agreed) == [("binary", data)]


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_control_frame_cannot_be_compressed(opcode: int) -> None:
    stream = frame(opcode, b"", rsv=4)
    assert events_of(stream, deflate=agreed) == [("error", 1002, "reserved bit set")]


def test_only_the_first_frame_is_marked() -> None:
    packed = compressed(b"hello" * 20)
    for rsv in (0, 4):
        stream = frame(BINARY, packed[:3], fin=False, rsv=rsv) + frame(CONTINUATION, b"", rsv=4)
        assert events_of(stream, deflate=agreed) == [("error", 1002, "reserved bit set")]


@pytest.mark.parametrize("rsv", [1, 2, 5, 6])
def test_other_reserved_bits_stay_errors(rsv: int) -> None:
    stream = frame(TEXT, b"\x00", rsv=rsv)
    assert events_of(stream, deflate=agreed) == [("error", 1002, "reserved bit set")]


def test_bad_text_fails_with_the_frame_that_shows_it() -> None:
    data = b"good " * 9 + b"\xed\xa0"
    for tail in (b"", b"more" * 50):
        got = events_of(cut(TEXT, compressed(data + tail)), deflate=agreed)
        assert [event[:2] for event in got] == [("error", 1007)]
    compressor = zlib.compressobj(wbits=-15)
    shown = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    stream = frame(TEXT, b"", fin=False, rsv=4) + frame(CONTINUATION, shown, fin=False)
    assert [event[:2] for event in events_of(stream, deflate=agreed)] == [("error", 1007)]
    bad_end = cut(TEXT, compressed(b"\xe2\x82"), 1)
    assert [event[:2] for event in events_of(bad_end, deflate=agreed)] == [("error", 1007)]


def test_what_is_no_deflate_stream_fails() -> None:
    got = events_of(frame(BINARY, b"\xff\xff\xff", rsv=4), deflate=agreed)
    assert [event[:2] for event in got] == [("error", 1007)]


def test_the_limit_holds_after_inflating() -> None:
    data = bytes(1000)
    packed = compressed(data)
    for stream in (cut(BINARY, packed), cut(BINARY, packed, 3), cut(BINARY, packed, 0, 5)):
        assert events_of(stream, 1000, agreed) == [("binary", data)]
        got = events_of(stream, 999, agreed)
        assert [event[:2] for event in got] == [("error", 1009)]
    bomb = frame(BINARY, compressed(bytes(50_000_000)), rsv=4)
    assert feed([bomb], 100_000, agreed) == [("error", 1009, "message too large")]


def test_no_limit() -> None:
    stream = frame(BINARY, compressed(bytes(2_000_000)), rsv=4)
    assert feed([stream], 0, agreed) == [("binary", bytes(2_000_000))]


def test_the_limit_holds_before_inflating() -> None:
    stream = frame(BINARY, bytes(130), rsv=4)
    assert events_of(stream, 129, agreed) == [("error", 1009, "message too large")]
    assert bytes_until_error(frame(BINARY, bytes(130)), 129) == 4


def test_the_limit_counts_what_earlier_fragments_gave() -> None:
    compressor = zlib.compressobj(wbits=-15)
    first = compressor.compress(bytes(600)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    second = compressor.compress(bytes(600)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    begin = frame(BINARY, first, fin=False, rsv=4)
    stream = begin + frame(CONTINUATION, second[:-4])
    assert feed([stream], 1200, agreed) == [("binary", bytes(1200))]
    assert feed([stream], 1199, agreed) == [("error", 1009, "message too large")]


def test_a_context_goes_on_from_message_to_message() -> None:
    compressor = zlib.compressobj(wbits=-15)
    stream, expected = b"", []
    for i in range(5):
        data = f"message {i}: the words that come again and again".encode()
        packed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        stream += frame(TEXT, packed[:-4], rsv=4)
        expected.append(("text", data.decode()))
    assert events_of(stream, deflate=agreed) == expected
