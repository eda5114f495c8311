"""Spoilt conversations with an HTTP/2 server: none harms the next or leaves anything. Seeded."""

from __future__ import annotations

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
from support.spoil import cut

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
PATIENCE = 5.0
PATHS = ("/", "/echo", "/hold", "/fields", "/large/70000", "/endless", "/crash", "/crash_late")


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0)
    return True


def conversation(dice: random.Random) -> list[bytes]:
    """Frames of a client that mostly knows what it does."""
    encoder = hpack.Encoder()
    frames = [settings({4: dice.choice([0, 100, 65535])}), frame(SETTINGS, ACK)]
    for stream in range(1, 2 * dice.randrange(2, 6), 2):
        pairs = [*GET[:3], (":path", dice.choice(PATHS)), ("x-a", str(dice.randrange(3)))]
        ends = dice.choice([0, END_STREAM])
        block = encoder.encode(pairs)
        if dice.random() < 0.3:
            frames.append(
                frame(HEADERS, ends, stream, block[:5])
                + frame(CONTINUATION, END_HEADERS, stream, block[5:])
            )
        else:
            frames.append(frame(HEADERS, ends | END_HEADERS, stream, block))
        if not ends:
            frames.append(frame(DATA, dice.choice([0, END_STREAM]), stream, b"z" * 300))
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


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_conversations_harm_nobody(
    seed: int, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    dice = random.Random(seed)
    with served(uds=str(tmp_path / "s")) as (server, _):
        for _ in range(400):
            data = b"".join(conversation(dice))
            for _ in range(dice.choice([0, 1, 1, 3])):
                data = spoilt(dice, data) or b"\0"
            client = server.connect(greets=False)
            try:
                for piece in cut(dice, PREFACE + data, [1, 3, 40]):
                    client.send(piece)
                for _ in range(dice.randrange(3)):
                    assert read_frame(client) is not None
                assert eventually(lambda client=client: client.unread() == 0)
            except (BrokenPipeError, ConnectionResetError):
                pass  # It was over before all had been sent.
            dice.choice([client.close, client.reset])()
        assert server.connect().get(1) == ("200", b"hello")
    assert "internal error" not in caplog.text
