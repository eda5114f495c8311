"""Where the application runs: ASGI.md line 25, and the asyncio tools that depend on it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from support.apps import answer, body, lifespan_aware, read_body, start
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage

LOOPS = ["asyncio", "uvloop"]
mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param


def ask(carrier: Carrier, app: Any, loop: str, data: bytes = request("GET")) -> bytes:
    """The body of the answer to one request; the application must answer 200."""
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        response = client.ask(data)
        assert response.status == 200
        return response.body


def test_line_25_requests_run_in_the_loop_of_the_lifespan(carrier: Carrier, loop: str) -> None:
    loops: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        loops.append(asyncio.get_running_loop())
        if scope["type"] == "lifespan":
            await lifespan_aware(app)(scope, receive, send)
        else:
            await answer(send)

    with carrier.serve(app, loop=loop) as server:
        server.get("/")
        server.get("/")
    assert len(loops) == 3
    assert len(set(loops)) == 1


def test_line_25_requests_see_what_the_lifespan_set(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            mark.set("from lifespan")
            await lifespan_aware(app)(scope, receive, send)
        else:
            await answer(send, mark.get().encode())

    with carrier.serve(app, loop=loop) as server, server.connect() as client:
        assert [client.get("/").body for _ in range(2)] == [b"from lifespan"] * 2


def leaky(seen: list[str]) -> Any:
    """Notes what it finds in the context, then leaves something there."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(mark.get())
        mark.set(scope["path"])
        await read_body(receive)
        assert mark.get() == scope["path"]
        await asyncio.sleep(0)
        assert mark.get() == scope["path"]
        await answer(send)
        mark.set("after the answer")

    return app


def test_line_25_requests_do_not_inherit_each_others_context(carrier: Carrier, loop: str) -> None:
    seen: list[str] = []
    with (
        carrier.serve(leaky(seen), lifespan="off", loop=loop) as server,
        server.connect() as client,
    ):
        for number in range(3):
            client.get(f"/{number}")
        server.get("/other")
    assert seen == ["none"] * 4


def test_line_25_pipelined_requests_do_not_inherit_each_others_context(loop: str) -> None:
    seen: list[str] = []
    with serve(leaky(seen), lifespan="off", loop=loop) as server, server.connect() as client:
        client.send(b"".join(request("GET", f"/{number}") for number in range(10)))
        assert [client.response().status for _ in range(10)] == [200] * 10
    assert seen == ["none"] * 10


