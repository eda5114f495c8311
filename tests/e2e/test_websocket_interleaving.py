"""Several tasks with one WebSocket, and several WebSockets with one task; on both loops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.stage import Stage
from support.websocket import TEXT, accept, connect, content, frame, message
from support.websocket_http2 import serve

pytestmark = [
    pytest.mark.usefixtures("carriage"),
    pytest.mark.parametrize("loop", ["asyncio", "uvloop"]),
]


def test_two_receives_at_once_get_one_message_each_in_order(loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        tasks = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        stage.mark("waiting")
        events = await asyncio.gather(*tasks)
        stage.mark("events", [content(event) for event in events])

    with serve(app, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        stage.wait("waiting")
        websocket.client.send(frame(TEXT, b"a") + frame(TEXT, b"b"))
        websocket.send("c")
        assert stage.wait("events") == ["a", "b", "c"]
        assert websocket.closed() == (1000, "")


def test_every_receive_that_waits_hears_of_the_end(loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        tasks = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        stage.mark("waiting")
        stage.mark("events", await asyncio.gather(receive(), *tasks))

    with serve(app, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        stage.wait("waiting")
        websocket.leave(4000)
        assert [event["code"] for event in stage.wait("events")] == [4000] * 4


def test_one_task_sends_while_another_receives(loop: str) -> None:
    count = 2000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)

        async def write() -> None:
            for number in range(count):
                await send(message(str(number)))
                if number % 100 == 0:
                    await asyncio.sleep(0)

        writer = asyncio.create_task(write())
        got = [content(await receive()) for _ in range(count)]
        await writer
        await send(message(",".join(map(str, got))))

    numbers = [str(number) for number in range(count)]
    with serve(app, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        websocket.client.send(b"".join(frame(TEXT, each.encode()) for each in numbers))
        assert [websocket.receive() for _ in range(count)] == numbers
        assert websocket.receive() == ",".join(numbers)


@pytest.mark.parametrize("manner", ["cancel", "wait_for", "timeout"])
def test_a_cancelled_receive_loses_no_message(manner: str, loop: str) -> None:
    async def patient(receive: Any) -> Any:
        """One event by many short waits."""
        while True:
            try:
                if manner == "wait_for":
                    return await asyncio.wait_for(receive(), 0.0005)
                if manner == "timeout":
                    async with asyncio.timeout(0.0005):
                        return await receive()
                task = asyncio.create_task(receive())
                await asyncio.sleep(0)
                task.cancel()
                return await task
            except (TimeoutError, asyncio.CancelledError):
                await asyncio.sleep(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        while (event := await patient(receive))["type"] == "websocket.receive":
            await send(message(content(event)))

    with serve(app, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        for number in range(30):
            websocket.send(f"{number}a")
            websocket.send(f"{number}b")
            assert [websocket.receive(), websocket.receive()] == [f"{number}a", f"{number}b"]
        websocket.leave()


def test_a_message_is_broadcast_by_the_task_of_another_websocket(loop: str) -> None:
    members: list[Any] = []
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        members.append(send)
        stage.mark("joined")
        while (event := await receive())["type"] == "websocket.receive":
            for each in members:
                await each(message(content(event)))
        members.remove(send)

    with serve(app, lifespan="off", loop=loop) as server:
        websockets = [connect(server) for _ in range(5)]
        stage.wait("joined", 5)
        for number in range(50):
            websockets[number % 5].send(str(number))
            assert [each.receive() for each in websockets] == [str(number)] * 5
        for each in websockets:
            each.leave()


def test_broadcasting_to_one_that_has_left_raises_there_alone(loop: str) -> None:
    members: list[Any] = []
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        members.append(send)
        stage.mark("joined")
        if scope["path"] == "/gone":
            await receive()
            stage.mark("left")
            return
        await receive()
        with pytest.raises(OSError, match="disconnected"):
            await members[0](message("late"))
        await send(message("still here"))

    with serve(app, lifespan="off", loop=loop) as server:
        gone = connect(server, "/gone")
        stage.wait("joined")
        other = connect(server)
        gone.leave()
        stage.wait("left")
        other.send("go")
        assert other.receive() == "still here"


def test_send_after_the_handler_has_returned_raises_and_receive_says_it_is_over(
    loop: str,
) -> None:
    stage = Stage()
    tasks: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)

        async def later() -> None:
            await stage.until("closed")
            try:
                await send(message("late"))
            except (OSError, RuntimeError) as error:
                stage.mark("raised", error)
            stage.mark("event", await receive())

        tasks.append(asyncio.create_task(later()))

    with serve(app, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        assert websocket.closed() == (1000, "")
        stage.mark("closed")
        stage.wait("raised")
        assert stage.wait("event")["type"] == "websocket.disconnect"
        websocket.close()
        websocket.assert_ended()


def test_an_application_that_cancels_itself_closes_with_1011(loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await receive()

    with serve(app, lifespan="off", loop=loop) as server:
        assert connect(server).closed() == (1011, "")
        assert connect(server).closed() == (1011, "")


def test_receive_and_send_may_be_tasks_of_their_own(loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(receive())
        await asyncio.create_task(send({"type": "websocket.accept"}))
        event = await asyncio.shield(asyncio.create_task(receive()))
        await asyncio.gather(send(message(content(event))), send(message("more")))

    with serve(app, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        websocket.send("one")
        assert [websocket.receive(), websocket.receive()] == ["one", "more"]


def test_a_task_that_receives_all_the_time_does_not_keep_the_loop(loop: str) -> None:
    """Events that are there as fast as they are taken: others still get their turn."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        while (await receive())["type"] == "websocket.receive":
            pass
        others = 0

        async def other() -> None:
            nonlocal others
            while True:
                others += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(10_000):
            await receive()
        assert others > 1
        task.cancel()
        stage.mark("over", others)

    stage = Stage()
    with serve(app, lifespan="off", loop=loop) as server:
        connect(server).leave()
        stage.wait("over")
