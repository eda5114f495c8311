"""What the supervisor holds for as long as the service lives, whatever becomes of its workers.

Listening sockets, the board, the pid file and the service manager's socket. All of it goes
over to the next program on an upgrade.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Self

from fastserve.board import Board
from fastserve.config import Bind, Config
from fastserve.identity import PidFile
from fastserve.notify import Notifier
from fastserve.sockets import Listeners, open_listeners

__all__ = ["Holdings"]

_ROWS = 2048
_log = logging.getLogger("fastserve.error")


@dataclass
class Holdings:
    """Made by `open` or `adopt`; `close` lets go of everything."""

    notifier: Notifier
    pid_file: PidFile | None
    listeners: Listeners
    admin_listeners: Listeners | None
    board: Board
    places: list[str]  # as the options had them when they were bound

    @classmethod
    def open(cls, config: Config, environment: MutableMapping[str, str]) -> Self:
        """Raises `FastserveError`, nothing left open or bound."""
        notifier = Notifier.from_environment(environment)
        pid_file = None
        if config.process.pid_file is not None:
            pid_file = PidFile(config.process.pid_file)
            pid_file.acquire()
        listeners = None
        try:
            listeners = open_listeners(
                config.bind,
                config.worker_count,
                supervised=True,
                activated=config.is_unbound,
                secure=config.tls.is_on,
                environment=environment,
            )
            admin_listeners = _open_admin(config)
            board = Board.create(_ROWS)
        except BaseException:
            if listeners is not None:
                listeners.close()
            if pid_file is not None:
                pid_file.release()
            raise
        board.set_phase("starting")
        return cls(notifier, pid_file, listeners, admin_listeners, board, _places(config))

    @classmethod
    def adopt(cls, state: dict[str, Any], config: Config) -> Self:
        """What `handover` of the program before has told. Raises `FastserveError`."""
        os.set_inheritable(state["board"], False)
        admin, pid_file = state["admin"], state["pid_file"]
        if state["places"] != _places(config):
            _log.warning("the addresses stay until a restart: %s", ", ".join(state["places"]))
        return cls(
            Notifier.adopt(state["notifier"]),
            PidFile.adopt(pid_file) if pid_file is not None else None,
            Listeners.adopt(state["listeners"], secure=config.tls.is_on),
            Listeners.adopt(admin) if admin is not None else _open_admin(config),
            Board.attach(state["board"]),
            state["places"],
        )

    @property
    def admin_sockets(self) -> list[socket.socket] | None:
        return self.admin_listeners.slots[0] if self.admin_listeners is not None else None

    def handover(self) -> dict[str, Any]:
        """For JSON. The descriptors are inheritable from now on, until `keep`."""
        assert self.board.fd is not None
        os.set_inheritable(self.board.fd, True)
        admin = self.admin_listeners
        return {
            "notifier": self.notifier.handover(),
            "pid_file": self.pid_file.handover() if self.pid_file is not None else None,
            "listeners": self.listeners.handover(),
            "admin": admin.handover() if admin is not None else None,
            "board": self.board.fd,
            "places": self.places,
        }

    def keep(self) -> None:
        """Undo `handover`: the next program did not come."""
        assert self.board.fd is not None
        os.set_inheritable(self.board.fd, False)
        for each in (self.pid_file, self.listeners, self.admin_listeners):
            if each is not None:
                each.keep()

    def leave_behind(self) -> None:
        """In a forked child: close what is the supervisor's alone."""
        self._close_sockets()
        if self.pid_file is not None:
            self.pid_file.abandon()

    def close(self) -> None:
        self._close_sockets()
        self.board.close()
        if self.pid_file is not None:
            self.pid_file.release()

    def _close_sockets(self) -> None:
        for each in (self.listeners, self.admin_listeners):
            if each is not None:
                each.close()


def _places(config: Config) -> list[str]:
    insecure = (f"{each} (insecure)" for each in config.bind.insecure_bind)
    return [*map(str, config.bind.places), *insecure]


def _open_admin(config: Config) -> Listeners | None:
    place = config.admin.admin_bind
    if place is None:
        return None
    return open_listeners(Bind(bind=(place,), uds_mode=config.bind.uds_mode))
