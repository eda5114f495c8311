"""Messages between the supervisor and one of its children, over a socket pair.

A message is a line of JSON with a `type`; docs/design/process-model.md lists them. What a
C signal handler (`faulthandler`) writes into the child's end comes as lines that are no
JSON, and is taken for messages of the type "trace". The end of the stream tells
either side that the other is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Sequence
from typing import Any

__all__ = ["Channel", "Message"]

Message = dict[str, Any]

_PATIENCE = 10.0
_FDS_MOST = 253  # SCM_MAX_FD


class Channel:
    """One end. `send` and `take` may be used by two threads at once."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._read = bytearray()
        self.ended = False  # the other side is gone

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        one, other = socket.socketpair()
        return Channel(one), Channel(other)

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, type: str, **fields: Any) -> bool:
        """Send a message; False if it cannot be sent, because the other side is gone or stuck."""
        line = memoryview(json.dumps({"type": type} | fields).encode() + b"\n")
        try:
            while line:
                try:
                    line = line[self._end.send(line, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    if not select.select([], [self._end], [], _PATIENCE)[1]:
                        return False
        except (OSError, ValueError):
            return False
        return True

    def send_order(self, order: str, fds: Sequence[int]) -> bool:
        """Send a message of the type "order", with copies of descriptors (SCM_RIGHTS)."""
        line = memoryview(json.dumps({"type": "order", "order": order}).encode() + b"\n")
        try:
            self._end.settimeout(_PATIENCE)
            sent = socket.send_fds(self._end, [line], fds)
            self._end.sendall(line[sent:])
            self._end.settimeout(None)
        except OSError:
            return False
        return True

    def take_order(self) -> tuple[str, list[int]] | None:
        """Wait for the order and its descriptors; None if the other side is gone before."""
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        try:
            data, fds, _, _ = socket.recv_fds(self._end, 65536, _FDS_MOST, flags)
            while data and not data.endswith(b"\n"):
                more = self._end.recv(65536)
                data = data + more if more else b""
        except OSError:
            return None
        for fd in fds:
            os.set_inheritable(fd, False)
        return (str(json.loads(data)["order"]), fds) if data else None

    def take(self, *, wait: bool = False) -> list[Message]:
        """The messages that have come, after waiting for something to come if `wait`.

        `ended` is set if none will come any more.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            data = self._end.recv(65536, flags)
            while data:
                self._read += data
                data = self._end.recv(65536, socket.MSG_DONTWAIT)
            self.ended = True
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True
        return self._messages()

    def close(self) -> None:
        self._end.close()

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on."""
        return self._end.detach()

    def _messages(self) -> list[Message]:
        *lines, rest = bytes(self._read).split(b"\n")
        self._read[:] = rest
        return [_decoded(line) for line in lines]


def _decoded(line: bytes) -> Message:
    with contextlib.suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict) and isinstance(message.get("type"), str):
            return message
    return {"type": "trace", "line": line.decode("utf-8", "replace")}
