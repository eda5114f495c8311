"""websocket.writer: frames as bytes, read back by the `websockets` library's client side."""

from __future__ import annotations

import pytest
from websockets.frames import Close, Frame
from websockets.protocol import CLIENT, OPEN, Protocol

from fastserve._native.websocket import writer

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def read(data: bytes) -> list[Frame]:
    peer = Protocol(CLIENT, state=OPEN, max_size=None)
    peer.receive_data(data)
    assert peer.parser_exc is None
    return peer.events_received()


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG])
@pytest.mark.parametrize("n", [0, 1, 125])
def test_short_frames(opcode: int, n: int) -> None:
    data = writer.encode(opcode, b"x" * n)
    assert data == bytes([0x80 | opcode, n]) + b"x" * n
    assert [(f.opcode, f.fin, f.data) for f in read(data)] == [(opcode, True, b"x" * n)]


@pytest.mark.parametrize("n", [126, 1013, 1014, 1015, 65535, 65536, 1 << 20])
def test_longer_frames(n: int) -> None:
    payload = bytes(n)
    (got,) = read(writer.encode(BINARY, payload))
    assert got.data == payload


def test_a_compressed_message_is_marked_so() -> None:
    assert writer.encode(TEXT, b"\x00", compressed=True) == b"\xc1\x01\x00"
    assert writer.encode(BINARY, b"a" * 126, compressed=True)[:4] == b"\xc2\x7e\x00\x7e"


def test_close_frames() -> None:
    assert writer.encode_close(1005, "not sent") == b"\x88\x00"
    assert writer.encode_close(1000) == b"\x88\x02\x03\xe8"
    (got,) = read(writer.encode_close(4999, "Grüße"))
    assert Close.parse(got.data) == Close(4999, "Grüße")


@pytest.mark.parametrize("character", ["a", "ß", "€", "😀"])
def test_a_long_reason_is_cut_at_a_character(character: str) -> None:
    size = len(character.encode())
    for lead in range(4):
        reason = "-" * lead + character * 200
        (got,) = read(writer.encode_close(1000, reason))
        kept = Close.parse(got.data).reason
        assert reason.startswith(kept)
        assert 123 - size < len(kept.encode()) <= 123


def test_a_reason_of_just_123_bytes_is_kept() -> None:
    reason = "ß" * 61 + "a"
    (got,) = read(writer.encode_close(1000, reason))
    assert Close.parse(got.data).reason == reason


def test_a_lone_surrogate_in_a_reason_becomes_a_question_mark() -> None:
    assert writer.encode_close(1000, "a\udc80b") == b"\x88\x05\x03\xe8a?b"


def test_codes_an_application_may_close_with() -> None:
    allowed = {code for code in range(-2, 70000) if writer.may_send(code)}
    registered = set(range(1000, 1015)) - {1004, 1005, 1006}
    assert allowed == registered | set(range(3000, 5000))
