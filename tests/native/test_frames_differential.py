"""FrameParser against `websockets` and `wsproto`, the servers' side, fed the same bytes.

Every deliberate difference has a name, the reason for it and an example that shows it; a
stream on which we differ without a name is a bug, ours or a new one of theirs.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    Event,
    close,
    feed,
    frame,
    masked,
)
from websockets.frames import Close
from websockets.protocol import OPEN, SERVER, Protocol
from wsproto import connection, events

MAX_SIZE = 200


def by_fastserve(data: bytes) -> list[Event]:
    return [event[:2] if event[0] == "error" else event for event in feed([data], MAX_SIZE)]


def by_websockets(data: bytes) -> list[Event]:
    """The library hands out frames; its users join them, and decode when a text is whole."""
    peer = Protocol(SERVER, state=OPEN, max_size=MAX_SIZE)
    peer.receive_data(data)
    found: list[Event] = []
    parts: list[bytes] = []
    kind = TEXT
    for each in peer.events_received():
        if each.opcode == CLOSE:
            got = Close.parse(each.data)
            found.append(("close", got.code, got.reason))
        elif each.opcode in (PING, PONG):
            found.append(("ping" if each.opcode == PING else "pong", bytes(each.data)))
        else:
            kind = kind if each.opcode == CONTINUATION else each.opcode
            parts.append(bytes(each.data))
            if each.fin:
                whole, parts = b"".join(parts), []
                if kind == BINARY:
                    found.append(("binary", whole))
                    continue
                try:
                    found.append(("text", whole.decode()))
                except UnicodeDecodeError:
                    return [*found, ("error", 1007)]
    if peer.parser_exc is not None:
        found.append(("error", int(peer.close_sent.code)))
    return found


def by_wsproto(data: bytes) -> list[Event]:
    peer = connection.Connection(connection.ConnectionType.SERVER)
    found: list[Event] = []
    parts: list[Any] = []
    # It goes on after a close frame as long as it is asked, and tells an error as a close
    # without the frame: only a real one changes its state.
    peer.receive_data(data)
    for event in peer.events():
        if isinstance(event, events.CloseConnection):
            if peer.state is connection.ConnectionState.REMOTE_CLOSING:
                return [*found, ("close", int(event.code), event.reason or "")]
            return [*found, ("error", int(event.code))]
        if isinstance(event, events.Ping | events.Pong):
            name = "ping" if isinstance(event, events.Ping) else "pong"
            found.append((name, bytes(event.payload)))
        elif isinstance(event, events.TextMessage | events.BytesMessage):
            parts.append(event.data)
            if event.message_finished:
                text = isinstance(event, events.TextMessage)
                whole = "".join(parts) if text else b"".join(parts)
                found.append(("text" if text else "binary", whole))
                parts = []
    return found


PEERS = {"websockets": by_websockets, "wsproto": by_wsproto}


class Facts(NamedTuple):
    """One stream, and what the three made of it."""

    data: bytes
    ours: list[Event]
    theirs: list[Event]

    @property
    def our_error(self) -> int | None:
        return self.ours[-1][1] if self.ours and self.ours[-1][0] == "error" else None

    @property
    def their_error(self) -> int | None:
        return self.theirs[-1][1] if self.theirs and self.theirs[-1][0] == "error" else None

    @property
    def before_ours(self) -> list[Event]:
        """What we said before we failed."""
        return self.ours[:-1] if self.our_error else self.ours

    @property
    def their_events(self) -> list[Event]:
        """What they said before they failed."""
        return self.theirs[:-1] if self.their_error else self.theirs

    def theirs_went_on(self) -> bool:
        """They said all that we said before we failed, and perhaps more."""
        return self.theirs[: len(self.before_ours)] == self.before_ours


class Difference(NamedTuple):
    name: str
    peers: tuple[str, ...]
    example: bytes
    reason: str
    applies: Callable[[Facts], bool]


def holds_surrogate(data: bytes) -> bool:
    """Whether the stream's data frames, joined, hold the first two bytes of one."""
    joined, at = b"", 0
    while len(data) - at > 6:
        n = data[at + 1] & 127
        head = 6 if n < 126 else 8
        n = n if n < 126 else int.from_bytes(data[at + 2 : at + 4])
        if data[at] & 8 == 0:
            joined += masked(data[at + head : at + head + n])
        at += head + n
    return any(bytes([0xED, high]) in joined for high in range(0xA0, 0xC0))


