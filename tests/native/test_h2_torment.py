"""Spoilt conversations with an HTTP/2 server: none harms the next or leaves anything. Seeded."""

from __future__ import annotations

import gc
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

import hpack
import pytest
from native.h2_session import served
from native.test_h2_frames_differential import some_frame, spoilt
from support.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RESET,
    SETTINGS,
    WINDOW,
    frame,
    read_frame,
    settings,
)
from support.server import Running
from support.spoil import cut

from fastserve._native import shared
from fastserve._native.service import live_objects

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
PATIENCE = 5.0
PATHS = ("/", "/echo", "/hold", "/fields", "/large/70000", "/endless", "/crash", "/crash_late")
PATHS += ("/file", "/trailers")
CONNECT = [(":method", "CONNECT"), *GET[1:3], (":path", "/talk"), (":protocol", "websocket")]
CONNECT.append(("sec-websocket-version", "13"))
HURRY = {
    "timeout_request": 0.05,
    "timeout_request_body": 0.02,
    "timeout_write": 0.04,
    "timeout_keep_alive": 0.05,
    "http2_settings_timeout": 0.05,
    "ws_handshake_timeout": 0.02,
    "ws_close_timeout": 0.02,
    "cancel_on_disconnect": 0.02,
}


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0)
    return True


def masked(dice: random.Random) -> bytes:
    """A WebSocket's frame with a mask of zeros."""
    head = dice.choice([b"\x81", b"\x82", b"\x89", b"\x88", b"\x01"])
    size = dice.choice([2, 100])
    return head + bytes([0x80 | size]) + bytes(4) + b"\x03\xe8" * (size // 2)


def conversation(dice: random.Random) -> list[bytes]:
    """Frames of a client that mostly knows what it does."""
    encoder = hpack.Encoder()
    frames = [settings({4: dice.choice([0, 100, 65535])}), frame(SETTINGS, ACK)]
    for stream in range(1, 2 * dice.randrange(2, 6), 2):
        pairs = [*GET[:3], (":path", dice.choice(PATHS)), ("x-a", str(dice.randrange(3)))]
        ends = dice.choice([0, END_STREAM])
        if dice.random() < 0.2:
            pairs, ends = CONNECT, 0
        block = encoder.encode(pairs)
        if dice.random() < 0.3:
            frames.append(
                frame(HEADERS, ends, stream, block[:5])
                + frame(CONTINUATION, END_HEADERS, stream, block[5:])
            )
        else:
            frames.append(frame(HEADERS, ends | END_HEADERS, stream, block))
        if not ends:
            content = masked(dice) if pairs is CONNECT else b"z" * 300
            frames.append(frame(DATA, dice.choice([0, END_STREAM]), stream, content))
        if dice.random() < 0.4:
            frames.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\0\1x\1y"))
        if dice.random() < 0.4:
            frames.append(frame(WINDOW, 0, dice.choice([0, stream]), b"\0\1\0\0"))
        if dice.random() < 0.3:
            frames.append(frame(RESET, 0, stream, b"\0\0\0\x08"))
        if dice.random() < 0.4:
            frames.append(some_frame(dice))
    if dice.random() < 0.4:
        dice.shuffle(frames)
    return frames


def torment(server: Running, dice: random.Random) -> None:
    """One conversation, and its end by one side or both."""
    data = b"".join(conversation(dice))
    for _ in range(dice.choice([0, 1, 1, 3])):
        data = spoilt(dice, data) or b"\0"
    client = server.connect(greets=False)
    try:
        for piece in cut(dice, PREFACE + data, [1, 3, 40]):
            client.send(piece)
        if dice.random() < 0.2:
            client.shutdown()
        for _ in range(dice.randrange(3)):
            assert read_frame(client) is not None
        assert eventually(lambda: client.unread() == 0)
    except (BrokenPipeError, ConnectionResetError):
        pass  # It was over before all had been sent.
    dice.choice([client.close, client.reset])()


def without_frames(record: logging.LogRecord) -> bool:
    """A record that is kept keeps what its error's frames have."""
    record.exc_info = None
    return True


@pytest.mark.parametrize("seed", range(4))
def test_spoilt_conversations_harm_nobody(
    seed: int, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("fastserve.error"), "filters", [without_frames])
    dice = random.Random(seed)
    hurry = seed == 3
    if hurry:
        monkeypatch.setattr(shared, "TICK", 0.01)
    with served(uds=str(tmp_path / "s"), **(HURRY if hurry else {})) as (server, _):
        for _ in range(300):
            torment(server, dice)
        assert server.connect().get(1) == ("200", b"hello")
    for each in ("internal error", "error while closing"):
        assert each not in caplog.text
    gc.collect()
    assert not any(live_objects().values()), live_objects()
