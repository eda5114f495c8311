"""Listening sockets: bound here, listened on by whoever serves them.

A *slot* is the place of one worker and the sockets it accepts from. Under a supervisor on
Linux every slot has TCP sockets of its own (`SO_REUSEPORT`): slots can be added, new
connections steered to those that serve, and because the supervisor keeps them open, a
worker that dies loses none that wait. Elsewhere, and for Unix sockets and inherited ones,
the slots share one socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Collection, MutableMapping, Sequence
from typing import Any, NamedTuple, Self

from fastserve.config import Bind
from fastserve.errors import BindError
from fastserve.inherited import inherited, passed, take_passed
from fastserve.kinds import Place
from fastserve.steering import Group

__all__ = ["Listeners", "describe", "explain", "open_listeners", "place_of"]

_EVERYWHERE = ("", "*")
_ATTEMPTS = 20


class _File(NamedTuple):
    """A Unix socket's file that we have made."""

    path: str
    device: int
    inode: int


class Listeners:
    """Bound sockets by slot; all slots have the same places in the same order.

    `secure`: they are for TLS, but for those at the positions in a slot that are `insecure`.
    """

    def __init__(
        self,
        slots: Sequence[Sequence[socket.socket]],
        *,
        secure: bool = False,
        insecure: Collection[int] = (),
    ) -> None:
        self.slots = [list(slot) for slot in slots]
        self.insecure = sorted(insecure)
        self._secure = secure
        # By position in a slot: the group of the slots' own sockets, None for a shared one.
        self._groups: list[Group | None] = [None] * len(self.slots[0])
        self._files: list[_File] = []
        self._maker = os.getpid()

    @property
    def urls(self) -> list[str]:
        """An address for each different place listened on."""
        told = [
            describe(each, secure=self.is_secure(position))
            for slot in self.slots
            for position, each in enumerate(slot)
        ]
        return list(dict.fromkeys(told))

    def is_secure(self, position: int) -> bool:
        """Whether what is at that position of each slot is for TLS."""
        return self._secure and position not in self.insecure

    @property
    def secure_port(self) -> int | None:
        """The first TCP port that is for TLS."""
        for position, each in enumerate(self.slots[0]):
            if self.is_secure(position) and each.family in (socket.AF_INET, socket.AF_INET6):
                return int(each.getsockname()[1])
        return None

    def listen(self, index: int, backlog: int) -> None:
        """Listen on the slot's sockets: the kernel accepts from now on. Raises `BindError`.

        Only this may listen on a slot's own sockets for the first time, so that their order
        in the kernel is known; to listen once more, as an event loop does, changes nothing.
        """
        for each, group in zip(self.slots[index], self._groups, strict=True):
            try:
                each.listen(backlog)
            except OSError as error:
                raise explain(error, place_of(each)) from None
            if group is not None:
                group.join(each)

    def steer(self, serving: Collection[int]) -> bool:
        """Send new connections only to these slots; to any if none of them listens.

        Whether that is in force: it is not where slots share their sockets or the system
        refuses. It holds until the next call; slots that are added get none until then.
        """
        wanted = {each for index in serving for each in self.slots[index]}
        groups = [group for group in self._groups if group is not None]
        try:
            for group in groups:
                group.steer(wanted)
        except OSError:
            return False
        return bool(groups)

    def add_slot(self) -> int:
        """Make a slot like the others, on which nobody listens; its index. Raises `BindError`."""
        slot: list[socket.socket] = []
        for each, group in zip(self.slots[0], self._groups, strict=True):
            try:
                slot.append(each if group is None else _another(each))
            except OSError as error:
                for made in slot:
                    if made not in self.slots[0]:
                        made.close()
                raise explain(error, place_of(each)) from None
        self.slots.append(slot)
        return len(self.slots) - 1

    def remove_slot(self, index: int) -> None:
        """Close the last slot's own sockets, then `steer` again: the order has changed.

        New connections must have been steered away and its worker have ended; what waits in
        its sockets is reset.
        """
        if index != len(self.slots) - 1 or index == 0:
            raise ValueError(f"slot {index} is not the last one, or the only one")
        for each, group in zip(self.slots.pop(), self._groups, strict=True):
            if group is not None:
                # A process forked by the worker may hold it too, and would keep it listening.
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                group.leave(each)
                each.close()

    def close(self) -> None:
        """Close all sockets and remove the Unix sockets' files if this process made them."""
        for slot in self.slots:
            for each in slot:
                each.close()
        if os.getpid() == self._maker:
            for file in self._files:
                _remove(file)
        self._files.clear()

    # -- across exec -------------------------------------------------------------------

    def handover(self) -> dict[str, Any]:
        """What `adopt` needs, for JSON. The descriptors are inheritable from now on."""
        self._let_inherit(True)
        return {
            "slots": [[each.fileno() for each in slot] for slot in self.slots],
            "groups": [
                None if group is None else [each.fileno() for each in group.members]
                for group in self._groups
            ],
            "files": [list(file) for file in self._files],
            "insecure": self.insecure,
        }

    def keep(self) -> None:
        """Undo `handover`, when the exec has failed."""
        self._let_inherit(False)

    @classmethod
    def adopt(cls, state: dict[str, Any], *, secure: bool = False) -> Self:
        """Take over what the program before in this process handed over. Raises `BindError`."""
        try:
            fds = {fd for slot in state["slots"] for fd in slot}
            sockets = {fd: socket.socket(fileno=fd) for fd in fds}
        except OSError as error:
            raise BindError(f"cannot take over the listening sockets: {error.strerror}") from None
        made = cls(
            [[sockets[fd] for fd in slot] for slot in state["slots"]],
            secure=secure,
            insecure=state["insecure"],
        )
        made._groups = [
            None if fds is None else Group([sockets[fd] for fd in fds]) for fds in state["groups"]
        ]
        made._files = [_File(*file) for file in state["files"]]
        made._let_inherit(False)
        return made

    def _let_inherit(self, inheritable: bool) -> None:
        for slot in self.slots:
            for each in slot:
                each.set_inheritable(inheritable)

    # -- making ------------------------------------------------------------------------

    def _bind(
        self, places: Sequence[Place], mode: int | None, own: bool, hint: str, *, insecure: bool
    ) -> None:
        """Bind every place, or close all and raise `BindError`; `hint` is for one in use."""
        place = Place()
        known = len(self.slots[0])
        try:
            for place in dict.fromkeys(places):
                if place.fd is not None:
                    self._share(inherited(place.fd, f"file descriptor {place.fd}"))
                elif place.path is not None:
                    self._bind_unix(place.path, mode)
                else:
                    self._bind_tcp(place, own)
            if insecure:
                self.insecure += range(known, len(self.slots[0]))
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            told = explain(error, str(place))
            if error.errno == errno.EADDRINUSE:
                told = BindError(told.message + hint)
            raise told from None

    def _share(self, listener: socket.socket) -> None:
        self._groups.append(None)
        for slot in self.slots:
            slot.append(listener)

    def _bind_tcp(self, place: Place, own: bool) -> None:
        taken = {_address(each) for each in self.slots[0]}
        bound = _bind_tcp(place.host or "*", place.port, len(self.slots), own)
        for slot, made in zip(self.slots, bound, strict=True):
            slot.extend(made)
        self._groups.extend(Group() if own else None for _ in bound[0])
        if any(_address(each) in taken for each in bound[0]):
            raise _twice(place)

    def _bind_unix(self, path: str, mode: int | None) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise BindError(f"cannot listen on unix:{path}: this system has no Unix sockets")
        mode = _make_way(path, self._files, mode)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._share(listener)
        listener.bind(path)
        found = os.stat(path)
        self._files.append(_File(os.path.abspath(path), found.st_dev, found.st_ino))
        # Whatever the umask has left open until now: nobody can connect before `listen`.
        os.chmod(path, mode)
        listener.setblocking(False)


