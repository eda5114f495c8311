"""What other programs know the server by: its pid file and its title in process lists."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any, Self

from fastserve.errors import FastserveError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["PidFile", "set_title"]

_LONGEST = 32  # bytes; a pid and a line end are far less


class PidFile:
    """A file that holds this process's number while it runs.

    It is locked (flock) from `acquire` to `release`, across exec too, so that whether its
    process lives does not hang on the number in it: the system unlocks it at the process's
    end. A forked child shares the lock, so that it should `abandon` the file.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._told = path
        self._fd: int | None = None
        self._owner = 0

    def acquire(self) -> None:
        """Lock the file and write the pid into it, whatever a dead process has left there.

        Raises `FastserveError` if a live one holds it, if it holds something else than a
        pid, or if it cannot be written.
        """
        if fcntl is None:
            raise self._refusal("this system has no locks for it")
        try:
            self._fd = self._locked()
        except OSError as error:
            raise self._refusal(_reason(error)) from None
        self._owner = os.getpid()
        try:
            os.ftruncate(self._fd, 0)
            os.write(self._fd, b"%d\n" % self._owner)
        except OSError as error:
            self.release()
            raise self._refusal(_reason(error)) from None

    def release(self) -> None:
        """Remove the file, unless another one has taken its place; unlock it."""
        if self._fd is not None and self._owner == os.getpid():
            with contextlib.suppress(OSError):
                if self._is_at_path(self._fd):
                    os.unlink(self.path)
        self.abandon()

    def abandon(self) -> None:
        """In a forked child: close the copy of the file, which stays as it is."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def handover(self) -> dict[str, Any]:
        """What `adopt` needs after an exec, for JSON. The descriptor is inheritable from now on."""
        if self._fd is not None:
            os.set_inheritable(self._fd, True)
        return {"path": self.path, "told": self._told, "fd": self._fd}

    def keep(self) -> None:
        """Undo `handover`, when the exec has failed."""
        if self._fd is not None:
            os.set_inheritable(self._fd, False)

    @classmethod
    def adopt(cls, state: dict[str, Any]) -> Self:
        """Hold what the program before in this process has handed over."""
        made = cls(state["path"])
        made._told = state["told"]
        made._fd = state["fd"]
        made._owner = os.getpid()
        made.keep()
        return made

    def _locked(self) -> int:
        """A descriptor of the file at the path, locked."""
        while True:
            # No link is followed: in a directory for all it may lead to any file of ours.
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                self._check_content(fd)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_at_path(fd):
                    return fd
                os.close(fd)  # its owner removed it before the lock was ours
            except BlockingIOError:
                pid = os.pread(fd, _LONGEST, 0).decode().strip() or "unknown"
                os.close(fd)
                raise FastserveError(
                    f"fastserve is already running with pid {pid} (--pid-file {self._told})"
                ) from None
            except BaseException:
                os.close(fd)
                raise

    def _check_content(self, fd: int) -> None:
        """Refuse a file that somebody has named by mistake, before it is written over."""
        held = os.pread(fd, _LONGEST + 1, 0).strip() if stat.S_ISREG(os.fstat(fd).st_mode) else b"?"
        if held and not (held.isdigit() and len(held) <= _LONGEST):
            raise self._refusal("a file that is no pid file is there")

    def _is_at_path(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(fd))
        except FileNotFoundError:
            return False

    def _refusal(self, reason: str) -> FastserveError:
        return FastserveError(f"cannot write the pid file {self._told}: {reason}")


def _reason(error: OSError) -> str:
    return {
        errno.EACCES: "no permission",
        errno.EPERM: "no permission",
        errno.ENOENT: "the directory does not exist",
        errno.ELOOP: "it is a symbolic link",
    }.get(error.errno or 0, error.strerror or str(error))


def set_title(text: str) -> None:
    """Show `text` as the process's title, if setproctitle is installed."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(text)
