"""Files of variables under a supervisor: workers have them, and have them anew after a reload."""

from __future__ import annotations

import signal
from pathlib import Path

from support.client import Client
from support.process import Command, eventually, started
from support.service import REPLACED

APP = """
import os

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    told = " ".join(f"{name}={os.environ.get(name)}" for name in ("FS_SECRET", "FS_SET", "FS_GONE"))
    headers = [(b"x-limit", os.environ.get("FASTSERVE_HEADERS", "none").encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told.encode()})
"""


def answer(command: Command) -> tuple[str, list[str]]:
    """What a worker has in its environment, and the header of the options in the file."""
    with Client(("127.0.0.1", command.port)) as client:
        got = client.get("/")
    assert got.header("x-limit") == "none"  # the option is not in the environment
    return got.text, got.all("x-from")


def test_workers_have_them_anew_after_a_reload_and_options_after_an_upgrade(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    env = tmp_path / "env"
    options = "FASTSERVE_WORKERS=1\nFASTSERVE_PORT=0\nFASTSERVE_HEADERS='x-from: {}'\n"
    env.write_text(options.format("first") + "FS_SECRET=one\nFS_SET=file\nFS_GONE=here\n")
    with started(["main", "--env-file", "env"], tmp_path, env={"FS_SET": "shell"}) as command:
        command.err.wait_for(r"CTRL\+C to stop")
        assert answer(command) == ("FS_SECRET=one FS_SET=shell FS_GONE=here", ["first"])
        env.write_text(options.format("second") + "FS_SECRET=two\nFS_SET=file\n")
        command.signal(signal.SIGHUP)
        command.err.wait_for(REPLACED)
        assert answer(command) == ("FS_SECRET=two FS_SET=shell FS_GONE=None", ["first"])
        env.write_text(options.format("third") + "FS_SECRET=three\nFS_SET=file\n")
        command.signal(signal.SIGUSR2)
        command.err.wait_for(REPLACED, count=2)
        third = ("FS_SECRET=three FS_SET=shell FS_GONE=None", ["third"])
        eventually(lambda: answer(command) == third)  # a last connection may be the old worker's
        assert command.stop() == 0


def test_a_reload_with_a_broken_file_leaves_the_old_worker_serving(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    env = tmp_path / "env"
    env.write_text("FS_SECRET=one\n")
    arguments = ["main", "--port", "0", "--workers", "1", "--env-file", "env"]
    with started(arguments, tmp_path) as command:
        command.err.wait_for(r"CTRL\+C to stop")
        env.unlink()
        command.signal(signal.SIGHUP)
        command.err.wait_for("--env-file: there is no file 'env'")
        assert answer(command)[0].startswith("FS_SECRET=one ")
        assert command.stop() == 0
