"""What a waiting `receive` yields, to tasks of every kind: it behaves like a future of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from native.stand import LOOPS, Client, play, serving, turn
from support.websocket import TEXT, accept, content, frame, handshake

from fastserve._native.asgi.task import RequestTask

pytestmark = pytest.mark.parametrize("loop", LOOPS)

KINDS = {
    "a task": asyncio.Task,
    "a task in Python": asyncio.tasks._PyTask,  # type: ignore[attr-defined]
    "a task of our own": RequestTask,
}


def text(data: str) -> bytes:
    return frame(TEXT, data.encode())


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[tuple[Client, Any, Any]]:
    """An open WebSocket: its client, `receive` and `send`."""
    given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        given.set_result((receive, send))
        await over.wait()

    async with serving(app) as stand:
        client = await connect(stand)
        yield client, *(await given)
        over.set()


async def connect(stand: Any) -> Client:
    client = await stand.connect()
    await client.send(handshake())
    await client.until(b"\r\n\r\n")
    return client


# -- as a future -------------------------------------------------------------------------


def test_a_signal_is_a_future_that_is_done_when_something_has_happened(loop: str) -> None:
    async def scene() -> None:
        async with opened() as (client, receive, _):
            signal = receive().send(None)
            assert asyncio.isfuture(signal)
            assert asyncio.ensure_future(signal) is signal
            assert signal.get_loop() is asyncio.get_running_loop()
            assert (signal.done(), signal.cancelled()) == (False, False)
            with pytest.raises(asyncio.InvalidStateError):
                signal.result()
            await client.send(text("x"))
            assert await asyncio.wait_for(signal, 10) is None
            assert (signal.done(), signal.cancelled(), signal.exception()) == (True, False, None)
            assert signal.cancel() is False
            assert content(await receive()) == "x"

    play(loop, scene)


def test_a_signal_can_be_cancelled_once_with_a_message(loop: str) -> None:
    async def scene() -> None:
        async with opened() as (client, receive, _):
            signal = receive().send(None)
            assert signal.cancel("why") is True
            assert signal.cancel("again") is False
            assert (signal.done(), signal.cancelled()) == (True, True)
            for look in (signal.result, signal.exception):
                with pytest.raises(asyncio.CancelledError, match="why"):
                    look()
            await client.send(text("x"))
            assert content(await receive()) == "x"

    play(loop, scene)


def test_done_callbacks_run_in_their_contexts_and_can_be_removed(loop: str) -> None:
    async def scene() -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
        called: list[Any] = []

        def note(signal: Any) -> None:
            called.append((signal, variable.get()))

        def never(signal: Any) -> None:
            called.append("removed")

        async with opened() as (client, receive, _):
            signal = receive().send(None)
            variable.set("adder's")
            signal.add_done_callback(note)
            context = contextvars.copy_context()
            context.run(variable.set, "given")
            signal.add_done_callback(note, context=context)
            for _ in range(2):
                signal.add_done_callback(never)
            assert signal.remove_done_callback(never) == 2
            assert signal.remove_done_callback(never) == 0
            await client.send(text("x"))
            await asyncio.wait({signal})
            assert called == [(signal, "adder's"), (signal, "given")]
            signal.add_done_callback(note)
            assert len(called) == 2, "a callback added late runs from the loop"
            await asyncio.sleep(0)
            assert called[2:] == [(signal, "adder's")]

    play(loop, scene)


def test_a_callback_that_raises_does_not_keep_others_from_the_message(loop: str) -> None:
    async def scene() -> None:
        async with opened() as (client, receive, _):
            receive().send(None).add_done_callback(lambda _: 1 / 0)
            task = asyncio.create_task(receive())
            await asyncio.sleep(0)
            told: list[Any] = []
            handler = lambda _, context: told.append(context["exception"])  # noqa: E731
            asyncio.get_running_loop().set_exception_handler(handler)
            await client.send(text("x"))
            assert content(await task) == "x"
            await asyncio.sleep(0)
            assert [type(error) for error in told] == [ZeroDivisionError]

    play(loop, scene)


def test_several_tasks_may_wait_for_one_signal(loop: str) -> None:
    async def scene() -> None:
        async def wait(signal: Any) -> str:
            await signal
            return "on"

        async with opened() as (client, receive, _):
            signal = receive().send(None)
            tasks = [asyncio.create_task(wait(signal)) for _ in range(3)]
            await asyncio.sleep(0)
            await client.send(text("x"))
            assert await asyncio.gather(*tasks) == ["on"] * 3
            await asyncio.shield(signal)

    play(loop, scene)


# -- to tasks ----------------------------------------------------------------------------


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    """A class of tasks."""
    if request.param == "a task of our own" and sys.version_info >= (3, 12):
        pytest.skip("RequestTask is for 3.11")
    return KINDS[request.param]


def test_every_kind_of_task_waits_for_a_message(kind: Any, loop: str) -> None:
    async def scene() -> None:
        async with opened() as (client, receive, _):
            for number in range(5):
                task = kind(receive(), loop=asyncio.get_running_loop())
                await turn()
                assert "wait_for=" in repr(task)
                await client.send(text(str(number)))
                assert content(await task) == str(number)

    play(loop, scene)


def test_every_kind_of_task_can_be_cancelled_while_it_waits(kind: Any, loop: str) -> None:
    async def scene() -> None:
        async with opened() as (client, receive, _):
            task = kind(receive(), loop=asyncio.get_running_loop())
            await turn()
            task.cancel("enough")
            with pytest.raises(asyncio.CancelledError, match="enough"):
                await task
            assert task.cancelled()
            await client.send(text("x"))
            assert content(await receive()) == "x"

    play(loop, scene)


def test_a_task_that_survives_its_cancellation_receives_on(kind: Any, loop: str) -> None:
    async def scene() -> None:
        async def stubborn(receive: Any) -> Any:
            try:
                await receive()
            except asyncio.CancelledError:
                return await receive()

        async with opened() as (client, receive, _):
            task = kind(stubborn(receive), loop=asyncio.get_running_loop())
            await turn()
            task.cancel()
            await turn()
            assert not task.done()
            await client.send(text("x"))
            assert content(await task) == "x"

    play(loop, scene)


def test_a_task_cancelled_once_it_was_woken_leaves_the_message(kind: Any, loop: str) -> None:
    """The first of two waiters takes the message and cancels the other, which was woken too."""

    async def scene() -> None:
        tasks: list[Any] = []

        async def first(receive: Any) -> Any:
            event = await receive()
            tasks[1].cancel()
            return event

        async with opened() as (client, receive, _):
            current = asyncio.get_running_loop()
            tasks.append(kind(first(receive), loop=current))
            tasks.append(kind(receive(), loop=current))
            await turn()
            await client.send(text("one") + text("two"))
            assert content(await tasks[0]) == "one"
            with pytest.raises(asyncio.CancelledError):
                await tasks[1]
            assert content(await receive()) == "two"

    play(loop, scene)


def test_waiters_are_served_in_their_order(kind: Any, loop: str) -> None:
    async def scene() -> None:
        async with opened() as (client, receive, _):
            current = asyncio.get_running_loop()
            tasks = [kind(receive(), loop=current) for _ in range(4)]
            await turn()
            for data in ("a", "b"):
                await client.send(text(data))
                await turn()
            await client.send(text("c") + text("d"))
            assert [content(await task) for task in tasks] == ["a", "b", "c", "d"]

    play(loop, scene)


def test_a_task_that_is_resumed_is_the_current_one_in_its_own_context(kind: Any, loop: str) -> None:
    async def scene() -> None:
        variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

        async def count(receive: Any, number: int) -> tuple[Any, int]:
            variable.set(number)
            task = asyncio.current_task()
            for _ in range(3):
                await receive()
                assert asyncio.current_task() is task
                variable.set(variable.get() + 1)
            return task, variable.get()

        async with opened() as (client, receive, _), opened() as (other, receive_other, _):
            current = asyncio.get_running_loop()
            tasks = [
                kind(count(receive, 0), loop=current),
                kind(count(receive_other, 10), loop=current),
            ]
            await turn()
            for _ in range(3):
                await client.send(text("x"))
                await other.send(text("x"))
                await turn()
            assert [await task for task in tasks] == [(tasks[0], 3), (tasks[1], 13)]
            assert variable.get(None) is None

    play(loop, scene)


def test_waits_may_be_limited_in_time(loop: str) -> None:
    async def scene() -> None:
        async with opened() as (client, receive, _):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(receive(), 0.001)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await receive()
            await client.send(text("x"))
            async with asyncio.timeout(10):
                assert content(await receive()) == "x"

    play(loop, scene)


# -- in the application's own task -----------------------------------------------------------


def test_the_applications_task_survives_a_cancellation_and_receives_on(loop: str) -> None:
    async def scene() -> None:
        got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        tasks: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            tasks.append(asyncio.current_task())
            await accept(receive, send)
            try:
                await receive()
            except asyncio.CancelledError as error:
                tasks[0].uncancel()
                got.set_result((error.args, content(await receive())))

        async with serving(app) as stand:
            client = await connect(stand)
            await turn()
            tasks[0].cancel("enough")
            await turn()
            await client.send(text("x"))
            assert await got == (("enough",), "x")

    play(loop, scene)


def test_anyio_cancels_and_limits_a_receive(loop: str) -> None:
    anyio = pytest.importorskip("anyio")

    async def scene() -> None:
        over: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            got = []

            async def listen() -> None:
                while True:
                    got.append(content(await receive()))
                    if got[-1] == "stop":
                        group.cancel_scope.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                group.start_soon(anyio.sleep_forever)
            with anyio.move_on_after(0.001) as scope:
                await receive()
            assert scope.cancelled_caught
            await send({"type": "websocket.send", "text": "ready"})
            with anyio.fail_after(10):
                got.append(content(await receive()))
            over.set_result(got)

        async with serving(app) as stand:
            client = await connect(stand)
            for data in ("one", "two", "stop"):
                await client.send(text(data))
            await client.until(b"ready")
            await client.send(text("three"))
            assert await over == ["one", "two", "stop", "three"]

    play(loop, scene)
