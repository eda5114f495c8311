"""A process that runs out of descriptors: accepting waits, nothing spins, nobody is lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.client import Client, request
from support.process import Command, eventually, started

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

LOOPS = ("asyncio", "uvloop")
LIMIT = 64
BECOME = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
APP = """
import asyncio, os, signal

go = asyncio.Event()
eaten = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, go.set)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/work":
        await go.wait()
    if scope["path"] == "/eat":
        try:
            while True:
                eaten.append(os.dup(2))
        except OSError:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"full", "more_body": True})
        await go.wait()
        while eaten:
            os.close(eaten.pop())
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


class Server:
    def __init__(self, command: Command) -> None:
        self.pid = command.process.pid
        self.err = command.err
        self._address = ("127.0.0.1", command.port)

    def connect(self) -> Client:
        return Client(self._address)

    def go(self) -> None:
        os.kill(self.pid, signal.SIGWINCH)

    def cpu(self) -> float:
        """Seconds of processor time spent so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def assert_rests(self) -> None:
        """It does not spin: most of a while it sleeps."""
        cpu, wall = self.cpu(), time.monotonic()
        threading.Event().wait(1.0)
        assert self.cpu() - cpu < (time.monotonic() - wall) / 2


@contextmanager
def serving(directory: Path, loop: str, *options: str) -> Iterator[Server]:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    (directory / "main.py").write_text(APP)
    arguments = ["-c", BECOME, "-m", "fastserve", "main:app", "--port", "0", "--loop", loop]
    with started([*arguments, "--no-access-log", *options], directory, module="") as command:
        yield Server(command)
        assert command.stop() == 0


def connected(stack: ExitStack, server: Server, n: int, path: str) -> list[Client]:
    clients = [stack.enter_context(server.connect()) for _ in range(n)]
    for client in clients:
        client.send(request("GET", path))
    return clients


@pytest.mark.parametrize("loop", LOOPS)
def test_accepting_waits_until_connections_have_ended(loop: str, tmp_path: Path) -> None:
    with serving(tmp_path, loop) as server, ExitStack() as stack:
        clients = connected(stack, server, 200, "/work")
        server.err.wait_for("descriptors run short")
        server.assert_rests()
        assert server.descriptors() < LIMIT, "the application has none for itself"
        server.go()
        # They stay open: those who are served make room when they idle.
        for client in clients:
            assert client.response().body == b"ok"
        assert server.err.text.count("descriptors run short") == 1
        assert "Traceback" not in server.err.text


@pytest.mark.parametrize("loop", LOOPS)
def test_idle_connections_make_room(loop: str, tmp_path: Path) -> None:
    with serving(tmp_path, loop) as server, ExitStack() as stack:
        for _ in range(200):
            (client,) = connected(stack, server, 1, "/")
            assert client.response().body == b"ok"
        assert "descriptors" not in server.err.text


@pytest.mark.parametrize("loop", LOOPS)
def test_an_application_that_takes_them_all_makes_no_noise(loop: str, tmp_path: Path) -> None:
    """What connects meanwhile waits on asyncio's loop; uvloop's closes it."""
    with serving(tmp_path, loop) as server, ExitStack() as stack:
        (glutton,) = connected(stack, server, 1, "/eat")
        assert glutton.head().status == 200
        glutton.until(b"full")
        waiting = [stack.enter_context(server.connect()) for _ in range(30)]
        server.assert_rests()
        server.go()
        glutton.until(b"0\r\n\r\n")
        eventually(lambda: is_served(server))
        if loop == "asyncio":
            for client in waiting:
                assert client.get("/").body == b"ok"
            assert server.err.text.count("cannot accept connections") == 1
        assert "Traceback" not in server.err.text


def is_served(server: Server) -> bool:
    with server.connect() as client:
        try:
            return bool(client.get("/").body == b"ok")
        except (AssertionError, OSError):
            return False


def test_a_limit_that_the_system_does_not_grant_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, "asyncio", "--limit-connections", "1000") as server:
        told = server.err.wait_for("limit_connections is 1000, but .*")[0]
        assert str(LIMIT) in told


def test_the_last_descriptors_are_left_to_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastserve import accepting

    def most(limit: Any) -> int:
        monkeypatch.setattr(accepting.resource, "getrlimit", lambda _: (limit, limit))
        return accepting.most_descriptors()

    assert [most(n) for n in (4, 64, 1024, 1 << 20)] == [1, 56, 960, (1 << 20) - 256]
    assert most(resource.RLIM_INFINITY) == 0
