"""Lines to syslog, each a datagram.

The local one gets the form that every daemon reads there (RFC 3164 without a host name), one
over UDP that of RFC 5424. The facility is daemon, the name fastserve.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Callable
from typing import Any

from fastserve.logsinks import Sink

__all__ = ["SEVERITIES", "SyslogSink", "is_syslog"]

_LOCAL = "/dev/log"
_FACILITY = 3 << 3  # daemon
_NAME = b"fastserve"
_LONGEST = 8192  # bytes of a line; what is longer is cut
_RETRY = 1.0  # seconds between attempts to find a daemon that has gone

# By the level of a message (RFC 5424, section 6.2.1); below that, debug.
SEVERITIES = ((50, 2), (40, 3), (30, 4), (20, 6), (0, 7))
_WARNING, _INFO = 4, 6

_ROOM = {errno.EAGAIN, errno.ENOBUFS}


def is_syslog(target: str) -> bool:
    return target.startswith("syslog:")


class SyslogSink(Sink):
    """A place of the form syslog:, syslog:unix:PATH or syslog:HOST:PORT.

    While the daemon does not take lines they are kept; while it is not there they are dropped
    and counted. `kind` is the MSGID over UDP. Raises `OSError` if it cannot be reached at first.
    """

    def __init__(self, target: str, kind: str, tell: Callable[[int], bytes]) -> None:
        super().__init__(lambda dropped: self._frame(tell(dropped), _WARNING))
        self._kind = kind.encode()
        self._path, self._address = _place(target.removeprefix("syslog:"))
        self._host = socket.gethostname().encode("ascii", "replace").replace(b" ", b"-") or b"-"
        self._socket: socket.socket | None = None
        self._tried = 0.0
        self._connect()

    def write(self, lines: bytes, severity: int = _INFO) -> None:
        frames = [self._frame(line, severity) for line in lines.split(b"\n") if line]
        super().write(b"".join(frame + b"\n" for frame in frames))

    def reopen(self) -> None:
        with self._lock:
            self._disconnect()

    def _frame(self, line: bytes, severity: int) -> bytes:
        if len(line) > _LONGEST:
            line = line[: _LONGEST - 3] + b"..."
        head = b"<%d>" % (_FACILITY | severity)
        now = time.time()
        if self._path is not None:
            stamp = time.strftime("%b %d %H:%M:%S", time.localtime(now)).encode()
            stamp = stamp.replace(b" 0", b"  ", 1)
            return head + b"%s %s[%d]: %s" % (stamp, _NAME, os.getpid(), line)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)).encode()
        return head + b"1 %s.%03dZ %s %s %d %s - %s" % (
            stamp, now % 1 * 1000, self._host, _NAME, os.getpid(), self._kind, line,
        )  # fmt: skip

    def _connect(self) -> socket.socket:
        self._tried = time.monotonic()
        if self._path is not None:
            return self._connected(socket.AF_UNIX, self._path)
        assert self._address is not None
        found = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        return self._connected(found[0], found[4])

    def _connected(self, family: int, address: Any) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        self._socket = sock
        return sock

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._tried = 0.0

    def _end(self) -> None:
        self._disconnect()

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def _put(self, data: memoryview) -> int:
        done = 0
        for frame in bytes(data).split(b"\n")[:-1]:
            try:
                self._send(frame)
            except BlockingIOError:
                break
            except OSError:
                self._dropped += 1
            done += len(frame) + 1
        return done

    def _send(self, frame: bytes) -> None:
        """Raises BlockingIOError if there is no room now, and OSError if it cannot be sent."""
        for attempt in (1, 2):
            sock = self._socket
            if sock is None:
                if time.monotonic() - self._tried < _RETRY:
                    raise OSError(errno.ENOTCONN, "nobody there")
                sock = self._connect()
            try:
                sock.send(frame)
                return
            except OSError as error:
                if error.errno in _ROOM:
                    raise BlockingIOError from None
                # Over UDP it is the answer to an earlier one: the second attempt goes out.
                if attempt == 2 or error.errno == errno.EMSGSIZE:
                    raise
                if self._path is not None:
                    self._disconnect()


def _place(text: str) -> tuple[str | None, tuple[str, int] | None]:
    """The path of a Unix socket, or host and port. `text` has been checked (`options`)."""
    if not text:
        return _LOCAL, None
    if text.startswith("unix:"):
        return text.removeprefix("unix:"), None
    match = re.fullmatch(r"\[?(.*?)\]?:([0-9]+)", text)
    assert match is not None
    return None, (match[1], int(match[2]))