def test_line_25_a_request_that_waits_keeps_its_context(carrier: Carrier, loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mark.set(scope["path"])
        stage.mark("waiting")
        await stage.until("go")
        await answer(send, mark.get().encode())

    with carrier.serve(app, lifespan="off", loop=loop) as server:
        clients = [server.connect() for _ in range(5)]
        for number, client in enumerate(clients):
            client.send(request("GET", f"/{number}"))
        stage.wait("waiting", 5)
        stage.mark("go")
        assert [c.response().body for c in clients] == [b"/%d" % n for n in range(5)]


def test_line_25_tasks_of_a_request_get_a_copy_of_its_context(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        mark.set("outer")

        async def inner() -> str:
            found = mark.get()
            mark.set("inner")
            return found

        found = await asyncio.create_task(inner())
        await answer(send, f"{found} {mark.get()}".encode())

    assert ask(carrier, app, loop) == b"outer outer"


def test_the_current_task_stays_the_same_and_is_distinct(carrier: Carrier, loop: str) -> None:
    tasks: list[list[Any]] = []
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mine = [asyncio.current_task()]
        tasks.append(mine)
        await read_body(receive)
        mine.append(asyncio.current_task())
        await asyncio.sleep(0)
        mine.append(asyncio.current_task())
        stage.mark("waiting")
        await stage.until("go")
        mine.append(asyncio.current_task())
        await answer(send)
        mine.append(asyncio.current_task())

    with carrier.serve(app, lifespan="off", loop=loop) as server:
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            client.send(request("GET"))
        stage.wait("waiting", 3)
        stage.mark("go")
        assert [client.response().status for client in clients] == [200] * 3
        assert clients[0].get("/").status == 200
    assert len(tasks) == 4
    for mine in tasks:
        assert asyncio.isfuture(mine[0])
        assert all(task is mine[0] for task in mine)
    assert len({id(mine[0]) for mine in tasks}) == 4


def test_the_current_task_is_a_usable_task(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert not task.done()
        assert not task.cancelled()
        assert task.cancelling() == 0
        assert isinstance(task.get_name(), str)
        task.set_name("mine")
        assert task.get_name() == "mine"
        assert task.get_loop() is asyncio.get_running_loop()
        assert task.get_coro() is not None
        assert "mine" in repr(task)
        await asyncio.sleep(0)
        assert task in asyncio.all_tasks(), "debuggers and anyio look for it there"
        await answer(send, b"ok")

    assert ask(carrier, app, loop) == b"ok"


def test_no_task_is_current_between_requests(carrier: Carrier, loop: str) -> None:
    """A task entered for a request must be left when it waits."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        running = asyncio.get_running_loop()
        running.call_soon(lambda: stage.mark("current", asyncio.current_task()))
        await asyncio.sleep(0)
        await answer(send)

    ask(carrier, app, loop)
    assert stage.wait("current") is None


def test_timeout_cancels_what_takes_too_long(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            await answer(send, b"timed out")

    assert ask(carrier, app, loop) == b"timed out"


def test_timeout_before_the_first_wait(carrier: Carrier, loop: str) -> None:
    """The application is started inside the read callback, where a task must already exist."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with asyncio.timeout(10):
            await read_body(receive)
            await answer(send, b"in time")

    assert ask(carrier, app, loop) == b"in time"


def test_wait_for_on_receive(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        first = await asyncio.wait_for(receive(), 10)
        assert first["type"] == "http.request"
        try:
            await asyncio.wait_for(receive(), 0.01)
        except TimeoutError:
            await answer(send, b"no more")

    assert ask(carrier, app, loop) == b"no more"


def test_a_cancelled_receive_loses_nothing(carrier: Carrier, loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.create_task(receive())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stage.mark("cancelled")
        await answer(send, await read_body(receive))

    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        client.send(request("POST", "/", "Content-Length: 5"))
        stage.wait("cancelled")
        client.send(b"hello")
        assert client.response().body == b"hello"


def test_receive_in_a_task_of_its_own(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await asyncio.create_task(receive())
        await answer(send, message["body"])

    assert ask(carrier, app, loop, request("POST", body=b"hello")) == b"hello"


def test_gather_of_receive_and_send(carrier: Carrier, loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        await asyncio.gather(send(start()), send(body(b"hel", more=True)))
        message, _ = await asyncio.gather(receive(), send(body(b"lo")))
        stage.mark("message", message)

    assert ask(carrier, app, loop) == b"hello"
    assert stage.wait("message") == {"type": "http.disconnect"}


def test_shield_and_wait(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await asyncio.shield(receive())
        sending = [asyncio.ensure_future(send(start()))]
        await asyncio.wait(sending)
        await send(body(message["body"]))

    assert ask(carrier, app, loop, request("POST", body=b"hello")) == b"hello"


def test_task_group_inside_the_application(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def part(number: int) -> int:
            await asyncio.sleep(0)
            return number

        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(part(number)) for number in range(5)]
        await answer(send, str(sum(each.result() for each in parts)).encode())

    assert ask(carrier, app, loop) == b"10"


def test_task_group_whose_member_fails(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError("member")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.Event().wait()
        except* ValueError:
            await answer(send, b"caught")

    assert ask(carrier, app, loop) == b"caught"


def test_streaming_with_a_disconnect_listener_as_starlette_below_2_4(
    carrier: Carrier, loop: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def stream() -> None:
            await send(start())
            for _ in range(3):
                await send(body(b"x", more=True))
                await anyio.sleep(0)
            await send(body())
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await stream()

    assert ask(carrier, app, loop) == b"xxx"


def test_anyio_cancel_scopes(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with anyio.move_on_after(0.01) as outer:
            await anyio.sleep_forever()
        assert outer.cancelled_caught
        with anyio.CancelScope() as inner:
            inner.cancel()
            await anyio.sleep_forever()
        await receive()
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await receive()
        await answer(send, b"ok")

    assert ask(carrier, app, loop) == b"ok"


def test_anyio_worker_threads(carrier: Carrier, loop: str) -> None:
    """What FastAPI does with every endpoint that is a plain function."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mark.set("seen")
        found = await anyio.to_thread.run_sync(lambda: (mark.get(), threading.get_ident()))
        assert found[1] != threading.get_ident()
        await answer(send, found[0].encode())

    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        assert [client.get("/").body for _ in range(3)] == [b"seen"] * 3


def test_anyio_calls_back_from_its_threads(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        def work() -> bytes:
            message = anyio.from_thread.run(receive)
            return bytes(message["body"])

        await answer(send, await anyio.to_thread.run_sync(work))

    assert ask(carrier, app, loop, request("POST", body=b"hello")) == b"hello"


def test_asgiref_sync_to_async(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        mark.set("seen")
        found = await sync_to_async(mark.get)()
        own = await sync_to_async(threading.get_ident, thread_sensitive=False)()
        assert own != threading.get_ident()
        await answer(send, found.encode())

    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        assert [client.get("/").body for _ in range(3)] == [b"seen"] * 3


def test_asgiref_async_to_sync_inside_a_thread(carrier: Carrier, loop: str) -> None:
    """Django's bridge: the coroutine must come back to the server's loop."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def on_the_loop() -> bool:
            return asyncio.get_running_loop() is running

        running = asyncio.get_running_loop()
        same = await sync_to_async(lambda: async_to_sync(on_the_loop)())()
        await answer(send, str(same).encode())

    assert ask(carrier, app, loop) == b"True"


def test_a_task_left_behind_outlives_its_request(carrier: Carrier, loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def background() -> None:
            await stage.until("go")
            stage.mark("done", mark.get())

        mark.set(scope["path"])
        stage.mark("task", asyncio.create_task(background()))
        await answer(send)

    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        client.get("/one")
        client.get("/two")
        stage.mark("go")
        stage.wait("done", 2)
    assert sorted(stage.values("done")) == ["/one", "/two"]


def test_cancel_from_inside_is_seen_inside(carrier: Carrier, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel, "why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await asyncio.Event().wait()
        assert task.cancelling() == 1
        assert task.uncancel() == 0
        await asyncio.sleep(0)
        await answer(send, b"went on")

    assert ask(carrier, app, loop) == b"went on"
