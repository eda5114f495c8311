"""Families 9 and 10: large messages, small fragments, small writes, many messages."""

from __future__ import annotations

import pytest
from e2e.autobahn.peer import Peer, fragments, frame, pieces
from support.websocket import BINARY, TEXT

KIB, MIB = 1 << 10, 1 << 20
KINDS = {TEXT: b"BAsd7&jh23", BINARY: b"\x00\xfe\xff\x80\x0a\x81\xc0\xee\x01\x7f"}
SIZES = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB)
FRAGMENTS = (64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB)
CHOPS = (64, 128, 256, 512, KIB, 2 * KIB)
MESSAGES = (0, 16, 64, 256, KIB, 4 * KIB)
COUNT = 1000


def payload(opcode: int, size: int) -> bytes:
    return (KINDS[opcode] * (size // 10 + 1))[:size]


def cases(families: tuple[str, str], values: tuple[int, ...]) -> list[object]:
    """Text and binary, for each of `values`."""
    return [
        pytest.param(opcode, value, id=f"{family}.{number}")
        for family, opcode in zip(families, (TEXT, BINARY), strict=True)
        for number, value in enumerate(values, 1)
    ]


@pytest.mark.parametrize(("opcode", "size"), cases(("9.1", "9.2"), SIZES))
def test_a_large_message_comes_back(peer: Peer, opcode: int, size: int) -> None:
    data = payload(opcode, size)
    peer.send(frame(opcode, data))
    peer.echoed(opcode, data)
    peer.finish()


@pytest.mark.parametrize(("opcode", "size"), cases(("9.3", "9.4"), FRAGMENTS))
def test_a_message_in_fragments_of_any_size_comes_back(peer: Peer, opcode: int, size: int) -> None:
    data = payload(opcode, 4 * MIB)
    peer.send(b"".join(fragments(opcode, pieces(data, size))))
    peer.echoed(opcode, data)
    peer.finish()


@pytest.mark.parametrize(("opcode", "size"), cases(("9.5", "9.6"), CHOPS))
def test_a_message_in_writes_of_any_size_comes_back(peer: Peer, opcode: int, size: int) -> None:
    data = payload(opcode, MIB)
    for chop in pieces(frame(opcode, data), size):
        peer.send(chop)
    peer.echoed(opcode, data)
    peer.finish()


@pytest.mark.parametrize(("opcode", "size"), cases(("9.7", "9.8"), MESSAGES))
def test_many_messages_come_back_in_turn(peer: Peer, opcode: int, size: int) -> None:
    data = payload(opcode, size)
    sent = frame(opcode, data)
    for _ in range(COUNT):
        peer.send(sent)
        peer.echoed(opcode, data)
    peer.send(sent * 20)
    for _ in range(20):
        peer.echoed(opcode, data)
    peer.finish()


@pytest.mark.parametrize("size", [pytest.param(1300, id="10.1.1")])
def test_a_message_that_was_fragmented_on_the_way_out_comes_back(peer: Peer, size: int) -> None:
    data = payload(TEXT, 64 * KIB)
    for part in fragments(TEXT, pieces(data, size)):
        peer.send(part)
    peer.echoed(TEXT, data)
    peer.finish()
