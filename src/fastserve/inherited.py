"""Sockets that whoever started this process has opened: by their numbers, or systemd's."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import MutableMapping

from fastserve.errors import BindError

__all__ = ["inherited", "passed", "take_passed"]

_PASSED_FROM = 3  # SD_LISTEN_FDS_START


def inherited(fd: int, place: str) -> socket.socket:
    """A duplicate of the socket at descriptor `fd`; messages call it `place`."""
    try:
        listener = socket.socket(fileno=os.dup(fd))
    except OSError as error:
        known = {
            errno.EBADF: "no such file descriptor is open",
            errno.ENOTSOCK: "it is not a socket",
        }
        reason = known.get(error.errno or 0, error.strerror)
        raise BindError(f"cannot listen on {place}: {reason}") from None
    if listener.type != socket.SOCK_STREAM:
        listener.close()
        raise BindError(f"cannot listen on {place}: it is not a stream socket")
    if _is_connected(listener):
        listener.close()
        raise BindError(f"cannot listen on {place}: it is a connection")
    listener.setblocking(False)
    return listener


def _is_connected(listener: socket.socket) -> bool:
    try:
        listener.getpeername()
    except OSError:
        return False
    return True


def passed(environment: MutableMapping[str, str]) -> int:
    """How many sockets systemd has passed to this process (sd_listen_fds(3))."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return 0
    count = environment.get("LISTEN_FDS", "")
    return int(count) if count.isdecimal() else 0


def take_passed(
    count: int, environment: MutableMapping[str, str]
) -> tuple[list[socket.socket], list[int]]:
    """Take the sockets over from systemd's descriptors, and the variables away.

    Also the positions of those whose FileDescriptorName is "insecure".
    """
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    fds = range(_PASSED_FROM, _PASSED_FROM + count)
    taken: list[socket.socket] = []
    try:
        for fd in fds:
            name = names[fd - _PASSED_FROM] if len(names) == count else ""
            taken.append(inherited(fd, f"systemd's socket {name or fd}"))
    except BaseException:
        for each in taken:
            each.close()
        raise
    for fd in fds:
        os.close(fd)
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"):
        environment.pop(variable, None)
    named = names if len(names) == count else []
    return taken, [at for at, name in enumerate(named) if name == "insecure"]
