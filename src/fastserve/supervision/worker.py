"""A child of the supervisor: serves, or tells metrics and health, as its order says.

`python -m fastserve.supervision.worker FD` is one that was spawned: FD is its end of the
channel, over which the order comes. A forked one, which has the application already, calls `run`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import faulthandler
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fastserve import envfiles
from fastserve.board import Board, Row
from fastserve.config import Config
from fastserve.errors import FastserveError
from fastserve.identity import set_title
from fastserve.loops import loop_factory
from fastserve.stopping import Stop, longest_stop
from fastserve.supervision.channel import Channel, Message

__all__ = ["TRACE_SIGNAL", "Order", "main", "run"]

# Signals that the supervisor obeys; a terminal sends some of them to the whole group.
_NOT_OURS = ("SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU")

# What makes the C library write where the main thread stands into the channel. A real-time
# signal, because applications have uses for the others.
TRACE_SIGNAL = getattr(signal, "SIGRTMIN", None) or getattr(signal, "SIGUSR2", None)


@dataclass(frozen=True)
class Order:
    """What a child needs to know. `slot` 0 is the admin process, which serves no application.

    The descriptors of the board and the sockets are told apart, because they get other
    numbers on the way. `insecure` are the positions of sockets that are not for TLS.
    """

    config: Config
    slot: int
    row: int
    path: tuple[str, ...]
    arguments: tuple[str, ...]
    insecure: tuple[int, ...] = ()

    def encode(self) -> str:
        return base64.b64encode(pickle.dumps(self)).decode()

    @staticmethod
    def decode(text: str) -> Order:
        order = pickle.loads(base64.b64decode(text))
        assert isinstance(order, Order)
        return order


def main() -> int:
    """Do as ordered until told to stop; the exit status."""
    ignore_signals()
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    os.set_inheritable(channel.fileno(), False)
    import fastserve.server  # noqa: F401 - while the order may be yet to come

    told = channel.take_order()
    if told is None:
        return 0  # the supervisor has died, or has no use for us
    text, (board, *sockets) = told
    order = Order.decode(text)
    sys.path[:] = order.path
    sys.argv[:] = order.arguments
    return run(order, channel, Board.attach(board), sockets)


def ignore_signals() -> None:
    """Leave the supervisor's signals to it, and take those that were held back at the start.

    Handlers that do nothing, rather than SIG_IGN, which the application's own child
    processes would inherit.
    """
    found = {getattr(signal, name) for name in _NOT_OURS}
    for number in found:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*found, signal.SIGTERM, signal.SIGCHLD})


def run(
    order: Order,
    channel: Channel,
    board: Board,
    sockets: Iterable[int],
    *,
    app: Any = None,
) -> int:
    """Serve on `sockets` as `order` says, with `app` if it is loaded already; the exit status."""
    role = f"worker {order.slot}" if order.slot else "admin"
    set_title(f"fastserve: {role} [{order.config.app}]")
    row = board.row(order.row)
    row.set_pid(os.getpid())
    row.set_phase("starting")
    if TRACE_SIGNAL is not None:
        faulthandler.register(TRACE_SIGNAL, channel.fileno(), all_threads=False)
    try:
        if app is None:
            # As it is now: this worker may come after a reload.
            envfiles.load(order.config.application.env_file)
        _Worker(order, channel, board, sockets, app).serve()
    except FastserveError as error:
        channel.send("failed", message=error.message, details=error.details)
        return error.status
    return 0


class _Worker:
    """The server and the thread that takes the supervisor's messages."""

    def __init__(
        self, order: Order, channel: Channel, board: Board, sockets: Iterable[int], app: Any
    ) -> None:
        from fastserve.server import Server

        self._channel = channel
        self._sockets = [socket.socket(fileno=fd) for fd in sockets]
        self._insecure = [self._sockets[at] for at in order.insecure]
        self._config = order.config
        self._is_worker = order.slot > 0
        self._row = board.row(order.row)
        row: Row | None = self._row
        if not order.slot:
            self._config, app = _admin(order.config, board, lambda: not channel.ended)
            row = None  # its own requests are not among those that are counted
        self._go = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server = Server(
            self._config,
            app=app,
            row=row,
            worker=order.slot or None,
            gate=self._gate,
            on_started=lambda _: self._row.set_phase("serving"),
            on_limit=lambda: self._tell("replace", cause="requests"),
        )

    def serve(self) -> None:
        from fastserve.server import own_process

        own_process()
        with asyncio.Runner(loop_factory=loop_factory(self._config.process.loop)) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        # A daemon: it waits for messages for as long as the process lives.
        threading.Thread(target=self._listen, name="fastserve-channel", daemon=True).start()
        # A service manager may signal every process: then the supervisor's message comes too,
        # and the admin process is to answer until the last worker has ended.
        stop = self._server.stop if self._is_worker else lambda: None
        await self._server.serve(
            self._sockets, insecure=self._insecure, signals={signal.SIGTERM: stop}
        )

    async def _gate(self) -> None:
        self._tell("started")
        await self._go.wait()

    def _tell(self, type: str, **fields: Any) -> None:
        self._channel.send(type, **fields)

    # -- in the channel's thread -------------------------------------------------------

    def _listen(self) -> None:
        while not self._channel.ended:
            for message in self._channel.take(wait=True):
                self._obey(message)
        self._supervisor_died()

    def _obey(self, message: Message) -> None:
        kind = message["type"]
        if kind == "go":
            self._call(self._go.set)
        elif kind == "stop":
            self._server.stop(Stop(**message["plan"]))
        elif kind == "hurry":
            self._server.hurry()
        elif kind == "reopen":
            self._call(self._server.reopen)
        elif kind == "explain":
            standing = self._server.where_it_stands()
            self._tell("explained", request=standing.request, stack=standing.stack)

    def _call(self, act: Callable[[], object]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(act)

    def _supervisor_died(self) -> None:
        """Stop, and if the event loop is stuck, end all the same."""
        plan = Stop.of(self._config)
        self._server.stop(plan)
        seconds = longest_stop(self._config, plan)
        if seconds is not None:
            threading.Event().wait(seconds)
            os._exit(1)


def _admin(
    config: Config, board: Board, alive: Callable[[], bool]
) -> tuple[Config, Callable[..., Any]]:
    """The configuration and the application of the admin process."""
    from fastserve.admin import make_app

    return config.for_admin(), make_app(board, alive=alive, pid=os.getppid())


if __name__ == "__main__":
    # Under its own name, so that what is pickled and imported is one module.
    from fastserve.supervision.worker import main as start

    sys.exit(start())
