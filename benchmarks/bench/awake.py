"""Keeps the measured cores from sleeping; floors/awake.c says why."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from .servers import Unavailable, build


@contextlib.contextmanager
def awake(cores: list[int]) -> Iterator[bool]:
    """While inside, an idle-priority program spins on each core. Yields whether it does."""
    try:
        program = build("awake")
    except Unavailable:
        yield False
        return
    with contextlib.ExitStack() as stack:
        for core in cores:
            spinner = subprocess.Popen([str(program), str(core)])
            stack.callback(spinner.wait)
            stack.callback(spinner.kill)
        yield True
