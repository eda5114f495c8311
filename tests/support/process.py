"""The `fastserve` command in a process of its own, whose output can be waited for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 30.0


def eventually(what: Callable[[], bool]) -> None:
    """Wait until `what` is true."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not happen"
        threading.Event().wait(0.01)


def running(pid: int) -> bool:
    """Whether the process is there and no zombie, which a container may leave."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        if Path("/proc/self").exists():
            return stat.read_text().rpartition(")")[2].split()[0] != "Z"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


class Output:
    """Lines of a stream as they come, read by a thread until its end."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._grown = threading.Condition()
        self._ended = False
        self.text = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._grown:
                self.text += line
                self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        """The `count`th match of `pattern`, as soon as it is there."""

        def found() -> list[re.Match[str]]:
            return list(re.finditer(pattern, self.text))

        with self._grown:
            self._grown.wait_for(lambda: len(found()) >= count or self._ended, PATIENCE)
            matches = found()
        assert len(matches) >= count, f"no {pattern!r} in:\n{self.text}"
        return matches[count - 1]

    def close(self) -> None:
        """Close the stream, unless somebody still holds its other end: that would wait for him."""
        self._thread.join(PATIENCE)
        if not self._thread.is_alive():
            self._stream.close()


class Command:
    """A running command."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out = Output(process.stdout)
        self.err = Output(process.stderr)

    @property
    def url(self) -> str:
        """The first address it says it listens on; waits until it says so."""
        return self.err.wait_for(r"fastserve \S+ on ([^\s,]+)")[1]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def exit(self) -> int:
        """The exit status, all output having been read."""
        status = self.process.wait(PATIENCE)
        self.out.close()
        self.err.close()
        return status

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.exit()


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anything that configures the server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FASTSERVE_", "WEB_"))}
    return kept | {"PYTHONUNBUFFERED": "1"} | more


@contextmanager
def started(
    arguments: Sequence[str], cwd: Path, *, module: str = "fastserve", **options: Any
) -> Iterator[Command]:
    """`python -m fastserve` with `arguments`, in the directory `cwd`; killed if still there."""
    environment = clean_environment(**options.pop("env", {}))
    command = [sys.executable, "-m", module, *arguments] if module else [sys.executable, *arguments]
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    running = Command(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        running.exit()


def finished(arguments: Sequence[str], cwd: Path, **options: Any) -> tuple[int, str]:
    """Exit status and stderr of a command that ends by itself."""
    with started(arguments, cwd, **options) as command:
        status = command.exit()
        return status, command.err.text
