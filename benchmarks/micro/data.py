"""The request heads and the messages the microbenchmarks parse."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.websocket import chat
from bench.workloads import BY_NAME

SMALL = BY_NAME["hello"].request("127.0.0.1:8000")
BROWSER = BY_NAME["browser"].request("127.0.0.1:8000")
POST = BY_NAME["post1k"].request("127.0.0.1:8000")
REQUESTS = {"small": SMALL, "browser": BROWSER, "post": POST}
FIELDS = {"small": 1, "browser": 14, "post": 2}
BODY = 1024

SOURCE = random.Random(1)
MESSAGES: dict[str, str | bytes] = {
    "text 64 B": chat(64, SOURCE).decode(),
    "text 16 KiB": chat(16 << 10, SOURCE).decode(),
    "text 16 KiB ASCII": chat(16 << 10, SOURCE).decode().encode("ascii", "replace").decode(),
    "binary 64 B": SOURCE.randbytes(64),
    "binary 16 KiB": SOURCE.randbytes(16 << 10),
    "binary 1 MiB": SOURCE.randbytes(1 << 20),
}


def frame(message: str | bytes) -> bytes:
    """The message as a client's only frame, RFC 6455 section 5.2."""
    mask = b"\x9a\x3c\x51\xe7"
    payload = message.encode() if isinstance(message, str) else message
    size = len(payload)
    head = bytes([0x81 if isinstance(message, str) else 0x82])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += b"\xfe" + size.to_bytes(2)
    else:
        head += b"\xff" + size.to_bytes(8)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return head + mask + masked
