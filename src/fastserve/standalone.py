"""One process without a supervisor: the server, and what a main program has besides.

Pid file, service manager, metrics and health on the same loop, and a thread that tells
when the loop is blocked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from fastserve.board import Board
from fastserve.config import Config
from fastserve.heartbeat import Standing, Watcher
from fastserve.identity import PidFile, set_title
from fastserve.loops import loop_factory
from fastserve.notify import Notifier
from fastserve.server import Server, own_process
from fastserve.stopping import Stop, longest_stop
from fastserve.terminal import has_terminal

__all__ = ["Standalone"]

_STOPS = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGQUIT", None)}
_log = logging.getLogger("fastserve.error")


class Standalone:
    """Runs the server of `config` in this process and thread until it is stopped."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._board = Board.private()
        self._index = self._board.take(1)
        self._board.set_slots(1)
        self._row = self._board.row(self._index)
        self._row.set_pid(os.getpid())
        self._row.set_phase("starting")
        self._board.set_phase("starting")
        self._last_resort = _LastResort(config)
        self._server = Server(
            config,
            row=self._row,
            on_started=self._started,
            on_signal=self._last_resort.note_signal,
        )
        self._main = threading.current_thread() is threading.main_thread()
        self._at_terminal = has_terminal()
        self._notifier = Notifier.from_environment(os.environ)

    def run(self) -> None:
        """Serve. Raises `FastserveError` as `Server.serve` does."""
        set_title(f"fastserve: {self._config.app}")
        own_process()
        factory = loop_factory(self._config.process.loop)
        with (
            self._pid_file(),
            self._watching(),
            asyncio.Runner(loop_factory=factory) as runner,
        ):
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with self._admin():
            await self._server.serve(signals=self._signals() if self._main else None)

    def _signals(self) -> dict[signal.Signals, Callable[[], None]]:
        stops = self._server.stop_signals().items()
        signals = {each: self._stopping(act, each.name) for each, act in stops}
        if hasattr(signal, "SIGHUP"):
            signals[signal.SIGHUP] = self._hang_up
            signals[signal.SIGUSR1] = self._server.reopen
            signals[signal.SIGUSR2] = self._cannot_replace
        return signals

    def _started(self, server: Server) -> None:
        server.announce()
        self._board.set_phase("serving")
        self._notifier.ready("serving")
        if self._notifier.watchdog_interval:
            self._beat(self._notifier.watchdog_interval)

    def _beat(self, interval: float) -> None:
        self._notifier.watchdog()
        asyncio.get_running_loop().call_later(interval, self._beat, interval)

    def _stopping(self, act: Callable[[], None], why: str) -> Callable[[], None]:
        def stop() -> None:
            if not self._server.should_exit:
                _log.info("stopping (%s)", why)
            self._board.set_phase("draining" if self._config.process.drain_delay else "stopping")
            self._notifier.stopping("stopping")
            act()

        return stop

    def _hang_up(self) -> None:
        if self._at_terminal and not has_terminal():
            self._stopping(self._server.stop, "SIGHUP")()
        else:
            self._cannot_replace()

    def _cannot_replace(self) -> None:
        """The default effect of these signals would be to end without a lifespan shutdown."""
        _log.warning("one process cannot replace itself (SIGHUP, SIGUSR2): --workers 1 can")

    @contextlib.contextmanager
    def _pid_file(self) -> Iterator[None]:
        path = self._config.process.pid_file
        if path is None:
            yield
            return
        file = PidFile(path)
        file.acquire()
        self._last_resort.at_end(file.release)
        try:
            yield
        finally:
            file.release()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        warn = self._config.process.warn_blocked_loop
        if not warn:
            yield
            return
        watcher = Watcher(
            self._due, warn, self._server.where_it_stands, _tell_block, time.monotonic
        )
        watcher.start()
        try:
            yield
        finally:
            watcher.stop()

    def _due(self) -> float:
        return next(each.due for each in self._board.rows() if each.index == self._index)

    @contextlib.asynccontextmanager
    async def _admin(self):  # type: ignore[no-untyped-def]
        """Metrics and health, from before the start until after the end."""
        if self._config.admin.admin_bind is None:
            yield
            return
        from fastserve.admin import make_app

        admin = Server(
            self._config.for_admin(),
            app=make_app(self._board, pid=os.getpid()),
            on_started=lambda server: _log.info("metrics and health on %s", server.urls[0]),
        )
        task = asyncio.ensure_future(admin.serve())
        started = asyncio.ensure_future(admin.wait_started())
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if task.done():
            await task
        try:
            yield
        finally:
            admin.stop(Stop.quick())
            await task


class _LastResort:
    """Ends a process that was told to stop and does not manage to: after all phases, by force.

    A thread, because what keeps the process is the event loop's thread: it may be blocked, or
    wait for a task that will not be cancelled.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._acts: list[Callable[[], None]] = []
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        threading.Thread(target=self._watch, name="fastserve-last-resort", daemon=True).start()

    def at_end(self, act: Callable[[], None]) -> None:
        """What is not to be left behind."""
        self._acts.append(act)

    def note_signal(self, number: int) -> None:
        """In a signal handler."""
        if number in _STOPS:
            with contextlib.suppress(BlockingIOError):
                os.write(self._write, b"x")

    def _watch(self) -> None:
        os.read(self._read, 1)
        seconds = longest_stop(self._config, Stop.of(self._config))
        if seconds is None:
            return
        time.sleep(seconds)
        _log.error("the process did not stop within %g s: ended", seconds)
        for act in self._acts:
            act()
        os._exit(1)


def _tell_block(late: float, standing: Standing) -> None:
    what = f"serving {standing.request}" if standing.request else "serving no request"
    _log.warning(
        "the event loop is blocked for %.1f s, %s\n%s", late, what, standing.stack.rstrip()
    )
