"""What the kernel that the tests run on can do, found out without the code under test."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys


def can_steer() -> bool:
    """Whether a group of SO_REUSEPORT sockets takes a program that picks among them."""
    if sys.platform != "linux":
        return False
    code = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # return 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.setsockopt(socket.SOL_SOCKET, 51, struct.pack("@HP", 1, ctypes.addressof(code)))
        except OSError:
            return False
    return True