def open_listeners(
    bind: Bind,
    slots: int = 1,
    *,
    supervised: bool = False,
    activated: bool = False,
    secure: bool = False,
    environment: MutableMapping[str, str] | None = None,
) -> Listeners:
    """Bind every place `bind` says, for so many slots. Raises `BindError`, nothing left open.

    `supervised`: slots may be added and steered, so each gets sockets of its own where the
    system can do that. `activated`: nobody has said where to listen, so the sockets that
    systemd has passed are taken if there are any; then what says so is removed from
    `environment` (None: the process's own), lest children take them for theirs. `secure`:
    they are for TLS, but for the insecure ones and those that systemd calls "insecure".
    """
    environment = os.environ if environment is None else environment
    count = passed(environment)
    own = supervised and sys.platform == "linux"
    hint = ""
    if count and activated:
        taken, insecure = take_passed(count, environment)
        listeners = Listeners([taken] * slots, secure=secure, insecure=insecure)
    else:
        if count:
            hint = f" (systemd has passed {count} sockets, for use without an address)"
        listeners = Listeners([[]] * slots, secure=secure)
        listeners._bind(bind.places, bind.uds_mode, own, hint, insecure=False)
    listeners._bind(bind.insecure_bind, bind.uds_mode, own, hint, insecure=True)
    return listeners


