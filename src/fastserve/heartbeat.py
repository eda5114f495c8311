"""The event loop's own sign of life, and where it stands when it gives none.

The beat is a timer of the loop that writes into the board when the next beat is due, so
nothing but the loop can make a stuck process look alive.
"""

from __future__ import annotations

import asyncio
import linecache
import os
import re
import runpy
import selectors
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastserve.errors import is_ours

__all__ = ["Heartbeat", "Standing", "Watcher", "beat_interval", "stack_of_trace", "where_it_stands"]

_INTERVAL = 0.5
_MACHINERY = (
    os.path.dirname(asyncio.__file__) + os.sep,
    runpy.__file__,
    selectors.__file__,
    threading.__file__,
    "<frozen",
)


class Beating(Protocol):
    def beat(self, interval: float) -> None: ...


def beat_interval(warn: float, limit: float) -> float:
    """Seconds between beats, where a block is told after `warn` or ended after `limit`."""
    shortest = min((each for each in (warn, limit) if each), default=2 * _INTERVAL)
    return min(_INTERVAL, max(shortest / 2, 0.01))


class Heartbeat:
    """Beats in the running loop from `start()` until `stop()`."""

    def __init__(self, row: Beating, interval: float) -> None:
        self._row = row
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._row.beat(self._interval)
        self._timer = self._loop.call_later(self._interval, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


@dataclass(frozen=True)
class Standing:
    """Where an event loop stands: the request its current task serves, and its stack.

    Both are text; `request` is empty where no request is being served, `stack` where the
    loop is in no callback: then it waits, for events or for the interpreter lock.
    """

    request: str
    stack: str


def where_it_stands(
    loop: asyncio.AbstractEventLoop,
    thread: int,
    request_line: Callable[[object], str | None],
) -> Standing:
    """Where `loop`, run by the thread with the identifier `thread`, stands just now.

    `request_line` knows what a task serves. To be called from another thread.
    """
    frame = sys._current_frames().get(thread)
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame)) if frame else []
    frames = _without_machinery(list(reversed(stack)))
    try:
        task = asyncio.current_task(loop)
    except RuntimeError:
        task = None
    line = request_line(task) if task is not None else None
    return Standing(line or "", "".join(traceback.format_list(frames)))


def _without_machinery(frames: Sequence[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """`frames`, outermost first, without those that lead from the main program to the loop."""
    ours = [i for i, frame in enumerate(frames) if is_ours(frame.filename)]
    start = ours[-1] + 1 if ours else 0
    while start < len(frames) and frames[start].filename.startswith(_MACHINERY):
        start += 1
    return list(frames[start:])


_TRACE_LINE = re.compile(r'\s*File "(?P<file>.*)", line (?P<line>[0-9]+) in (?P<name>.*)')


def stack_of_trace(lines: Sequence[str]) -> str:
    """The stack, as `Standing` has it, from what `faulthandler` has written (innermost first)."""
    frames = []
    for text in lines:
        match = _TRACE_LINE.match(text)
        if match:
            file, number = match["file"], int(match["line"])
            source = linecache.getline(file, number)
            frames.append(traceback.FrameSummary(file, number, match["name"], line=source))
    return "".join(traceback.format_list(_without_machinery(frames[::-1])))


class Watcher:
    """Watches the loop of its own process, where no supervisor does.

    A thread that needs the interpreter lock: while native code holds that, it is late too.
    `tell(seconds, standing)` is called once for each block.
    """

    def __init__(
        self,
        due: Callable[[], float],
        warn: float,
        stand: Callable[[], Standing],
        tell: Callable[[float, Standing], None],
        clock: Callable[[], float],
    ) -> None:
        self._due = due
        self._warn = warn
        self._stand = stand
        self._tell = tell
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fastserve-watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        told = 0.0
        while True:
            due = self._due()
            late = self._clock() - due
            if due and late >= self._warn and told != due:
                standing = self._stand()
                if self._due() == due and standing.stack:
                    told = due
                    self._tell(late, standing)
            left = self._warn - late if due else self._warn
            if self._ended.wait(left if left > 0 else self._warn):
                return
