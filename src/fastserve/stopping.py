"""How the server of one event loop stops: phases that each have an end.

    drain:  readiness is false already, requests are served, each answer closes its connection
    finish: nothing is accepted, idle connections are closed, requests under way end
    tell:   applications still there are told http.disconnect
    cancel: their tasks are cancelled
    abort:  connections are cut

A phase ends when its time is up, when nothing is left to wait for, or when a stop is asked
for again. docs/design/process-model.md has the reasons.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from fastserve.config import Config

__all__ = ["Draining", "Repeated", "Stop", "StopRequest", "longest_stop", "stop_in_phases"]

_TELL = 2.0
_CANCEL = 1.0
_ABORT = 0.5
_LIFESPAN_END = 1.0  # what the lifespan's task may take after its last message
_MARGIN = 2.0
_LOOK_AGAIN = 0.1
_ECHO = 0.1

# A connection that was in use within so many seconds is not idle: its next request may be
# under way, and would meet a closed connection.
_QUIET = 1.0


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What a stop may take: seconds of its first two phases.

    `accept`: whether the drain accepts connections. `early`: it ends when no connection is
    left. `quiet`: seconds after which a connection without a request is idle.
    """

    drain: float
    graceful: float
    accept: bool = True
    early: bool = False
    quiet: float = _QUIET

    @staticmethod
    def of(config: Config) -> Stop:
        """An ordinary stop, as the options have it."""
        return Stop(drain=config.process.drain_delay, graceful=config.timeouts.graceful_shutdown)

    @staticmethod
    def quick() -> Stop:
        """Whatever is open is told to end now."""
        return Stop(drain=0.0, graceful=0.0, quiet=0.0)

    def fields(self) -> dict[str, Any]:
        """What makes an equal one: `Stop(**fields)`."""
        return asdict(self)


def longest_stop(config: Config, stop: Stop) -> float | None:
    """Seconds after which a process that was told to stop is stuck; None: it may take for ever."""
    if not config.timeouts.lifespan:
        return None
    phases = stop.drain + stop.graceful + _TELL + _CANCEL + _ABORT
    return phases + config.timeouts.lifespan + _LIFESPAN_END + _MARGIN


class Repeated:
    """Tells a signal that somebody has sent again from one that came twice at once.

    A wrapper that passes signals on, or a service manager that signals every process, makes
    two of one; a person who wants to skip ahead takes longer.
    """

    def __init__(self) -> None:
        self._last = -math.inf

    def is_echo(self) -> bool:
        """Whether the signal that has just come belongs to the one before."""
        now = time.monotonic()
        last, self._last = self._last, now
        return now - last < _ECHO


class StopRequest:
    """That a stop was asked for, from any thread: once, and perhaps again."""

    def __init__(self, plan: Stop) -> None:
        self.plan = plan
        self.made = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop waits for it."""
        with self._lock:
            self._loop = loop
            if self.made:
                self._news.set()

    def make(self, plan: Stop | None = None) -> None:
        """Ask for a stop; one that is under way goes on, unless `plan` is quicker."""
        with self._lock:
            if self.made and (plan is None or plan.graceful >= self.plan.graceful):
                return
            self._make(plan)

    def hurry(self) -> None:
        """Ask for a stop; if it is under way, end its present phase."""
        with self._lock:
            self._make(None)

    def _make(self, plan: Stop | None) -> None:
        self.plan = plan or self.plan
        self.made = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: stopped already
                self._loop.call_soon_threadsafe(self._news.set)

    async def wait(self) -> None:
        """Until a stop is asked for, for the first time or again."""
        await self._news.wait()

    async def is_done_within(self, future: asyncio.Future[Any], seconds: float) -> bool:
        """Whether `future` is done within so many seconds, or before a further request."""
        news = asyncio.ensure_future(self._news.wait())
        await asyncio.wait({future, news}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        return future.done()

    def take(self) -> bool:
        """Whether there was a request since the last call."""
        found = self._news.is_set()
        self._news.clear()
        return found


class Draining(Protocol):
    """What of the native service a stop needs."""

    @property
    def exchanges(self) -> int: ...
    def drain(self) -> None: ...
    def close_idle(self, quiet: float) -> int: ...
    def close_websockets(self) -> None: ...
    def disconnect(self) -> None: ...
    def cancel(self) -> None: ...
    def abort(self) -> None: ...
    async def wait_idle(self) -> None: ...


async def stop_in_phases(
    service: Draining,
    request: StopRequest,
    *,
    set_phase: Callable[[str], None],
    stop_accepting: Callable[[], None],
    logger: logging.Logger,
) -> None:
    """Go through the phases until no connection and no exchange is left.

    `set_phase` is called with "draining" and "stopping"; `stop_accepting` when nothing more is to
    be accepted, perhaps more than once.
    """
    request.take()
    set_phase("draining")
    service.drain()
    left: asyncio.Future[None] | None = None
    try:
        await _drain(service, request, stop_accepting)
        # From here on no connection comes, so that none is open once none was.
        left = asyncio.ensure_future(service.wait_idle())
        set_phase("stopping")
        # They would never end by themselves; their applications have the time that requests have.
        service.close_websockets()
        await _wait(service, request, left, request.plan.graceful, request.plan.quiet)
        steps = [
            (service.disconnect, "told to disconnect", _TELL),
            (service.cancel, "cancelled", _CANCEL),
            (service.abort, "cut off", _ABORT),
        ]
        for act, told, seconds in steps:
            if left.done():
                return
            if service.exchanges:
                logger.warning("requests under way, now %s: %d", told, service.exchanges)
            act()
            await _wait(service, request, left, seconds, quiet=0.0)
        if service.exchanges:
            logger.error("requests that did not end when cancelled: %d", service.exchanges)
    except BaseException:
        service.abort()
        raise
    finally:
        stop_accepting()
        if left is not None:
            left.cancel()


async def _drain(
    service: Draining, request: StopRequest, stop_accepting: Callable[[], None]
) -> None:
    plan = request.plan
    if not plan.accept:
        stop_accepting()
    if plan.drain:
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = asyncio.ensure_future(service.wait_idle()) if plan.early else never
        await request.is_done_within(left, plan.drain)
        left.cancel()
        request.take()
    # What has connected by now and waits in the queue is taken, within a turn or two of the
    # loop; afterwards nobody would answer it.
    for _ in range(3):
        await asyncio.sleep(0)
    stop_accepting()


async def _wait(
    service: Draining,
    request: StopRequest,
    left: asyncio.Future[None],
    seconds: float,
    quiet: float,
) -> None:
    """Wait until nothing is left, for so long, or for a request; close what is idle meanwhile."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    service.close_idle(quiet)
    while (rest := end - loop.time()) > 0:
        if await request.is_done_within(left, min(rest, _LOOK_AGAIN)) or request.take():
            return
        service.close_idle(quiet)
