"""What a process gets from its starter: standard streams, a terminal, word of an upgrade."""

from __future__ import annotations

import os

__all__ = ["HANDOVER", "TRIAL", "has_terminal", "open_standard_streams"]

# Environment variables by which a supervisor speaks to the program that is to replace it.
TRIAL = "FASTSERVE_TRIAL"
HANDOVER = "FASTSERVE_HANDOVER"


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, and that is still there.

    SIGHUP says that a terminal is gone, or, where there was none, that we shall reload.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        os.close(os.open("/dev/tty", flags))
    except OSError:  # there is none, or, on Windows, no such thing
        return False
    return True


def open_standard_streams() -> None:
    """Put the null device where a standard stream was closed by whoever started us.

    Or else the next socket gets its number, and with it what is written to the stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one. Workers need it as much.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
