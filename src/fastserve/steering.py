"""Which sockets of a `SO_REUSEPORT` group get the new connections.

Linux counts the listening sockets of a group in the order of their `listen`; when one
stops listening, the last takes its index. `Group` keeps that count, and hands the kernel a
program (classic BPF) that picks an index at random among the wanted ones. Without a
program the kernel picks among all by a hash of the addresses. A program that is attached
stays until the next one, and means indices, not sockets: after `join` and `leave` call
`steer` again.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Sequence

__all__ = ["Group", "program"]

# asm-generic/socket.h; the socket module has no names for them.
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_REUSEPORT_BPF = 68

# linux/filter.h, linux/bpf_common.h
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM: no offset in the packet, a random word
_MODULO = 0x94  # BPF_ALU | BPF_MOD | BPF_K
_ADD = 0x04  # BPF_ALU | BPF_ADD | BPF_K
_JUMP_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_RETURN_A = 0x16  # BPF_RET | BPF_A


class Group:
    """The listening sockets of one address, in the kernel's order."""

    def __init__(self, members: Sequence[socket.socket] = ()) -> None:
        self._members = list(members)

    @property
    def members(self) -> tuple[socket.socket, ...]:
        return tuple(self._members)

    def join(self, member: socket.socket) -> None:
        """It listens now; again is no different from once."""
        if member not in self._members:
            self._members.append(member)

    def leave(self, member: socket.socket) -> None:
        """It listens no more; if it ever has."""
        if member in self._members:
            index = self._members.index(member)
            last = self._members.pop()
            if last is not member:
                self._members[index] = last

    def steer(self, wanted: Collection[socket.socket]) -> None:
        """Let new connections go only to those of `wanted` that listen; if none does, to any.

        Raises `OSError` where the system has no such thing or refuses it: connections go to
        any of the group then.
        """
        if not self._members:
            return
        indices = [index for index, each in enumerate(self._members) if each in wanted]
        try:
            _attach(self._members[0], program(indices or range(len(self._members))))
        except OSError:
            with contextlib.suppress(OSError):  # a former program may name what is gone
                self._members[0].setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)
            raise


def program(indices: Sequence[int]) -> bytes:
    """The instructions that return one of `indices` (ascending, not empty) at random."""
    if len(indices) == 1:
        return _instruction(_RETURN, indices[0])
    code = [_instruction(_LOAD_WORD, _RANDOM), _instruction(_MODULO, len(indices))]
    # A is the position in `indices`. All in a run of consecutive indices differ from their
    # position by the same amount, so that a run is three instructions however long it is.
    for end, offset in _runs(indices):
        if end < len(indices):
            code.append(_instruction(_JUMP_IF_AT_LEAST, end, if_true=2 if offset else 1))
        if offset:
            code.append(_instruction(_ADD, offset))
        code.append(_instruction(_RETURN_A))
    return b"".join(code)


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The end position of each run of consecutive indices, and index - position in it."""
    first = 0
    for position in range(1, len(indices) + 1):
        if position == len(indices) or indices[position] != indices[position - 1] + 1:
            yield position, indices[first] - first
            first = position


def _instruction(code: int, value: int = 0, *, if_true: int = 0) -> bytes:
    """A `struct sock_filter`."""
    return struct.pack("=HBBI", code, if_true, 0, value)


def _attach(member: socket.socket, code: bytes) -> None:
    """Give the program to the group of `member`."""
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    held = array.array("B", code)  # at an address that lasts for the call
    address, length = held.buffer_info()
    count = length // struct.calcsize("=HBBI")
    told = struct.pack("@HP", count, address)  # struct sock_fprog
    member.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, told)