def describe(listener: socket.socket, *, secure: bool = False) -> str:
    """The address of a socket as a person writes it: a URL, or `unix:` and a path."""
    place = place_of(listener)
    if place.startswith("unix:"):
        return place
    return f"https://{place}" if secure else f"http://{place}"


def place_of(listener: socket.socket) -> str:
    """The same without a scheme."""
    name = listener.getsockname()
    if listener.family == getattr(socket, "AF_UNIX", None):
        path = os.fsdecode(name) if name else ""
        return f"unix:{path}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"{host}:{name[1]}"


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


def _twice(place: Place | str) -> BindError:
    return BindError(f"cannot listen on {place}: another of the addresses given is the same")


# -- TCP -------------------------------------------------------------------------------


def _bind_tcp(host: str, port: int, slots: int, own: bool) -> list[list[socket.socket]]:
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
            return _bind_places(places, port, slots, own)
        except OSError as error:
            # With port 0 and several addresses, the port the first one got may be taken at
            # another: try again with a different one.
            again = port == 0 and len(places) > 1 and attempt < _ATTEMPTS - 1
            if error.errno != errno.EADDRINUSE or not again:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _bind_places(
    places: Sequence[tuple[socket.AddressFamily, tuple[Any, ...]]],
    port: int,
    slots: int,
    own: bool,
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
                each = _bound(family, address, port, reuse_port=True) if own else first
                opened.append(each)
                slot.append(each)
            if own:
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


def _another(listener: socket.socket) -> socket.socket:
    """One more socket of the same group."""
    address = listener.getsockname()
    return _bound(listener.family, address, address[1], reuse_port=True)


def _address(listener: socket.socket) -> tuple[int, object]:
    return listener.family, listener.getsockname()


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


# -- Unix sockets ----------------------------------------------------------------------


def _make_way(path: str, ours: Collection[_File], mode: int | None) -> int:
    """Remove a file that a dead server has left at `path`; the mode for the new one.

    That is `mode`, or else the old file's, or else for everybody, because a proxy often runs
    as another user; the directory's mode can narrow it. Raises `OSError` and `BindError`.
    """
    try:
        found = os.stat(path)
    except OSError:
        return 0o666 if mode is None else mode
    if not stat.S_ISSOCK(found.st_mode):
        raise BindError(f"cannot listen on unix:{path}: a file that is no socket is there")
    file = _File(path, found.st_dev, found.st_ino)
    if any(file[1:] == each[1:] for each in ours):
        raise _twice(f"unix:{path}")
    if _is_live(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    _remove(file)
    return stat.S_IMODE(found.st_mode) if mode is None else mode


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


def _remove(file: _File) -> None:
    """Unlink the file unless another one has taken its place."""
    with contextlib.suppress(OSError):
        found = os.stat(file.path)
        if (found.st_dev, found.st_ino) == (file.device, file.inode):
            os.unlink(file.path)
