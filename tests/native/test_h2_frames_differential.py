"""FrameReader against `hyperframe`, and against itself on spoilt streams.

hyperframe reads one frame and knows of none before it. Every deliberate difference has a name
and the reason for it; a frame on which we differ without a name is a bug, ours or one of theirs.
"""

from __future__ import annotations

import random

from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from native.http2 import Event, feed, join
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
    RESET,
    SETTINGS,
    WINDOW,
    frame,
    settings,
)
from support.spoil import cut, spoil

from fastserve._native.http2.frames import FrameReader

CODES = {1, 3, 6, 11}


def by_fastserve(data: bytes) -> Event:
    """What one frame means behind SETTINGS, or behind HEADERS if it is a CONTINUATION."""
    before = settings()
    if data[3] == CONTINUATION:
        stream = int.from_bytes(data[5:9]) & 0x7FFFFFFF or 1
        before += frame(HEADERS, END_STREAM, stream, b"first ")
    events = feed([before + data], preface=False)[1:]
    assert len(events) <= 1
    return events[0] if events else ("nothing",)


def by_hyperframe(data: bytes) -> Event:
    """The same in the words of our reader; ("error",) where hyperframe will not have it."""
    try:
        got, size = Frame.parse_frame_header(memoryview(data[:9]))
        assert size == len(data) - 9
        got.parse_body(memoryview(data[9:]))
    except HyperframeError:
        return ("error",)
    stream, flags = got.stream_id, got.flags
    ends = "END_STREAM" in flags
    match got:
        case DataFrame():
            return ("data", stream, got.data, size, ends)
        case HeadersFrame():
            whole = "END_HEADERS" in flags
            return ("headers", stream, got.data, ends) if whole else ("nothing",)
        case PriorityFrame():
            return ("priority", stream)
        case RstStreamFrame():
            return ("reset", stream, got.error_code)
        case SettingsFrame() if "ACK" in flags:
            return ("settings_ack",)
        case SettingsFrame():
            return ("settings", dict(got.settings))
        case PingFrame():
            return ("ping_ack" if "ACK" in flags else "ping", got.opaque_data)
        case GoAwayFrame():
            return ("goaway", got.error_code)
        case WindowUpdateFrame():
            return ("window", stream, got.window_increment)
        case ContinuationFrame():
            whole = "END_HEADERS" in flags
            return ("headers", stream, b"first " + got.data, True) if whole else ("nothing",)
        case ExtensionFrame() if got.type == PRIORITY_UPDATE:
            # hyperframe does not know RFC 9218.
            about = int.from_bytes(got.body[:4]) & 0x7FFFFFFF
            if stream or len(got.body) < 4 or about == 0:
                return ("error",)
            return ("priority_update", about, got.body[4:])
        case ExtensionFrame() | AltSvcFrame():
            return ("unknown", data[3])
        case PushPromiseFrame():
            # A server may be sent none; hyperframe reads for both sides.
            return ("error",)
    raise AssertionError(got)


def in_their_words(event: Event) -> Event:
    """Ours as far as hyperframe tells the same."""
    if event[0] == "error":
        return ("error",)
    if event[0] == "settings":
        pairs = [event[1][at : at + 6] for at in range(0, len(event[1]), 6)]
        return ("settings", {int.from_bytes(p[:2]): int.from_bytes(p[2:]) for p in pairs})
    return event


def differs(data: bytes) -> str | None:
    """The name of why we differ on this frame, if we may."""
    kind, flags, payload = data[3], data[4], data[9:]
    if kind == WINDOW and len(payload) == 4 and payload[0] & 0x80:
        return "the increment's reserved bit is ignored, section 6.9; hyperframe takes it for size"
    if kind == SETTINGS and not flags & ACK:
        return "values of settings are judged by us alone, section 6.5.2"
    if kind == 10:
        return "ALTSVC is unknown to us, RFC 7838 has it ignored by servers"
    if kind == HEADERS and flags & PADDED and payload:
        padding = payload[0]
        rest = len(payload) - 1 - (5 if flags & PRIORITIZED else 0)
        if padding == rest:
            return "padding may take all that the block leaves, section 6.2; hyperframe errs"
        if padding > rest >= 0:
            return "hyperframe counts the priority fields among what padding may take"
    return None