LONG = b"x" * (MAX_SIZE + 1)
SURROGATE = b"\xed\xa0\x80"
DIFFERENCES = [
    Difference(
        "bad text fails at its byte", ("websockets",),
        frame(TEXT, b"\xff", fin=False) + frame(PING) + frame(CONTINUATION),
        "RFC 6455 8.1 lets us; the users of websockets decode whole messages",
        lambda facts: facts.our_error == 1007 and facts.theirs_went_on(),
    ),
    Difference(
        "a surrogate fails at its second byte", ("wsproto",),
        frame(TEXT, SURROGATE[:2], fin=False) + frame(PING),
        "CPython's incremental decoder, which wsproto uses, waits for the third",
        lambda facts: facts.our_error == 1007 and facts.theirs_went_on()
        and holds_surrogate(facts.data),
    ),
    Difference(
        "a size fails with the head", ("wsproto",), frame(BINARY, LONG),
        "wsproto has no limit: it leaves that to who collects its parts",
        lambda facts: facts.our_error == 1009 and facts.theirs_went_on(),
    ),
    Difference(
        "what a head's first byte shows fails there", ("websockets", "wsproto"),
        frame(CONTINUATION, b"cut")[:5],
        "RFC 6455 5.2, 5.4; the others look at it with the head or with the whole frame, so that "
        "the frame waits, or a size that is too big comes first",
        lambda facts: facts.our_error == 1002 and facts.before_ours == facts.their_events
        and facts.their_error in (None, 1009),
    ),
    Difference(
        "lengths in their shortest form alone", ("websockets",),
        b"\x82\xfe\x00\x05" + KEY + masked(b"hello"),
        "RFC 6455 5.2: the minimal number of bytes MUST be used",
        lambda facts: facts.our_error == 1002 and facts.theirs_went_on()
        and any(spelled in facts.data for spelled in LONG_LENGTHS),
    ),
    Difference(
        "a bad code comes before a bad reason", ("websockets",), close(999, b"\xff"),
        "both are errors, and the code is what comes first",
        lambda facts: (facts.our_error, facts.their_error) == (1002, 1007)
        and facts.before_ours == facts.their_events,
    ),
    Difference(
        "1014 is a code like others", ("wsproto",), close(1014),
        "the registry of RFC 6455 11.7 has it: Bad Gateway",
        lambda facts: facts.ours[-1:] != [] and facts.ours[-1][:2] == ("close", 1014)
        and facts.their_error == 1002 and facts.ours[:-1] == facts.their_events,
    ),
    Difference(
        "a close frame may come inside a fragmented message", ("websockets",),
        frame(TEXT, b"a", fin=False) + close(1000),
        "RFC 6455 5.4: control frames MAY be injected in the middle of a fragmented message",
        lambda facts: facts.ours[-1:] != [] and facts.ours[-1][0] == "close"
        and facts.their_error == 1002 and facts.ours[:-1] == facts.their_events,
    ),
]  # fmt: skip
# Lengths below 126 in 16 bits, and below 65536 in 64, as the generator spells them.
LONG_LENGTHS = (b"\xfe\x00\x05", b"\xff" + b"\0" * 7 + b"\x05")


def explain(data: bytes, peer: str) -> list[str] | None:
    """The names of the differences that cover `data`; None where there is nothing to explain."""
    facts = Facts(data, by_fastserve(data), PEERS[peer](data))
    if facts.ours == facts.theirs:
        return None
    return [each.name for each in DIFFERENCES if peer in each.peers and each.applies(facts)]


@pytest.mark.parametrize(
    ("peer", "difference"),
    [(peer, difference) for difference in DIFFERENCES for peer in difference.peers],
    ids=lambda each: each if isinstance(each, str) else each.name.replace(" ", "-"),
)
def test_every_named_difference_is_real(peer: str, difference: Difference) -> None:
    names = explain(difference.example, peer)
    assert names is not None, f"{peer} no longer differs"
    assert difference.name in names


TEXTS = st.sampled_from(["", "a", "hello", "Grüße", "日本", "😀", "x" * 126, "é" * 90]).map(
    str.encode
)
NOT_TEXTS = st.sampled_from([b"\xff", b"a\xc0\xaf", SURROGATE, b"\xf4\x90", b"ok\xe2\x82", b"\x80"])
PAYLOADS = st.one_of(TEXTS, TEXTS, TEXTS, NOT_TEXTS, st.binary(max_size=20))
CODES = st.sampled_from([0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015,
                         1016, 2999, 3000, 4999, 5000, 65535])  # fmt: skip
REASONS = st.sampled_from([b"", b"bye", "Grüße".encode(), b"\xff", b"r" * 123])
CLOSES = st.builds(lambda code, reason: struct.pack("!H", code) + reason, CODES, REASONS)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message in fragments, cut anywhere, with control frames between them."""
    data = draw(st.one_of(TEXTS, PAYLOADS))
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    cuts = [0, *sorted(draw(st.lists(st.integers(0, len(data)), max_size=3))), len(data)]
    stream = b""
    for i, (begin, end) in enumerate(itertools.pairwise(cuts)):
        if draw(st.integers(0, 5)) == 0:
            stream += frame(draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=9)))
        fin = i == len(cuts) - 2
        stream += frame(CONTINUATION if i else opcode, data[begin:end], fin=fin)
    return stream


@st.composite
def odd_frames(draw: st.DrawFn) -> bytes:
    """One frame that may be wrong in any way."""
    how = draw(st.integers(0, 7))
    opcode = draw(st.sampled_from([CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG, 3, 11]))
    if how == 0:
        return frame(CLOSE, draw(st.one_of(CLOSES, st.just(b""), st.just(b"\x03"))))
    if how == 1:
        return bytes([0x80 | opcode, 5]) + b"plain"
    if how == 2:
        return bytes([0x80 | opcode]) + draw(st.sampled_from(LONG_LENGTHS)) + KEY + masked(b"hello")
    if how == 3:
        return bytes([0x80 | opcode, 0xFF]) + b"\xff" * 8 + KEY
    if how == 4:
        return frame(opcode, b"y" * draw(st.sampled_from([125, 126, MAX_SIZE, MAX_SIZE + 1])))
    rsv = draw(st.sampled_from([0, 0, 0, 1, 2, 4]))
    return frame(opcode, draw(PAYLOADS), fin=draw(st.booleans()), rsv=rsv)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Messages, an odd frame among them as often as not, and perhaps cut short."""
    parts = draw(st.lists(messages(), max_size=3))
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), draw(odd_frames()))
    data = b"".join(parts)
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 3)) == 0 else data


@pytest.mark.parametrize("peer", PEERS)
@settings(max_examples=400, deadline=None)
@example(frame(TEXT, b"hello"))
@example(frame(TEXT, SURROGATE[:2], fin=False))
@given(streams())
def test_any_other_difference_is_a_bug(peer: str, data: bytes) -> None:
    facts = Facts(data, by_fastserve(data), PEERS[peer](data))
    assert explain(data, peer) != [], (facts.ours, facts.theirs)
