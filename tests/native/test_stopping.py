"""What a service offers to stop without losing a request, on both event loops."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from native.stand import LOOPS, Client, Stand, play, request, serving, turn
from support.apps import answer, body, read_body, start

pytestmark = pytest.mark.parametrize("loop", LOOPS)
HOUR = 3600.0


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, scope["path"].encode())


class Gate:
    """An application that answers half, waits to be opened, and answers the rest."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.task: asyncio.Task[Any] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.task = asyncio.current_task()
        await send(start(headers=[(b"content-length", b"4")]))
        await send(body(b"he", more=True))
        self.entered.set()
        await self.opened.wait()
        await send(body(b"re"))


# -- drain ---------------------------------------------------------------------------


def test_a_response_begun_after_drain_says_close_and_closes(loop: str) -> None:
    async def scene() -> None:
        async with serving(hello) as stand:
            client = await stand.connect()
            head, _ = await client.get("/before")
            assert b"connection: close" not in head
            stand.service.drain()
            await turn()
            assert stand.service.connections == 1, "drain itself closes nothing"
            head, text = await client.get("/after")
            assert (b"\r\nconnection: close\r\n" in head, text) == (True, b"/after")
            assert await client.ended()

    play(loop, scene)


def test_a_head_that_was_held_when_drain_came_says_close(loop: str) -> None:
    async def scene() -> None:
        gate = asyncio.Event()
        held = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            held.set()
            await gate.wait()
            await send(body(b"late"))

        async with serving(app) as stand:
            client = await stand.connect()
            await client.send(request())
            await held.wait()
            stand.service.drain()
            gate.set()
            head, _ = await client.answer()
            assert b"\r\nconnection: close\r\n" in head
            assert await client.ended()

    play(loop, scene)


def test_a_connection_that_was_promised_to_live_is_idle_afterwards(loop: str) -> None:
    async def scene() -> None:
        gate = Gate()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await (gate if scope["path"] == "/gate" else hello)(scope, receive, send)

        async with serving(app) as stand:
            client = await stand.connect()
            await client.send(request("/gate"))
            await gate.entered.wait()
            stand.service.drain()
            gate.opened.set()
            head, text = await client.answer()
            assert (b"connection: close" in head, text) == (False, b"here")
            await turn()
            assert stand.service.close_idle(HOUR) == 1
            head, text = await client.get("/next")
            assert (b"\r\nconnection: close\r\n" in head, text) == (True, b"/next")
            assert await client.ended()

    play(loop, scene)


def test_the_rest_of_an_unread_body_does_not_end_a_promised_connection(loop: str) -> None:
    async def scene() -> None:
        async with serving(hello) as stand:
            client = await stand.connect()
            await client.send(request("/early", "Content-Length: 4", method="POST", body=b"ab"))
            head, _ = await client.answer()
            assert b"connection: close" not in head
            stand.service.drain()
            assert stand.service.close_idle(0) == 0, "in the middle of a message is not idle"
            await client.send(b"cd")
            head, text = await client.get("/next")
            assert (b"\r\nconnection: close\r\n" in head, text) == (True, b"/next")

    play(loop, scene)


# -- close_idle ----------------------------------------------------------------------


def test_idle_connections_are_closed_fresh_and_used(loop: str) -> None:
    async def scene() -> None:
        async with serving(hello) as stand:
            fresh, used = await stand.connect(), await stand.connect()
            await used.get()
            await turn()
            assert stand.service.close_idle(0) == 0
            assert await fresh.ended()
            assert await used.ended()
            await stand.service.wait_idle()

    play(loop, scene)


def test_connections_that_were_active_of_late_stay(loop: str) -> None:
    async def scene() -> None:
        async with serving(hello) as stand:
            fresh, used = await stand.connect(), await stand.connect()
            await used.get()
            await turn()
            assert stand.service.close_idle(HOUR) == 2
            assert stand.service.close_idle(float("inf")) == 2
            for client in (fresh, used):
                assert (await client.get("/x"))[1] == b"/x"

    play(loop, scene)


