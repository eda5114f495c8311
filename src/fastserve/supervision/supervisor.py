"""The supervisor: binds, starts the workers, obeys signals, and ends last.

One thread and one loop over a selector. What happens comes in as readable descriptors: the
signals' wake-up, each child's channel, the reloader. Who serves where is the business
of `slots`, who is stuck or too old that of `watchdog`.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from fastserve.config import Config
from fastserve.errors import ConfigError, FastserveError
from fastserve.identity import set_title
from fastserve.importer import load_app
from fastserve.logging import configure, reopen
from fastserve.stopping import Repeated, Stop
from fastserve.supervision.children import OBEYED, Child, Nursery
from fastserve.supervision.holdings import Holdings
from fastserve.supervision.slots import Fleet
from fastserve.supervision.upgrade import Trial, command_line, handed_over, replace_program
from fastserve.supervision.watchdog import Watchdog
from fastserve.terminal import has_terminal

if TYPE_CHECKING:
    from fastserve.supervision.reloader import Reloader

__all__ = ["Supervisor"]

_log = logging.getLogger("fastserve.error")


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Supervisor:
    """Runs the workers of `config` until SIGINT, SIGTERM or SIGQUIT."""

    def __init__(self, config: Config) -> None:
        if not hasattr(signal, "pthread_sigmask"):
            raise ConfigError("--workers: several workers are not possible on this system")
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError("several workers can only be run from the main thread")
        self._config = config
        self._command = command_line()
        self._signals: list[int] = []
        self._repeated = Repeated()
        self._selector = selectors.DefaultSelector()
        self._at_terminal = has_terminal()
        self._stack = contextlib.ExitStack()  # what is to be ended and closed, last things first
        self._held: Holdings
        self._fleet: Fleet
        self._trial: Trial | None = None
        self._listeners_end: float | None = None
        self._beat_at = 0.0
        self._reloading = False  # the service manager was told so

    def run(self) -> int:
        """Serve until stopped; the exit status. Raises `FastserveError` if it cannot start."""
        configure(self._config.logging)
        set_title(f"fastserve: supervisor [{self._config.app}]")
        # Before signals are only noted: an import that hangs can still be ended by one.
        preloaded = self._preload()
        with self._selector, self._handling_signals(), self._stack:
            self._open(handed_over(os.environ), preloaded)
            self._loop()
        if self._fleet.failure is not None:
            raise self._fleet.failure
        return self._fleet.status

    # -- beginning and end -------------------------------------------------------------

    def _open(self, state: dict[str, Any] | None, preloaded: Any) -> None:
        """Take everything that lasts, or take it over from the program before."""
        config = self._config
        if state is None:
            self._held = held = Holdings.open(config, os.environ)
        else:
            self._held = held = Holdings.adopt(state, config)
        self._stack.callback(held.close)
        self._nursery = nursery = Nursery(
            config, held.board, preloaded=preloaded, leave_behind=self._leave_behind
        )
        self._fleet = Fleet(
            config, held.board, held.listeners, held.admin_sockets, nursery,
            watch=self._watch, unwatch=self._unwatch,
        )  # fmt: skip
        self._stack.callback(self._fleet.kill)
        self._stack.callback(self._end_trial)
        self._stack.callback(nursery.close)
        self._watchdog = Watchdog(config, held.board, self._fleet)
        if config.reload.reload:
            from fastserve.supervision.reloader import Reloader

            reloader = Reloader(config.reload, config.application.app_dir)
            self._stack.callback(reloader.close)
            self._on_readable(reloader, lambda: self._reload(reloader))
        if state is not None:
            _log.info("upgraded: replacing the workers")
            self._adopt([Child.adopt(each) for each in state["children"]])

    def _adopt(self, children: list[Child]) -> None:
        self._fleet.announced = self._reloading = True
        self._held.notifier.reloading()
        fleet = self._fleet
        fleet.adopt(children)
        while len(fleet.slots) < self._config.worker_count:
            fleet.grow()
        while len(fleet.slots) > self._config.worker_count:
            fleet.shrink()

    def _preload(self) -> Any:
        if not self._config.process.preload:
            return None
        app = load_app(self._config.app, self._config.application)
        if threading.active_count() > 1:
            _log.warning(
                "the application started threads when it was imported (--preload): "
                "the workers do not have them"
            )
        # What is imported stays; the collector must not touch it in each worker, which would
        # copy every page that is shared so far.
        gc.collect()
        gc.freeze()
        return app

    def _leave_behind(self) -> None:
        """In a forked child: close what is the supervisor's alone."""
        for child in self._fleet.children():
            child.channel.close()
        self._held.leave_behind()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    # -- the loop ----------------------------------------------------------------------

    def _loop(self) -> None:
        fleet = self._fleet
        while not (fleet.stopping and not fleet.children()):
            fleet.step()
            self._say_what_is_new()
            self._wait()
            self._obey_signals()
            fleet.reap()
            self._watchdog.look()
            self._look_at_trial()
            self._close_listeners()

    def _wait(self) -> None:
        """Wait for a signal, a message, or the next thing that is due."""
        dues = [self._fleet.next_due(), self._listeners_end]
        if not self._fleet.stopping:
            dues.append(self._watchdog.next_due())
        if self._trial is not None:
            dues.append(self._trial.ends)
        if self._held.notifier.watchdog_interval:
            dues.append(self._beat_at)
        known = [each for each in dues if each is not None]
        timeout = max(0.0, min(known) - time.monotonic()) if known else None
        for key, _ in self._selector.select(timeout):
            key.data()

    def _hear(self, child: Child) -> None:
        for message in self._fleet.heard(child):
            self._watchdog.heard(child, message)

    def _clear_wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                pass

    def _say_what_is_new(self) -> None:
        """Tell people, the board and the service manager how far we are."""
        fleet, notifier = self._fleet, self._held.notifier
        if notifier.watchdog_interval and time.monotonic() >= self._beat_at:
            self._beat_at = time.monotonic() + notifier.watchdog_interval
            notifier.watchdog()
        if fleet.stopping:
            return
        if fleet.served and not fleet.announced and not any(slot.coming for slot in fleet.slots):
            fleet.announced = True
            self._held.board.set_phase("serving")
            self._announce()
            notifier.ready(f"{len(fleet.serving())} workers serve")
        elif fleet.renewing and fleet.is_settled():
            fleet.renewing = False
            _log.info("all workers are replaced")
        if fleet.announced and self._reloading and not fleet.renewing:
            self._reloading = False
            notifier.ready(f"{len(fleet.serving())} workers serve")

    def _announce(self) -> None:
        from fastserve import __version__

        serving, wanted = len(self._fleet.serving()), len(self._fleet.slots)
        some = f"{serving} of {wanted}" if serving < wanted else str(wanted)
        _log.info(
            "fastserve %s on %s (%s worker%s); CTRL+C to stop",
            __version__, ", ".join(self._held.listeners.urls), some, "" if wanted == 1 else "s",
        )  # fmt: skip

        if self._held.admin_listeners is not None:
            _log.info("metrics and health on %s", self._held.admin_listeners.urls[0])

    def _close_listeners(self) -> None:
        """Without the supervisor's copies, a socket ends with the last worker that has it."""
        if self._listeners_end is not None and time.monotonic() >= self._listeners_end:
            self._listeners_end = None
            self._held.listeners.close()

    # -- signals -----------------------------------------------------------------------

    def _obey_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number in (signal.SIGINT, signal.SIGTERM):
                self._stop(Stop.of(self._config), number)
            elif number == signal.SIGQUIT:
                self._stop(Stop.quick(), number)
            elif number == signal.SIGUSR1:
                reopen()
                self._fleet.tell("reopen")
                _log.info("log files reopened (SIGUSR1)")
            elif self._fleet.stopping or number == signal.SIGCHLD:
                continue  # SIGCHLD has woken the loop, which looks at all of them
            elif number == signal.SIGHUP:
                self._hang_up()
            elif number == signal.SIGUSR2:
                self._begin_upgrade("SIGUSR2")
            elif number == signal.SIGTTIN:
                self._fleet.grow()
            elif number == signal.SIGTTOU:
                self._fleet.shrink()

    def _stop(self, plan: Stop, number: int) -> None:
        fleet = self._fleet
        echo = self._repeated.is_echo()
        if fleet.stopping and plan.graceful:
            if echo:
                return
            _log.info(
                "once more %s: workers go on to their next phase", signal.Signals(number).name
            )
            fleet.hurry()
            self._listeners_end = time.monotonic()
            return
        _log.info("stopping (%s)", signal.Signals(number).name)
        self._stopping(plan)
        fleet.stop(plan)

    def _stopping(self, plan: Stop) -> None:
        self._held.board.set_phase("draining" if plan.drain else "stopping")
        self._held.notifier.stopping("stopping")
        self._end_trial()
        self._listeners_end = time.monotonic() + plan.drain
        self._close_listeners()

    def _hang_up(self) -> None:
        if self._at_terminal and not has_terminal():
            self._stop(Stop.of(self._config), signal.SIGHUP)
        elif self._config.process.preload:
            self._begin_upgrade("SIGHUP, --preload")
        else:
            _log.info("reloading (SIGHUP)")
            self._renew("reload")

    def _renew(self, cause: str) -> None:
        self._held.notifier.reloading()
        self._reloading = True
        self._fleet.renew(cause)

    def _reload(self, reloader: Reloader) -> None:
        changed = reloader.take()
        if reloader.failure is not None:
            _log.error("%s; nothing is watched any more", reloader.failure)
            self._selector.unregister(reloader)
        if changed and not self._fleet.stopping:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            _log.info("%s%s changed: reloading", changed[0], more)
            self._renew("reload")

    # -- upgrade -----------------------------------------------------------------------

    def _begin_upgrade(self, why: str) -> None:
        if self._trial is not None:
            _log.warning("an upgrade is under way already")
            return
        _log.info("upgrading (%s): trying the new program first", why)
        try:
            self._trial = Trial(self._command)
        except FastserveError as error:
            _log.error("the upgrade is given up: %s", error.message)

    def _look_at_trial(self) -> None:
        result = self._trial.result() if self._trial is not None else None
        if result is None:
            return
        self._trial = None
        went_well, said = result
        if not went_well:
            _log.error("the upgrade is given up, the new program does not start:\n%s", said)
        elif not self._fleet.stopping:
            self._nursery.close()
            try:
                children = [each.handover() for each in self._fleet.children()]
                state = self._held.handover() | {"children": children}
                replace_program(self._command, state, self._signals)
            except FastserveError as error:
                self._held.keep()
                _log.error("the upgrade is given up: %s", error.message)

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._trial.end()
            self._trial = None

    # -- descriptors -------------------------------------------------------------------

    def _watch(self, child: Child) -> None:
        self._on_readable(child.channel, lambda: self._hear(child))

    def _on_readable(self, what: HasFileno, act: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, act)

    def _unwatch(self, child: Child) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(child.channel)

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        """Note signals for the loop, which a byte in the wake socket wakes."""
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._on_readable(self._wake_read, self._clear_wake_up)
        former_fd = signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        former = {
            number: signal.signal(number, lambda got, _: self._signals.append(got))
            for number in OBEYED
        }
        # The program before us may have left them blocked (`upgrade`).
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OBEYED)
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)
            self._wake_read.close()
            self._wake_write.close()
