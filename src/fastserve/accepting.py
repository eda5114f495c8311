"""Accepting connections: on every listener of a loop, with pauses that lose nobody.

While it pauses the sockets go on listening, so the kernel keeps those who connect, up to the
backlog; nothing in this process looks at them, so nothing spins.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

__all__ = [
    "Acceptor",
    "most_descriptors",
    "telling_of_exhaustion",
    "warn_of_limit",
]

Listen = Callable[[int, socket.socket, int], Awaitable[asyncio.AbstractServer]]

_AGAIN = 1.0
_TELL_EVERY = 30.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def _limit() -> int:
    """The process's soft limit of descriptors; 0: there is none."""
    if resource is None:
        return 0
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 0 if soft == resource.RLIM_INFINITY else soft


def _reserve(limit: int) -> int:
    """Descriptors that are left to the application, its files and its own connections."""
    return min(max(8, limit // 16), 256)


def most_descriptors() -> int:
    """How many may be in use before a connection is one too many; 0: any number."""
    limit = _limit()
    return max(limit - _reserve(limit), 1) if limit else 0


def warn_of_limit(logger: logging.Logger, connections: int) -> None:
    """Warn if so many connections, the limit set for them, cannot be open at once.

    The limit of descriptors is not raised here, for the application's children would inherit it,
    and a program that uses select(2) breaks with descriptors above 1024.
    """
    most = most_descriptors()
    if most and connections > most:
        logger.warning(
            "limit_connections is %d, but a process may have %d descriptors (ulimit -n): "
            "some %d connections fit",
            connections, _limit(), most,
        )  # fmt: skip


def _accepted_at_once(backlog: int, listeners: int) -> int:
    """How many connections asyncio's loop may accept in one go.

    Three such lots are in its hands before we hear of the first connection.
    """
    limit = _limit()
    return min(backlog, max(_reserve(limit) // (4 * listeners), 1)) if limit else backlog


class Acceptor:
    """Accepts on `listeners`, which are its own from now on.

    `listen(position, listener, backlog)` makes an event loop's server of one.
    """

    def __init__(
        self,
        listen: Listen,
        listeners: Sequence[socket.socket],
        backlog: int,
        logger: logging.Logger,
    ) -> None:
        self._listen = listen
        self._listeners = list(listeners)
        self._backlog = backlog
        self._log = logger
        self._servers: dict[int, asyncio.AbstractServer] = {}  # by position
        self._ending: list[asyncio.AbstractServer] = []
        self._wanted = True
        self._closed = False
        self._resuming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises `BindError`."""
        for position in range(len(self._listeners)):
            await self._accept(position)

    def set_accepting(self, wanted: bool) -> None:
        """Pause, or go on. In the loop's thread."""
        self._wanted = wanted
        if self._closed:
            return
        if wanted:
            if self._resuming is None:
                self._resuming = asyncio.ensure_future(self._resume())
        elif self._servers:
            self._pause()

    def close(self) -> None:
        """Stop accepting. Once, or more often."""
        self._closed = True
        if self._resuming is not None:
            self._resuming.cancel()
        self._end()
        for server in self._servers.values():
            server.close()
        for each in self._listeners:
            each.close()

    async def _accept(self, position: int) -> None:
        listener, backlog = self._listeners[position], self._backlog
        if isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
            # To asyncio the number means two things; the other is how many it accepts in one go.
            backlog = _accepted_at_once(backlog, len(self._listeners))
        self._servers[position] = await self._listen(position, listener, backlog)
        if backlog != self._backlog:
            listener.listen(self._backlog)

    def _pause(self) -> None:
        # A server closes its socket: what goes on listening is another descriptor of it.
        try:
            kept = {position: self._listeners[position].dup() for position in self._servers}
        except OSError as error:
            self._log.error("cannot pause accepting: %s", error)
            return
        loop = asyncio.get_running_loop()
        if isinstance(loop, asyncio.BaseEventLoop):
            # It has connections in hand that it would drop if their server were closed already;
            # within a turn they are its transports.
            for server in self._servers.values():
                for each in cast("asyncio.Server", server).sockets:
                    loop.remove_reader(each)
            self._ending += self._servers.values()
            loop.call_soon(self._end)
        else:
            for server in self._servers.values():
                server.close()
        self._servers.clear()
        for position, listener in kept.items():
            self._listeners[position] = listener

    def _end(self) -> None:
        while self._ending:
            self._ending.pop().close()

    async def _resume(self) -> None:
        try:
            while self._wanted:
                missing = set(range(len(self._listeners))) - self._servers.keys()
                if not missing:
                    break
                try:
                    await self._accept(min(missing))
                except Exception as error:
                    self._log.error("cannot go on accepting yet: %s", error)
                    await asyncio.sleep(_AGAIN)
            if not self._wanted:
                self._pause()
        finally:
            self._resuming = None


@contextlib.contextmanager
def telling_of_exhaustion(
    logger: logging.Logger, make_room: Callable[[], object]
) -> Iterator[None]:
    """While the body runs, tell now and then that the loop lacks descriptors to accept with.

    The application may use up what is left to it. asyncio's loop then tries again every second
    and reports each try several times. `make_room` is called for each.
    """
    loop = asyncio.get_running_loop()
    former = loop.get_exception_handler()
    told = 0.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told
        error = context.get("exception")
        if "accept" in context.get("message", "") and getattr(error, "errno", 0) in _EXHAUSTED:
            make_room()
            if not told or time.monotonic() - told > _TELL_EVERY:
                told = time.monotonic()
                logger.warning("cannot accept connections: %s (ulimit -n)", error)
        elif isinstance(error, ValueError) and "_start_serving" in repr(context.get("handle")):
            pass  # such a try again, of a listener that is paused or closed meanwhile
        elif former is not None:
            former(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        if loop.get_exception_handler() is handle:
            loop.set_exception_handler(former)
