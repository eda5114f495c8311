"""HTTP/2 over the socket pairs of `stand`: frames that are pushed, and frames that come."""

from __future__ import annotations

import hpack
from native.stand import Client, Stand
from support.http2 import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW,
    Frame,
    frame,
    settings,
)

WINDOW_SETTING = 4


def request(stream: int, path: str = "/", *, method: str = "GET", ends: bool = True) -> bytes:
    pairs = [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)]
    flags = END_HEADERS | (END_STREAM if ends else 0)
    block = b"".join(hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*p)]) for p in pairs)
    return frame(HEADERS, flags, stream, block)


def grant(count: int, stream: int = 0) -> bytes:
    return frame(WINDOW, 0, stream, count.to_bytes(4))


class Frames:
    """The frames that come to a client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._rest = client.left()

    async def next(self) -> Frame | None:
        """The next one; None at the end."""
        while len(self._rest) < 9 or len(self._rest) < 9 + int.from_bytes(self._rest[:3]):
            data = await self.client.read()
            if not data:
                assert not self._rest
                return None
            self._rest += data
        size = 9 + int.from_bytes(self._rest[:3])
        data, self._rest = self._rest[:size], self._rest[size:]
        return Frame(data[3], data[4], int.from_bytes(data[5:9]), data[9:])

    async def until(self, kind: int, stream: int) -> Frame:
        while True:
            each = await self.next()
            assert each is not None, "the connection ended"
            if (each.kind, each.stream) == (kind, stream):
                return each


async def connect(stand: Stand, **values: int) -> tuple[Client, Frames]:
    client = await stand.connect()
    await client.send(PREFACE + settings({WINDOW_SETTING: values.get("window", 65535)}))
    await client.send(frame(SETTINGS, ACK))
    return client, Frames(client)
