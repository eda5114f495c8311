"""Listening sockets: bound here, listened on by the server that gets them.

A *slot* is the place of one worker and the sockets it accepts from. On Linux every slot
has TCP sockets of its own (`SO_REUSEPORT`), so the kernel spreads connections evenly, and
because whoever opened them keeps them open, a worker that dies loses none that wait.
Elsewhere, and for Unix sockets and inherited ones, the slots share one socket.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastserve.config import Bind
from fastserve.errors import BindError

__all__ = ["Listeners", "describe", "explain", "open_listeners"]

_EVERYWHERE = ("", "*")
_ATTEMPTS = 20


@dataclass
class Listeners:
    """Bound sockets by slot. `close()` closes them and removes a Unix socket's file."""

    slots: list[list[socket.socket]]
    _file: tuple[str, int, int] | None = None
    _spread: bool = False  # the slots have sockets of their own
    _owner: int = field(default_factory=os.getpid)

    @property
    def urls(self) -> list[str]:
        """An address for each different place listened on."""
        told = [describe(each) for slot in self.slots for each in slot]
        return list(dict.fromkeys(told))

    def renew(self, index: int) -> None:
        """Give a slot that nobody serves new sockets, on which nobody listens yet.

        Connections that wait in the old ones are reset, and those to come go to the other
        slots. Shared sockets stay. Raises `BindError`.
        """
        if not self._spread:
            return
        slot = self.slots[index]
        places = [(each.family, each.getsockname()) for each in slot]
        for each in slot:
            each.close()
        slot.clear()
        try:
            for family, address in places:
                slot.append(_bound(family, address, address[1], reuse_port=True))
        except OSError as error:
            raise explain(error, f"port {address[1]}") from None

    def close(self) -> None:
        for slot in self.slots:
            for each in slot:
                each.close()
        if self._file is not None and os.getpid() == self._owner:
            _remove(*self._file)
            self._file = None


def open_listeners(bind: Bind, slots: int = 1) -> Listeners:
    """Bind what `bind` says, for so many slots. Raises `BindError`."""
    place = bind.places[0]
    if place.fd is not None:
        return Listeners([[_inherited(place.fd)]] * slots)
    if place.path is not None:
        listener = _bind_unix(place.path)
        found = os.stat(place.path)
        return Listeners([[listener]] * slots, (place.path, found.st_dev, found.st_ino))
    spread = slots > 1 and sys.platform == "linux"
    return Listeners(_bind_tcp(place.host or "*", place.port, slots, spread), _spread=spread)


def describe(listener: socket.socket) -> str:
    """The address of a socket as a person writes it: a URL, or `unix:` and a path."""
    name = listener.getsockname()
    if listener.family == getattr(socket, "AF_UNIX", None):
        path = os.fsdecode(name) if name else ""
        return f"unix:{path}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def explain(error: OSError, place: str) -> BindError:
    """The error that says why `place` cannot be listened on and what may help."""
    reason = {
        errno.EADDRINUSE: "the address is already in use; is another server running there?",
        errno.EACCES: "no permission",
        errno.EPERM: "no permission",
        errno.EADDRNOTAVAIL: "no interface of this machine has that address",
        errno.ENOENT: "the directory does not exist",
    }.get(error.errno or 0, error.strerror or str(error))
    if error.errno == errno.EACCES and not place.startswith("unix:"):
        reason = "no permission; ports below 1024 often need privileges, others do not"
    return BindError(f"cannot listen on {place}: {reason}")


# -- TCP -------------------------------------------------------------------------------


def _bind_tcp(host: str, port: int, slots: int, spread: bool) -> list[list[socket.socket]]:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(
            None if host in _EVERYWHERE else host,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except (socket.gaierror, UnicodeError):
        raise BindError(f"cannot listen on {place}: the name {host!r} does not resolve") from None
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for attempt in range(_ATTEMPTS):
        try:
            return _bind_places(places, port, slots, spread)
        except OSError as error:
            # With port 0 and several addresses, the port the first one got may be taken at
            # another: try again with a different one.
            again = port == 0 and len(places) > 1 and attempt < _ATTEMPTS - 1
            if error.errno != errno.EADDRINUSE or not again:
                raise explain(error, place) from None
    raise AssertionError("unreachable: the last attempt returns or raises")


def _bind_places(
    places: Sequence[tuple[socket.AddressFamily, tuple[Any, ...]]],
    port: int,
    slots: int,
    spread: bool,
) -> list[list[socket.socket]]:
    opened: list[socket.socket] = []
    made: list[list[socket.socket]] = [[] for _ in range(slots)]
    refused: OSError | None = None
    try:
        for family, address in places:
            try:
                first = _bound(family, address, port, reuse_port=False)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                refused = error  # a name may have an address of a family that is switched off
                continue
            opened.append(first)
            port = first.getsockname()[1]
            for slot in made:
                each = _bound(family, address, port, reuse_port=True) if spread else first
                opened.append(each)
                slot.append(each)
            if spread:
                # It has reserved the port and found any stranger listening there, which
                # sockets with SO_REUSEPORT alone would silently join.
                first.close()
        if refused is not None and not made[0]:
            raise refused
    except BaseException:
        for each in opened:
            each.close()
        raise
    return made


def _bound(
    family: socket.AddressFamily, address: tuple[Any, ...], port: int, *, reuse_port: bool
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((address[0], port, *address[2:]))
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


# -- Unix sockets and inherited descriptors --------------------------------------------


def _bind_unix(path: str) -> socket.socket:
    place = f"unix:{path}"
    if not hasattr(socket, "AF_UNIX"):
        raise BindError(f"cannot listen on {place}: this system has no Unix sockets")
    mode = 0o666  # a proxy often runs as another user; a directory's mode can narrow it
    try:
        found = os.stat(path)
    except OSError:
        pass
    else:
        if not stat.S_ISSOCK(found.st_mode):
            raise BindError(f"cannot listen on {place}: a file that is no socket is there")
        if _is_live(path):
            raise explain(OSError(errno.EADDRINUSE, ""), place)
        mode = stat.S_IMODE(found.st_mode)
        _remove(path, found.st_dev, found.st_ino)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, mode)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise explain(error, place) from None
    return listener


def _is_live(path: str) -> bool:
    """Whether somebody listens on the Unix socket at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError as error:
            # A full backlog (EAGAIN, a timeout) is somebody's; no permission may be too.
            return error.errno not in (errno.ENOENT, errno.ECONNRESET)
    return True


def _remove(path: str, device: int, inode: int) -> None:
    """Unlink the file unless another one has taken its place."""
    try:
        found = os.stat(path)
        if (found.st_dev, found.st_ino) == (device, inode):
            os.unlink(path)
    except OSError:
        pass


def _inherited(fd: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=os.dup(fd))
    except OSError as error:
        known = {
            errno.EBADF: "no such file descriptor is open",
            errno.ENOTSOCK: "it is not a socket",
        }
        reason = known.get(error.errno or 0, error.strerror)
        raise BindError(f"cannot listen on file descriptor {fd}: {reason}") from None
    if listener.type != socket.SOCK_STREAM:
        listener.close()
        raise BindError(f"cannot listen on file descriptor {fd}: it is not a stream socket")
    listener.setblocking(False)
    return listener
