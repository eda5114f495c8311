"""The supervisor of several worker processes.

It binds the sockets and keeps them open, starts a process for every slot, starts another
when one dies, and stops all together. Workers are fresh interpreters that import the
application themselves. A worker reports once, over a pipe, that it listens or why not.

A slot: EMPTY -spawn-> STARTING -ready-> READY -exit-> EMPTY (until `due`, then spawn).
A worker that stops by itself says so first (`leaving`); its slot is EMPTY from then on,
so that what it still has to finish keeps nobody waiting.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from fastserve.config import Config
from fastserve.errors import ConfigError, FastserveError
from fastserve.logging import configure
from fastserve.sockets import Listeners, open_listeners
from fastserve.worker import Order, Report, longest_stop

__all__ = ["Supervisor"]

# A worker that dies sooner than this after it was ready has failed, and the next one waits.
_SETTLED = 5.0
_DELAY_FIRST = 0.25
_DELAY_MOST = 10.0
_log = logging.getLogger("fastserve.error")


@dataclass
class _Slot:
    number: int
    sockets: list[socket.socket]
    process: subprocess.Popen[bytes] | None = None
    report_fd: int | None = None
    said: bytearray = field(default_factory=bytearray)
    failure: Report | None = None
    ready_at: float | None = None
    failures: int = 0  # in a row
    due: float | None = 0.0  # when a process is to be started; None: one is there

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0


@dataclass
class _Leaving:
    """A worker that stops by itself, when another is in its slot already."""

    process: subprocess.Popen[bytes]
    kill_at: float | None


class Supervisor:
    """Runs `config.process.workers` workers until SIGINT or SIGTERM."""

    def __init__(self, config: Config) -> None:
        if not hasattr(signal, "pthread_sigmask"):
            raise ConfigError("--workers: several workers are not possible on this system")
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError("several workers can only be run from the main thread")
        self._config = config
        self._slots: list[_Slot] = []
        self._leaving: list[_Leaving] = []
        self._signals: list[int] = []
        self._served = False  # all workers have been ready at some time
        self._failure: FastserveError | None = None
        self._status = 0
        self._stopping = False
        self._kill_at: float | None = None
        self._listeners: Listeners

    def run(self) -> int:
        """Serve until stopped; the exit status. Raises `FastserveError` if it cannot start."""
        configure(self._config.logging)
        self._listeners = open_listeners(self._config.bind, self._config.worker_count)
        self._slots = [_Slot(i + 1, each) for i, each in enumerate(self._listeners.slots)]
        self._life_read, self._life_write = os.pipe()
        with selectors.DefaultSelector() as self._selector, self._handle_signals():
            try:
                while not (self._stopping and not self._processes()):
                    self._spawn_due()
                    self._wait()
                    self._obey_signals()
                    self._kill_stuck()
                    self._reap()
            finally:
                self._end()
        if self._failure is not None:
            raise self._failure
        return self._status

    # -- the loop's steps --------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for a signal, a report, or the next thing that is due."""
        dues = [slot.due for slot in self._slots if slot.due is not None and not self._stopping]
        dues += [each.kill_at for each in self._leaving if each.kill_at is not None]
        dues += [self._kill_at] if self._kill_at is not None else []
        timeout = max(0.0, min(dues) - time.monotonic()) if dues else None
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, _Slot):
                self._read_report(key.data)
            else:
                with contextlib.suppress(BlockingIOError):
                    while self._wake_read.recv(4096):
                        pass

    def _obey_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGCHLD:
                continue  # it has woken the loop, which looks at all of them
            if self._stopping:
                self._terminate()  # once more: the workers skip to their next phase
            else:
                _log.info("stopping (%s)", signal.Signals(number).name)
                self._stop()

    def _kill_stuck(self) -> None:
        now = time.monotonic()
        stuck = []
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            stuck = self._processes()
        for each in self._leaving:
            if each.kill_at is not None and now >= each.kill_at:
                each.kill_at = None
                stuck.append(each.process)
        for process in stuck:
            _log.error("the worker with pid %d does not stop: killed", process.pid)
            process.kill()

    def _processes(self) -> list[subprocess.Popen[bytes]]:
        """All that have not been found dead."""
        serving = [slot.process for slot in self._slots if slot.process is not None]
        return serving + [each.process for each in self._leaving]

    def _reap(self) -> None:
        for each in list(self._leaving):
            if each.process.poll() is not None:
                self._leaving.remove(each)
                _log.info("the worker with pid %d has ended", each.process.pid)
                self._note_end(each.process.returncode)
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                code = slot.process.returncode
                self._read_report(slot)
                # A child of the worker's may still hold the pipe: the worker has said all.
                self._close_report(slot)
                if slot.process is not None:  # and not leaving
                    self._gone(slot, code)

    # -- starting ----------------------------------------------------------------------

    def _spawn_due(self) -> None:
        for slot in self._slots:
            if not self._stopping and slot.due is not None and slot.due <= time.monotonic():
                self._spawn(slot)

    def _spawn(self, slot: _Slot) -> None:
        order_read, order_write = os.pipe()
        slot.report_fd, report_write = os.pipe()
        fds = [order_read, report_write, self._life_read, *(s.fileno() for s in slot.sockets)]
        # -P: the working directory must not shadow modules the worker itself imports.
        command = [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]
        command += ["-P", "-m", "fastserve.worker", *map(str, fds)]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            slot.process = subprocess.Popen(command, pass_fds=fds)
        except OSError as error:
            os.close(order_write)
            os.close(slot.report_fd)
            raise FastserveError(f"cannot start a worker: {error}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(order_read)
            os.close(report_write)
        slot.said.clear()
        slot.failure = slot.ready_at = slot.due = None
        os.set_blocking(slot.report_fd, False)
        self._selector.register(slot.report_fd, selectors.EVENT_READ, slot)
        order = Order(self._config, list(sys.path), list(sys.argv))
        with contextlib.suppress(BrokenPipeError), open(order_write, "wb") as file:
            pickle.dump(order, file)

    def _read_report(self, slot: _Slot) -> None:
        """Read what the worker has reported so far and act on it."""
        if slot.report_fd is None:
            return
        ended = False
        try:
            while data := os.read(slot.report_fd, 65536):
                slot.said += data
            ended = True
        except BlockingIOError:
            pass
        for report in Report.take(slot.said):
            if report.state == "ready":
                slot.ready_at = time.monotonic()
                self._became_ready(slot)
            elif report.state == "leaving":
                self._leave(slot)
            else:
                slot.failure = report
        if ended:
            self._close_report(slot)

    def _close_report(self, slot: _Slot) -> None:
        if slot.report_fd is not None:
            self._selector.unregister(slot.report_fd)
            os.close(slot.report_fd)
            slot.report_fd = None

    def _leave(self, slot: _Slot) -> None:
        """The slot's worker stops by itself: its place is free."""
        if slot.process is None or self._stopping:
            return
        _log.info("worker %d (pid %d) is leaving; starting another", slot.number, slot.pid)
        seconds = longest_stop(self._config)
        kill_at = time.monotonic() + seconds if seconds is not None else None
        self._leaving.append(_Leaving(slot.process, kill_at))
        self._close_report(slot)
        slot.process = slot.ready_at = None
        slot.failures, slot.due = 0, time.monotonic()

    def _became_ready(self, slot: _Slot) -> None:
        if self._served:
            _log.info("worker %d (pid %d) serves", slot.number, slot.pid)
        elif all(each.ready_at is not None for each in self._slots):
            from fastserve import __version__

            self._served = True
            _log.info(
                "fastserve %s on %s (%d workers); CTRL+C to stop",
                __version__,
                ", ".join(self._listeners.urls),
                len(self._slots),
            )

    # -- ending ------------------------------------------------------------------------

    def _gone(self, slot: _Slot, code: int) -> None:
        """The slot's process has ended: start another, later or now, or give up."""
        pid, ready_at = slot.pid, slot.ready_at
        slot.process = slot.ready_at = None
        if self._stopping:
            self._note_end(code)
            return
        now = time.monotonic()
        if ready_at is None:
            self._failed_start(slot, code)
        elif code == 0:
            _log.info("worker %d (pid %d) has ended; starting another", slot.number, pid)
            slot.due = now
            return
        else:
            _log.error(
                "worker %d (pid %d) died (%s); starting another", slot.number, pid, _told(code)
            )
        slot.failures = slot.failures + 1 if ready_at is None or now - ready_at < _SETTLED else 1
        # The first failure in a row is made good at once, later ones wait longer and longer.
        wait = min(_DELAY_FIRST * 2 ** (slot.failures - 1), _DELAY_MOST)
        slot.due = now + (wait if slot.failures > 1 or ready_at is None else 0.0)

    def _failed_start(self, slot: _Slot, code: int) -> None:
        told = slot.failure
        failure = FastserveError(
            told.message if told else f"a worker died during start-up ({_told(code)})",
            details=told.details if told else None,
        )
        others = any(each.process is not None for each in self._slots)
        if self._served and others:
            _log.error("worker %d cannot start: %s", slot.number, failure.report())
            # This may last: no connection is to wait for it while others could serve it.
            self._listeners.renew(slot.number - 1)
        else:
            # Nobody serves, or the very first start failed: more attempts would hide why.
            self._failure = failure
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        # Without the supervisor's copies, a socket's queue ends with the last worker.
        self._listeners.close()
        seconds = longest_stop(self._config)
        self._kill_at = time.monotonic() + seconds if seconds is not None else None
        self._terminate()

    def _terminate(self) -> None:
        for process in self._processes():
            process.terminate()

    def _note_end(self, code: int) -> None:
        """A worker that did not end well shows in the exit status, if it ends with us.

        SIGTERM has its default effect before a worker serves and after it has shut down.
        """
        if self._stopping and code not in (0, -signal.SIGTERM):
            self._status = 1

    def _end(self) -> None:
        """Leave nothing behind, whatever has happened."""
        for process in self._processes():
            process.kill()
            process.wait()
        for slot in self._slots:
            self._close_report(slot)
        self._listeners.close()
        os.close(self._life_read)
        os.close(self._life_write)

    # -- signals -----------------------------------------------------------------------

    @contextlib.contextmanager
    def _handle_signals(self) -> Iterator[None]:
        """Note signals for the loop, which a byte in the wake socket wakes."""
        self._wake_read, wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
        former_fd = signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        former = {
            number: signal.signal(number, lambda got, _: self._signals.append(got))
            for number in numbers
        }
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)
            self._wake_read.close()
            wake_write.close()


def _told(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"{signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
