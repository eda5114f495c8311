"""One server inside a loop: starting, stopping in phases, signals, embedding."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from fastserve import Config, Server
from fastserve.errors import AppError, BindError, LifespanError
from fastserve.server import ShutdownError
from fastserve.stopping import Stop

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


class App:
    """Notes its lifespan; answers /, hangs in the way its path says."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.lifespan(scope, receive, send)
        await receive()
        if scope["path"] != "/":
            self.entered.set()
            await getattr(self, scope["path"][1:])(receive)
        text = f"{VARIABLE.get()} {scope['state']['n']}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text})

    async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append((await receive())["type"])
        scope["state"]["n"] = 1
        VARIABLE.set("set")
        await send({"type": "lifespan.startup.complete"})
        self.seen.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    async def slow(self, receive: Any) -> None:
        await self.go.wait()
        self.seen.append("finished")

    async def listening(self, receive: Any) -> None:
        self.seen.append((await receive())["type"])

    async def deaf(self, receive: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise

    async def stubborn(self, receive: Any) -> None:
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.seen.append("refused")


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 30)

    asyncio.run(bounded())


class Serving:
    """A server as a task of the test's loop."""

    def __init__(self, app: Any, **options: Any) -> None:
        settings = {"port": 0, "access_log": False, "loop": "asyncio"} | options
        self.server = Server(Config(app, **settings))

    async def __aenter__(self) -> Serving:
        self.task = asyncio.ensure_future(self.server.serve())
        begun = asyncio.ensure_future(self.server.wait_started())
        await asyncio.wait({self.task, begun}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if self.task.done():
            await self.task
        self.client = httpx.AsyncClient(base_url=self.server.urls[0], timeout=20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.stop()
        await self.client.aclose()
        await self.task

    def get(self, path: str) -> asyncio.Future[httpx.Response]:
        return asyncio.ensure_future(self.client.get(path))


# -- serving ---------------------------------------------------------------------------


def test_it_serves_with_the_lifespans_state_and_context() -> None:
    app = App()

    async def main() -> None:
        async with Serving(app) as serving:
            assert serving.server.started
            assert not serving.server.should_exit
            assert (await serving.get("/")).text == "set 1"
            assert app.seen == ["lifespan.startup"]
        assert app.seen == ["lifespan.startup", "lifespan.shutdown"]

    run(main)


def test_bound_sockets_can_be_handed_in() -> None:
    async def main() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            server = Server(Config(App(), access_log=False))
            task = asyncio.ensure_future(server.serve([bound]))
            await server.wait_started()
            assert server.urls == [f"http://127.0.0.1:{bound.getsockname()[1]}"]
            async with httpx.AsyncClient() as client:
                assert (await client.get(server.urls[0])).status_code == 200
            server.stop()
            await task

    run(main)


def test_a_header_of_ones_own_takes_the_place_of_the_servers() -> None:
    async def main() -> None:
        async with Serving(App(), headers=["Server: mine", "date: never"]) as serving:
            answer = await serving.get("/")
            assert answer.headers.get_list("server") == ["mine"]
            assert answer.headers.get_list("date") == ["never"]

    run(main)


def test_it_stops_after_so_many_requests() -> None:
    async def main() -> None:
        async with Serving(App(), limit_max_requests=2) as serving:
            for _ in range(2):
                assert (await serving.get("/")).status_code == 200
            await serving.task

    run(main)


def test_it_can_be_stopped_from_another_thread_and_as_in_uvicorn() -> None:
    async def main() -> None:
        async with Serving(App()) as serving:
            threading.Thread(target=setattr, args=(serving.server, "should_exit", True)).start()
            await serving.task
            assert serving.server.should_exit

    run(main)


def test_a_stop_before_the_start_is_kept() -> None:
    app = App()

    async def main() -> None:
        server = Server(Config(app, port=0))
        server.stop()
        await server.serve()
        assert not server.started

    run(main)


def test_a_server_serves_once() -> None:
    async def main() -> None:
        async with Serving(App()) as serving:
            with pytest.raises(RuntimeError, match="serves once"):
                await serving.server.serve()

    run(main)


# -- failures --------------------------------------------------------------------------


async def failing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


def test_it_raises_what_keeps_it_from_starting_and_frees_the_port() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(BindError):
            await Server(Config(App(), port=other.getsockname()[1])).serve()
        for app, error in ((failing, LifespanError), ("fs_not_there", AppError)):
            with socket.socket() as bound:
                bound.bind(("127.0.0.1", 0))
                with pytest.raises(error):
                    await Server(Config(app)).serve([bound])
                assert bound.fileno() == -1

    run(main)


def test_a_failed_lifespan_shutdown_is_raised_at_the_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "disk full"})

    async def main() -> None:
        with pytest.raises(ShutdownError):
            async with Serving(app):
                pass

    run(main)


