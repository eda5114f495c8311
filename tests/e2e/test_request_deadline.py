"""`--timeout-request`: a request's whole time, from its head to the end of the response."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.apps import answer, body, read_body, start
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage
from support.websocket import handshake

from fastserve._native import shared

SHORT = 0.2
LOOPS = ("asyncio", "uvloop")


@pytest.fixture(autouse=True)
def tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "TICK", 0.05)


def warnings(logs: Any) -> list[str]:
    return [r.getMessage() for r in logs.records if r.levelno >= logging.WARNING]


async def deep_wait(stage: Stage) -> None:
    try:
        await stage.until("never")
    except asyncio.CancelledError:
        stage.mark("cancelled")
        raise


def app_of(stage: Stage) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/hang":
            await deep_wait(stage)
        elif scope["path"] == "/stream":
            await send(start())
            await send(body(b"begun", more=True))
            await deep_wait(stage)
        else:
            await answer(send, await read_body(receive))

    return app


@pytest.mark.parametrize("loop", LOOPS)
def test_an_application_that_takes_too_long_is_answered_for_and_cancelled(
    carrier: Carrier, loop: str, logs: Any
) -> None:
    stage = Stage()
    with carrier.serve(app_of(stage), lifespan="off", loop=loop, timeout_request=SHORT) as server:
        client = server.connect()
        client.send(request("GET", "/hang?x=1"))
        assert server.get("/").status == 200
        refused = client.response()
        assert refused.status == 504
        client.assert_refused(refused)
        stage.wait("cancelled")
        assert server.get("/").status == 200
    (told,) = warnings(logs)
    assert "longer than 0.2 s" in told
    assert "GET /hang?x=1" in told
    # The stack, outermost first, down to what is waited for.
    places = [told.index(f"in {name}\n") for name in ("app", "deep_wait", "until")]
    assert places == sorted(places)


def test_the_stack_goes_on_in_the_tasks_that_are_waited_for(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(deep_wait(stage))

    with carrier.serve(app, lifespan="off", timeout_request=SHORT) as server:
        assert server.get("/").status == 504
        stage.wait("cancelled")
    (told,) = warnings(logs)
    assert told.index("in app\n") < told.index("in deep_wait\n")


def test_a_response_under_way_is_cut(carrier: Carrier, logs: Any) -> None:
    stage = Stage()
    with carrier.serve(app_of(stage), lifespan="off", timeout_request=SHORT) as server:
        client = server.connect()
        client.send(request("GET", "/stream"))
        head = client.head()
        assert head.status == 200
        client.truncated(head)
        stage.wait("cancelled")
    assert len(warnings(logs)) == 1


def test_what_was_pipelined_behind_it_is_not_served(logs: Any) -> None:
    stage = Stage()
    with serve(app_of(stage), lifespan="off", timeout_request=SHORT) as server:
        client = server.connect()
        client.send(request("GET", "/hang") + request("GET") * 3)
        assert client.response().status == 504
        client.assert_closed()
        client = server.connect()
        client.send(request("GET", "/stream") + request("GET") * 3)
        assert b"begun" in (cut := client.rest())
        assert cut.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("grace", [0, SHORT / 4])
def test_its_application_is_told_once_and_may_tidy_up(
    carrier: Carrier, grace: float, logs: Any
) -> None:
    """Whatever its client's leaving, for that is a 504 too, would bring upon it."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await stage.until("never")
        except asyncio.CancelledError:
            stage.mark("times", task.cancelling())
            await stage.until("go")
            stage.mark("done")

    options = {"timeout_request": SHORT, "cancel_on_disconnect": grace}
    with carrier.serve(app, lifespan="off", **options) as server:
        assert server.get("/hang").status == 504
        assert stage.wait("times") == 1
        # The time of a second one ends behind the grace of the first.
        assert server.get("/hang").status == 504
        stage.mark("go")
        stage.wait("done", 2)
    assert stage.values("times") == [1, 1]


def test_a_request_whose_body_does_not_come_in_time_is_ended_too(carrier: Carrier) -> None:
    stage = Stage()
    with carrier.serve(app_of(stage), lifespan="off", timeout_request=SHORT) as server:
        client = server.connect()
        client.send(request("POST", "/", "Content-Length: 10") + b"half")
        assert client.response().status == 504


def test_what_is_done_in_time_is_left_alone(logs: Any) -> None:
    """Each request of a connection has the whole time, and what follows a response has its own."""
    limit = SHORT * 3  # a busy machine's pauses are none of the application's
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(limit * 0.4)
        await answer(send)
        await asyncio.sleep(limit * 1.2)
        stage.mark("afterwards")

    with serve(app, lifespan="off", timeout_request=limit) as server:
        client = server.connect()
        assert [client.get("/").status for _ in range(3)] == [200] * 3
        stage.wait("afterwards", 3)
    assert warnings(logs) == []


def test_an_application_that_ignores_it_holds_up_nobody(carrier: Carrier, logs: Any) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await answer(send)
            return
        while not stage.has("go"):
            try:
                await stage.until("go")
            except asyncio.CancelledError:
                stage.mark("ignored")
        assert (await receive())["type"] == "http.disconnect"
        try:
            await answer(send)
        except OSError:
            stage.mark("refused")

    with carrier.serve(app, lifespan="off", timeout_request=SHORT) as server:
        client = server.connect()
        client.send(request("GET", "/hang"))
        assert client.response().status == 504
        stage.wait("ignored")
        assert server.get("/").status == 200
        stage.mark("go")
        stage.wait("refused")
        assert stage.count("ignored") == 1
    assert len(warnings(logs)) == 1


def test_a_websocket_has_the_time_only_until_it_is_accepted(logs: Any) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/late":
            await deep_wait(stage)
        await send({"type": "websocket.accept"})
        await asyncio.sleep(SHORT * 3)
        await send({"type": "websocket.close", "code": 1000})

    with serve(app, lifespan="off", timeout_request=SHORT) as server:
        good, late = server.connect(), server.connect()
        good.send(handshake())
        late.send(handshake("/late"))
        assert good.head().status == 101
        assert late.response().status == 504
        stage.wait("cancelled")
        assert good.take(4) == b"\x88\x02\x03\xe8"
    assert len(warnings(logs)) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_many_requests_that_take_too_long_leave_nothing(
    carrier: Carrier, loop: str, logs: Any
) -> None:
    stage = Stage()
    with carrier.serve(app_of(stage), lifespan="off", loop=loop, timeout_request=SHORT) as server:
        clients = [server.connect() for _ in range(50)]
        for client in clients:
            client.send(request("GET", "/hang"))
        assert {client.response().status for client in clients} == {504}
        stage.wait("cancelled", 50)
        assert server.get("/").status == 200
