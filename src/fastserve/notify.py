"""Telling the service manager how the server does: `sd_notify` of systemd.

A datagram of `NAME=value` lines goes to the socket that the manager has named. Nothing
here raises: a manager that cannot be reached is no reason not to serve.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["Notifier"]

_PATIENCE = 0.2  # seconds for a manager whose queue is full


@dataclass(frozen=True)
class Notifier:
    """Speaks to the service manager; without an `address` it says nothing.

    `watchdog_interval` is how often `watchdog` should be called, in seconds; None: never.
    """

    address: str | None = None
    watchdog_interval: float | None = None

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Self:
        """The one `environment` names; what names it is removed, lest children inherit it."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):
            return cls()
        interval = None
        if microseconds.isdecimal() and int(microseconds) and pid in ("", str(os.getpid())):
            interval = int(microseconds) / 1e6 / 2  # half of it, as sd_watchdog_enabled(3) advises
        return cls(address, interval)

    def handover(self) -> dict[str, Any]:
        """What `adopt` needs after an exec, for JSON."""
        return asdict(self)

    @classmethod
    def adopt(cls, state: Mapping[str, Any]) -> Self:
        return cls(**state)

    def ready(self, status: str = "") -> None:
        """Start-up, or a reload, is complete."""
        self._send("READY=1", status)

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        # The manager orders messages by the time, which must be of the clock it asks for.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) if self.address else 0
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now // 1000}")

    def stopping(self, status: str = "") -> None:
        """A stop begins."""
        self._send("STOPPING=1", status)

    def watchdog(self) -> None:
        """Alive; to be said at least twice in the time the manager allows."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """A line for people, shown by `systemctl status`."""
        self._send("", text)

    def _send(self, fields: str, status: str = "") -> None:
        if self.address is None:
            return
        told = f"STATUS={' '.join(status.split())}" if status else ""
        message = "\n".join(each for each in (fields, told) if each)
        # An abstract name is written with @ in place of its leading NUL.
        place = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(_PATIENCE)
            out.sendto(message.encode(), place)
