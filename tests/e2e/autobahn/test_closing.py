"""Family 7: the close frame, its codes and reasons, and what comes behind it."""

from __future__ import annotations

import pytest
from e2e.autobahn.peer import Frame, Peer, close_frame, fragments, frame
from support.websocket import CLOSE, PING, TEXT

HELLO = frame(TEXT, b"Hello, world!")
PROTOCOL, INVALID_PAYLOAD, NO_CODE = 1002, 1007, 1005
CLOSED = (1000, b"")


@pytest.mark.parametrize("case", [pytest.param(None, id="7.1.1")])
def test_a_message_before_a_close_is_echoed(peer: Peer, case: None) -> None:
    peer.send(HELLO + close_frame())
    peer.expect(Frame(TEXT, b"Hello, world!"))
    assert peer.closed() == CLOSED


BEHIND = {
    "7.1.2": close_frame(1001),
    "7.1.3": frame(PING, b"too late"),
    "7.1.4": HELLO,
}


@pytest.mark.parametrize(
    "behind", [pytest.param(behind, id=number) for number, behind in BEHIND.items()]
)
def test_nothing_behind_a_close_is_answered(peer: Peer, behind: bytes) -> None:
    peer.send(close_frame() + behind)
    assert peer.closed() == CLOSED


@pytest.mark.parametrize("case", [pytest.param(None, id="7.1.5")])
def test_a_message_that_a_close_cuts_is_dropped(peer: Peer, case: None) -> None:
    first, second = fragments(TEXT, [b"fragment1", b"fragment2"])
    peer.send(first + close_frame() + second)
    assert peer.closed() == CLOSED


@pytest.mark.parametrize("case", [pytest.param(None, id="7.1.6")])
def test_a_close_behind_a_large_message_is_clean(peer: Peer, case: None) -> None:
    large = b"BAsd7&jh23" * 26_214
    peer.send(frame(TEXT, large) + close_frame() + frame(PING))
    peer.echoed(TEXT, large)
    assert peer.closed() == CLOSED


@pytest.mark.parametrize("case", [pytest.param(None, id="7.3.1")])
def test_a_close_without_a_code_is_answered_by_one_without(peer: Peer, case: None) -> None:
    peer.send(close_frame(None))
    assert peer.closed() == (NO_CODE, b"")


REASONS = {"7.3.3": b"", "7.3.4": b"Hello, world!", "7.3.5": b"*" * 123}


@pytest.mark.parametrize(
    "reason", [pytest.param(reason, id=number) for number, reason in REASONS.items()]
)
def test_a_close_with_a_reason_is_answered(peer: Peer, reason: bytes) -> None:
    peer.send(close_frame(1000, reason))
    assert peer.closed() == CLOSED


BROKEN = {
    "7.3.2": (frame(CLOSE, b"*"), PROTOCOL),
    "7.3.6": (close_frame(1000, b"*" * 124), PROTOCOL),
    "7.5.1": (
        close_frame(1000, bytes.fromhex("cebae1bdb9cf83cebcceb5") + b"\xed\xa0\x80edited"),
        INVALID_PAYLOAD,
    ),
}


@pytest.mark.parametrize(
    ("sent", "code"), [pytest.param(*broken, id=number) for number, broken in BROKEN.items()]
)
def test_a_broken_close_fails_the_connection(peer: Peer, sent: bytes, code: int) -> None:
    peer.send(sent)
    peer.fail(code)


VALID = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
REGISTERED_SINCE = (1012, 1013, 1014)
INVALID = {
    "7.9": (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999),
    "7.13": (5000, 65535),
    "also": (4, 1015),
}


def codes(families: dict[str, tuple[int, ...]]) -> list[object]:
    return [
        pytest.param(code, id=f"{family}.{number}")
        for family, members in families.items()
        for number, code in enumerate(members, 1)
    ]


@pytest.mark.parametrize("code", codes({"7.7": VALID, "registered since": REGISTERED_SINCE}))
@pytest.mark.parametrize("reason", [b"", b"going"])
def test_a_valid_code_is_answered_with_itself(peer: Peer, code: int, reason: bytes) -> None:
    peer.send(close_frame(code, reason))
    assert peer.closed() == (code, b"")


@pytest.mark.parametrize("code", codes(INVALID))
@pytest.mark.parametrize("reason", [b"", b"going"])
def test_a_code_that_may_not_be_sent_fails_the_connection(
    peer: Peer, code: int, reason: bytes
) -> None:
    peer.send(close_frame(code, reason))
    peer.fail(PROTOCOL)
