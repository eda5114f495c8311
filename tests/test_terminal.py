"""A process with a terminal, and what becomes of it when that is gone."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.process import started
from support.service import serve

TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
BECOME = TAKE + "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
TELL = """
import signal
from fastserve.terminal import has_terminal

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
print(has_terminal(), flush=True)
signal.sigwait({signal.SIGHUP})
print(has_terminal(), flush=True)
"""


@dataclass
class Terminal:
    """A pseudo-terminal: the end for a process's stdin, and the test's own."""

    inner: int
    outer: int | None

    def hang_up(self) -> None:
        if self.outer is not None:
            os.close(self.outer)
            self.outer = None


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    outer, inner = pty.openpty()
    terminal = Terminal(inner, outer)
    yield terminal
    os.close(inner)
    terminal.hang_up()


def test_a_terminal_is_there_until_it_hangs_up(tmp_path: Path, terminal: Terminal) -> None:
    with started(
        ["-c", TAKE + TELL], tmp_path, module="", stdin=terminal.inner, start_new_session=True
    ) as command:
        command.out.wait_for("True")
        terminal.hang_up()  # the kernel sends SIGHUP to who has taken it
        assert command.exit() == 0
        assert command.out.text.split() == ["True", "False"]


def test_a_session_of_its_own_has_no_terminal(tmp_path: Path) -> None:
    code = "from fastserve.terminal import has_terminal; print(has_terminal())"
    with started(["-c", code], tmp_path, module="", start_new_session=True) as command:
        assert command.exit() == 0
        assert command.out.text == "False\n"


@pytest.mark.parametrize("workers", [None, 1], ids=["alone", "supervised"])
def test_a_server_whose_terminal_hangs_up_stops(
    tmp_path: Path, terminal: Terminal, workers: int | None
) -> None:
    with serve(
        tmp_path,
        workers=workers,
        launcher=["-c", BECOME],
        stdin=terminal.inner,
        start_new_session=True,
    ) as service:
        terminal.hang_up()
        service.assert_ends()
        assert "stopping (SIGHUP)" in service.log


def test_a_hang_up_by_hand_does_not_stop_what_has_its_terminal_still(
    tmp_path: Path, terminal: Terminal
) -> None:
    with serve(
        tmp_path,
        workers=None,
        launcher=["-c", BECOME],
        stdin=terminal.inner,
        start_new_session=True,
    ) as service:
        service.signal(signal.SIGHUP)
        service.wait_for_log("one process cannot replace itself")
        service.stop()
