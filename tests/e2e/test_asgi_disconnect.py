"""send() after the client has gone: ASGI.md line 23.

It raises an OSError of the server's own, and nothing above debug level is logged,
however the application or its framework wraps that error.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.apps import body, read_body, start
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage


async def gone(receive: Any) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def leave_during(carrier: Carrier, app: Any, stage: Stage, way: str = "reset") -> None:
    """One request whose client leaves once the application has marked "started"."""
    with carrier.serve(app, lifespan="off") as server:
        client = server.connect()
        client.send(request("GET"))
        stage.wait("started")
        client.leave(way)
        stage.wait("over")
        # The server goes on serving.
        assert server.get("/alive").status == 200


def app_that(stage: Stage, act: Any) -> Any:
    """Waits until the client has left, then runs `act(send)`; answers /alive."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/alive":
            await send(start())
            await send(body())
            return
        stage.mark("started")
        await gone(receive)
        await send_until_error(send)
        try:
            await act(send)
        finally:
            stage.mark("over")

    return app


async def send_until_error(send: Any) -> None:
    """A client that only half-closed could still read: sends until that is ruled out."""
    try:
        await send(start())
        while True:
            await send(body(b"x" * 1000, more=True))
            await asyncio.sleep(0)
    except OSError:
        pass


@pytest.mark.parametrize("way", ["close", "reset"])
def test_line_23_send_raises_an_oserror_of_the_servers_own(
    carrier: Carrier, way: str, logs: Any
) -> None:
    stage = Stage()
    errors: list[BaseException] = []

    async def act(send: Any) -> None:
        for message in (start(), body(b"x", more=True), body(b"x"), body()):
            try:
                await send(message)
            except OSError as error:
                errors.append(error)

    leave_during(carrier, app_that(stage, act), stage, way)
    assert len(errors) == 4
    assert all(type(error) is not OSError for error in errors), "a subclass tells it apart"
    assert type(errors[0]).__module__.startswith("fastserve")
    assert logs.noise == []


def test_line_23_an_uncaught_oserror_is_no_noise(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        await send(body(b"x"))

    leave_during(carrier, app_that(stage, act), stage)
    assert logs.noise == []


class FrameworkError(Exception):
    """What Starlette's ClientDisconnect is: no OSError, with the server's as its context."""


def test_line_23_an_error_raised_from_it_is_no_noise(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        try:
            await send(body(b"x"))
        except OSError as error:
            raise FrameworkError from error

    leave_during(carrier, app_that(stage, act), stage)
    assert logs.noise == []


def test_line_23_an_error_with_it_as_context_is_no_noise(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        try:
            await send(body(b"x"))
        except OSError:
            raise FrameworkError  # noqa: B904 - as frameworks do

    leave_during(carrier, app_that(stage, act), stage)
    assert logs.noise == []


def test_line_23_an_error_that_hides_its_context_is_no_noise(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        try:
            await send(body(b"x"))
        except OSError:
            raise FrameworkError from None

    leave_during(carrier, app_that(stage, act), stage)
    assert logs.noise == []


def test_line_23_groups_and_chains_of_it_are_no_noise(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        async def inner() -> None:
            try:
                await send(body(b"x"))
            except OSError as error:
                raise FrameworkError from error

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(inner())
        except* FrameworkError as errors:
            raise RuntimeError("wrapped once more") from errors

    leave_during(carrier, app_that(stage, act), stage)
    assert logs.noise == []


def test_line_23_any_error_is_no_noise_once_the_connection_is_lost(
    carrier: Carrier, logs: Any
) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        raise ValueError("because the client left")

    leave_during(carrier, app_that(stage, act), stage)
    assert logs.noise == []


def test_line_23_it_is_told_at_debug_level(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        await send(body(b"x"))

    leave_during(carrier, app_that(stage, act), stage)
    assert [record for record in logs.records if record.levelno == logging.DEBUG]


def test_line_23_returning_after_the_client_left_is_no_noise(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        return

    leave_during(carrier, app_that(stage, act), stage)
    assert logs.noise == []


def test_line_23_a_client_that_leaves_before_the_start_is_no_noise(
    carrier: Carrier, logs: Any
) -> None:
    """read_body raises ConnectionError when it meets http.disconnect."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/alive":
            await send(start())
            await send(body())
            return
        stage.mark("started")
        try:
            await read_body(receive)
        finally:
            stage.mark("over")

    with carrier.serve(app, lifespan="off") as server:
        client = server.connect()
        client.send(request("POST", "/", "Content-Length: 10") + b"half")
        stage.wait("started")
        client.leave()
        stage.wait("over")
        assert server.get("/alive").status == 200
    assert logs.noise == []


def test_line_23_an_unrelated_crash_with_the_client_present_is_logged_once(
    carrier: Carrier, logs: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise OSError("a file is missing")

    with carrier.serve(app, lifespan="off") as server:
        assert server.get("/").status == 500
    assert len(logs.noise) == 1
    assert "a file is missing" in logs.noise[0]


def test_line_23_a_half_closed_client_still_gets_its_answer() -> None:
    """It has said all it will say, and reads on (RFC 9112, section 9.6)."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        stage.mark("started")
        await stage.until("go")
        await send(start())
        await send(body(b"hel", more=True))
        await asyncio.sleep(0)
        await send(body(b"lo"))

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        stage.wait("started")
        client.shutdown()
        stage.mark("go")
        assert client.response().body == b"hello"
        client.assert_closed()


@pytest.mark.parametrize("way", ["close", "reset", "shutdown"])
def test_line_23_send_raises_for_head_too_though_nothing_is_sent(
    carrier: Carrier, way: str, logs: Any
) -> None:
    """An application that streams without end relies on it, whatever the method."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x", more=True))
                await asyncio.sleep(0)
        except OSError as error:
            stage.mark("error", error)
            raise

    with carrier.serve(app, lifespan="off") as server:
        client = server.connect()
        client.send(request("HEAD"))
        assert client.head().status == 200
        client.leave(way)
        assert type(stage.wait("error")).__module__.startswith("fastserve")
    assert logs.noise == []


def test_line_23_a_half_closed_client_gets_a_head_whose_body_comes_in_pieces() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        stage.mark("started")
        while (await receive())["type"] != "http.disconnect":
            pass
        await send(start(200, [(b"content-length", b"9")]))
        for _ in range(2):
            await send(body(b"one", more=True))
        await send(body(b"one"))

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("HEAD"))
        stage.wait("started")
        client.shutdown()
        assert client.response("HEAD").header("content-length") == "9"
        client.assert_closed()
        assert not client.was_reset


def test_line_23_many_clients_leave_at_once(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def act(send: Any) -> None:
        await send(body(b"x"))

    with carrier.serve(app_that(stage, act), lifespan="off") as server:
        clients = [server.connect() for _ in range(30)]
        for client in clients:
            client.send(request("GET"))
        stage.wait("started", 30)
        for number, client in enumerate(clients):
            client.leave("reset" if number % 2 else "close")
        stage.wait("over", 30)
    assert logs.noise == []
