"""Real WebSocket clients against the server: websockets, aiohttp and wsproto."""

from __future__ import annotations

import asyncio
import json
import os
import queue
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
import websockets
import wsproto
from support.client import TIMEOUT
from support.server import Running, serve
from support.stage import Stage
from websockets.asyncio.client import ClientConnection
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from wsproto import events
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

MESSAGES = [
    "",
    "hello",
    "Grüße, κόσμε, 你好, 🙂",
    b"",
    bytes(range(256)),
    json.dumps([{"id": number, "name": f"row {number}"} for number in range(2000)]),
    os.urandom(300_000),
    "x" * 2_000_000,
    b"\x00" * 70_000,
    "hello",
]

SPOKEN = ("chat.v2", "chat.v1")
"""Subprotocols of the application, best first."""

stage = Stage()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echoes; /close closes as its query says, /from names what the client has sent."""
    await receive()
    subprotocol = next((name for name in SPOKEN if name in scope["subprotocols"]), None)
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    if scope["path"] == "/close":
        query = parse_qs(scope["query_string"].decode())
        reason = query.get("reason", [""])[0]
        await send({"type": "websocket.close", "code": int(query["code"][0]), "reason": reason})
    elif scope["path"] == "/from":
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        await send({"type": "websocket.send", "text": json.dumps([scope["path"], fields])})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
    stage.mark(scope["query_string"].decode(), (event["code"], event["reason"]))


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with serve(app, lifespan="off", loop=request.param) as running:
        yield running


@pytest.fixture
def url(server: Running) -> str:
    return f"ws://{server.host}:{server.port}"


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 3 * TIMEOUT))


# -- websockets ----------------------------------------------------------------------------


def connect(url: str, **options: Any) -> websockets.connect:
    return websockets.connect(url, proxy=None, max_size=None, **options)


async def echo_all(client: ClientConnection) -> None:
    for message in MESSAGES:
        await client.send(message)
        assert await client.recv() == message


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_gets_back_whatever_it_sends(url: str, compression: str | None) -> None:
    async def main() -> None:
        async with connect(url, compression=compression) as client:
            assert bool(client.protocol.extensions) == bool(compression)
            await echo_all(client)

    run(main)


@pytest.mark.parametrize("server_takeover", [True, False])
@pytest.mark.parametrize("client_takeover", [True, False])
@pytest.mark.parametrize("server_bits", [None, 9, 15])
@pytest.mark.parametrize("client_bits", [None, True, 9, 15])
def test_websockets_agrees_on_any_parameters_of_deflate(
    url: str,
    server_takeover: bool,
    client_takeover: bool,
    server_bits: int | None,
    client_bits: int | None,
) -> None:
    offer = ClientPerMessageDeflateFactory(
        server_no_context_takeover=not server_takeover,
        client_no_context_takeover=not client_takeover,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )

    async def main() -> None:
        async with connect(url, compression=None, extensions=[offer]) as client:
            (agreed,) = client.protocol.extensions
            assert agreed.remote_no_context_takeover or server_takeover
            assert agreed.local_no_context_takeover or client_takeover
            assert agreed.remote_max_window_bits <= (server_bits or 15)
            for text in MESSAGES[:6]:
                await client.send(text)
                assert await client.recv() == text

    run(main)


def test_a_window_that_zlib_cannot_have_is_not_agreed_on(url: str) -> None:
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=8)

    async def main() -> None:
        async with connect(url, compression=None, extensions=[offer]) as client:
            assert client.protocol.extensions == []
            await echo_all(client)

    run(main)


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_sends_in_fragments(url: str, compression: str | None) -> None:
    async def letters() -> AsyncIterator[str]:
        for part in ("κόσμε, ", "", "🙂" * 5000, "!"):
            yield part

    async def main() -> None:
        async with connect(url, compression=compression) as client:
            await client.send(["a", "", "b", "c" * 100_000])
            assert await client.recv() == "ab" + "c" * 100_000
            await client.send([b"\xff", b"\xfe" * 70_000])
            assert await client.recv() == b"\xff" + b"\xfe" * 70_000
            await client.send(letters())
            assert await client.recv() == "κόσμε, " + "🙂" * 5000 + "!"

    run(main)


def test_pings_between_messages_are_answered(url: str) -> None:
    async def main() -> None:
        async with connect(url) as client:
            waiters = []
            for number in range(20):
                waiters.append(await client.ping(b"%d" % number))
                await client.send(str(number))
            assert [await client.recv() for _ in range(20)] == [str(n) for n in range(20)]
            assert len(await asyncio.gather(*waiters)) == 20

    run(main)


@pytest.mark.parametrize("offered", [["chat.v1", "chat.v2"], ["chat.v1"], ["other"], None])
def test_the_applications_choice_of_subprotocol_arrives(
    url: str, offered: list[str] | None
) -> None:
    async def main() -> None:
        async with connect(url, subprotocols=offered) as client:
            chosen = next((name for name in SPOKEN if name in (offered or ())), None)
            assert client.subprotocol == chosen

    run(main)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1001, "moving"), (1011, "sorry"), (3000, "Grüße"), (4999, "x" * 123)],
)
def test_close_codes_and_reasons_go_both_ways(url: str, code: int, reason: str) -> None:
    mine = f"{url}{code}{reason[:1]}".encode().hex()

    async def main() -> None:
        async with connect(f"{url}/close?code={code}&reason={reason}") as client:
            with pytest.raises(websockets.ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (code, reason)
        async with connect(f"{url}/?{mine}") as client:
            await client.close(code, reason)
            assert client.close_code == code

    run(main)
    assert stage.wait(mine) == (code, reason)


def test_what_the_client_sent_in_its_handshake_is_in_the_scope(url: str) -> None:
    async def main() -> None:
        fields = {"Authorization": "Bearer abc", "Cookie": "a=1; b=2"}
        target = f"{url}/from"
        async with connect(target, additional_headers=fields, origin="http://here") as client:
            path, seen = json.loads(await client.recv())
            assert path == "/from"
            assert (seen["authorization"], seen["cookie"]) == ("Bearer abc", "a=1; b=2")
            assert (seen["origin"], seen["upgrade"]) == ("http://here", "websocket")

    run(main)


def test_many_clients_talk_at_once(url: str) -> None:
    async def one(number: int) -> None:
        async with connect(url) as client:
            for turn in range(10):
                await client.send(f"{number}:{turn}" * number)
            for turn in range(10):
                assert await client.recv() == f"{number}:{turn}" * number

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(50)))

    run(main)


# -- aiohttp -------------------------------------------------------------------------------


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, max_msg_size=0, **options) as client,
    ):
        yield client


@pytest.mark.parametrize("compress", [0, 9, 15])
def test_aiohttp_gets_back_whatever_it_sends(url: str, compress: int) -> None:
    async def main() -> None:
        async with opened(url, compress=compress) as client:
            assert bool(client.compress) == bool(compress)
            for message in MESSAGES:
                if isinstance(message, str):
                    await client.send_str(message)
                    assert await client.receive_str() == message
                else:
                    await client.send_bytes(message)
                    assert await client.receive_bytes() == message
            await client.send_json({"answer": 42})
            assert await client.receive_json() == {"answer": 42}

    run(main)


def test_heartbeats_of_aiohttp_are_answered(url: str) -> None:
    async def main() -> None:
        # aiohttp gives up on a pong after half a heartbeat, which a busy machine must not reach.
        async with opened(url, heartbeat=3.0, autoping=False) as client:
            assert (await client.receive()).type == aiohttp.WSMsgType.PONG
            await client.ping(b"mine")
            while (got := await client.receive()).data != b"mine":
                assert got.type == aiohttp.WSMsgType.PONG
            assert not client.closed

    run(main)


@pytest.mark.parametrize("code", [1000, 3456])
def test_aiohttp_sees_and_sends_close_codes(url: str, code: int) -> None:
    mine = f"aiohttp{url}{code}".encode().hex()

    async def main() -> None:
        async with opened(f"{url}/close?code={code}&reason=enough") as client:
            got = await client.receive()
            assert (got.type, got.data, got.extra) == (aiohttp.WSMsgType.CLOSE, code, "enough")
        async with opened(f"{url}/?{mine}", protocols=["chat.v1"]) as client:
            assert client.protocol == "chat.v1"
            await client.close(code=code, message=b"bye")
            assert client.close_code == code

    run(main)
    assert stage.wait(mine) == (code, "bye")


# -- wsproto, without asyncio --------------------------------------------------------------


class Wire:
    """A wsproto client on a socket."""

    def __init__(self, server: Running, target: str = "/", **options: Any) -> None:
        self._client = server.connect()
        self._protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._come: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.send(events.Request(host="test", target=target, **options))
        self.accepted = self.next()
        assert isinstance(self.accepted, events.AcceptConnection)

    def send(self, event: Any) -> None:
        self._client.send(self._protocol.send(event))

    def next(self) -> Any:
        """The next event, data messages put together."""
        parts: list[Any] = []
        while True:
            event = self._event()
            if not isinstance(event, events.Message):
                return event
            parts.append(event.data)
            if event.message_finished:
                return type(parts[0])().join(parts)

    def _event(self) -> Any:
        while self._come.empty():
            data = self._client.sock.recv(65536)
            self._protocol.receive_data(data or None)
            for event in self._protocol.events():
                self._come.put(event)
        return self._come.get()

    def close(self, code: int, reason: str = "") -> None:
        self.send(events.CloseConnection(code, reason))
        answer = self.next()
        assert (answer.code, answer.reason or "") == (code, "")
        self._client.assert_closed()


@pytest.mark.parametrize("deflate", [None, {}, {"client_max_window_bits": 10}])
def test_wsproto_gets_back_whatever_it_sends(server: Running, deflate: Any) -> None:
    extensions = [] if deflate is None else [PerMessageDeflate(**deflate)]
    wire = Wire(server, extensions=extensions)
    assert len(wire.accepted.extensions) == len(extensions)
    for message in MESSAGES:
        kind = events.TextMessage if isinstance(message, str) else events.BytesMessage
        half = len(message) // 2
        wire.send(kind(message[:half], message_finished=False))
        wire.send(events.Ping(b"between"))
        wire.send(kind(message[half:]))
        assert wire.next() == events.Pong(bytearray(b"between"))
        assert wire.next() == message
    wire.close(CloseReason.NORMAL_CLOSURE)


def test_pings_of_the_server_reach_wsproto_and_its_pongs_the_server() -> None:
    with serve(app, lifespan="off", ws_ping_interval=0.02, ws_ping_timeout=TIMEOUT) as server:
        wire = Wire(server, "/?pinged")
        for _ in range(3):
            ping = wire.next()
            assert isinstance(ping, events.Ping)
            wire.send(ping.response())
        wire.close(3001, "enough")
        assert stage.wait("pinged") == (3001, "enough")
