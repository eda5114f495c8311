"""What every application of these tests answers alike, so that one test can read all of them."""

from __future__ import annotations

import hashlib

CHUNK = b"0123456789abcdef" * 1024
"""One large chunk of a stream: 16 KiB."""

LARGE_CHUNKS = 24
"""How many of them follow the two short lines of `/stream`."""

EVENTS = 3
"""Server-sent events of one `/events` response."""


def describe_upload(title: str, filename: str, content: bytes) -> dict[str, object]:
    """The answer of `/form`: enough to see that no byte was lost or moved."""
    return {
        "title": title,
        "filename": filename,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def event(number: int) -> str:
    """One server-sent event, as it goes over the wire."""
    return f"id: {number}\nevent: tick\ndata: number {number}\n\n"
