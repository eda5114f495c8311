"""permessage-deflate against websockets' and wsproto's clients, over every agreement.

What they compress is inflated here and the reverse, with fragments as they make them and as a
stranger might cut them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension, parse_extension
from wsproto import extensions as wsproto_extensions
from wsproto import frame_protocol as wsproto_frames

from fastserve._native.errors import WebSocketError
from fastserve._native.websocket.deflate import Deflate, DeflatePolicy, negotiate

MOST = 1 << 24
RSV = wsproto_frames.RsvBits


@dataclass
class Client:
    """A peer's client: its messages as payloads of one or more frames, and ours as bytes."""

    compress: Callable[[list[bytes]], list[bytes]]
    decompress: Callable[[list[bytes]], bytes]


def of_websockets(us: Deflate, factory: ClientPerMessageDeflateFactory) -> Client:
    ((_, parameters),) = parse_extension(us.answer.decode())
    extension = factory.process_response_params(parameters, [])

    def frames(pieces: list[bytes], rsv1: bool) -> list[Frame]:
        last = len(pieces) - 1
        return [
            Frame(Opcode.CONT if i else Opcode.BINARY, piece, fin=i == last, rsv1=rsv1 and not i)
            for i, piece in enumerate(pieces)
        ]

    return Client(
        lambda pieces: [bytes(extension.encode(each).data) for each in frames(pieces, False)],
        lambda pieces: b"".join(
            bytes(extension.decode(each).data) for each in frames(pieces, True)
        ),
    )


def of_wsproto(us: Deflate, extension: wsproto_extensions.PerMessageDeflate) -> Client:
    extension.finalize(us.answer.decode())
    proto: Any = SimpleNamespace(client=True)
    binary, more = wsproto_frames.Opcode.BINARY, wsproto_frames.Opcode.CONTINUATION

    def compress(pieces: list[bytes]) -> list[bytes]:
        last = len(pieces) - 1
        return [
            extension.frame_outbound(
                proto, more if i else binary, RSV(False, False, False), piece, i == last
            )[1]
            for i, piece in enumerate(pieces)
        ]

    def decompress(pieces: list[bytes]) -> bytes:
        message = b""
        for i, piece in enumerate(pieces):
            opcode = more if i else binary
            extension.frame_inbound_header(proto, opcode, RSV(not i, False, False), len(piece))
            got = extension.frame_inbound_payload_data(proto, piece)
            rest = extension.frame_inbound_complete(proto, i == len(pieces) - 1)
            assert isinstance(got, bytes)
            message += got + (rest or b"")
        return message

    return Client(compress, decompress)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [*sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def converse(us: Deflate, client: Client, messages: list[bytes], places: list[int]) -> None:
    for message in messages:
        made = client.compress(cut(message, places))
        last = len(made) - 1
        got = [us.inflate(each, i == last, len(message)) for i, each in enumerate(made)]
        assert b"".join(got) == message, "of the client's fragments"
        pieces = cut(b"".join(client.compress([message])), places)
        last = len(pieces) - 1
        got = [us.inflate(each, i == last, len(message)) for i, each in enumerate(pieces)]
        assert b"".join(got) == message, "of a stranger's fragments"
        assert client.decompress([us.deflate(message)]) == message
        assert client.decompress(cut(us.deflate(message), places)) == message


words = st.sampled_from([b"hello ", b"world ", b'{"type": "message"}', b"\xc3\xa9", b"\0" * 50])
messages = st.one_of(
    st.binary(max_size=40),
    st.lists(words, max_size=40).map(b"".join),
    st.builds(lambda n, seed: (b"%x" % (seed + 3) ** 40 * n)[: n * 9], st.integers(0, 3000),
              st.integers(0, 2**32)),
)  # fmt: skip
conversations = st.lists(messages, min_size=1, max_size=5)
places = st.lists(st.integers(0, 2**16), max_size=4)
policies = st.fixed_dictionaries(
    {
        "window": st.integers(9, 15),
        "keep_context": st.booleans(),
        "level": st.integers(1, 9),
        "memory_level": st.integers(0, 9),
    }
)
BIG = [b"0123456789abcdef" * 5000, b"x" * 300_000, bytes(i * i % 251 for i in range(200_000))]


@settings(deadline=None)
@given(
    policy=policies,
    server_forgets=st.booleans(),
    client_forgets=st.booleans(),
    server_window=st.none() | st.integers(9, 15),
    client_window=st.none() | st.just(True) | st.integers(9, 15),
    said=conversations,
    places=places,
)
@example({}, False, False, None, True, [*BIG, b"", *BIG], [5, 70_000])
@example({"window": 9}, True, True, 15, 15, [*BIG, b"", *BIG], [5, 70_000])
def test_websockets(
    policy: dict[str, Any],
    server_forgets: bool,
    client_forgets: bool,
    server_window: int | None,
    client_window: Any,
    said: list[bytes],
    places: list[int],
) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_forgets, client_forgets, server_window, client_window
    )
    offer = build_extension([(factory.name, list(factory.get_request_params()))])
    us = negotiate(DeflatePolicy(**policy), [offer.encode()])
    assert us is not None
    converse(us, of_websockets(us, factory), said, places)


@settings(deadline=None)
@given(
    policy=policies,
    server_forgets=st.booleans(),
    client_forgets=st.booleans(),
    server_window=st.integers(9, 15),
    client_window=st.integers(9, 15),
    said=conversations,
    places=places,
)
@example({}, False, False, 15, 15, [*BIG, b"", *BIG], [5, 70_000])
@example({"window": 9}, True, True, 9, 15, [*BIG, b"", *BIG], [5, 70_000])
def test_wsproto(
    policy: dict[str, Any],
    server_forgets: bool,
    client_forgets: bool,
    server_window: int,
    client_window: int,
    said: list[bytes],
    places: list[int],
) -> None:
    extension = wsproto_extensions.PerMessageDeflate(
        client_forgets, client_window, server_forgets, server_window
    )
    offer = f"{extension.name}; {extension.offer()}"
    us = negotiate(DeflatePolicy(**policy), [offer.encode()])
    assert us is not None
    converse(us, of_wsproto(us, extension), said, places)


@settings(deadline=None)
@given(
    data=st.binary(max_size=300) | st.binary(max_size=300).map(zlib.compress),
    places=places,
    most=st.integers(0, 1000),
)
def test_what_is_made_of_any_bytes_does_not_depend_on_the_cuts(
    data: bytes, places: list[int], most: int
) -> None:
    def outcome(pieces: list[bytes]) -> bytes | str:
        us = negotiate(DeflatePolicy(), [b"permessage-deflate"])
        assert us is not None
        found = b""
        try:
            for i, piece in enumerate(pieces):
                found += us.inflate(piece, i == len(pieces) - 1, most - len(found))
        except WebSocketError as error:
            return error.reason
        return found

    whole = outcome([data])
    in_pieces = outcome(cut(data, places))
    if isinstance(whole, str) and isinstance(in_pieces, str):
        return  # broken data may give much before it is seen to be broken
    assert in_pieces == whole


@pytest.mark.parametrize("window", range(9, 16))
def test_a_client_that_leaves_the_windows_to_us(window: int) -> None:
    factory = ClientPerMessageDeflateFactory()
    offer = build_extension([(factory.name, list(factory.get_request_params()))])
    us = negotiate(DeflatePolicy(window=window), [offer.encode()])
    assert us is not None
    converse(us, of_websockets(us, factory), BIG * 2, [100])
