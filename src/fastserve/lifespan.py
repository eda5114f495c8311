"""The ASGI lifespan protocol (spec version 2.0) of one event loop.

The application's lifespan runs as one task in a context of its own from before the first
connection until after the last. States:

    WAITING -> startup.complete -> RUNNING -> shutdown.complete -> ENDED
       |-> startup.failed                       |-> shutdown.failed
       `-> the application raises or returns: it has no lifespan
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import MutableMapping
from typing import Any

from fastserve.errors import LifespanError, app_traceback
from fastserve.importer import ASGIApp

__all__ = ["Lifespan"]

_STARTED = ("lifespan.startup.complete", "lifespan.startup.failed")
_GRACE = 1.0
_STOPPED = ("lifespan.shutdown.complete", "lifespan.shutdown.failed")


class Lifespan:
    """Start-up and shutdown of `app`; `mode` is auto, on or off.

    `timeout` bounds the shutdown, in seconds, 0 for no bound. `state` is what the namespace has
    from the start. After `startup()`, the property `context` is what requests start from and
    `state` their namespace, None without lifespan.
    """

    def __init__(
        self,
        app: ASGIApp,
        mode: str,
        timeout: float,
        logger: logging.Logger,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._app = app
        self._mode = mode
        self._timeout = timeout
        self._log = logger
        self._own_context = contextvars.copy_context()
        self._state: dict[str, Any] = dict(state or {})
        self._task: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._asked_startup = False
        self._answer: MutableMapping[str, Any] | None = None  # to startup, then to shutdown
        self._supported = False

    @property
    def context(self) -> contextvars.Context:
        """A copy of the lifespan task's context as it is now."""
        return self._own_context.copy()

    @property
    def state(self) -> dict[str, Any] | None:
        return self._state if self._supported else None

    async def startup(self) -> None:
        """Run the application's start-up. Raises `LifespanError` if it failed."""
        if self._mode == "off":
            return
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(
            self._run(scope), name="fastserve-lifespan", context=self._own_context
        )
        started = asyncio.ensure_future(self._started.wait())
        try:
            await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._cancel()
            raise
        finally:
            started.cancel()
        if self._answer is None:
            self._without(self._task)
        elif self._answer["type"] == "lifespan.startup.failed":
            message = str(self._answer.get("message", "")).strip()
            await self._end()
            raise _failed_startup(message)
        else:
            self._supported = True
            self._answer = None

    async def shutdown(self) -> bool:
        """Run the application's shutdown; whether it went well. Never raises."""
        task = self._task
        if task is None or not self._supported:
            return True
        self._stopping.set()
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait(
            {task, stopped},
            timeout=self._timeout or None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        stopped.cancel()
        answer: Any = self._answer
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            self._log.error("lifespan shutdown failed: %s", answer.get("message", ""))
        elif answer is None and not task.done():
            self._log.error("lifespan shutdown took more than %g s: given up", self._timeout)
        elif answer is None and _error_of(task) is not None:
            pass  # told by _run
        else:
            await self._end()
            return True
        await self._end()
        return False

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            if self._supported and self._answer is None:
                self._log.error(
                    "the application's lifespan raised %r\n%s", error, app_traceback(error)
                )
            raise

    async def _receive(self) -> dict[str, Any]:
        if not self._asked_startup:
            self._asked_startup = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        kind = message["type"]
        if kind in _STARTED and not self._started.is_set():
            self._answer = message
            self._started.set()
        elif kind in _STOPPED and self._stopping.is_set() and not self._stopped.is_set():
            self._answer = message
            self._stopped.set()
        else:
            raise RuntimeError(f"the lifespan message {kind!r} is not expected here")

    def _without(self, task: asyncio.Task[None]) -> None:
        """The application ended before it answered: go on without lifespan if that is allowed.

        The specification's lifespan page: a server must go on without it if the
        application raises when called with a lifespan scope.
        """
        error = _error_of(task)
        if self._mode == "on":
            said = f"it raised {error!r}" if error else "it returned without a message"
            details = app_traceback(error) if error else None
            raise LifespanError(
                f"the application does not do lifespan: {said} (--lifespan on)", details=details
            )
        self._log.debug("the application has no lifespan (%r): going on without", error)

    async def _end(self) -> None:
        """End the task; what follows its last message has a second, if it has sent one."""
        if self._task is not None and self._answer is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=_GRACE)
        await self._cancel()

    async def _cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_GRACE)
        if self._task is not None:
            _error_of(self._task)


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    """The task's exception, marked as seen."""
    return None if not task.done() or task.cancelled() else task.exception()


def _failed_startup(message: str) -> LifespanError:
    """Frameworks put a whole traceback into the message; its last line says the most."""
    lines = message.splitlines()
    if len(lines) > 1:
        return LifespanError(
            f"the application's start-up failed: {lines[-1].strip()}", details=message
        )
    return LifespanError(f"the application's start-up failed{': ' + message if message else ''}")
