"""Families 1 to 5: framing, pings and pongs, reserved bits, opcodes, fragmentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from e2e.autobahn.peer import Frame, Peer, fragments, frame, pieces
from support.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

SIZES = (0, 125, 126, 127, 128, 65535, 65536, 65536)
NORMAL, PROTOCOL = 1000, 1002
NOISE = bytes([0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF])


def framing_cases() -> Iterator[object]:
    for family, opcode in (("1.1", TEXT), ("1.2", BINARY)):
        for number, size in enumerate(SIZES, 1):
            chop = 997 if number == len(SIZES) else 1 << 20
            yield pytest.param(opcode, size, chop, id=f"{family}.{number}")


@pytest.mark.parametrize(("opcode", "size", "chop"), [*framing_cases()])
def test_a_message_of_any_size_comes_back(peer: Peer, opcode: int, size: int, chop: int) -> None:
    payload = (b"*" if opcode == TEXT else b"\xfe") * size
    for piece in pieces(frame(opcode, payload), chop):
        peer.send(piece)
    peer.expect(Frame(opcode, payload))
    peer.finish()


class Case(NamedTuple):
    """What is sent, what comes back, and how it ends.

    A message that stands before a mistake is echoed all the same, in one read too.
    """

    number: str
    sent: list[bytes]
    answered: list[Frame]
    code: int = NORMAL


def cut(*frames: bytes, chop: int = 0) -> list[bytes]:
    """The frames in one write, or in writes of `chop` bytes."""
    return pieces(b"".join(frames), chop) if chop else [b"".join(frames)]


HELLO, ECHO = frame(TEXT, b"Hello, world!"), Frame(TEXT, b"Hello, world!")
PINGED, PONGED = frame(PING, b"ping"), Frame(PONG, b"ping")
TEN = [frame(PING, b"payload-%d" % n) for n in range(10)]
TEN_PONGS = [Frame(PONG, b"payload-%d" % n) for n in range(10)]

PINGS = [
    Case("2.1", [frame(PING)], [Frame(PONG, b"")]),
    Case("2.2", [PINGED], [PONGED]),
    Case("2.3", [frame(PING, NOISE)], [Frame(PONG, NOISE)]),
    Case("2.4", [frame(PING, b"\xfe" * 125)], [Frame(PONG, b"\xfe" * 125)]),
    Case("2.5", [frame(PING, b"\xfe" * 126)], [], PROTOCOL),
    Case("2.6", cut(frame(PING, b"\xfe" * 125), chop=1), [Frame(PONG, b"\xfe" * 125)]),
    Case("2.7", [frame(PONG)], []),
    Case("2.8", [frame(PONG, b"unsolicited")], []),
    Case("2.9", [frame(PONG, b"unsolicited"), PINGED], [PONGED]),
    Case("2.10", cut(*TEN), TEN_PONGS),
    Case("2.11", cut(*TEN, chop=1), TEN_PONGS),
]


def rsv(bits: int, opcode: int = TEXT) -> bytes:
    return frame(opcode, b"" if opcode == CLOSE else b"reserved", rsv=bits)


RESERVED_BITS = [
    Case("3.1", [rsv(1)], [], PROTOCOL),
    Case("3.2", cut(HELLO, rsv(2), PINGED), [ECHO], PROTOCOL),
    Case("3.3", [HELLO, rsv(3), PINGED], [ECHO], PROTOCOL),
    Case("3.4", cut(HELLO, rsv(4), PINGED, chop=1), [ECHO], PROTOCOL),
    Case("3.5", [rsv(5, BINARY)], [], PROTOCOL),
    Case("3.6", [rsv(6, PING)], [], PROTOCOL),
    Case("3.7", [rsv(7, CLOSE)], [], PROTOCOL),
]


def opcode_cases() -> Iterator[Case]:
    for family, first in (("4.1", 3), ("4.2", 11)):
        bare, full = frame(first + 2), frame(first + 3, b"reserved")
        yield Case(f"{family}.1", [frame(first)], [], PROTOCOL)
        yield Case(f"{family}.2", [frame(first + 1, b"reserved")], [], PROTOCOL)
        yield Case(f"{family}.3", cut(HELLO, bare, PINGED), [ECHO], PROTOCOL)
        yield Case(f"{family}.4", cut(HELLO, full, PINGED), [ECHO], PROTOCOL)
        last = frame(first + 4, b"reserved")
        yield Case(f"{family}.5", cut(HELLO, last, PINGED, chop=1), [ECHO], PROTOCOL)


TWO = fragments(TEXT, [b"frag1", b"frag2"])
JOINED = Frame(TEXT, b"frag1frag2")
FIVE = fragments(TEXT, [b"frag%d" % n for n in range(1, 6)])
FIVE_PINGED = [*FIVE[:2], frame(PING, b"1"), *FIVE[2:4], frame(PING, b"2"), FIVE[4]]
FIVE_ANSWERED = [
    Frame(PONG, b"1"),
    Frame(PONG, b"2"),
    Frame(TEXT, b"frag1frag2frag3frag4frag5"),
]
ALONE = frame(CONTINUATION, b"nothing to continue")
ALONE_OPEN = frame(CONTINUATION, b"nothing to continue", fin=False)
OPEN_TEXT = frame(TEXT, b"begun", fin=False)

FRAGMENTATION = [
    Case("5.1", fragments(PING, [b"frag1", b"frag2"]), [], PROTOCOL),
    Case("5.2", fragments(PONG, [b"frag1", b"frag2"]), [], PROTOCOL),
    Case("5.3", cut(*TWO), [JOINED]),
    Case("5.4", TWO, [JOINED]),
    Case("5.5", cut(*TWO, chop=1), [JOINED]),
    Case("5.6", cut(TWO[0], PINGED, TWO[1]), [PONGED, JOINED]),
    Case("5.7", [TWO[0], PINGED, TWO[1]], [PONGED, JOINED]),
    Case("5.8", cut(TWO[0], PINGED, TWO[1], chop=1), [PONGED, JOINED]),
    Case("5.9", cut(ALONE, HELLO), [], PROTOCOL),
    Case("5.10", [ALONE, HELLO], [], PROTOCOL),
    Case("5.11", cut(ALONE, HELLO, chop=1), [], PROTOCOL),
    Case("5.12", cut(ALONE_OPEN, HELLO), [], PROTOCOL),
    Case("5.13", [ALONE_OPEN, HELLO], [], PROTOCOL),
    Case("5.14", cut(ALONE_OPEN, HELLO, chop=1), [], PROTOCOL),
    Case("5.15", cut(*TWO, ALONE_OPEN, HELLO), [JOINED], PROTOCOL),
    Case("5.16", cut(ALONE_OPEN, OPEN_TEXT, ALONE), [], PROTOCOL),
    Case("5.17", cut(ALONE, OPEN_TEXT, ALONE), [], PROTOCOL),
    Case("5.18", cut(OPEN_TEXT, HELLO), [], PROTOCOL),
    Case("5.19", cut(*FIVE_PINGED), FIVE_ANSWERED),
    Case("5.20", FIVE_PINGED, FIVE_ANSWERED),
]

CASES = [*PINGS, *RESERVED_BITS, *opcode_cases(), *FRAGMENTATION]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.number) for case in CASES])
def test_frames_are_answered_as_the_standard_says(peer: Peer, case: Case) -> None:
    for piece in case.sent:
        if not peer.say(piece):
            break
    peer.expect(*case.answered)
    if case.code == NORMAL:
        peer.finish()
    else:
        peer.fail(case.code)
