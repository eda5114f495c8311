"""Where lines of a log end up, whoever writes them: files, pipes, terminals, syslog.

Writing never waits for the other end. What it does not take just now is kept, up to 1 MiB,
and a thread that lives no longer than that writes it as soon as there is room; beyond that
whole lines are dropped, and their number is told. Several processes may write to the same place:
what one writes is whole lines.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import stat
import threading
import time
import weakref
from collections.abc import Callable

__all__ = ["FileSink", "Sink", "tell_not_reopened"]

_PENDING_MOST = 1 << 20
_CLOSE_SECONDS = 1.0
_LINE_END = b"\n"
_TRY_AGAIN = 0.2  # seconds, where nothing says when there is room

# What a pipe takes whole, whoever else writes to it (POSIX; Linux has 4096).
_PIPE_BUF = getattr(select, "PIPE_BUF", 512)

# What passes: a full disk, a used-up quota, a file at its limit, a device in trouble.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

_log = logging.getLogger("fastserve.error")
_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


def _in_brackets(dropped: int) -> bytes:
    return b"(%d lines dropped)" % dropped


class Sink:
    """Takes whole lines. What becomes of them is the subclass's affair (`_put`).

    `tell` makes the line that says how many were dropped. From any thread.
    """

    def __init__(self, tell: Callable[[int], bytes] = _in_brackets) -> None:
        self._tell = tell
        self._pending = bytearray()
        self._dropped = 0
        self._torn = False  # the last thing written is part of a line
        self._broken = False
        self._lock = threading.RLock()
        self._busy = False
        self._late: list[bytes] = []  # what a signal's handler logs while we write
        self._drainer: threading.Thread | None = None
        _sinks.add(self)

    def write(self, lines: bytes) -> None:
        """Write `lines`, or keep what cannot be written now. Never raises."""
        with self._lock:
            if self._busy:
                self._late.append(lines)
                return
            self._busy = True
            try:
                self._take(lines)
                while self._late:
                    self._take(self._late.pop(0))
                if self._pending and not self._broken:
                    self._drain_later()
            finally:
                self._busy = False

    def reopen(self) -> None:
        """Open anew what may have been renamed."""

    def flush(self) -> None:
        """Give kept lines a second to be taken."""
        with self._lock:
            end = time.monotonic() + _CLOSE_SECONDS
            while self._pending and not self._broken:
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._wait(left)
                self._flush()

    def close(self) -> None:
        """Give kept lines a second to be taken, then drop all."""
        with self._lock:
            self.flush()
            self._broken = True
            self._pending.clear()
            self._end()

    # -- for the subclass --------------------------------------------------------------

    def _put(self, data: memoryview) -> int:
        """How many bytes are done with: written, or dropped because they never can be now."""
        raise NotImplementedError

    def fileno(self) -> int:
        """What is written to; -1: nothing just now."""
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        """Until there may be room again, at most so long."""
        try:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLOUT)
            poll.poll(seconds * 1000)
        except (AttributeError, OSError, ValueError):  # no poll here, or nothing to ask
            time.sleep(min(seconds, _TRY_AGAIN))

    def _end(self) -> None:
        """Let go of what is written to."""

    def _drop(self, lines: bytes | memoryview) -> None:
        self._dropped += bytes(lines).count(_LINE_END)

    # -- what is kept ------------------------------------------------------------------

    def _forget(self) -> None:
        """After a fork: what is kept is the parent's, which writes it itself."""
        self._lock = threading.RLock()
        self._busy, self._drainer, self._dropped = False, None, 0
        self._pending = bytearray()
        self._late.clear()

    def _take(self, lines: bytes) -> None:
        if self._broken:
            return
        if self._pending:
            self._flush()
        if self._dropped and not self._pending:
            self._tell_dropped()
        if self._pending:
            self._keep(lines)
        elif self._dropped:
            self._drop(lines)  # there is no room for the notice, which comes first
        else:
            with memoryview(lines) as view:
                done = self._put(view)
                self._pending += view[done:]

    def _keep(self, lines: bytes) -> None:
        if len(self._pending) + len(lines) > _PENDING_MOST:
            self._drop(lines)
        else:
            self._pending += lines

    def _tell_dropped(self) -> None:
        """Say how many lines are missing; if there is no room for that, say it later."""
        dropped, self._dropped = self._dropped, 0
        self._pending += _LINE_END * self._torn + self._tell(dropped) + _LINE_END
        self._flush()
        if self._dropped:
            self._dropped = dropped

    def _flush(self) -> None:
        with memoryview(self._pending) as view:
            done = self._put(view)
        del self._pending[:done]

    def _drain_later(self) -> None:
        if self._drainer is None or not self._drainer.is_alive():
            self._drainer = threading.Thread(target=self._drain, name="fastserve-log", daemon=True)
            with contextlib.suppress(RuntimeError):  # no thread to be had, or the end is near
                self._drainer.start()

    def _drain(self) -> None:
        """In a thread of its own: write what is kept as the other end takes it."""
        while True:
            with self._lock:
                if not self._pending or self._broken:
                    self._drainer = None
                    return
            self._wait(_CLOSE_SECONDS)
            with self._lock:
                before = len(self._pending)
                if before and not self._broken:
                    self._flush()
                stuck = before == len(self._pending)
                if self._dropped and not self._pending and not self._broken:
                    self._tell_dropped()
            if stuck:
                time.sleep(_TRY_AGAIN)


