"""One WebSocket message through a parser: ours, websockets' (C for the mask) and wsproto's.

Each gets a client's masked frame in one read, as it comes from a transport, and gives what an
application receives: str or bytes. What the handshake needs was done before.
"""

from __future__ import annotations

import pytest
from data import MESSAGES, frame
from websockets.frames import Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from wsproto.connection import Connection, ConnectionType

from fastserve._native.websocket.frames import FrameParser

MAX_SIZE = 16 << 20
KINDS = list(MESSAGES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="frames")
def test_fastserve(benchmark, kind):
    parser = FrameParser(MAX_SIZE, None)
    events = benchmark(parser.feed, frame(MESSAGES[kind]))
    assert [event[1] for event in events] == [MESSAGES[kind]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="frames")
def test_websockets(benchmark, kind):
    protocol = ServerProtocol(state=OPEN, max_size=MAX_SIZE)
    data = frame(MESSAGES[kind])

    def one():
        protocol.receive_data(data)
        (event,) = protocol.events_received()
        return event.data.decode() if event.opcode is Opcode.TEXT else event.data

    assert benchmark(one) == MESSAGES[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="frames")
def test_wsproto(benchmark, kind):
    connection = Connection(ConnectionType.SERVER)
    data = frame(MESSAGES[kind])

    def one():
        connection.receive_data(data)
        (event,) = connection.events()
        return event.data

    assert benchmark(one) == MESSAGES[kind]


@pytest.mark.benchmark(group="frames, 64 in one read")
def test_fastserve_many(benchmark):
    parser = FrameParser(MAX_SIZE, None)
    events = benchmark(parser.feed, frame(MESSAGES["text 64 B"]) * 64)
    assert [event[1] for event in events] == [MESSAGES["text 64 B"]] * 64


@pytest.mark.benchmark(group="frames in pieces")
@pytest.mark.parametrize("kind", ["binary 1 MiB", "text 16 KiB"])
@pytest.mark.parametrize("size", [1024, 65536])
def test_fastserve_in_pieces(benchmark, kind, size):
    """A message that arrives in many reads; its beginning must not be read or moved again."""
    data = frame(MESSAGES[kind])
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    parser = FrameParser(MAX_SIZE, None)

    def all_pieces():
        return [event for piece in pieces for event in parser.feed(piece)]

    assert [event[1] for event in benchmark(all_pieces)] == [MESSAGES[kind]]
