"""Which event loop runs the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastserve.errors import ConfigError

__all__ = ["loop_factory", "loop_name"]


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop of the kind `name`: auto, uvloop or asyncio.

    Raises `ConfigError` if uvloop is asked for by name and cannot be imported.
    """
    if name in ("auto", "uvloop"):
        try:
            import uvloop
        except ImportError as error:
            if name == "uvloop":
                raise ConfigError(f"--loop uvloop: {error}") from None
        else:
            return uvloop.new_event_loop
    return asyncio.new_event_loop


def loop_name(loop: asyncio.AbstractEventLoop) -> str:
    """The name of a loop's implementation, for the start-up message."""
    return type(loop).__module__.partition(".")[0]
