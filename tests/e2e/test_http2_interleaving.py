"""Streams of one connection in whatever order: each gets its own, whatever the others do.

Every run is another order of sending, reading, granting and leaving, drawn from its seed; every
other one is over TLS.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from h2.settings import SettingCodes
from support.apps import body, start
from support.certificates import Authority
from support.http2 import PRIORITY_UPDATE, Http2Client, frame
from support.server import serve

HOST = "127.0.0.1"


def content(size: int) -> bytes:
    """As many bytes, of which no two parts are alike."""
    block = hashlib.sha512(str(size).encode()).digest()
    return (b"".join(hashlib.md5(block + bytes([n])).digest() for n in range(256)) * 256)[:size]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Sends so many bytes in such pieces, and then what it was sent, as it comes."""
    size, piece, trailers = map(int, scope["path"][1:].split("/"))
    data = content(size)
    await send(start(200, [(b"x-size", b"%d" % size)], trailers=bool(trailers)))
    for at in range(0, size, piece):
        await send(body(data[at : at + piece], more=True))
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        await send(body(message["body"], more=more))
    if trailers:
        pair = (b"x-sum", hashlib.md5(data).hexdigest().encode())
        await send({"type": "http.response.trailers", "headers": [pair]})


class Asked:
    """One stream, what is still to be sent on it and what is expected of it."""

    def __init__(self, client: Http2Client, chance: random.Random) -> None:
        self.size = chance.choice((0, 1, 1000, 16_384, 50_000, 300_000))
        self.data = content(chance.choice((0, 0, 1, 5000, 70_000, 400_000)))
        self.left = self.data
        self.trailers = chance.random() < 0.3
        piece = chance.choice((100, 16_384, 65_536, 300_000)) if self.size else 1
        path = f"/{self.size}/{max(piece, self.size // 50 + 1)}/{int(self.trailers)}"
        headers = [("te", "trailers"), ("priority", f"u={chance.randrange(8)}, i")]
        self.stream = client.open("POST", path, headers[: chance.randrange(3)], ends=False)
        self.ended = False

    def send(self, chance: random.Random) -> None:
        """Some more of the body, if there is room; or its end."""
        stream = self.stream
        if stream.reset is not None or self.ended:
            return
        count = min(stream.room, chance.choice((1, 100, 16_384, 100_000)), len(self.left))
        if count:
            stream.send(self.left[:count])
            self.left = self.left[count:]
        elif not self.left:
            stream.end()
            self.ended = True

    @property
    def over(self) -> bool:
        return self.stream.ended and self.ended

    def check(self) -> None:
        answer = self.stream.response()
        assert answer.status == 200
        assert answer.header("x-size") == str(self.size)
        assert answer.body == content(self.size) + self.data
        if answer.trailers:
            assert answer.trailers == [("x-sum", hashlib.md5(content(self.size)).hexdigest())]


def steps(client: Http2Client, chance: random.Random, window: int) -> Iterator[Asked]:
    """Plays until every stream is over; gives those that ended well."""
    asked: list[Asked] = []
    to_open = 40
    while to_open or asked:
        act = chance.random()
        if to_open and (act < 0.2 or not asked) and len(asked) < 20:
            to_open -= 1
            asked.append(Asked(client, chance))
        elif asked and act < 0.6:
            chance.choice(asked).send(chance)
        elif asked and act < 0.61:
            left = asked.pop(chance.randrange(len(asked)))
            if not left.over:
                left.stream.cancel()
        elif asked and act < 0.64:
            update = chance.choice(asked).stream.id.to_bytes(4) + b"u=%d" % chance.randrange(8)
            client.raw(frame(PRIORITY_UPDATE, 0, 0, update))
        elif act < 0.65:
            # It only grows: h2 takes an empty frame for a violation where a window is below zero.
            window += chance.choice((0, 1000, 50_000))
            client.session.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
            client.flush()
        elif client.comes(0.001):
            client.step()
        for each in [each for each in asked if each.over]:
            asked.remove(each)
            yield each


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(n, marks=pytest.mark.soak) for n in range(4, 60))]
)
def test_streams_in_any_order(seed: int, loop: str, authority: Authority, logs: Any) -> None:
    chance = random.Random(seed)
    secure = seed % 2 == 1
    options = authority.issue(HOST).options if secure else {}
    with serve(app, peer=Http2Client, lifespan="off", loop=loop, **options) as server:
        client = server.connect(
            tls=authority.client_context() if secure else None,
            name=HOST,
            settings={SettingCodes.INITIAL_WINDOW_SIZE: (begun := chance.choice((3000, 65_535)))},
            window=chance.choice((65_535, 200_000, 1 << 24)),
        )
        client.ping()  # h2 takes the first acknowledgement for that of whatever was sent last
        ended = 0
        for asked in steps(client, chance, begun):
            asked.check()
            ended += 1
        assert ended > 10
        client.ping()
        assert client.goaways == []
    assert logs.noise == []