KINDS = st.one_of(st.integers(0, 10), st.just(PRIORITY_UPDATE), st.integers(0, 255))
FRAMES = st.builds(
    frame,
    KINDS,
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x2D]), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 3]), st.integers(0, (1 << 32) - 1)),
    st.one_of(
        st.binary(max_size=24),
        st.sampled_from([0, 4, 5, 6, 8, 12]).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
        st.builds(
            lambda pad, body: bytes([pad]) + body, st.integers(0, 12), st.binary(max_size=16)
        ),
    ),
)


@given(FRAMES)
@example(frame(DATA, PADDED, 1, b"\0"))
@example(frame(DATA, PADDED, 1, b"\2pp"))
@example(frame(HEADERS, PADDED | PRIORITIZED | 5, 1, b"\x01\0\0\0\1\xffxp"))
@example(frame(WINDOW, 0, 1, bytes(4)))
@example(frame(GOAWAY, 0, 0, bytes(8) + b"words"))
@hypothesis_settings(max_examples=600, deadline=None, derandomize=True)
def test_hyperframe_reads_a_frame_as_we_do(data: bytes) -> None:
    ours, theirs = in_their_words(by_fastserve(data)), by_hyperframe(data)
    if ours != theirs:
        assert differs(data), (ours, theirs)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)), max_size=5))
@hypothesis_settings(max_examples=100, deadline=None, derandomize=True)
def test_settings_are_those_of_hyperframe_where_their_values_are_allowed(
    pairs: list[tuple[int, int]],
) -> None:
    event = by_fastserve(settings(dict(pairs)))
    if event[0] != "error":
        assert in_their_words(event) == by_hyperframe(settings(dict(pairs)))
    assert (event[0] == "error") == any(
        (name in (2, 9) and value > 1)
        or (name == 4 and value >= 1 << 31)
        or (name == 5 and not 1 << 14 <= value < 1 << 24)
        for name, value in dict(pairs).items()
    )


# streams spoilt at random


def some_frame(dice: random.Random) -> bytes:
    stream = dice.choice([1, 1, 3, 5, 0x7FFFFFFF])
    data = dice.randbytes(dice.choice([0, 1, 5, 30, 200]))
    pad = dice.choice([0, 1, 9])
    padded = bytes([pad]) + data + bytes(pad)
    return dice.choice(
        [
            frame(DATA, dice.choice([0, END_STREAM]), stream, data),
            frame(DATA, PADDED | END_STREAM, stream, padded),
            frame(HEADERS, END_HEADERS | END_STREAM, stream, data),
            frame(HEADERS, END_HEADERS | PADDED, stream, padded),
            frame(HEADERS, PRIORITIZED, stream, bytes(5) + data)
            + frame(CONTINUATION, 0, stream, data)
            + frame(CONTINUATION, END_HEADERS, stream, data),
            frame(PRIORITY, 0, stream, bytes(5)),
            frame(RESET, 0, stream, b"\0\0\0\x08"),
            settings({4: 65535, 5: 16384}),
            frame(SETTINGS, ACK),
            frame(PING, dice.choice([0, ACK]), 0, b"12345678"),
            frame(GOAWAY, 0, 0, bytes(8) + data),
            frame(WINDOW, 0, dice.choice([0, stream]), b"\0\0\0\7"),
            frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1" + data),
            frame(dice.randrange(17, 256), dice.randrange(256), stream, data),
        ]
    )


def spoilt(dice: random.Random, data: bytes) -> bytes:
    return spoil(dice, data, [b"\0", b"\xff" * 9, some_frame(dice)])


def test_spoilt_streams_are_read_alike_however_they_are_cut() -> None:
    dice = random.Random(6)
    errors = 0
    for _ in range(1500):
        data = PREFACE + settings() + b"".join(some_frame(dice) for _ in range(dice.randrange(12)))
        for _ in range(dice.randrange(3)):
            data = spoilt(dice, data)
        whole = feed([data])
        assert feed(cut(dice, data, [1, 3, 40])) == whole
        assert feed(cut(dice, data, [1, 3, 40])) == whole
        for event in whole:
            if event[0] == "error":
                errors += 1
                assert event[1] in CODES
        ended = [at for at, event in enumerate(whole) if event[0] == "error" and event[3] == 0]
        assert ended in ([], [len(whole) - 1])
    assert errors > 200


def test_noise_ends_in_an_error_and_never_in_anything_else() -> None:
    dice = random.Random(7)
    for _ in range(300):
        reader = FrameReader(preface=False)
        events = reader.feed(settings())
        for _ in range(5):
            events += reader.feed(dice.randbytes(dice.randrange(400)))
        for event in join(events):
            assert event[0] != "error" or event[1] in CODES
