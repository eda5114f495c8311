"""One process that was told to stop ends, whatever its application does."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from support.process import Command, started

APP = """
import asyncio, time

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    print("begun", flush=True)
    while scope["path"] == "/block":
        time.sleep(0.01)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""


PATHS, LOOPS = ("/block", "/swallow"), ("uvloop", "asyncio")


@pytest.fixture(scope="module")
def told_to_stop(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[tuple[str, str], tuple[Command, Path]]]:
    """A process and its directory for each path and loop: all at once, as each takes its time."""
    options = ["--timeout-graceful-shutdown", "0", "--timeout-lifespan", "0.1"]
    options += ["--pid-file", "pid", "--port", "0", "--warn-blocked-loop", "0"]
    processes = {}
    with ExitStack() as stack:
        for path, loop in product(PATHS, LOOPS):
            cwd = tmp_path_factory.mktemp("process")
            (cwd / "main.py").write_text(APP)
            command = stack.enter_context(started(["main:app", "--loop", loop, *options], cwd))
            client = socket.create_connection(("127.0.0.1", command.port))
            stack.enter_context(client)
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            command.out.wait_for("begun")
            command.signal(signal.SIGTERM)
            processes[path, loop] = (command, cwd)
        yield processes


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("path", PATHS)
def test_a_process_that_cannot_stop_is_ended(
    told_to_stop: dict[tuple[str, str], tuple[Command, Path]], path: str, loop: str
) -> None:
    command, cwd = told_to_stop[path, loop]
    assert command.exit() == 1
    assert "the process did not stop within" in command.err.text
    assert not (cwd / "pid").exists()
