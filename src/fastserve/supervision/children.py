"""The supervisor's child processes: starting them in two ways, talking to them, ending them.

A child is known by its pid and its channel alone, so that a supervisor that has replaced
itself (`upgrade`) takes over the children of its predecessor.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fastserve.board import Board
from fastserve.config import Config
from fastserve.errors import FastserveError
from fastserve.stopping import Stop, longest_stop
from fastserve.supervision.channel import Channel
from fastserve.supervision.worker import Order, ignore_signals, run

__all__ = ["OBEYED", "Child", "Failure", "Nursery", "State", "fate"]

# The supervisor's own signals. They are blocked while a child starts, until it can tell
# that they are not meant for it.
OBEYED = frozenset(
    getattr(signal, name)
    for name in (
        "SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU",
        "SIGCHLD",
    )
    if hasattr(signal, name)
)  # fmt: skip


class State(Enum):
    STARTING = "starting"
    SERVING = "serving"
    RETIRING = "retiring"  # told to stop


@dataclass(frozen=True)
class Failure:
    """Why a child could not start, in its own words."""

    message: str
    details: str | None = None


@dataclass(eq=False)
class Child:
    """One process. Times are those of `time.monotonic()`."""

    pid: int
    slot: int
    row: int
    channel: Channel
    cause: str = "start"
    state: State = State.STARTING
    born: float = field(default_factory=time.monotonic)
    ready_at: float | None = None
    failure: Failure | None = None
    kill_at: float | None = None  # when a child that was told to stop is stuck
    trace: list[str] = field(default_factory=list)  # lines of its signal handler in C

    @property
    def role(self) -> str:
        return f"worker {self.slot} (pid {self.pid})" if self.slot else f"admin (pid {self.pid})"

    def poll(self) -> int | None:
        """The exit status, negative for a signal, if the process has ended."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else has waited for it
            return 0
        return os.waitstatus_to_exitcode(status) if pid else None

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def retire(self, plan: Stop, config: Config) -> None:
        """Tell it to stop; one that cannot listen yet is ended."""
        first = self.state is not State.RETIRING
        if self.state is State.STARTING:
            self.signal(signal.SIGTERM)
        else:
            self.channel.send("stop", plan=plan.fields())
        self.state = State.RETIRING
        seconds = longest_stop(config, plan)
        if seconds is not None:
            kill_at = time.monotonic() + seconds
            if first or self.kill_at is None:
                self.kill_at = kill_at
            elif not plan.graceful:
                self.kill_at = min(kill_at, self.kill_at)

    def handover(self) -> dict[str, Any]:
        """What the next program needs to know of it; its channel stays open over `exec`."""
        os.set_inheritable(self.channel.fileno(), True)
        return {
            "pid": self.pid,
            "slot": self.slot,
            "row": self.row,
            "channel": self.channel.fileno(),
            "state": self.state.value,
            "born": self.born,
            "kill_at": self.kill_at,
        }

    @staticmethod
    def adopt(told: dict[str, Any]) -> Child:
        """A child of this process that was started before `exec`."""
        os.set_inheritable(told["channel"], False)
        state = State(told["state"])
        return Child(
            told["pid"],
            told["slot"],
            told["row"],
            Channel(socket.socket(fileno=told["channel"])),
            state=state,
            born=told["born"],
            ready_at=told["born"] if state is not State.STARTING else None,
            kill_at=told["kill_at"],
        )


class Nursery:
    """Starts children: by `spawn`, or by `fork` where the application is `preloaded`.

    `leave_behind` is called in a forked child before anything else: it closes what is the
    supervisor's alone.
    """

    def __init__(
        self,
        config: Config,
        board: Board,
        *,
        preloaded: Any = None,
        leave_behind: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._board = board
        self._preloaded = preloaded
        self._leave_behind = leave_behind
        self._spare: tuple[int, Channel] | None = None

    def prepare(self) -> None:
        """Have an interpreter ready for the next start, which then takes less time."""
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = self._interpreter()

    def close(self) -> None:
        """End what was prepared."""
        if self._spare is not None:
            pid, channel = self._spare
            self._spare = None
            channel.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def start(
        self,
        slot: int,
        sockets: Iterable[socket.socket],
        cause: str,
        insecure: Iterable[int] = (),
    ) -> Child:
        """A child for `slot` (0: the admin process). Raises `FastserveError`.

        `insecure`: the positions of sockets that are not for TLS.
        """
        row = self._board.take(slot)
        fds = [each.fileno() for each in sockets]
        order = Order(self._config, slot, row, tuple(sys.path), tuple(sys.argv), tuple(insecure))
        try:
            if self._preloaded is not None and slot:
                pid, channel = self._fork(order, fds)
            else:
                pid, channel = self._spawn(order, fds)
        except OSError as error:
            self._board.give_back(row)
            raise FastserveError(f"cannot start a process: {error}") from None
        return Child(pid, slot, row, channel, cause=cause)

    def _spawn(self, order: Order, fds: list[int]) -> tuple[int, Channel]:
        assert self._board.fd is not None
        pid, channel = self._take_spare() or self._interpreter()
        # One that does not take its order has died, which is found out like any other death.
        channel.send_order(order.encode(), [self._board.fd, *fds])
        return pid, channel

    def _take_spare(self) -> tuple[int, Channel] | None:
        spare, self._spare = self._spare, None
        if spare is not None and os.waitpid(spare[0], os.WNOHANG)[0]:
            spare[1].close()
            return None
        return spare

    def _interpreter(self) -> tuple[int, Channel]:
        """A new process that waits for its order, and our end of its channel."""
        ours, theirs = Channel.pair()
        # -P: the working directory must not shadow modules the worker itself imports.
        command = [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]
        command += ["-P", "-m", "fastserve.supervision.worker", str(theirs.fileno())]
        try:
            with _blocked():
                process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        process.returncode = 0  # `Child.poll` waits for it, by its pid
        return process.pid, ours

    def _fork(self, order: Order, fds: list[int]) -> tuple[int, Channel]:
        ours, theirs = Channel.pair()
        sys.stdout.flush()
        sys.stderr.flush()
        with _blocked():
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                theirs.close()
                raise
            if pid:
                theirs.close()
                return pid, ours
            status = 1
            try:
                ours.close()
                status = self._run(order, theirs, fds)
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                _leave(status)
        raise AssertionError("unreachable: the child has left")

    def _run(self, order: Order, channel: Channel, fds: list[int]) -> int:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sockets = [os.dup(fd) for fd in fds]
        self._leave_behind()
        ignore_signals()
        return run(order, channel, self._board, sockets, app=self._preloaded)


@contextlib.contextmanager
def _blocked() -> Iterator[None]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _leave(status: int) -> None:
    """End a forked process as an interpreter ends, but for what it shares with its parent."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(status)


def fate(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
