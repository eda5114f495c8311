"""SIGUSR2: the supervisor becomes a new version of the program, and nobody notices.

The process stays; `exec` gives it new code. First the new program is tried in a child that
imports the application with the same arguments. Sockets, channels, board and children go
over as descriptors and pids, told in a file in memory. What changes about the state's form
changes `FORMAT`, and a program that does not know it declines when it is tried.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from fastserve.errors import ConfigError, FastserveError
from fastserve.supervision.children import OBEYED
from fastserve.terminal import HANDOVER, TRIAL

__all__ = ["Trial", "command_line", "handed_over", "is_trial", "replace_program"]

FORMAT = 2
_PATIENCE = 300.0


def command_line() -> tuple[str, list[str], str]:
    """The program, arguments and directory this process was started with.

    The directory as the shell knew it: where it is a link to the current release, the link.
    """
    directory = os.environ.get("PWD", "")
    try:
        if not os.path.samefile(directory, "."):
            directory = os.getcwd()
    except OSError:
        directory = os.getcwd()
    return sys.executable, [sys.executable, *sys.orig_argv[1:]], directory


def is_trial(environment: MutableMapping[str, str]) -> bool:
    """Whether this process is to find out if it could take over, and nothing more.

    Raises `ConfigError` if it could not understand what it would be handed.
    """
    told = environment.pop(TRIAL, None)
    if told is None:
        return False
    if told != str(FORMAT):
        raise ConfigError("this version cannot take over from the one that runs: restart instead")
    return True


class Trial:
    """The new program, tried: `result()` is None until that is known."""

    def __init__(self, command: tuple[str, list[str], str]) -> None:
        program, arguments, directory = command
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the result
        self._ends = time.monotonic() + _PATIENCE
        try:
            self._process = subprocess.Popen(
                arguments,
                executable=program,
                cwd=directory,
                env=os.environ | {TRIAL: str(FORMAT)},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            self._output.close()
            raise FastserveError(f"the new program cannot be started: {error}") from None

    @property
    def ends(self) -> float:
        """When it has taken too long, in monotonic seconds."""
        return self._ends

    def result(self) -> tuple[bool, str] | None:
        """Whether it went well, and what it said."""
        status = self._process.poll()
        if status is None:
            if time.monotonic() < self._ends:
                return None
            self.end()
            return False, f"it was not done after {_PATIENCE:g} s"
        self._output.seek(0)
        said = self._output.read().decode("utf-8", "replace").strip()
        self._output.close()
        return status == 0, said

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()


def replace_program(
    command: tuple[str, list[str], str], state: Mapping[str, Any], noted: list[int]
) -> None:
    """Become `command`, which `state` is handed to. Returns only by raising `FastserveError`.

    The supervisor's signals are blocked meanwhile and kept; the new program lets them in. So
    it does with those that a handler has put into `noted`, and that nobody has obeyed yet.
    """
    program, arguments, directory = command
    fd = _written(json.dumps({"format": FORMAT} | dict(state)).encode())
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)  # its handlers have run after this
    while noted:
        os.kill(os.getpid(), noted.pop())
    former = os.getcwd()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.chdir(directory)
        os.execve(program, arguments, os.environ | {HANDOVER: str(fd)})
    except OSError as error:
        os.chdir(former)
        raise FastserveError(f"the new program cannot be started: {error}") from None
    finally:
        os.close(fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def handed_over(environment: MutableMapping[str, str]) -> dict[str, Any] | None:
    """What the program before has handed over; None if there was none."""
    told = environment.pop(HANDOVER, None)
    if told is None:
        return None
    with open(int(told), "rb") as file:
        state = json.load(file)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ConfigError("this version cannot take over from the one before: restart instead")
    return state


def _written(data: bytes) -> int:
    """A descriptor of a nameless file with `data`, to be read from its start after `exec`."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        file.seek(0)
        fd = os.dup(file.fileno())
    os.set_inheritable(fd, True)
    return fd