def test_quiet_time_counts_from_the_last_exchange_on(loop: str) -> None:
    async def scene() -> None:
        async with serving(hello, timeout_keep_alive=0) as stand:
            client = await stand.connect()
            begun = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() - begun < 0.8:
                await client.get()
            await turn()
            assert stand.service.close_idle(0.7) == 1, "the exchanges count, not the connection"
            while stand.service.close_idle(0.7):
                await asyncio.sleep(0.01)
            assert await client.ended()

    play(loop, scene)


@pytest.mark.parametrize("used", [False, True])
def test_a_request_that_waits_unread_is_answered(loop: str, used: bool) -> None:
    async def scene() -> None:
        async with serving(hello) as stand:
            client = await stand.connect()
            if used:
                await client.get()
            await turn()
            stand.service.drain()
            client.push(request("/unread"))
            assert stand.service.close_idle(0) == 1
            head, text = await client.answer()
            assert (b"\r\nconnection: close\r\n" in head, text) == (True, b"/unread")
            assert await client.ended()

    play(loop, scene)


def test_an_end_that_waits_unread_is_left_to_the_loop(loop: str) -> None:
    async def scene() -> None:
        async with serving(hello) as stand:
            client = await stand.connect()
            await turn()
            client.sock.close()
            assert stand.service.close_idle(0) == 1
            await stand.service.wait_idle()

    play(loop, scene)


def test_neither_an_exchange_nor_half_a_request_is_idle(loop: str) -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate) as stand:
            busy, half = await stand.connect(), await stand.connect()
            await busy.send(request())
            await half.send(b"GET / HTT")
            await gate.entered.wait()
            await turn()
            assert stand.service.close_idle(0) == 0
            assert stand.service.connections == 2
            gate.opened.set()
            assert (await busy.answer())[1] == b"here"
            await half.send(b"P/1.1\r\nHost: x\r\n\r\n")
            assert (await half.answer())[1] == b"here"

    play(loop, scene)


def test_a_connection_that_lingers_is_not_idle(loop: str) -> None:
    async def scene() -> None:
        async with serving(hello) as stand:
            client = await stand.connect()
            await client.send(b"nonsense\r\n\r\n")
            assert (await client.answer())[0].startswith(b"HTTP/1.1 400 ")
            assert await client.ended()
            assert stand.service.connections == 1
            assert stand.service.close_idle(0) == 0
            assert stand.service.connections == 1

    play(loop, scene)


def test_an_answer_the_client_has_not_read_is_not_cut(loop: str) -> None:
    size = 4 << 20

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send(start(headers=[(b"content-length", str(size).encode())]))
        await send(body(b"x" * size))

    async def scene() -> None:
        async with serving(large) as stand:
            client = await stand.connect()
            await client.send(request())
            while not stand.service.requests or stand.service.exchanges:
                await turn()
            assert stand.service.close_idle(HOUR) == 1
            assert stand.service.close_idle(0.001) == 1, "bytes for it are still on their way"
            assert len((await client.answer())[1]) == size

    play(loop, scene)


def test_a_connection_under_a_stream_of_requests_loses_none(loop: str) -> None:
    async def scene() -> None:
        async with serving(hello) as stand:
            client = await stand.connect()
            done = asyncio.Event()
            closer = asyncio.ensure_future(close_again_and_again(stand, 5.0, done))
            for number in range(300):
                assert (await client.get(f"/{number}"))[1] == f"/{number}".encode()
            stand.service.drain()
            head, _ = await client.get("/last")
            assert b"\r\nconnection: close\r\n" in head
            done.set()
            await closer

    play(loop, scene)


