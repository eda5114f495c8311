"""What the application does wrong: ASGI.md line 24."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.apps import body, sends, start
from support.carriers import Carrier
from support.client import request

SECRET = "a detail the client must not see"


async def crash_now(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError(SECRET)


async def crash_later(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0)
    raise RuntimeError(SECRET)


async def crash_after_reading(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise RuntimeError(SECRET)


def crash_in_call(scope: Any, receive: Any, send: Any) -> Any:
    raise RuntimeError(SECRET)


async def crash_in_start(scope: Any, receive: Any, send: Any) -> None:
    await send(start(200, [("str", SECRET)]))  # type: ignore[list-item]


@pytest.mark.parametrize(
    "app", [crash_now, crash_later, crash_after_reading, crash_in_call, crash_in_start]
)
def test_line_24_an_exception_before_the_start_is_500(
    carrier: Carrier, app: Any, logs: Any
) -> None:
    with (
        carrier.serve(app, lifespan="off", interface="asgi3") as server,
        server.connect() as client,
    ):
        answer = client.get("/some/path")
        assert answer.status == 500
        assert SECRET.encode() not in answer.body
        client.assert_refused(answer)
        assert server.get("/").status == 500
    assert len(logs.noise) == 2
    assert "/some/path" in logs.noise[0]


def test_line_24_the_applications_traceback_is_logged_once(carrier: Carrier, logs: Any) -> None:
    with carrier.serve(crash_later, lifespan="off") as server:
        server.get("/")
    (text,) = logs.noise
    assert text.count(f"RuntimeError: {SECRET}") == 1
    assert "in crash_later" in text


async def crash_inside(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"begun", more=True))
    await asyncio.sleep(0)
    raise RuntimeError(SECRET)


async def crash_inside_length(scope: Any, receive: Any, send: Any) -> None:
    await send(start(200, [(b"content-length", b"100")]))
    await send(body(b"begun", more=True))
    await asyncio.sleep(0)
    raise RuntimeError(SECRET)


async def return_inside(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"begun", more=True))
    await asyncio.sleep(0)


@pytest.mark.parametrize("app", [crash_inside, crash_inside_length, return_inside])
def test_line_24_after_the_start_the_client_sees_the_truncation(
    carrier: Carrier, app: Any, logs: Any
) -> None:
    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        head = client.head()
        assert head.status == 200
        client.truncated(head)
    assert len(logs.noise) == 1


def test_line_24_what_was_sent_before_a_crash_in_one_step_still_arrives(
    carrier: Carrier, logs: Any
) -> None:
    """Line 21: a body is in the send buffer when send() returns, so it is not lost."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"begun", more=True))
        raise RuntimeError(SECRET)

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        head = client.head()
        assert head.status == 200
        assert client.read(5) == b"begun"
        client.truncated(head)


async def return_at_once(scope: Any, receive: Any, send: Any) -> None:
    pass


async def return_after_reading(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await asyncio.sleep(0)


@pytest.mark.parametrize("app", [return_at_once, return_after_reading, sends(start())])
def test_line_24_a_return_without_a_response_is_500(carrier: Carrier, app: Any, logs: Any) -> None:
    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        answer = client.get("/")
        assert answer.status == 500
        client.assert_refused(answer)
    assert len(logs.noise) == 1


def test_line_24_an_application_that_cancels_itself_is_500(carrier: Carrier, logs: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await asyncio.sleep(0)

    with carrier.serve(app, lifespan="off") as server:
        assert server.get("/").status == 500
        assert server.get("/").status == 500


def test_line_24_an_exception_group_is_logged_whole(carrier: Carrier, logs: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ExceptionGroup("several", [ValueError("first"), KeyError("second")])

    with carrier.serve(app, lifespan="off") as server:
        assert server.get("/").status == 500
    (text,) = logs.noise
    assert "ValueError: first" in text
    assert "KeyError: 'second'" in text


def test_line_24_a_crash_of_one_leaves_the_others_alone(carrier: Carrier) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/crash":
            raise RuntimeError(SECRET)
        await send(start())
        await asyncio.sleep(0)
        await send(body(b"fine"))

    with carrier.serve(app, lifespan="off") as server, server.connect() as steady:
        for _ in range(5):
            assert server.get("/crash").status == 500
            assert steady.get("/").body == b"fine"


def test_line_24_a_target_in_the_log_cannot_forge_a_line(carrier: Carrier, logs: Any) -> None:
    with carrier.serve(crash_now, lifespan="off") as server:
        assert server.get("/%0d%0aforged%1b[31m").status == 500
    (text,) = logs.noise
    assert "\nforged" not in text.partition("Traceback")[0]
    assert "\x1b" not in text
