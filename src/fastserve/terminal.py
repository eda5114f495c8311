"""Whether there is a terminal: SIGHUP says that it is gone, or, without one, to reload."""

from __future__ import annotations

import os

__all__ = ["has_terminal"]


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, and that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
