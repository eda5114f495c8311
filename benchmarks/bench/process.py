"""Starting a server on its core, reading what its process tree costs, and ending all of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .servers import HOST

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A server did not start, died, or gave a wrong answer; the message says which."""


@dataclass(frozen=True)
class Stat:
    """From /proc/<pid>/stat: parent, start in ticks, CPU seconds with waited children."""

    parent: int
    started: int
    cpu: float


def read_stat(pid: int) -> Stat | None:
    """The process's figures; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command, in parentheses, may hold spaces; what follows has fixed places (proc(5)).
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(int(fields[1]), int(fields[19]), sum(map(int, fields[11:15])) / TICKS)


def tree(root: int) -> dict[int, Stat]:
    """`root` and all its descendants that are alive."""
    children: dict[int, list[int]] = {}
    stats: dict[int, Stat] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := read_stat(int(name))):
            stats[int(name)] = stat
            children.setdefault(stat.parent, []).append(int(name))
    found: dict[int, Stat] = {}
    queue = [root]
    while queue:
        pid = queue.pop()
        if pid in stats and pid not in found:
            found[pid] = stats[pid]
            queue += children.get(pid, [])
    return found


def status_kb(pid: int, file: str, key: str) -> int | None:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return None


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants, so that none can slip away."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def raise_file_limit() -> int:
    """Raise this process's limit of open files, inherited by servers, to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def pinned(core: int) -> object:
    """A preexec function: own core, and death with the parent even if that is killed."""

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return prepare


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Running:
    """A started server. A context manager: leaving it ends every process of the tree.

    `environment` replaces the inherited one; by default the applications' folder is added to it.
    """

    def __init__(
        self,
        command: list[str],
        port: int,
        core: int,
        log: Path,
        cwd: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.port = port
        self.log = log
        environment = environment or dict(os.environ, PYTHONPATH=str(cwd))
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=pinned(core),
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Return once the port accepts. Raises Failed with the log's last line otherwise."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                with socket.create_connection((HOST, self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"did not listen within {timeout:.0f} s: {self.last_line()}")

    def check_alive(self) -> None:
        code = self.process.poll()
        if code is not None:
            raise Failed(f"exited with status {code}: {self.last_line()}")

    def last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else "nothing logged"

    def cpu(self) -> float:
        """CPU seconds used so far by the whole tree, waited children included."""
        return sum(stat.cpu for stat in tree(self.process.pid).values())

    def peak_rss(self) -> int:
        """Sum over the tree of each process's highest resident size, in KiB."""
        pids = tree(self.process.pid)
        return sum(status_kb(pid, "status", "VmHWM") or 0 for pid in pids)

    def rss(self) -> int:
        """Resident size of the tree now, in KiB."""
        return sum(status_kb(pid, "status", "VmRSS") or 0 for pid in tree(self.process.pid))

    def pss(self) -> int | None:
        """Proportional size of the tree now, in KiB; None where the kernel does not tell."""
        sizes = [status_kb(pid, "smaps_rollup", "Pss") for pid in tree(self.process.pid)]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def stop(self, grace: float = 2.0) -> None:
        """End the tree: SIGTERM to the first process, SIGKILL to what is left after `grace`."""
        members = tree(self.process.pid)
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
        members.update(tree(self.process.pid))
        for pid, stat in members.items():
            now = read_stat(pid)
            # A pid that was given to another process meanwhile has another start time.
            if pid != self.process.pid and now and now.started == stat.started:
                kill(pid)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        reap(members)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def reap(pids: dict[int, Stat]) -> None:
    """Collect adopted orphans, so that no zombie is left to count."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def core_busy() -> dict[int, float]:
    """Busy CPU seconds of each core since boot: not idle, not I/O wait, not below usual priority.

    The last leaves out what keeps the cores awake.
    """
    busy: dict[int, float] = {}
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("cpu") and line[3].isdigit():
            fields = line.split()
            user, _nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[1:9])
            busy[int(fields[0][3:])] = (user + system + irq + softirq + steal) / TICKS
    return busy