def test_a_stop_during_start_up_cancels_it() -> None:
    entered = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    async def main() -> None:
        server = Server(Config(app, port=0))
        task = asyncio.ensure_future(server.serve())
        await entered.wait()
        server.stop()
        await task
        assert not server.started

    run(main)


# -- stopping --------------------------------------------------------------------------


def test_a_request_under_way_finishes_and_new_connections_are_refused() -> None:
    app = App()

    async def main() -> None:
        async with Serving(app) as serving:
            answer = serving.get("/slow")
            await app.entered.wait()
            serving.server.stop()
            async with httpx.AsyncClient(base_url=serving.server.urls[0]) as other:
                while True:  # the listener closes within a turn or two of the loop
                    try:
                        await other.get("/")
                    except httpx.TransportError:
                        break
            app.go.set()
            assert (await answer).status_code == 200
            await serving.task
        assert app.seen == ["lifespan.startup", "finished", "lifespan.shutdown"]

    run(main)


def test_an_idle_connection_does_not_delay_the_stop() -> None:
    async def main() -> None:
        async with Serving(App(), timeout_graceful_shutdown=20) as serving:
            await serving.get("/")
            serving.server.stop(Stop(drain=0, graceful=20, quiet=0))
            await asyncio.wait_for(asyncio.shield(serving.task), 5)

    run(main)


def test_after_the_graceful_time_the_application_is_told_to_disconnect() -> None:
    app = App()

    async def main() -> None:
        async with Serving(app, timeout_graceful_shutdown=0.05) as serving:
            answer = serving.get("/listening")
            await app.entered.wait()
            serving.server.stop()
            await serving.task
            await asyncio.gather(answer, return_exceptions=True)
        assert app.seen == ["lifespan.startup", "http.disconnect", "lifespan.shutdown"]

    run(main)


def test_an_application_that_does_not_listen_is_cancelled(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastserve.stopping._TELL", 0.05)
    app = App()

    async def main() -> None:
        async with Serving(app, timeout_graceful_shutdown=0.05) as serving:
            answer = serving.get("/deaf")
            await app.entered.wait()
            serving.server.stop()
            await serving.task
            await asyncio.gather(answer, return_exceptions=True)

    run(main)
    assert app.seen == ["lifespan.startup", "cancelled", "lifespan.shutdown"]
    assert "requests under way, now told to disconnect: 1" in caplog.text
    assert "requests under way, now cancelled: 1" in caplog.text


def test_an_application_that_refuses_to_be_cancelled_does_not_stop_the_stop(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_TELL", "_CANCEL", "_ABORT"):
        monkeypatch.setattr(f"fastserve.stopping.{name}", 0.05)
    app = App()

    async def main() -> None:
        async with Serving(app, timeout_graceful_shutdown=0) as serving:
            answer = serving.get("/stubborn")
            await app.entered.wait()
            serving.server.stop()
            await serving.task
            assert app.seen == ["lifespan.startup", "refused", "lifespan.shutdown"]
            app.go.set()
            await asyncio.gather(answer, return_exceptions=True)

    run(main)
    assert "did not end when cancelled: 1" in caplog.text


def test_a_second_request_to_stop_skips_the_graceful_time() -> None:
    app = App()

    async def main() -> None:
        async with Serving(app, timeout_graceful_shutdown=1000) as serving:
            answer = serving.get("/listening")
            await app.entered.wait()
            serving.server.hurry()
            serving.server.stop()  # asks for nothing more: it is under way
            await asyncio.sleep(0.05)
            assert not serving.task.done()
            serving.server.hurry()
            await serving.task
            await asyncio.gather(answer, return_exceptions=True)
        assert "http.disconnect" in app.seen

    run(main)


def test_cancelling_serve_stops_gracefully() -> None:
    app = App()

    async def main() -> None:
        async with Serving(app) as serving:
            answer = serving.get("/slow")
            await app.entered.wait()
            serving.task.cancel()
            app.go.set()
            assert (await answer).status_code == 200
            with pytest.raises(asyncio.CancelledError):
                await serving.task
            serving.task = asyncio.ensure_future(asyncio.sleep(0))
        assert app.seen[-1] == "lifespan.shutdown"

    run(main)


# -- signals ---------------------------------------------------------------------------


def test_signals_are_left_alone_unless_asked_for() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async def main() -> None:
        inside = signal.getsignal(signal.SIGTERM)
        async with Serving(App()):
            assert signal.getsignal(signal.SIGTERM) is inside

    run(main)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_signals_asked_for_stop_it_and_get_their_handlers_back() -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: caught.append(number))
    try:

        async def main() -> None:
            server = Server(Config(App(), port=0, access_log=False))
            task = asyncio.ensure_future(server.serve(signals={signal.SIGTERM: server.stop}))
            await server.wait_started()
            os.kill(os.getpid(), signal.SIGTERM)
            await task
            assert caught == []
            os.kill(os.getpid(), signal.SIGTERM)

        run(main)
        assert caught == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_requests_log_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Serving(App()) as serving:
            await serving.get("/")

    run(main)
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []
