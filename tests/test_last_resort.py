"""One process that was told to stop ends, whatever its application does."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from support.process import started

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


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("path", ["/block", "/swallow"])
def test_a_process_that_cannot_stop_is_ended(tmp_path: Path, loop: str, path: str) -> None:
    (tmp_path / "main.py").write_text(APP)
    options = ["--timeout-graceful-shutdown", "0", "--timeout-lifespan", "0.1"]
    options += ["--loop", loop, "--pid-file", "pid", "--port", "0", "--warn-blocked-loop", "0"]
    with started(["main:app", *options], tmp_path) as command:
        with socket.create_connection(("127.0.0.1", command.port)) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            command.out.wait_for("begun")
            command.signal(signal.SIGTERM)
            assert command.exit() == 1
        assert "the process did not stop within" in command.err.text
    assert not (tmp_path / "pid").exists()
