"""Family 6: text is UTF-8 wherever it is cut, and what is not is refused at its first bad byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.autobahn.peer import Frame, Peer, fragments, frame, pieces
from support.websocket import PING, PONG, TEXT

INVALID_PAYLOAD = 1007
KOSME = bytes.fromhex("cebae1bdb9cf83cebcceb5")
HELLO = "Hello-µ@ßöäüàá-UTF-8!!".encode()
EDITED = b"edited"
BEYOND = b"\xf4\x90\x80\x80"
"""U+110000, which is none: seen at its second byte."""

EMPTY = [
    ("6.1.1", [b""]),
    ("6.1.2", [b"", b"", b""]),
    ("6.1.3", [b"", b"middle frame payload", b""]),
    ("6.2.1", [HELLO]),
    ("6.2.2", ["Hello-µ@ßöä".encode(), "üàá-UTF-8!!".encode()]),
    ("6.2.3", pieces(HELLO, 1)),
    ("6.2.4", pieces(KOSME, 1)),
    ("6.5.1", [HELLO + KOSME + HELLO]),
    ("6.5.2", [HELLO, KOSME + HELLO]),
    ("6.5.3", pieces(HELLO + KOSME + HELLO, 1)),
    ("6.5.4", pieces(HELLO + KOSME + HELLO, 2)),
    ("6.5.5", pieces(HELLO + KOSME + HELLO, 3)),
]


@pytest.mark.parametrize("parts", [pytest.param(parts, id=number) for number, parts in EMPTY])
def test_text_in_fragments_comes_back_whole(peer: Peer, parts: list[bytes]) -> None:
    peer.send(b"".join(fragments(TEXT, parts)))
    peer.expect(Frame(TEXT, b"".join(parts)))
    for part in fragments(TEXT, parts):
        peer.send(part)
    peer.expect(Frame(TEXT, b"".join(parts)))
    peer.finish()


def lonely(first: int, last: int) -> str:
    """Each start byte with a space behind it."""
    return bytes(byte for start in range(first, last + 1) for byte in (start, 0x20)).hex()


UNFINISHED = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf"
"""Their last continuation byte is missing."""

VALID = {
    "6.7": "00 c280 e0a080 f0908080",
    "6.9": "7f dfbf efbfbf f48fbfbf",
    "6.11": "ed9fbf ee8080 efbfbd f48fbfbf",
    "6.22": " ".join(
        chr(plane << 16 | low).encode().hex() for plane in range(17) for low in (0xFFFE, 0xFFFF)
    ),
    "6.23": "efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf",
}

INVALID = {
    "6.8": "f888808080 fc8480808080",
    "6.10": "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf",
    "6.12": "80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf " + bytes(range(0x80, 0xC0)).hex(),
    "6.13": " ".join(
        lonely(first, last)
        for first, last in (
            (0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD),
        )
    ),
    "6.14": UNFINISHED,
    "6.15": UNFINISHED.replace(" ", ""),
    "6.16": "fe ff fefeffff",
    "6.17": "c0af e080af f08080af f8808080af fc80808080af",
    "6.18": "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf",
    "6.19": "c080 e08080 f0808080 f880808080 fc8080808080",
    "6.20": "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf",
    "6.21": "eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf"
    " edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf",
}  # fmt: skip

VALID_PREFIXES = (2, 5, 7, 9, 11)
"""Those of KOSME that end with a character."""


def sequences(families: dict[str, str]) -> Iterator[object]:
    for family, column in families.items():
        for number, digits in enumerate(column.split(), 1):
            yield pytest.param(bytes.fromhex(digits), id=f"{family}.{number}")


def prefixes(valid: bool) -> Iterator[object]:
    for number in range(1, len(KOSME) + 1):
        if (number in VALID_PREFIXES) == valid:
            yield pytest.param(KOSME[:number], id=f"6.6.{number}")


@pytest.mark.parametrize("text", [*prefixes(True), *sequences(VALID)])
def test_valid_text_comes_back(peer: Peer, text: bytes) -> None:
    peer.send(frame(TEXT, text))
    peer.expect(Frame(TEXT, text))
    for part in fragments(TEXT, pieces(text, 1)):
        peer.send(part)
    peer.expect(Frame(TEXT, text))
    for octet in pieces(frame(TEXT, text), 1):
        peer.send(octet)
    peer.expect(Frame(TEXT, text))
    peer.finish()


BAD = [
    pytest.param(HELLO + b"\xed\xa0\x80" + EDITED, id="6.3.1-6.3.2"),
    pytest.param(BEYOND, id="6.11.5"),
    *prefixes(False),
    *sequences(INVALID),
]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("cut", ["whole", "in fragments", "in chops"])
def test_what_is_no_text_fails_the_connection(peer: Peer, text: bytes, cut: str) -> None:
    chops = {
        "whole": [frame(TEXT, text)],
        "in fragments": fragments(TEXT, pieces(text, 1)),
        "in chops": pieces(frame(TEXT, text), 1),
    }[cut]
    for chop in chops:
        if not peer.say(chop):
            break
    peer.fail(INVALID_PAYLOAD)


CUTS = [
    [KOSME, BEYOND, EDITED],
    [KOSME + BEYOND[:1], BEYOND[1:2], BEYOND[2:] + EDITED],
]


@pytest.mark.parametrize(
    "parts", [pytest.param(CUTS[0], id="6.4.1"), pytest.param(CUTS[1], id="6.4.2")]
)
def test_a_bad_fragment_fails_before_the_last_one_is_sent(peer: Peer, parts: list[bytes]) -> None:
    first, bad, _ = fragments(TEXT, parts)
    peer.send(first + frame(PING, b"still there"))
    peer.expect(Frame(PONG, b"still there"))
    peer.send(bad)
    peer.fail(INVALID_PAYLOAD)


@pytest.mark.parametrize(
    "parts", [pytest.param(CUTS[0], id="6.4.3"), pytest.param(CUTS[1], id="6.4.4")]
)
def test_a_bad_byte_fails_before_the_rest_of_its_frame_is_sent(
    peer: Peer, parts: list[bytes]
) -> None:
    whole = frame(TEXT, b"".join(parts))
    head = len(whole) - sum(map(len, parts))
    first = head + len(parts[0])
    peer.send(whole[:first])
    peer.send(whole[first : first + len(parts[1])])
    peer.fail(INVALID_PAYLOAD)
