"""Lifespan: ASGI.md lines 34 to 36."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from support.apps import answer
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage

from fastserve.errors import LifespanError


class Life:
    """A lifespan application that notes its events and can be made to fail."""

    def __init__(self, **messages: dict[str, Any]) -> None:
        self.events: list[str] = []
        self.messages = messages

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.events.append("http")
            await answer(send)
            return
        self.events.append("lifespan")
        for name in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{name}"
            self.events.append(name)
            await send(self.messages.get(name, {"type": f"lifespan.{name}.complete"}))
        self.events.append("end")


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_line_34_once_and_in_order(carrier: Carrier, mode: str) -> None:
    app = Life()
    with carrier.serve(app, lifespan=mode) as server:
        assert app.events == ["lifespan", "startup"]
        assert server.get("/").status == 200
        assert server.get("/").status == 200
    assert app.events == ["lifespan", "startup", "http", "http", "shutdown", "end"]


def test_line_34_no_connection_is_served_before_startup_is_complete() -> None:
    stage = Stage()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        early = socket.create_connection(listener.getsockname())
        early.settimeout(10)
        early.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                stage.mark("http", stage.has("complete"))
                await answer(send, b"hello")
                return
            await receive()
            await asyncio.sleep(0.05)
            stage.mark("complete")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        with serve(app, fd=listener.fileno()), early:
            assert stage.wait("http") is True
            assert early.recv(65536).endswith(b"hello")


def test_line_34_mode_off_sends_nothing() -> None:
    app = Life()
    with serve(app, lifespan="off") as server:
        assert server.get("/").status == 200
    assert app.events == ["http"]


async def raises(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http", "this application knows no lifespan"
    await answer(send, b"ok")


async def raises_after_receive(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    assert scope["type"] == "http", "this application knows no lifespan"
    await answer(send, b"ok")


async def returns(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await answer(send, b"ok")


@pytest.mark.parametrize("app", [raises, raises_after_receive, returns])
def test_line_35_auto_goes_on_without_lifespan(app: Any, logs: Any) -> None:
    with serve(app, lifespan="auto") as server:
        assert server.get("/").body == b"ok"
    assert logs.noise == []


@pytest.mark.parametrize("app", [raises, raises_after_receive, returns])
def test_line_35_on_does_not_start_without_lifespan(app: Any) -> None:
    with pytest.raises(LifespanError, match="lifespan"), serve(app, lifespan="on"):
        pytest.fail("it must not start")


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_line_35_startup_failed_does_not_start_and_tells_why(mode: str) -> None:
    app = Life(startup={"type": "lifespan.startup.failed", "message": "no database"})
    with pytest.raises(LifespanError, match="no database"), serve(app, lifespan=mode):
        pytest.fail("it must not start")
    assert "shutdown" not in app.events


def test_line_35_startup_failed_without_a_message() -> None:
    app = Life(startup={"type": "lifespan.startup.failed"})
    with pytest.raises(LifespanError), serve(app):
        pytest.fail("it must not start")


def test_line_35_shutdown_is_sent_after_the_connections_are_closed(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            stage.mark("started")
            await stage.until("go")
            await answer(send, b"ok")
            stage.mark("http", stage.has("shutdown"))
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        stage.mark("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    answers: list[bytes] = []
    with carrier.serve(app, timeout_graceful_shutdown=10) as server:
        client = server.connect()
        server.clients.clear()  # this one lives on past the stop
        client.send(request("GET"))
        stage.wait("started")

        def read() -> None:
            answers.append(client.response().body)
            client.close()

        reader = threading.Thread(target=read)
        reader.start()
        threading.Timer(0.1, stage.mark, ("go",)).start()
    reader.join(10)
    assert answers == [b"ok"]
    assert stage.wait("http") is False
    assert stage.has("shutdown")


def test_line_35_shutdown_complete_is_waited_for() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(0.1)
        stage.mark("cleaned")
        await send({"type": "lifespan.shutdown.complete"})

    with serve(app):
        pass
    assert stage.has("cleaned")


def test_line_35_shutdown_has_a_bound() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.Event().wait()

    with pytest.raises(Exception, match="shutdown"), serve(app, timeout_lifespan=0.1):
        pass


def test_line_35_shutdown_failed_is_logged(logs: Any) -> None:
    app = Life(shutdown={"type": "lifespan.shutdown.failed", "message": "could not flush"})
    with pytest.raises(Exception, match="shutdown"), serve(app):
        pass
    assert any("could not flush" in text for text in logs.noise)


def test_line_35_shutdown_is_sent_though_a_request_hangs() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            stage.mark("started")
            try:
                await asyncio.Event().wait()
            finally:
                stage.mark("cancelled", stage.has("shutdown"))
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        stage.mark("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    with serve(app, timeout_graceful_shutdown=0.05) as server:
        client = server.connect()
        server.clients.clear()
        client.send(request("GET"))
        stage.wait("started")
    assert stage.wait("cancelled") is False
    assert stage.has("shutdown")
    client.close()


def test_line_36_state_is_one_dict_that_holds_the_servers_drain_event_alone(
    carrier: Carrier,
) -> None:
    states: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            states.append(dict(scope["state"]))
            scope["state"]["key"] = states
            await Life()(scope, receive, send)
        else:
            states.append(scope["state"])
            await answer(send)

    with carrier.serve(app) as server:
        server.get("/")
    assert states[0].keys() == {"fastserve_draining"}
    assert states[1]["key"] is states


def test_line_36_what_is_set_after_startup_reaches_later_requests_only(carrier: Carrier) -> None:
    """The server copies the namespace for each request, and copies what is there then."""
    stage = Stage()
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append("late" in scope["state"])
            await answer(send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await stage.until("go")
        scope["state"]["late"] = True
        stage.mark("set")
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with carrier.serve(app) as server, server.connect() as client:
        client.get("/")
        stage.mark("go")
        stage.wait("set")
        client.get("/")
    assert seen == [False, True]
