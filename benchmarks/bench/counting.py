"""User-space instructions per request, counted by callgrind.

Times on a shared machine wander; the number of instructions a program executes does not. A
server is run twice under callgrind, once for a short and once for a long series of requests over
one keep-alive connection; the difference of the totals divided by the difference of the lengths is
the cost of one request. Start-up, imports, warm-up and shutdown are in both and cancel. So does
what a server does by the clock: the short run is kept alive for as long as the long one took.

A server that polls without end spends instructions whenever it waits. Its short run ends at once,
and four connections take turns, so that a request is always waiting for it: what it polls while
it has nothing to do is mostly left out, to its advantage.

The kernel's work is not counted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import http2, websocket
from .load import Client, release, verify
from .process import Failed, Running, free_port
from .servers import APPS, HOST, Server, key_pair
from .workloads import Workload

# Hash seeds, addresses and the environment's size all change the count a little.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": str(APPS),
}
TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
SERVER_CORE = 0
START_TIMEOUT = 240.0
STOP_TIMEOUT = 60.0


def require_tools() -> None:
    """Leave, saying how to get it, if valgrind is missing."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind was not found: apt-get install valgrind")


def wrapped(command: list[str], folder: Path) -> list[str]:
    """`command` under callgrind, without address randomisation where that can be had."""
    prefix = ["setarch", "-R"]
    if shutil.which("setarch") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        prefix = []
    callgrind = ["valgrind", "--tool=callgrind", "--trace-children=yes"]
    callgrind += [f"--callgrind-out-file={folder}/out.%p", f"--log-file={folder}/valgrind.%p"]
    return [*prefix, *callgrind, *command]


def count(
    server: Server, workload: Workload, requests: int, at_least: float = 0.0
) -> tuple[int, float]:
    """Run a server for `requests` requests and for `at_least` seconds from its readiness on.

    Answers the instructions of the whole run and the seconds the requests took. Raises Failed or
    Unavailable.
    """
    port = free_port()
    command, answer = started(server, workload, port)
    with tempfile.TemporaryDirectory(prefix="fastserve-count-") as name:
        folder = Path(name)
        log = folder / "log"
        running = Running(
            wrapped(command, folder), port, SERVER_CORE, log, APPS, environment=ENVIRONMENT
        )
        with running:
            running.wait_ready(START_TIMEOUT)
            begin = time.monotonic()
            series(workload, port, answer, requests, 4 if server.polls else 1)
            took = time.monotonic() - begin
            time.sleep(max(0.2, at_least - took))
            running.check_alive()
            running.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(STOP_TIMEOUT)
        return total(folder), took


def started(server: Server, workload: Workload, port: int) -> tuple[list[str], bytes]:
    """The command line and the right answer. Raises Unavailable."""
    app, answer = workload.app, workload.answer
    if server.limit and workload.limit_body is not None:
        app, answer = workload.limit_body.decode(), workload.limit_body
    pair = key_pair() if workload.tls else None
    return server.command(workload.profile, port, app, pair, workload.http2), answer


def compile_modules(server: Server, workload: Workload) -> None:
    """One start outside callgrind: the first after a change compiles Python modules."""
    port = free_port()
    command, answer = started(server, workload, port)
    with (
        tempfile.NamedTemporaryFile(prefix="fastserve-count-") as log,
        Running(command, port, SERVER_CORE, Path(log.name), APPS, ENVIRONMENT) as running,
    ):
        running.wait_ready()
        series(workload, port, answer, 1, 1)


def series(workload: Workload, port: int, answer: bytes, requests: int, lanes: int) -> None:
    """`requests` requests over `lanes` connections, on each the next when one is answered.

    WebSocket messages and HTTP/2's streams go over one connection, whose opening is in every run
    and cancels.
    """
    if workload.websocket:
        websocket.verify(workload, port, max(os.sched_getaffinity(0)), requests)
        return
    if workload.http2:
        with http2.connected(workload, port, timeout=60.0) as session:
            http2.series(session, answer, requests)
        return
    verify(workload, port, answer, 1)
    request = workload.request(f"{HOST}:8000")
    clients = [Client(port, timeout=60.0, tls=workload.tls) for _ in range(lanes)]
    try:
        for client in clients:
            client.socket.sendall(request)
        for number in range(requests):
            client = clients[number % lanes]
            if client.answer() != (200, answer):
                raise Failed("wrong answer under callgrind")
            if number < requests - lanes:
                client.socket.sendall(request)
    finally:
        release(clients)


def total(folder: Path) -> int:
    """The sum of the totals of every process of the run. Raises Failed if there is none."""
    found = 0
    for file in folder.glob("out.*"):
        match = TOTAL.search(file.read_text(errors="replace"))
        found += int(match.group(1)) if match else 0
    if not found:
        raise Failed("callgrind left no total (the server did not stop on SIGTERM)")
    return found


def per_request(server: Server, workload: Workload, short: int, long: int) -> float:
    """Instructions of one request, from two runs of `short` and `long` requests."""
    compile_modules(server, workload)
    whole, took = count(server, workload, long)
    part, _ = count(server, workload, short, 0.0 if server.polls else took + 0.2)
    return (whole - part) / (long - short)
