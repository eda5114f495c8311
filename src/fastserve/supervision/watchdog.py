"""Looks after workers that serve: event loops that stand still, age, memory.

A loop that misses its beat is not blocked before it is known that its process runs, that
it has had a processor, and that it stands in somebody's code: a busy machine must never
cost a healthy worker its life.

    ON TIME --overdue by warn--> ASKED (explain) --answer--> TOLD
    ASKED --no answer: native code holds the lock--> TRACED --lines--> TOLD
    overdue, but stopped or without a processor: STARVED, looked at again
    any --beat--> ON TIME
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import Enum

from fastserve.board import Board, RowState
from fastserve.config import Config
from fastserve.heartbeat import beat_interval, stack_of_trace
from fastserve.supervision.channel import Message
from fastserve.supervision.children import Child
from fastserve.supervision.slots import Fleet
from fastserve.supervision.worker import TRACE_SIGNAL

__all__ = ["Watchdog", "resident_memory"]

_LIMITS_INTERVAL = 1.0
_ANSWER = 1.0  # how long a worker whose interpreter lock is to be had may take to answer
_TRACE = 0.5
_log = logging.getLogger("fastserve.error")


class _Verdict(Enum):
    ON_TIME = 1
    STARVED = 2
    ASKED = 3
    TRACED = 4
    TOLD = 5  # blocked, and said so


@dataclass
class _Watch:
    """What is known of one child."""

    verdict: _Verdict = _Verdict.ON_TIME
    due: float = 0.0  # the beat that is missed
    since: float = 0.0  # when the verdict was given
    waited: int | None = None  # nanoseconds its main thread has waited for a processor,
    seen: float = 0.0  # and when that was read, at the last beat on time


class Watchdog:
    """Looks at the workers of `fleet` whenever `look` is called."""

    def __init__(self, config: Config, board: Board, fleet: Fleet) -> None:
        self._warn = config.process.warn_blocked_loop
        self._limit = config.timeouts.blocked_loop
        self._lifetime = config.limits.worker_lifetime
        self._memory = config.limits.worker_memory
        self._board = board
        self._fleet = fleet
        self._watches: dict[Child, _Watch] = {}
        self._look_at = 0.0
        self._limits_at = 0.0
        self._beats = bool(self._warn or self._limit)
        self._sizes = bool(self._memory or config.admin.admin_bind)
        self._interval = beat_interval(self._warn, self._limit)

    def next_due(self) -> float | None:
        """When to call `look`, in monotonic seconds."""
        dues = []
        if self._beats:
            dues.append(self._look_at)
        if self._lifetime or self._sizes:
            dues.append(self._limits_at)
        return min(dues, default=None)

    def look(self) -> None:
        now = time.monotonic()
        serving = {child.row: child for child in self._fleet.serving()}
        if self._beats and now >= self._look_at:
            self._look_at = now + self._interval
            for state in self._board.rows():
                if state.index in serving and state.due:
                    self._look_at_loop(serving[state.index], state, now)
            for gone in set(self._watches) - set(serving.values()):
                del self._watches[gone]
        if (self._lifetime or self._sizes) and now >= self._limits_at:
            self._limits_at = now + _LIMITS_INTERVAL
            for child in serving.values():
                self._look_at_limits(child, now)

    def heard(self, child: Child, message: Message) -> None:
        """The answer to `explain`."""
        watch = self._watches.get(child)
        if message["type"] != "explained" or watch is None or watch.verdict is not _Verdict.ASKED:
            return
        self._explained(child, watch, str(message["request"]), str(message["stack"]))

    # -- age and memory ----------------------------------------------------------------

    def _look_at_limits(self, child: Child, now: float) -> None:
        if self._lifetime and child.ready_at is not None and now - child.ready_at > self._lifetime:
            self._fleet.want(child, "lifetime")
        if self._sizes:
            size = resident_memory(child.pid)
            self._board.set_memory(child.row, size)
            if self._memory and size > self._memory:
                self._fleet.want(child, "memory")

    # -- event loops -------------------------------------------------------------------

    def _look_at_loop(self, child: Child, state: RowState, now: float) -> None:
        watch = self._watches.setdefault(child, _Watch())
        late = now - state.due
        least = min(each for each in (self._warn, self._limit) if each)
        if late < least or state.due != watch.due:
            self._on_time(child, watch, state, now)
        if late < least:
            return
        if watch.verdict in (_Verdict.ON_TIME, _Verdict.STARVED):
            self._suspect(child, watch, now, late)
        elif watch.verdict is _Verdict.ASKED and now - watch.since > _ANSWER:
            self._trace(child, watch, now)
        elif watch.verdict is _Verdict.TRACED and now - watch.since > _TRACE:
            last = f"the last request begun was {state.last_request!r}"
            self._tell(child, watch, f"native code holds the interpreter; {last}",
                       stack_of_trace(child.trace))  # fmt: skip
        elif watch.verdict is _Verdict.TOLD and self._limit and late >= self._limit:
            self._fleet.want(child, "blocked")

    def _on_time(self, child: Child, watch: _Watch, state: RowState, now: float) -> None:
        if watch.verdict is _Verdict.TOLD:
            _log.info("the event loop of %s goes on", child.role)
        watch.verdict = _Verdict.ON_TIME
        watch.due = state.due
        watch.waited = _waited(child.pid)
        watch.seen = now

    def _suspect(self, child: Child, watch: _Watch, now: float, late: float) -> None:
        if _is_stopped(child.pid):
            self._starved(child, watch, "its process is stopped", late)
            return
        waited, before = _waited(child.pid), watch.waited
        if (
            waited is not None
            and before is not None
            and ((waited - before) / 1e9 > (now - watch.seen) / 2)
        ):
            self._starved(child, watch, "it does not get a processor", late)
            return
        watch.verdict = _Verdict.ASKED
        watch.since = now
        if not child.channel.send("explain"):
            self._trace(child, watch, now)

    def _starved(self, child: Child, watch: _Watch, why: str, late: float) -> None:
        if watch.verdict is not _Verdict.STARVED:
            watch.verdict = _Verdict.STARVED
            _log.warning("the event loop of %s is %.1f s late: %s", child.role, late, why)

    def _trace(self, child: Child, watch: _Watch, now: float) -> None:
        watch.verdict = _Verdict.TRACED
        watch.since = now
        child.trace.clear()
        if TRACE_SIGNAL is not None:
            child.signal(TRACE_SIGNAL)

    def _explained(self, child: Child, watch: _Watch, request: str, stack: str) -> None:
        state = next((each for each in self._board.rows() if each.index == child.row), None)
        if state is None or state.due != watch.due:
            return  # it went on meanwhile
        if not stack:
            # Between two callbacks: it has the processor, but not the interpreter.
            late = time.monotonic() - state.due
            self._starved(child, watch, "other threads keep the interpreter lock", late)
            return
        self._tell(child, watch, f"serving {request}" if request else "serving no request", stack)

    def _tell(self, child: Child, watch: _Watch, what: str, stack: str) -> None:
        watch.verdict = _Verdict.TOLD
        if self._warn:
            late = time.monotonic() - watch.due
            _log.warning(
                "the event loop of %s is blocked for %.1f s, %s\n%s",
                child.role, late, what, stack.rstrip() or "  (its stack cannot be read)",
            )  # fmt: skip


def resident_memory(pid: int) -> int:
    """Bytes of a process that are in memory; 0 if that cannot be found out."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        if sys.platform == "linux":
            with open(f"/proc/{pid}/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, timeout=5)
        return int(told.stdout) * 1024
    return 0


def _is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger has stopped the process."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] in "Tt"
    return False


def _waited(pid: int) -> int | None:
    """Nanoseconds the main thread was ready to run and did not; None if nobody tells."""
    path = f"/proc/{pid}/task/{pid}/schedstat"
    with contextlib.suppress(OSError, ValueError, IndexError), open(path) as file:
        return int(file.read().split()[1])
    return None
