"""Applications under the `fastserve` command, for a module's tests to share."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.process import Command, started
from websockets.sync.client import connect

HERE = Path(__file__).parent
TROUBLE = ("ERROR", "WARNING", "Traceback", "Exception")


def command(stack: ExitStack, name: str, *options: str) -> Command:
    """`apps.<name>` in a process of its own."""
    arguments = [f"apps.{name}:app", "--port", "0", "--no-access-log", *options]
    return stack.enter_context(started(arguments, HERE))


class Applications:
    """All of them run until the block ends, and may then have logged no trouble at all.

    They start together, before any test looks which threads there are.
    """

    def __init__(self, *names: str) -> None:
        self._stack = ExitStack()
        self._commands = {name: command(self._stack, *name.split()) for name in names}

    def __enter__(self) -> Applications:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._stack:
            statuses = [command.stop() for command in self._commands.values()]
            assert not any(statuses)
            for command in self._commands.values():
                said = command.out.text + command.err.text
                assert not any(sign in said for sign in TROUBLE), said

    def url(self, name: str) -> str:
        """http://host:port"""
        return self._commands[name].url

    def connect(self, name: str, target: str, **options: Any) -> connect:
        """A WebSocket to open with `with`; `options` are those of the client."""
        return opened(self.url(name), target, **options)


def opened(url: str, target: str, **options: Any) -> connect:
    return connect(url.replace("http", "ws", 1) + target, proxy=None, **options)
