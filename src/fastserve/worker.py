"""A worker process: serves what the supervisor hands it over inherited descriptors.

Arguments: the descriptors of the config (read), of the report (written), of the
supervisor's life (read: its end is the supervisor's) and of each listening socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass

from fastserve.config import Config
from fastserve.errors import FastserveError

__all__ = ["Order", "Report", "longest_stop", "main"]

_MARGIN = 2.0


@dataclass(frozen=True)
class Order:
    """What a worker needs to know; sent to it pickled."""

    config: Config
    path: list[str]
    arguments: list[str]


@dataclass(frozen=True)
class Report:
    """What a worker says: `ready` when it listens, `failed` with the reason when it cannot
    start, `leaving` when it stops by itself and another should take its place now.
    """

    state: str
    message: str = ""
    details: str | None = None

    def encode(self) -> bytes:
        """One line."""
        return json.dumps(vars(self)).encode() + b"\n"

    @staticmethod
    def take(data: bytearray) -> list[Report]:
        """Remove whole reports from the front of `data`."""
        *lines, rest = bytes(data).split(b"\n")
        data[:] = rest
        return [Report(**json.loads(line)) for line in lines]


def longest_stop(config: Config) -> float | None:
    """Seconds after which a worker that was told to stop is stuck; None: it may take for ever."""
    if not config.timeouts.lifespan:
        return None
    phases_after = 3.5 + 1.0  # told to disconnect, cancelled, aborted; lifespan task ended
    return config.timeouts.graceful_shutdown + phases_after + config.timeouts.lifespan + _MARGIN


def main() -> int:
    """Serve until told to stop; the exit status."""
    # A terminal's CTRL+C reaches every process of the group; the supervisor decides what
    # it means. It started this process with the signal blocked, so none came before this.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    order_fd, report_fd, life_fd, *socket_fds = (int(each) for each in sys.argv[1:])
    for fd in (report_fd, life_fd, *socket_fds):
        os.set_inheritable(fd, False)
    with open(order_fd, "rb") as file:
        order: Order = pickle.load(file)
    sys.path[:] = order.path
    sys.argv[:] = order.arguments
    sockets = [socket.socket(fileno=fd) for fd in socket_fds]
    try:
        _serve(order.config, sockets, report_fd, life_fd)
    except FastserveError as error:
        _send(report_fd, Report("failed", error.message, error.details))
        return error.status
    return 0


def _serve(config: Config, sockets: list[socket.socket], report_fd: int, life_fd: int) -> None:
    from fastserve.loops import loop_factory
    from fastserve.server import Server

    server = Server(
        config,
        on_started=lambda _: _send(report_fd, Report("ready")),
        on_leaving=lambda _: _send(report_fd, Report("leaving")),
    )
    threading.Thread(
        target=_watch, args=(life_fd, server.stop, longest_stop(config)), daemon=True
    ).start()
    with asyncio.Runner(loop_factory=loop_factory(config.process.loop)) as runner:
        runner.run(server.serve(sockets, signals=(signal.SIGTERM,)))


def _send(report_fd: int, report: Report) -> None:
    """Write the report; its reader may be gone."""
    with contextlib.suppress(OSError), open(report_fd, "wb", closefd=False) as file:
        file.write(report.encode())


def _watch(life_fd: int, stop: object, seconds: float | None) -> None:
    """Stop when the supervisor has died, which ends the pipe it held open."""
    while os.read(life_fd, 1):
        pass
    assert callable(stop)
    stop()
    if seconds is not None:
        time.sleep(seconds)
        os._exit(1)  # a blocked event loop must not outlive the supervisor


if __name__ == "__main__":
    # Under its own name, so that what is pickled and imported is one module.
    from fastserve.worker import main as run

    sys.exit(run())
