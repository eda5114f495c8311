"""What `send` and `receive` return is awaited like a coroutine, in whatever way."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from support.apps import body, start
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage
from support.websocket import accept, connect


async def results(*awaitables: Any) -> list[Any]:
    return await asyncio.gather(*awaitables, return_exceptions=True)


def test_a_send_that_breaks_the_rules_raises_where_it_is_awaited(carrier: Carrier) -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        too_early = send(body(b"x"))
        assert inspect.isawaitable(too_early)
        with pytest.raises(RuntimeError):
            await too_early
        found.extend(await results(send(start()), send({"type": "http.nonsense"})))
        await send(body(b"done"))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        assert client.ask(request("GET")).body == b"done"
    assert found[0] is None
    assert isinstance(found[1], RuntimeError)


def test_a_send_that_another_thread_calls_is_done_where_it_is_awaited(carrier: Carrier) -> None:
    # asgiref's async_to_sync(send), as of synchronous consumers of Channels.
    async def app(scope: Any, receive: Any, send: Any) -> None:
        dropped = await asyncio.to_thread(send, start(404))
        dropped.close()
        await (await asyncio.to_thread(send, start()))
        with pytest.raises(RuntimeError, match="outside the server's event loop"):
            await asyncio.to_thread(asyncio.run, (await asyncio.to_thread(send, body(b"x"))))
        await (await asyncio.to_thread(send, body(b"done")))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        response = client.ask(request("GET"))
    assert (response.status, response.body) == (200, b"done")


def test_a_websocket_message_that_another_thread_sends_goes_out_in_the_loop() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        dropped = await asyncio.to_thread(send, {"type": "websocket.send", "text": "dropped"})
        dropped.close()
        await (await asyncio.to_thread(send, {"type": "websocket.send", "text": "sent"}))

    with serve(app, lifespan="off") as server:
        client = connect(server, "/")
        assert client.receive() == "sent"
        client.client.close()


def test_one_peer_that_is_gone_does_not_break_off_a_broadcast() -> None:
    stage = Stage()
    sends: list[Any] = []
    outcome: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        sends.append(send)
        if scope["path"] == "/last":
            await stage.until("gone")
            message = {"type": "websocket.send", "text": "to all"}
            outcome.extend(await results(*(each(message) for each in sends)))
            stage.mark("sent")
        while (await receive())["type"] != "websocket.disconnect":
            pass
        stage.mark("gone")

    with serve(app, lifespan="off") as server:
        first = connect(server, "/first")
        last = connect(server, "/last")
        first.client.close()
        stage.wait("sent")
        last.client.close()
    assert isinstance(outcome[0], OSError)
    assert outcome[1] is None


@pytest.mark.parametrize("how", ["create_task", "wait_for", "shield"])
def test_send_and_receive_can_be_made_tasks(carrier: Carrier, how: str) -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        wrap = {
            "create_task": asyncio.create_task,
            "wait_for": lambda awaitable: asyncio.wait_for(awaitable, 30),
            "shield": lambda awaitable: asyncio.shield(asyncio.ensure_future(awaitable)),
        }[how]
        found.append((await wrap(receive()))["type"])
        await wrap(send(start()))
        await wrap(send(body(b"done")))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        assert client.ask(request("GET")).body == b"done"
    assert found == ["http.request"]