async def close_again_and_again(stand: Stand, quiet: float, done: asyncio.Event) -> None:
    while not done.is_set():
        stand.service.close_idle(quiet)
        await asyncio.sleep(0)


def test_clients_that_send_before_the_look_lose_nothing_even_without_quiet(loop: str) -> None:
    """Each of many connections sends, unread, and then all idle ones are closed at once."""

    async def scene() -> None:
        async with serving(hello) as stand:
            clients = [await stand.connect() for _ in range(40)]
            for client in clients:
                await client.get()
            await turn()
            stand.service.drain()
            for client in clients[::2]:
                client.push(request("/sent"))
            assert stand.service.close_idle(0) == 20
            for client in clients[::2]:
                assert (await client.answer())[1] == b"/sent"
                assert await client.ended()
            for client in clients[1::2]:
                assert await client.ended()

    play(loop, scene)


# -- request_line --------------------------------------------------------------------


def test_the_request_of_a_task_is_told_while_it_runs(loop: str) -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate) as stand:
            client = await stand.connect()
            await client.send(request("/a%20b?c=d"))
            await gate.entered.wait()
            await turn()
            assert stand.service.request_line(gate.task) == "GET /a%20b?c=d"
            assert stand.service.request_line(asyncio.current_task()) is None
            assert stand.service.request_line(None) is None
            gate.opened.set()
            await client.answer()
            await turn()
            assert stand.service.request_line(gate.task) is None

    play(loop, scene)


def test_the_request_of_a_task_outlives_its_client(loop: str) -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate) as stand:
            client = await stand.connect()
            await client.send(request("/left"))
            await gate.entered.wait()
            client.sock.close()
            while stand.service.connections:
                await turn()
            assert stand.service.request_line(gate.task) == "GET /left"

    play(loop, scene)


def test_another_thread_is_told_the_request_in_its_very_first_step(loop: str) -> None:
    """The loop stands in the application, as it does when a watchdog asks."""
    told: list[str | None] = []
    blocked, asked = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        blocked.set()
        assert asked.wait(20)
        await answer(send)

    async def scene() -> None:
        running = asyncio.get_running_loop()
        async with serving(app) as stand:

            def watch() -> None:
                assert blocked.wait(20)
                task = asyncio.current_task(running)
                told.append(stand.service.request_line(task))
                told.append(stand.service.request_line(object()))
                asked.set()

            client = await stand.connect()
            watcher = threading.Thread(target=watch)
            watcher.start()
            await client.get("/blocks")
            watcher.join()
            assert stand.service.request_line(asyncio.current_task()) is None

    play(loop, scene)
    assert told == ["GET /blocks", None]


def test_an_application_that_reads_its_body_is_told_too(loop: str) -> None:
    async def scene() -> None:
        tasks: list[asyncio.Task[Any] | None] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            tasks.append(asyncio.current_task())
            await answer(send, await read_body(receive))

        async with serving(app) as stand:
            client: Client = await stand.connect()
            await client.send(request("/up", "Content-Length: 2", method="PUT"))
            while not tasks:
                await turn()
            assert stand.service.request_line(tasks[0]) == "PUT /up"
            await client.send(b"ok")
            assert (await client.answer())[1] == b"ok"

    play(loop, scene)


@pytest.mark.parametrize("way", ["returns", "is cancelled"])
def test_a_request_that_the_stop_ends_before_its_answer_is_answered_503(
    loop: str, way: str
) -> None:
    async def scene() -> None:
        entered = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await read_body(receive)
            if way == "returns":
                assert (await receive())["type"] == "http.disconnect"
            else:
                await asyncio.get_running_loop().create_future()

        async with serving(app) as stand:
            client = await stand.connect()
            await client.send(request())
            await entered.wait()
            stand.service.disconnect()
            await turn()
            stand.service.cancel()
            head, _ = await client.answer()
            assert head.startswith(b"HTTP/1.1 503 ")
            assert await client.ended()

    play(loop, scene)
