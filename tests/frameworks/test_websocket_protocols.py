"""What people speak over WebSockets: Socket.IO, GraphQL subscriptions, Jupyter."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import pytest
import socketio
from apps.ws_jupyter import SUBPROTOCOL, pack, unpack
from frameworks.running import Applications
from support.process import eventually
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

TIMEOUT = 20.0


@pytest.fixture(scope="module")
def apps() -> Iterator[Applications]:
    with Applications("ws_socketio", "ws_strawberry", "ws_jupyter") as running:
        yield running


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 2 * TIMEOUT))


# -- Socket.IO -----------------------------------------------------------------------------


class Talker:
    """A client of Socket.IO, and what it has heard."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.client = socketio.AsyncClient(reconnection=False)
        self.client.on("said", self.heard.put)

    async def connect(self, name: str, transports: list[str] | None) -> None:
        await self.client.connect(self.url, auth=name, transports=transports)

    async def enter(self, room: str) -> str:
        """Enter the room; the transport by which the server says we are there."""
        return str(await self.client.call("enter", room, timeout=TIMEOUT))


@pytest.mark.parametrize("transports", [None, ["websocket"]])
def test_socketio_reaches_those_in_a_room(apps: Applications, transports: list[str] | None) -> None:
    async def main() -> None:
        talkers = [Talker(apps.url("ws_socketio")) for _ in range(3)]
        for number, talker in enumerate(talkers):
            await talker.connect(f"user{number}", transports)
            used = await talker.enter("green" if number < 2 else "red")
            assert used == "websocket"
        for number, talker in enumerate(talkers[:2]):
            await talker.client.emit("say", ("green", f"hello {number} 🙂"))
            for each in talkers[:2]:
                said = {"name": f"user{number}", "text": f"hello {number} 🙂"}
                assert await asyncio.wait_for(each.heard.get(), TIMEOUT) == said
        assert talkers[2].heard.empty()
        for talker in talkers:
            await talker.client.disconnect()

    run(main)


@pytest.mark.parametrize("transports", [None, ["websocket"]])
def test_socketio_carries_binary_events(apps: Applications, transports: list[str] | None) -> None:
    async def main() -> None:
        talker = Talker(apps.url("ws_socketio"))
        await talker.connect("me", transports)
        for size in (0, 1, 70_000):
            blob = os.urandom(size)
            answer = await talker.client.call("blob", {"blob": blob}, timeout=TIMEOUT)
            assert answer == {"size": size, "back": blob[::-1]}
        await talker.client.disconnect()

    run(main)


def test_socketio_turns_strangers_away(apps: Applications) -> None:
    async def main() -> None:
        talker = Talker(apps.url("ws_socketio"))
        with pytest.raises(socketio.exceptions.ConnectionError):
            await talker.connect("stranger", ["websocket"])
        await talker.client.disconnect()

    run(main)


def next_packet(client: ClientConnection) -> Any:
    """The next packet but for Engine.IO's noop, which lets a poll under way go."""
    while (packet := client.recv(timeout=TIMEOUT)) == "6":
        pass
    return packet


def test_polling_of_engineio_becomes_a_websocket(apps: Applications) -> None:
    """Engine.IO 4: a session is opened by polling, probed and taken over by a WebSocket."""
    path = "/socket.io/?EIO=4&transport="
    with httpx.Client(base_url=apps.url("ws_socketio"), timeout=TIMEOUT) as polling:
        opening = polling.get(f"{path}polling").text
        assert opening[0] == "0"
        session = json.loads(opening[1:])
        assert "websocket" in session["upgrades"]
        mine = f"&sid={session['sid']}"
        for said, answer in (
            ('40{"a":1}', "40{"),
            ('421["enter","here"]', '431["polling"]'),
        ):
            assert polling.post(f"{path}polling{mine}", content=said).text.upper() == "OK"
            assert polling.get(f"{path}polling{mine}").text.startswith(answer)
        with apps.connect("ws_socketio", f"{path}websocket{mine}") as client:
            client.send("2probe")
            assert client.recv(timeout=TIMEOUT) == "3probe"
            client.send("5")
            client.send('422["enter","here"]')
            assert next_packet(client) == '432["websocket"]'
            client.send('451-3["blob",{"blob":{"_placeholder":true,"num":0}}]')
            client.send(b"\x01\x02\xff")
            placed = '461-3[{"size":3,"back":{"_placeholder":true,"num":0}}]'
            assert next_packet(client) == placed
            assert next_packet(client) == b"\xff\x02\x01"
            client.send("41")


def test_engineio_opens_a_session_by_websocket_alone(apps: Applications) -> None:
    with apps.connect("ws_socketio", "/socket.io/?EIO=4&transport=websocket") as client:
        opened = client.recv()
        assert isinstance(opened, str)
        assert opened[0] == "0"
        assert json.loads(opened[1:])["upgrades"] == []
        client.send('40{"a":1}')
        assert str(client.recv()).startswith("40{")


# -- GraphQL over graphql-transport-ws ------------------------------------------------------


