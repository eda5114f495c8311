"""Lifespan: modes, states, contexts, failures, bounds."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fastserve.errors import LifespanError
from fastserve.lifespan import Lifespan

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")
LOG = logging.getLogger("fastserve.error")


class App:
    """A lifespan application that notes what happens to it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.scope: dict[str, Any] = {}
        self.answers = {
            "lifespan.startup": {"type": "lifespan.startup.complete"},
            "lifespan.shutdown": {"type": "lifespan.shutdown.complete"},
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        for _ in range(2):
            message = await receive()
            self.seen.append(message["type"])
            scope["state"]["made"] = self
            VARIABLE.set("set")
            await send(self.answers[message["type"]])
            if message["type"] == "lifespan.startup" and "message" in self.answers[message["type"]]:
                return
        self.seen.append("end")


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(main(), 20)

    return asyncio.run(bounded())


def lifespan(app: Any, mode: str = "auto", timeout: float = 5.0) -> Lifespan:
    return Lifespan(app, mode, timeout, LOG)


def failed_startup(app: Any, mode: str = "auto") -> LifespanError:
    with pytest.raises(LifespanError) as caught:
        run(lambda: lifespan(app, mode).startup())
    return caught.value


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_start_up_and_shutdown_are_one_call_of_the_application(mode: str) -> None:
    app = App()

    async def main() -> None:
        life = lifespan(app, mode)
        await life.startup()
        assert app.seen == ["lifespan.startup"]
        assert life.state == {"made": app}
        assert await life.shutdown()
        assert app.seen == ["lifespan.startup", "lifespan.shutdown", "end"]

    run(main)
    assert app.scope["type"] == "lifespan"
    assert app.scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}


def test_off_does_not_call_the_application() -> None:
    async def main() -> None:
        life = lifespan(None, "off")
        await life.startup()
        assert life.state is None
        assert await life.shutdown()

    run(main)


def test_requests_start_from_what_start_up_has_set_and_nobody_elses() -> None:
    async def main() -> None:
        life = lifespan(App())
        await life.startup()
        first, second = life.context, life.context
        assert first[VARIABLE] == "set"
        first.run(VARIABLE.set, "changed")
        assert second[VARIABLE] == "set"
        assert VARIABLE.get() == "unset"
        await life.shutdown()

    run(main)


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError(scope["type"])


async def returns(scope: Any, receive: Any, send: Any) -> None:
    return


@pytest.mark.parametrize("app", [refuses, returns])
def test_auto_goes_on_without_what_the_application_does_not_do(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        life = lifespan(app)
        await life.startup()
        assert life.state is None
        assert await life.shutdown()

    run(main)
    assert [r for r in caplog.records if r.levelno >= logging.INFO] == []


def test_on_fails_where_the_application_does_not_do_it() -> None:
    error = failed_startup(refuses, "on")
    assert "NotImplementedError('lifespan')" in error.message
    assert "raise NotImplementedError" in (error.details or "")
    assert "lifespan.py" not in (error.details or "").replace("test_lifespan.py", "")
    assert "returned without a message" in failed_startup(returns, "on").message


@pytest.mark.parametrize(
    ("message", "said", "details"),
    [
        ("no database", "start-up failed: no database", None),
        ("", "start-up failed", None),
        ("Traceback:\n  line\nKeyError: 'x'\n", "start-up failed: KeyError: 'x'", "line"),
    ],
)
def test_a_failed_start_up_tells_the_applications_message(
    message: str, said: str, details: str | None
) -> None:
    app = App()
    app.answers["lifespan.startup"] = {"type": "lifespan.startup.failed", "message": message}
    error = failed_startup(app)
    assert error.message.endswith(said)
    assert details is None or details in (error.details or "")


def test_a_start_up_that_is_cancelled_cancels_the_application() -> None:
    cancelled = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        task = asyncio.ensure_future(lifespan(app).startup())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert cancelled == [True]


def test_a_failed_shutdown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    app.answers["lifespan.shutdown"] = {"type": "lifespan.shutdown.failed", "message": "stuck"}

    async def main() -> bool:
        life = lifespan(app)
        await life.startup()
        return await life.shutdown()

    assert run(main) is False
    assert "lifespan shutdown failed: stuck" in caplog.text


def test_a_shutdown_that_takes_too_long_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> bool:
        life = lifespan(app, timeout=0.05)
        await life.startup()
        return await life.shutdown()

    assert run(main) is False
    assert "more than 0.05 s" in caplog.text
    assert ended == [True]


def test_a_lifespan_that_raises_while_serving_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await go.wait()
        raise ValueError("background")

    async def main() -> bool:
        life = lifespan(app)
        await life.startup()
        go.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await life.shutdown()

    assert run(main) is False
    assert "ValueError('background')" in caplog.text
    assert "test_lifespan.py" in caplog.text


def test_an_application_that_returns_after_start_up_has_nothing_to_shut_down() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})

    async def main() -> bool:
        life = lifespan(app)
        await life.startup()
        return await life.shutdown()

    assert run(main) is True


def test_a_message_out_of_turn_is_refused() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.shutdown.complete"})

    error = failed_startup(app, "on")
    assert "'lifespan.shutdown.complete' is not expected here" in error.message


def test_the_task_is_one_throughout() -> None:
    """What start-up enters (a cancel scope, say) shutdown leaves in the same task."""
    tasks = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.current_task())
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        tasks.append(asyncio.current_task())
        await send({"type": "lifespan.shutdown.complete"})

    async def main() -> None:
        life = lifespan(app)
        await life.startup()
        await life.shutdown()

    run(main)
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]
