"""Families 12 and 13: permessage-deflate over contents, sizes, fragments and parameters.

Autobahn sends 1,000 messages a case; here it is as many as make some 128 KiB.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import pytest
from e2e.autobahn.peer import Deflater, Peer, fragments, frame, pieces
from support.websocket import BINARY, TEXT

RANDOM = random.Random(12)
MOST = 1 << 17
WORDS = "habe nun ach philosophie juristerei und medizin durchaus studiert".split()  # noqa: SIM905


def a_json() -> bytes:
    """Records as an interface would send them, in ASCII."""
    rows = [
        {"id": RANDOM.getrandbits(32), "name": RANDOM.choice(WORDS), "on": RANDOM.random() < 0.5}
        for _ in range(MOST // 40)
    ]
    return json.dumps(rows).encode()


def a_bitmap() -> bytes:
    """A picture: neighbours differ little."""
    return bytes((x ^ y) & 0xF8 | RANDOM.getrandbits(2) for y in range(512) for x in range(256))


def a_text() -> bytes:
    return " ".join(RANDOM.choice(WORDS) for _ in range(MOST // 6)).encode()


def a_page() -> bytes:
    rows = (f"<tr><td>{n}</td><td class='x'>{RANDOM.random():.6f}</td></tr>\n" for n in range(9999))
    return "".join(rows).encode()


CONTENTS = {
    "12.1": (TEXT, a_json()),
    "12.2": (BINARY, a_bitmap()),
    "12.3": (TEXT, a_text()),
    "12.4": (TEXT, a_page()),
    "12.5": (BINARY, RANDOM.randbytes(MOST)),
}

ASKED = {
    "13.1": "permessage-deflate; client_no_context_takeover; client_max_window_bits",
    "13.2": "permessage-deflate; server_no_context_takeover; client_max_window_bits",
    "13.3": "permessage-deflate; server_max_window_bits=9; client_max_window_bits",
    "13.4": "permessage-deflate; server_max_window_bits=15; client_max_window_bits",
    "13.5": "permessage-deflate; server_no_context_takeover; server_max_window_bits=9;"
    " client_max_window_bits",
    "13.6": "permessage-deflate; server_no_context_takeover; server_max_window_bits=15;"
    " client_max_window_bits",
    "13.7": "permessage-deflate; server_no_context_takeover; server_max_window_bits=9;"
    " client_max_window_bits, permessage-deflate; server_no_context_takeover;"
    " client_max_window_bits, permessage-deflate; client_max_window_bits",
}

# (bytes of a message, bytes of a frame or 0 for one frame)
SIZES = [
    *((1 << bits, 0) for bits in (4, 6, 8, 10, 12, 13, 14, 15, 16, 17)),
    *((1 << bits, 256) for bits in (13, 14, 15, 16, 17)),
    *((1 << 17, 1 << bits) for bits in (10, 12, 15)),
]


def sized(families: Iterable[str]) -> list[object]:
    return [
        pytest.param(family, size, cut, id=f"{family}.{number}")
        for family in families
        for number, (size, cut) in enumerate(SIZES, 1)
    ]


def messages(content: bytes, size: int) -> list[bytes]:
    count = max(2, min(20, MOST // size))
    return [content[at * size % (MOST - size + 1) :][:size] for at in range(count)]


def talk(peer: Peer, deflater: Deflater, opcode: int, content: bytes, size: int, cut: int) -> int:
    """Messages there and back; how many bytes the server sent for them."""
    received = 0
    for message in messages(content, size):
        assert len(message) == size
        compressed = deflater.deflate(message)
        parts = pieces(compressed, cut) if cut else [compressed]
        peer.send(b"".join(fragments(opcode, parts, rsv=4)))
        got = peer.frame()
        assert (got.opcode, got.fin) == (opcode, True)
        assert got.rsv in (0, 4)
        back = deflater.inflate(got.payload) if got.rsv else got.payload
        assert back == message
        received += len(got.payload)
    return received


@pytest.mark.parametrize(("family", "size", "cut"), sized(CONTENTS))
def test_any_content_comes_back(
    echo_server: tuple[str, int], family: str, size: int, cut: int
) -> None:
    opcode, content = CONTENTS[family]
    with Peer(echo_server, "permessage-deflate; client_max_window_bits") as peer:
        received = talk(peer, Deflater(peer.extensions), opcode, content, size, cut)
        if content is not CONTENTS["12.5"][1] and size >= 1024:
            assert received < size * len(messages(content, size)), "nothing was compressed"
        peer.finish()


@pytest.mark.parametrize(("family", "size", "cut"), sized(ASKED))
def test_whatever_was_agreed_on_is_kept_to(
    echo_server: tuple[str, int], family: str, size: int, cut: int
) -> None:
    with Peer(echo_server, ASKED[family]) as peer:
        deflater = Deflater(peer.extensions)
        first = ASKED[family].partition(",")[0]
        if "server_no_context_takeover" in first:
            assert "server_no_context_takeover" in deflater.agreed
        if "server_max_window_bits=9" in first:
            assert deflater.agreed["server_max_window_bits"] == "9"
        talk(peer, deflater, *CONTENTS["12.1"], size, cut)
        peer.finish()


def test_messages_may_go_uncompressed_in_between(echo_server: tuple[str, int]) -> None:
    with Peer(echo_server, "permessage-deflate") as peer:
        deflater = Deflater(peer.extensions)
        for text in (b"one" * 99, b"two" * 99, b"three" * 99):
            peer.send(frame(TEXT, text) + frame(TEXT, deflater.deflate(text), rsv=4))
            for _ in range(2):
                got = peer.frame()
                back = deflater.inflate(got.payload) if got.rsv else got.payload
                assert (got.opcode, back) == (TEXT, text)
        peer.finish()
