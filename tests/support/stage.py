"""Marks set and awaited across threads, so that a test never has to sleep.

An application on the server's loop and the test's own thread tell each other how far
they have come: `stage.mark("started")` on one side, `stage.wait("started")` (thread) or
`await stage.until("started")` (application) on the other.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

TIMEOUT = 10.0


class Stage:
    """Named marks, each with a value, set once or several times."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._marks: dict[str, list[Any]] = {}
        self._waiting: list[tuple[str, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def mark(self, name: str, value: Any = None) -> None:
        """Sets a mark from any thread; a repeated mark keeps all its values."""
        with self._changed:
            self._marks.setdefault(name, []).append(value)
            self._changed.notify_all()
            woken = [entry for entry in self._waiting if entry[0] == name]
            self._waiting = [entry for entry in self._waiting if entry[0] != name]
        for _, loop, future in woken:
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda f=future: f.done() or f.set_result(None))

    def wait(self, name: str, count: int = 1, timeout: float = TIMEOUT) -> Any:
        """Waits in a thread until `name` was marked `count` times; returns the last value."""
        with self._changed:
            reached = self._changed.wait_for(lambda: self.count(name) >= count, timeout)
            assert reached, f"{name!r} was not reached {count} times; marks: {self._marks}"
            return self._marks[name][count - 1]

    async def until(self, name: str) -> Any:
        """Waits in a coroutine until `name` is marked; returns its first value."""
        with self._changed:
            if name in self._marks:
                return self._marks[name][0]
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((name, asyncio.get_running_loop(), future))
        await future
        return self._marks[name][0]

    def count(self, name: str) -> int:
        return len(self._marks.get(name, ()))

    def has(self, name: str) -> bool:
        return name in self._marks

    def values(self, name: str) -> list[Any]:
        return list(self._marks.get(name, ()))
