"""permessage-deflate, RFC 7692: what is agreed, what comes out, what is refused."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from typing import Any

import pytest

from fastserve._native.errors import ParseError, WebSocketError
from fastserve._native.websocket.deflate import Deflate, DeflatePolicy, negotiate
from fastserve.config import WebSocket

OFFER = b"permessage-deflate"
MOST = 1 << 24
HELLO = bytes.fromhex("f248cdc9c90700")
CHAT = json.dumps({"type": "message", "user": "alice", "text": "hello, world; " * 30}).encode()


def agreed(offer: bytes = OFFER, **policy: Any) -> Deflate:
    found = negotiate(DeflatePolicy(**policy), [offer])
    assert found is not None
    return found


def answer(*offers: bytes, **policy: Any) -> bytes | None:
    found = negotiate(DeflatePolicy(**policy), list(offers))
    return None if found is None else found.answer


def refused(deflate: Deflate, data: bytes, last: bool = True, most: int = MOST) -> int:
    with pytest.raises(WebSocketError) as caught:
        deflate.inflate(data, last, most)
    return caught.value.code


def compressed(message: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """A payload as any client might make it, of a stream of its own."""
    stream = zlib.compressobj(wbits=-15)
    data = stream.compress(message) + stream.flush(flush)
    return data + b"\0" if flush == zlib.Z_FINISH else data.removesuffix(b"\0\0\xff\xff")


def inflated(payload: bytes, window: int = 15) -> bytes:
    """What any client makes of a payload that begins a stream."""
    return zlib.decompressobj(wbits=-window).decompress(payload + b"\0\0\xff\xff")


# -- negotiation: policy and offer ----------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        (b"", b"server_max_window_bits=12"),
        (b"client_max_window_bits", b"server_max_window_bits=12; client_max_window_bits=12"),
        (b"client_max_window_bits=15", b"server_max_window_bits=12; client_max_window_bits=12"),
        (b"client_max_window_bits=10", b"server_max_window_bits=12; client_max_window_bits=10"),
        (b"client_max_window_bits=8", b"server_max_window_bits=12; client_max_window_bits=8"),
        (b"server_max_window_bits=15", b"server_max_window_bits=12"),
        (b"server_max_window_bits=9", b"server_max_window_bits=9"),
        (b'server_max_window_bits="10"', b"server_max_window_bits=10"),
        (b"server_no_context_takeover", b"server_no_context_takeover; server_max_window_bits=12"),
        (b"client_no_context_takeover", b"client_no_context_takeover; server_max_window_bits=12"),
    ],
)
def test_an_offer_is_met_within_the_policy(offer: bytes, expected: bytes) -> None:
    assert answer(OFFER + (b"; " + offer if offer else b"")) == OFFER + b"; " + expected


def test_what_was_not_offered_is_answered_only_where_the_standard_lets_us() -> None:
    """Sections 7.1.1 and 7.1.2: never client_max_window_bits."""
    assert answer(OFFER, window=15) == OFFER
    assert answer(OFFER, window=9, keep_context=False) == (
        OFFER + b"; server_no_context_takeover; client_no_context_takeover;"
        b" server_max_window_bits=9"
    )


@pytest.mark.parametrize(
    "parameters",
    [
        b"unknown",
        b"Server_no_context_takeover",
        b"server_no_context_takeover=1",
        b"client_no_context_takeover=true",
        b"server_no_context_takeover; server_no_context_takeover",
        b"client_max_window_bits; client_max_window_bits=10",
        b"server_max_window_bits",
        b"server_max_window_bits=8",
        b"server_max_window_bits=7",
        b"server_max_window_bits=16",
        b"server_max_window_bits=010",
        b"server_max_window_bits=+10",
        b"server_max_window_bits=x",
        b"client_max_window_bits=7",
        b"client_max_window_bits=16",
        b"client_max_window_bits=09",
        b'client_max_window_bits="16"',
    ],
)
def test_an_offer_that_cannot_be_met_is_declined_and_the_next_is_tried(parameters: bytes) -> None:
    offer = OFFER + b"; " + parameters
    assert answer(offer) is None
    next_one = OFFER + b"; server_max_window_bits=11"
    assert answer(offer, next_one) == answer(offer + b", " + next_one) == next_one


@pytest.mark.parametrize(
    "offers", [[], [b""], [b"x-webkit-deflate-frame"], [b"permessage-Deflate"]]
)
def test_other_extensions_are_not_spoken(offers: list[bytes]) -> None:
    assert answer(*offers) is None


def test_the_first_offer_that_can_be_met_is_taken() -> None:
    offers = [b"foo; a=1, " + OFFER + b"; b", OFFER + b"; server_max_window_bits=10, " + OFFER]
    assert answer(*offers) == OFFER + b"; server_max_window_bits=10"


def test_without_a_policy_nothing_is_agreed() -> None:
    assert negotiate(None, [OFFER]) is None


def test_a_malformed_list_is_an_error() -> None:
    with pytest.raises(ParseError):
        answer(b"permessage-deflate; =")


def test_the_defaults_are_those_of_the_options() -> None:
    policy, options = DeflatePolicy(), WebSocket()
    assert (policy.window, policy.keep_context, policy.level, policy.threshold) == (
        options.deflate_window,
        options.deflate_context,
        options.deflate_level,
        options.deflate_threshold,
    )


def test_the_policy_is_checked() -> None:
    for wrong in ({"window": 8}, {"window": 16}, {"level": 0}, {"level": 10},
                  {"memory_level": -1}, {"memory_level": 10}, {"threshold": -1}):  # fmt: skip
        with pytest.raises(ValueError, match="must be"):
            DeflatePolicy(**wrong)


def test_the_threshold_is_told() -> None:
    assert agreed().threshold == 128
    assert agreed(threshold=0).threshold == 0


# Autobahn's families 13.1 to 13.7: the offers of a client that asks, by number.
FAMILIES = {
    "13.1": b"permessage-deflate; client_max_window_bits",
    "13.2": b"permessage-deflate; server_no_context_takeover; client_max_window_bits",
    "13.3": b"permessage-deflate; server_max_window_bits=9; client_max_window_bits",
    "13.4": b"permessage-deflate; server_max_window_bits=15; client_max_window_bits",
    "13.5": b"permessage-deflate; server_no_context_takeover; server_max_window_bits=9;"
    b" client_max_window_bits",
    "13.6": b"permessage-deflate; server_no_context_takeover; server_max_window_bits=15;"
    b" client_max_window_bits",
    "13.7": b"permessage-deflate; server_no_context_takeover; server_max_window_bits=9;"
    b" client_max_window_bits, permessage-deflate; server_no_context_takeover;"
    b" client_max_window_bits, permessage-deflate; client_max_window_bits",
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("window", [9, 12, 15])
def test_the_offers_of_autobahn(family: str, window: int) -> None:
    got = answer(FAMILIES[family], window=window)
    ours = min(window, 9) if family in ("13.3", "13.5", "13.7") else window
    parts = [OFFER]
    if family in ("13.2", "13.5", "13.6", "13.7"):
        parts.append(b"server_no_context_takeover")
    if ours < 15 or family in ("13.4", "13.6"):
        parts.append(b"server_max_window_bits=%d" % ours)
    assert got == b"; ".join([*parts, b"client_max_window_bits=%d" % window])


# -- inflating: the standard's examples, section 7.2.3 --------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        "f2 48 cd c9 c9 07 00",
        "00 05 00 fa ff 48 65 6c 6c 6f 00",  # not compressed
        "f3 48 cd c9 c9 07 00 00",  # a final block
        "f2 48 05 00 00 00 ff ff ca c9 c9 07 00",  # two blocks
    ],
)
def test_every_form_of_hello(payload: str) -> None:
    data = bytes.fromhex(payload)
    for at in range(len(data) + 1):
        deflate = agreed()
        for _ in range(2):
            head = deflate.inflate(data[:at], False, 5)
            assert head + deflate.inflate(data[at:], True, 5) == b"Hello"
    deflate = agreed()
    bits = [deflate.inflate(data[i : i + 1], False, 5) for i in range(len(data))]
    assert b"".join([*bits, deflate.inflate(b"", True, 5)]) == b"Hello"


def test_the_second_message_refers_to_the_first() -> None:
    deflate = agreed()
    assert deflate.inflate(HELLO, True, 5) == b"Hello"
    assert deflate.inflate(bytes.fromhex("f200110000"), True, 5) == b"Hello"


def test_a_client_without_context_cannot_refer_to_an_earlier_message() -> None:
    deflate = agreed(OFFER + b"; client_no_context_takeover")
    assert deflate.inflate(HELLO, True, 5) == b"Hello"
    assert deflate.inflate(HELLO, True, 5) == b"Hello"
    assert refused(deflate, bytes.fromhex("f200110000")) == 1007


def test_empty_messages_and_empty_frames() -> None:
    deflate = agreed()
    assert deflate.inflate(b"\0", True, 0) == b""
    assert deflate.inflate(b"", True, 0) == b""
    assert deflate.inflate(b"", False, 5) == b""
    assert deflate.inflate(HELLO[:3], False, 5) + deflate.inflate(b"", False, 5) == b"He"
    assert deflate.inflate(HELLO[3:], True, 3) == b"llo"
    assert deflate.inflate(HELLO, False, 5) == b"Hello"
    assert deflate.inflate(b"", True, 0) == b""
    assert deflate.inflate(HELLO, True, 5) == b"Hello"


def test_final_blocks_may_stand_anywhere() -> None:
    message = CHAT * 20
    final = compressed(message, zlib.Z_FINISH).removesuffix(b"\0")
    deflate = agreed()
    assert deflate.inflate(final * 3 + b"\0", True, MOST) == message * 3
    assert deflate.inflate(final, False, MOST) == message
    assert deflate.inflate(compressed(CHAT), True, MOST) == CHAT
    assert deflate.inflate(HELLO, True, MOST) == b"Hello"


def test_many_final_blocks_are_refused_before_they_cost_much() -> None:
    deflate = agreed()
    assert deflate.inflate(b"\x03\0" * 1000 + b"\0", True, 0) == b""
    assert refused(deflate, b"\x03\0" * 100_000) == 1007


# -- inflating: limits and broken data ------------------------------------------------------


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FINISH])
@pytest.mark.parametrize("size", [1, 100, 40_000, 300_000])
def test_the_limit_is_exact(last: bool, flush: int, size: int) -> None:
    payload = compressed(b"x" * size, flush)
    assert agreed().inflate(payload, last, size) == b"x" * size
    assert refused(agreed(), payload, last, size - 1) == 1009
    assert refused(agreed(), payload, last, 0) == 1009


@pytest.mark.parametrize("before", [b"", compressed(b"x", zlib.Z_FINISH).removesuffix(b"\0")])
def test_a_bomb_takes_no_memory(before: bytes) -> None:
    bomb = before + compressed(b"\0" * 10_000_000)
    deflate = agreed()
    tracemalloc.start()
    try:
        assert refused(deflate, bomb, most=1000) == 1009
        assert tracemalloc.get_traced_memory()[1] < 2 * len(bomb) + 100_000
    finally:
        tracemalloc.stop()


def test_the_limit_holds_after_a_final_block_too() -> None:
    first = compressed(b"x" * 10, zlib.Z_FINISH).removesuffix(b"\0")
    assert agreed().inflate(first + HELLO, True, 15) == b"x" * 10 + b"Hello"
    assert refused(agreed(), first + HELLO, most=14) == 1009
    assert refused(agreed(), first + compressed(b"\0" * 10_000_000), most=1000) == 1009


def test_no_room_at_all_is_no_missing_limit() -> None:
    assert refused(agreed(), HELLO, most=-1) == 1009


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff", b"\x07", b"\x00\x05\x00\x00\x00", b"Hello" * 2000]
)
@pytest.mark.parametrize("last", [True, False])
def test_broken_data(data: bytes, last: bool) -> None:
    assert refused(agreed(), data, last) == 1007


@pytest.mark.parametrize("size", [100, 5000])
def test_a_stream_that_breaks_off_is_found_at_the_next_message_at_the_latest(size: int) -> None:
    noise = bytes(i * i % 251 for i in range(size))
    stored = b"\0" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + noise
    deflate = agreed()
    # What is missing is taken from what follows: the tail and the next message's begin.
    assert len(deflate.inflate(stored[:-10], True, MOST)) == size - 10 + 4
    assert refused(deflate, stored) == 1007


@pytest.mark.parametrize("window", [9, 10, 15])
def test_a_window_larger_than_agreed_is_an_error(window: int) -> None:
    """From one message to the next; within one zlib does not look."""
    noise = b"".join(b"%d." % (i * i) for i in range(9000))[: 2**14]
    client = zlib.compressobj(wbits=-15)
    near, far = (
        (client.compress(message) + client.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
        for message in (noise, noise[:1000])
    )
    deflate = agreed(OFFER + b"; client_max_window_bits", window=window)
    assert deflate.inflate(near, True, MOST) == noise
    if window == 15:
        assert deflate.inflate(far, True, MOST) == noise[:1000]
    else:
        assert refused(deflate, far) == 1007


def test_buffers_are_taken_as_well() -> None:
    deflate = agreed()
    assert deflate.inflate(memoryview(HELLO), True, 5) == b"Hello"
    assert deflate.inflate(bytearray(HELLO[:2]), False, 5) + deflate.inflate(HELLO[2:], True, 5)
    assert inflated(deflate.deflate(memoryview(CHAT))) == CHAT


# -- deflating ------------------------------------------------------------------------------


def test_an_empty_message_is_the_octet_of_the_standard() -> None:
    deflate = agreed()
    assert deflate.deflate(b"") == deflate.deflate(b"") == b"\0"
    stream = zlib.decompressobj(wbits=-15)
    for message in (b"", CHAT, b"", b"", CHAT):
        payload = deflate.deflate(message)
        assert stream.decompress(payload + b"\0\0\xff\xff") == message


def test_the_context_is_kept_only_where_that_is_agreed() -> None:
    first, second = (agreed().deflate(CHAT) for _ in range(2))
    assert first == second
    deflate = agreed()
    first, second = (deflate.deflate(CHAT) for _ in range(2))
    assert len(second) < len(first)
    for offer, policy in ((b"; server_no_context_takeover", {}), (b"", {"keep_context": False})):
        deflate = agreed(OFFER + offer, **policy)
        first, second = (deflate.deflate(CHAT) for _ in range(2))
        assert first == second
        assert inflated(first) == CHAT


@pytest.mark.parametrize("window", range(9, 16))
def test_we_stay_within_the_window(window: int) -> None:
    """A client that has only so much memory can read it."""
    noise = b"".join(b"%d." % (i * i) for i in range(20_000))
    message = noise[: 2**window + 300] * 3
    for offer, policy in (
        (OFFER, {"window": window}),
        (OFFER + b"; server_max_window_bits=%d" % window, {"window": 15}),
    ):
        assert inflated(agreed(offer, **policy).deflate(message), window) == message


@pytest.mark.parametrize("level", range(1, 10))
@pytest.mark.parametrize("memory_level", [0, 1, 9])
def test_every_level(level: int, memory_level: int) -> None:
    deflate = agreed(level=level, memory_level=memory_level)
    payload = deflate.deflate(CHAT)
    assert inflated(payload) == CHAT
    assert len(payload) < len(CHAT) / 3


@pytest.mark.parametrize("size", [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072])
@pytest.mark.parametrize("family", ["13.1", "13.5"])
def test_the_sizes_of_autobahn(family: str, size: int) -> None:
    """Families 12 and 13: many messages of a size, echoed, as text and as noise."""
    us, stream = agreed(FAMILIES[family]), zlib.decompressobj(wbits=-15)
    client = zlib.compressobj(wbits=-12)
    text = (CHAT * (size // len(CHAT) + 1))[:size]
    noise = bytes((i * i * 7 + i // 3) % 256 for i in range(size))
    for message in [text, noise] * 5:
        sent = client.compress(message) + client.flush(zlib.Z_SYNC_FLUSH)
        assert us.inflate(sent.removesuffix(b"\0\0\xff\xff"), True, size) == message
        assert stream.decompress(us.deflate(message) + b"\0\0\xff\xff") == message
