"""`--cancel-on-disconnect`: what goes on though its client has left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.apps import answer
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage
from support.websocket import handshake

from fastserve._native import shared

SHORT = 0.3
LOOPS = ("asyncio", "uvloop")


@pytest.fixture(autouse=True)
def tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "TICK", 0.05)
    monkeypatch.setattr(shared, "LEAST_GRACE", 0.1)


def app_of(stage: Stage) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        elif scope["path"] == "/":
            await answer(send)
            return
        stage.mark("started")
        try:
            while "disconnect" not in (await receive())["type"]:
                pass
            stage.mark("told")
            await stage.until("go")
            stage.mark("done")
        except asyncio.CancelledError:
            stage.mark("cancelled")
            raise

    return app


def begin(server: Any, stage: Stage) -> Any:
    client = server.connect()
    client.send(request("GET", "/work"))
    stage.wait("started")
    return client


WAYS = ("shutdown", "close", "reset")


@pytest.mark.parametrize("way", WAYS)
def test_by_default_an_application_is_told_and_left_to_itself(
    carrier: Carrier, way: str, logs: Any
) -> None:
    stage = Stage()
    with carrier.serve(app_of(stage), lifespan="off") as server:
        begin(server, stage).leave(way)
        stage.wait("told")
        assert server.get("/").status == 200
        stage.mark("go")
        stage.wait("done")
    assert not stage.has("cancelled")
    assert logs.noise == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", WAYS)
def test_it_is_cancelled_at_once(carrier: Carrier, way: str, loop: str, logs: Any) -> None:
    stage = Stage()
    with carrier.serve(app_of(stage), lifespan="off", loop=loop, cancel_on_disconnect=0) as server:
        begin(server, stage).leave(way)
        stage.wait("cancelled")
        assert server.get("/").status == 200
    assert not stage.has("done")
    assert logs.noise == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", WAYS)
def test_it_is_cancelled_after_a_grace(carrier: Carrier, way: str, loop: str, logs: Any) -> None:
    stage = Stage()
    with carrier.serve(
        app_of(stage), lifespan="off", loop=loop, cancel_on_disconnect=SHORT
    ) as server:
        begin(server, stage).leave(way)
        stage.wait("told")
        assert not stage.has("cancelled")
        stage.wait("cancelled")
        assert server.get("/").status == 200
    assert logs.noise == []


def test_a_request_in_front_of_the_end_is_cancelled_when_its_turn_comes(logs: Any) -> None:
    """One that waited for the answer before it, when its client had left already."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/first":
            while (await receive())["type"] != "http.disconnect":
                pass
            await answer(send, b"first")
            return
        stage.mark("started")
        try:
            await stage.until("never")
        finally:
            stage.mark("ended")

    with serve(app, lifespan="off", cancel_on_disconnect=SHORT) as server:
        client = server.connect()
        client.send(request("GET", "/first") + request("GET", "/second"))
        client.shutdown()
        assert client.rest().endswith(b"first")
        stage.wait("started")
        stage.wait("ended")
    assert logs.noise == []


def test_what_ends_within_the_grace_is_not_cancelled(carrier: Carrier, logs: Any) -> None:
    stage = Stage()
    with carrier.serve(app_of(stage), lifespan="off", cancel_on_disconnect=30) as server:
        begin(server, stage).leave()
        stage.wait("told")
        stage.mark("go")
        stage.wait("done")
    assert not stage.has("cancelled")
    assert logs.noise == []


def test_what_follows_a_whole_response_is_nobodys_affair(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)
        await stage.until("go")
        stage.mark("done")

    with carrier.serve(app, lifespan="off", cancel_on_disconnect=0) as server:
        with server.connect() as client:
            assert client.get("/").status == 200
        assert server.get("/").status == 200
        stage.mark("go")
        stage.wait("done", 2)


@pytest.mark.parametrize("grace", [0, SHORT])
def test_a_websocket_whose_client_left_is_cancelled_after_it_was_told(
    grace: float, logs: Any
) -> None:
    stage = Stage()
    with serve(app_of(stage), lifespan="off", cancel_on_disconnect=grace) as server:
        client = server.connect()
        client.send(handshake())
        assert client.head().status == 101
        stage.wait("started")
        client.reset()
        stage.wait("cancelled")
        assert stage.has("told")
        assert server.get("/").status == 200
    assert logs.noise == []


def test_the_end_of_the_time_for_a_request_still_counts(carrier: Carrier, logs: Any) -> None:
    stage = Stage()
    options = {"cancel_on_disconnect": 30, "timeout_request": SHORT}
    with carrier.serve(app_of(stage), lifespan="off", **options) as server:
        begin(server, stage).leave()
        stage.wait("cancelled")
    assert logs.noise == []


def test_many_clients_that_leave_are_nothing_to_the_others(carrier: Carrier, logs: Any) -> None:
    stage = Stage()
    with carrier.serve(app_of(stage), lifespan="off", cancel_on_disconnect=0) as server:
        clients = [server.connect() for _ in range(50)]
        for client in clients:
            client.send(request("GET", "/work"))
        stage.wait("started", 50)
        for number, client in enumerate(clients):
            client.leave(WAYS[number % 3])
        assert server.get("/").status == 200
        stage.wait("cancelled", 50)
    assert logs.noise == []