class FileSink(Sink):
    """Writes to a file, or to a descriptor that is not ours and may be a pipe nobody reads.

    A batch for which the disk is full is dropped and counted. After any other error (a closed
    pipe) everything is dropped until the file is reopened: a log nobody reads must not stop the
    server.
    """

    def __init__(self, target: str | int, tell: Callable[[int], bytes] = _in_brackets) -> None:
        """Append to the file of that path, or write to that descriptor.

        Raises `OSError` if the file cannot be opened.
        """
        super().__init__(tell)
        self._path = os.path.abspath(target) if isinstance(target, str) else None
        self._ours = True
        if isinstance(target, str):
            self._fd = _open_to_append(target)
        else:
            self._fd, self._ours = _own_side(target)
        self._look()

    def reopen(self) -> None:
        """Open the file of our path anew, and leave the one it was to whoever renamed it.

        If that fails an error is logged, and the old file stays in use. A descriptor that is
        not ours stays as it is.
        """
        if self._path is None or self._fd < 0:
            return
        try:
            new = _open_to_append(self._path)
        except OSError as error:
            tell_not_reopened(self._path, error)
            return
        with self._lock:
            if not self._broken:
                self._flush()
            os.close(self._fd)
            self._fd, self._broken, self._torn = new, False, False
            self._look()

    def fileno(self) -> int:
        return self._fd

    def _look(self) -> None:
        """What is at the other end decides how to write without waiting."""
        try:
            mode = os.fstat(self._fd).st_mode
            self._polled = stat.S_ISFIFO(mode) or os.isatty(self._fd)
            self._is_socket = stat.S_ISSOCK(mode)
        except OSError:
            self._polled = self._is_socket = False

    def _end(self) -> None:
        if self._ours and self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _put(self, data: memoryview) -> int:
        done = 0
        while done < len(data) and not self._broken:
            try:
                done += self._write(data[done:])
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in _PASSING:
                    self._broken = True
                    return len(data)
                self._note_end(data, done)
                self._drop(data[done:])
                return len(data)
        self._note_end(data, done)
        return done

    def _write(self, data: memoryview) -> int:
        """As `os.write`, but on what is slow too it never waits: BlockingIOError instead."""
        if self._is_socket:
            with socket.socket(fileno=os.dup(self._fd)) as sock:
                return sock.send(data, socket.MSG_DONTWAIT)
        if not self._polled:
            return os.write(self._fd, data)
        # Where the descriptor is shared, it waits if we write more than there is room for.
        if not os.get_blocking(self._fd) or self._has_room():
            return os.write(self._fd, _whole_lines(data))
        raise BlockingIOError

    def _has_room(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(0))

    def _note_end(self, data: memoryview, done: int) -> None:
        if done:
            self._torn = data[done - 1] != _LINE_END[0]


def _whole_lines(data: memoryview) -> memoryview:
    """As many lines as a pipe takes whole; of a longer line a part."""
    if len(data) <= _PIPE_BUF:
        return data
    end = bytes(data[:_PIPE_BUF]).rfind(_LINE_END)
    return data[: end + 1 or _PIPE_BUF]


def _own_side(fd: int) -> tuple[int, bool]:
    """A descriptor of the same pipe or terminal that does not wait, and whether it is ours.

    Others write to the pipe too, our own workers among them, and O_NONBLOCK would be theirs as
    well. So it is opened anew where the system lets us, as it mostly does on Linux.
    """
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd):
            flags = os.O_WRONLY | os.O_NONBLOCK | getattr(os, "O_NOCTTY", 0)
            return os.open(f"/proc/self/fd/{fd}", flags), True
    except OSError:
        pass
    return fd, False


def tell_not_reopened(path: str, error: OSError) -> None:
    """The old file stays in use."""
    _log.error("cannot reopen the log file %s: %s; the old one stays in use", path, error.strerror)


def _open_to_append(path: str) -> int:
    """A descriptor that no child inherits; opening a FIFO nobody reads fails, and waits not."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)


def _after_fork() -> None:
    for sink in list(_sinks):
        sink._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
