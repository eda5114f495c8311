"""A server that runs for one scenario: its processes, its journal, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.process import LIBC, PR_SET_PDEATHSIG, free_port

from .client import Answer, Broken, Connection
from .peers import Peer

SOURCE = Path(__file__).with_name("service.py")
STEP = 0.02


class Failed(Exception):
    """A server did not start; the message says why."""


class Note(NamedTuple):
    """A line of the application's journal."""

    event: str
    pid: int
    when: float
    detail: str


def die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text()
        return text[text.rindex(")") + 2] not in "ZX"
    return False


class Running:
    """A started server in a folder and a session of its own.

    An async context manager: inside all workers have started and it answers; leaving it ends
    every process of the session.
    """

    def __init__(self, peer: Peer, python: str, *options: str, workers: int | None = None) -> None:
        self.peer = peer
        self.workers_wanted = workers or peer.workers
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="operations-")
        # What servers write must not lie where they look for changed files.
        self.code, self.state = Path(self.folder.name, "code"), Path(self.folder.name, "state")
        self.log, self.journal = self.state / "log", self.state / "journal"
        self.admin = free_port()
        options = tuple(option.format(admin=self.admin) for option in options)
        self.command = peer.command(python, self.port, self.workers_wanted, options)
        self.main: int = 0

    async def __aenter__(self) -> Running:
        self.code.mkdir()
        self.state.mkdir()
        self.journal.touch()
        (self.code / "service.py").write_text(SOURCE.read_text())
        self.release("1")
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.code,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.main = self.process.pid
        try:
            if await self.until(self.ready, 30) is None:
                raise Failed(f"did not start: {self.last_line()}")
            await self.answering()
        except BaseException:
            self.end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()

    def environment(self) -> dict[str, str]:
        inherited = os.environ.get("PYTHONPATH")
        return dict(
            os.environ,
            PYTHONPATH=os.pathsep.join([str(self.code), *([inherited] if inherited else [])]),
            PYTHONUNBUFFERED="1",
            # A changed file of the same size in the same second would be taken from the cache.
            PYTHONDONTWRITEBYTECODE="1",
            OPERATIONS_JOURNAL=str(self.journal),
        )

    def release(self, name: str) -> None:
        """Deploy: what the application reads at import."""
        (self.code / "release.txt").write_text(name)

    def ready(self) -> bool:
        if self.exit is not None:
            raise Failed(f"ended with status {self.exit}: {self.last_line()}")
        return len(self.started) >= self.workers_wanted

    async def answering(self) -> None:
        for _ in range(100):
            with contextlib.suppress(Broken):
                await self.ask()
                return
            await asyncio.sleep(0.1)
        raise Failed(f"does not answer: {self.last_line()}")

    async def ask(self, path: str = "/", timeout: float = 5) -> Answer:
        """One request on a connection of its own. Raises Broken."""
        connection = await Connection.open(self.port, timeout)
        try:
            return await connection.get(path, timeout, b"Connection: close\r\n")
        finally:
            connection.close()

    async def releases(self, count: int = 10) -> set[str]:
        """What releases answer so many new connections; `-` stands for no answer."""
        seen = set()
        for _ in range(count):
            try:
                seen.add((await self.ask()).body.split()[0].decode())
            except Broken:
                seen.add("-")
        return seen

    async def until(self, condition: Callable[[], object], seconds: float) -> float | None:
        """Seconds until the condition held; None if it did not within `seconds`."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > seconds:
                return None
            await asyncio.sleep(STEP)
        return time.monotonic() - begun

    @property
    def exit(self) -> int | None:
        """The exit status of the process that was started; None while it runs."""
        return self.process.poll()

    def signal(self, number: signal.Signals, pid: int | None = None) -> None:
        """Send a signal to the main process or another of the session, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or self.main, number)

    def notes(self, event: str) -> list[Note]:
        notes = []
        for line in self.journal.read_text().splitlines():
            kind, pid, when, *detail = line.split()
            if kind == event:
                notes.append(Note(kind, int(pid), float(when), " ".join(detail)))
        return notes

    @property
    def started(self) -> set[int]:
        """The processes in which the lifespan has started; where there is none, the main one."""
        if not self.peer.lifespan:
            return {self.main}
        return {note.pid for note in self.notes("started")}

    @property
    def stopped(self) -> set[int]:
        """The processes in which the lifespan's shutdown was run."""
        return {note.pid for note in self.notes("stopped")}

    @property
    def workers(self) -> set[int]:
        """The processes that have started and live."""
        return {pid for pid in self.started if alive(pid)}

    def session(self) -> set[int]:
        """All processes of the session that live, the main one too."""
        found = set()
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if os.getsid(int(name)) == self.process.pid and alive(int(name)):
                        found.add(int(name))
        return found

    def told(self, words: str) -> bool:
        """Whether the server's output has these words."""
        return words in self.log.read_text(errors="replace")

    def last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else "nothing logged"

    def end(self) -> None:
        """Kill what is left of the session, whoever its parent is by now."""
        for _ in range(5):  # one may have forked while we looked
            left = self.session()
            for pid in left:
                self.signal(signal.SIGKILL, pid)
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            if not left:
                break
        self.folder.cleanup()