def tell(client: ClientConnection, kind: str, **more: Any) -> None:
    client.send(json.dumps({"type": kind, **more}))


def hear(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=TIMEOUT))


def subscribe(client: ClientConnection, name: str, query: str, **variables: Any) -> None:
    payload = {"query": query, "variables": variables}
    tell(client, "subscribe", id=name, payload=payload)


def introduced(client: ClientConnection) -> ClientConnection:
    assert client.subprotocol == "graphql-transport-ws"
    tell(client, "connection_init")
    assert hear(client)["type"] == "connection_ack"
    return client


def graphql(apps: Applications) -> Any:
    return apps.connect("ws_strawberry", "/graphql", subprotocols=["graphql-transport-ws"])


def test_a_subscription_gives_its_values_and_completes(apps: Applications) -> None:
    query = "subscription ($to: Int!) { count(to: $to) }"
    with graphql(apps) as client:
        introduced(client)
        subscribe(client, "a", query, to=50)
        for number in range(50):
            value = {"data": {"count": number}}
            assert hear(client) == {"id": "a", "type": "next", "payload": value}
        assert hear(client) == {"id": "a", "type": "complete"}
        tell(client, "ping")
        assert hear(client)["type"] == "pong"


def test_subscriptions_run_side_by_side(apps: Applications) -> None:
    with graphql(apps) as client:
        introduced(client)
        for name in "abc":
            subscribe(client, name, "subscription { count(to: 20) }")
        got: dict[str, list[int]] = {"a": [], "b": [], "c": []}
        ended = set()
        while len(ended) < 3:
            message = hear(client)
            if message["type"] == "complete":
                ended.add(message["id"])
            else:
                got[message["id"]].append(message["payload"]["data"]["count"])
        assert got == {name: list(range(20)) for name in "abc"}


def test_an_error_in_a_subscription_is_told(apps: Applications) -> None:
    with graphql(apps) as client:
        introduced(client)
        subscribe(client, "a", "subscription { nothing }")
        assert hear(client)["type"] == "error"
        subscribe(client, "b", "subscription { count(to: 1) }")
        assert hear(client)["payload"] == {"data": {"count": 0}}


def running(apps: Applications) -> int:
    """How many endless subscriptions there are, asked over the same protocol."""
    with graphql(apps) as client:
        introduced(client)
        subscribe(client, "q", "query { running }")
        return int(hear(client)["payload"]["data"]["running"])


@pytest.mark.parametrize("end", ["complete", "close", "vanish"])
def test_an_endless_subscription_ends_with_its_client(apps: Applications, end: str) -> None:
    before = running(apps)
    with graphql(apps) as client:
        introduced(client)
        subscribe(client, "a", "subscription { forever }")
        assert hear(client)["type"] == "next"
        assert running(apps) == before + 1
        if end == "complete":
            tell(client, "complete", id="a")
        elif end == "close":
            client.close()
        else:
            client.close_socket()
        eventually(lambda: running(apps) == before)


def test_graphql_closes_with_its_own_codes(apps: Applications) -> None:
    with graphql(apps) as client:
        subscribe(client, "a", "subscription { forever }")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=TIMEOUT)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4401, "Unauthorized")


def test_graphql_over_http_goes_by_the_same_route(apps: Applications) -> None:
    url = apps.url("ws_strawberry") + "/graphql"
    answer = httpx.post(url, json={"query": "{ running }"}, timeout=TIMEOUT)
    assert isinstance(answer.json()["data"]["running"], int)


# -- Jupyter -------------------------------------------------------------------------------


def test_messages_of_a_jupyter_kernel_keep_their_parts(apps: Applications) -> None:
    with apps.connect("ws_jupyter", "/", subprotocols=[SUBPROTOCOL], max_size=None) as client:
        assert client.subprotocol == SUBPROTOCOL
        for turn, buffers in enumerate(([], [b""], [b"\x00\xff", os.urandom(1_000_000)])):
            header = json.dumps({"msg_id": str(turn), "msg_type": "execute_request"}).encode()
            content = json.dumps({"code": "print('é')" * 10}).encode()
            client.send(pack("shell", [header, b"{}", b"{}", content, *buffers]))
            channel, parts = unpack(client.recv())
            assert channel == "iopub"
            assert parts[1] == header
            assert json.loads(parts[3]) == {"execution_state": "busy"}
            channel, (reply, parent, _, result, *back) = unpack(client.recv())
            assert (channel, parent) == ("shell", header)
            assert json.loads(reply) == {"msg_id": str(turn), "msg_type": "execute_reply"}
            assert json.loads(result) == {"status": "ok", "length": 100}
            assert back == [buffer[::-1] for buffer in buffers]


def test_a_client_without_the_protocol_of_jupyter_is_refused(apps: Applications) -> None:
    with (
        pytest.raises(InvalidStatus) as caught,
        apps.connect("ws_jupyter", "/", subprotocols=["other"]),
    ):
        pass
    assert caught.value.response.status_code == 403
