"""Several workers: sharing a port, dying, starting again, stopping together."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from support.process import PATIENCE, Command, eventually, finished, running, started

from fastserve import Config
from fastserve.errors import ConfigError
from fastserve.supervision.supervisor import Supervisor

APP = """
import asyncio, os, sys
print("imported", flush=True)
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if os.path.exists("fail"):
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/exit":
        os._exit(9)
    if scope["path"] == "/hang":
        print("hanging", flush=True)
        await asyncio.Event().wait()
    if scope["path"] == "/block":
        print("blocking", flush=True)
        while True:
            pass
    body = str(os.getpid()).encode()
    headers = [(b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def workers(directory: Path, *more: str, count: int = 2) -> AbstractContextManager[Command]:
    port = [] if "--uds" in more or "--fd" in more else ["--port", "0"]
    return started(["main:app", "--workers", str(count), *port, *more], directory)


def pids(url: str, count: int) -> set[int]:
    """The processes that answer, asked until `count` different ones have."""
    seen: set[int] = set()
    end = time.monotonic() + PATIENCE
    while len(seen) < count and time.monotonic() < end:
        seen.add(int(httpx.get(url).text))
    return seen


def ask(url: str, path: str) -> socket.socket:
    """A connection that has asked for `path` and gets no answer."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    client = socket.create_connection((host, int(port)))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


# -- serving and stopping --------------------------------------------------------------


def test_all_workers_answer_on_one_free_port_and_stop_with_status_0(directory: Path) -> None:
    with workers(directory, count=3) as command:
        assert "(3 workers)" in command.err.wait_for(r"fastserve .*CTRL\+C to stop")[0]
        found = pids(command.url, 3)
        assert len(found) == 3
        assert command.process.pid not in found
        assert command.stop() == 0
        assert not any(running(pid) for pid in found)
        assert command.out.text.count("shut down") == 3
        assert "Traceback" not in command.err.text


def test_ctrl_c_in_a_terminal_reaches_the_whole_group_and_stops_once(directory: Path) -> None:
    arguments = ["main:app", "--workers", "2", "--port", "0"]
    with started(arguments, directory, process_group=0) as command:
        command.err.wait_for("CTRL")
        os.killpg(command.process.pid, signal.SIGINT)
        assert command.exit() == 0
        assert command.out.text.count("shut down") == 2
        assert "Traceback" not in command.err.text


def test_a_unix_socket_is_shared_and_its_file_removed(directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        path = f"{short}/s"
        with workers(directory, "--uds", path) as command:
            assert command.url == f"unix:{path}"
            with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
                first = int(client.get("http://x/").text)
                with pytest.raises(httpx.TransportError):
                    client.get("http://x/exit")
                eventually(lambda: command.err.text.count(" serves") == 1)
                assert int(client.get("http://x/").text) != command.process.pid
                assert first
            assert command.stop() == 0
        assert not Path(path).exists()


def test_an_inherited_socket_is_shared(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        arguments = ["main:app", "--workers", "2", "--fd", str(fd)]
        with started(arguments, directory, pass_fds=[fd]) as command:
            assert command.port == listener.getsockname()[1]
            assert pids(command.url, 1)
            assert command.stop() == 0


def test_a_worker_that_hangs_is_stopped_within_the_graceful_time(directory: Path) -> None:
    with workers(directory, "--timeout-graceful-shutdown", "0.1") as command:
        with ask(command.url, "/hang"):
            command.out.wait_for("hanging")
            assert command.stop() == 0
        assert command.out.text.count("shut down") == 2


def test_a_worker_whose_loop_is_blocked_is_killed(directory: Path) -> None:
    options = ("--timeout-graceful-shutdown", "0", "--timeout-lifespan", "0.1")
    with workers(directory, *options) as command:
        with ask(command.url, "/block"):
            command.out.wait_for("blocking")
            command.signal(signal.SIGTERM)
            assert command.exit() == 1
        assert "does not stop: killed" in command.err.text


def test_workers_do_not_outlive_a_killed_supervisor(directory: Path) -> None:
    with workers(directory) as command:
        found = pids(command.url, 2)
        command.signal(signal.SIGKILL)
        command.process.wait(PATIENCE)
        eventually(lambda: not any(running(pid) for pid in found))
        command.exit()
        assert command.out.text.count("shut down") == 2


# -- dying and starting again ----------------------------------------------------------


def test_a_worker_that_dies_is_replaced_and_the_rest_go_on(directory: Path) -> None:
    with workers(directory) as command:
        before = pids(command.url, 2)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        command.err.wait_for(rf"\(pid {victim}\) died \(SIGKILL\); starting another")
        command.err.wait_for(r"worker \d \(pid \d+\) serves")
        after = pids(command.url, 2)
        assert victim not in after
        assert before & after
        assert command.stop() == 0


def test_connections_wait_for_the_worker_that_comes(directory: Path) -> None:
    """The supervisor keeps every socket open, so none is refused or reset in between."""
    with workers(directory) as command:
        victims = pids(command.url, 2)
        for victim in victims:
            os.kill(victim, signal.SIGSTOP)
        clients = [ask(command.url, "/") for _ in range(8)]
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        command.err.wait_for(" serves", count=2)
        for client in clients:
            with client:
                client.settimeout(PATIENCE)
                assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert command.stop() == 0


def test_a_worker_that_has_had_its_requests_is_replaced(directory: Path) -> None:
    options = ("--limit-max-requests", "3", "--limit-max-requests-jitter", "2")
    with workers(directory, *options) as command:
        seen = {int(httpx.get(command.url).text) for _ in range(30)}
        assert len(seen) >= 4
        assert " died " not in command.err.text
        assert command.stop() == 0


@pytest.mark.soak
def test_a_leaving_worker_finishes_while_its_successor_serves(directory: Path) -> None:
    options = ("--limit-max-requests", "4", "--timeout-graceful-shutdown", "1")
    with workers(directory, *options) as command:
        before = pids(command.url, 2)
        hanging = ask(command.url, "/hang")
        command.out.wait_for("hanging")
        end = time.monotonic() + PATIENCE
        while before & pids(command.url, 2):  # until both have had their requests
            assert time.monotonic() < end
        assert command.err.text.count("is to be replaced (requests)") >= 2
        hanging.close()
        command.err.wait_for(" has ended", count=2)
        assert command.stop() == 0
        assert " died " not in command.err.text


def test_a_worker_that_cannot_start_again_is_retried_while_others_serve(directory: Path) -> None:
    with workers(directory) as command:
        before = pids(command.url, 2)
        (directory / "fail").touch()
        os.kill(min(before), signal.SIGKILL)
        command.err.wait_for("cannot start: .*no database", count=2)
        assert int(httpx.get(command.url, timeout=PATIENCE).text) == max(before)
        (directory / "fail").unlink()
        command.err.wait_for(" serves")
        assert command.stop() == 0


# -- failing to start ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import fs_not_there\n", "cannot import 'main': No module named 'fs_not_there'"),
        ("x = 1\n", "'main' has no attribute 'app'"),
        ("import os\nos._exit(7)\n", "it died during start-up (exit status 7)"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "start-up (SIGSEGV)"),
    ],
)
def test_a_first_start_that_fails_says_why_once_and_exits_with_3(
    directory: Path, source: str, said: str
) -> None:
    (directory / "main.py").write_text(source)
    status, text = finished(["main:app", "--workers", "3", "--port", "0"], directory)
    assert status == 3
    assert text.count("fastserve: ") == 1
    assert said in text
    assert text.count("Traceback") == ("No module" in said)
    assert "fastserve/supervision" not in text


def test_a_failed_start_up_of_the_application_exits_with_3(directory: Path) -> None:
    (directory / "fail").touch()
    status, text = finished(["main:app", "--workers", "2", "--port", "0"], directory)
    assert (status, text) == (3, "fastserve: the application's start-up failed: no database\n")


def test_a_taken_port_is_found_before_any_worker_is_started(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with started(["main:app", "--workers", "2", "--port", port], directory) as command:
            assert command.exit() == 3
            assert command.out.text == ""
            assert f"127.0.0.1:{port}: the address is already in use" in command.err.text


def test_it_runs_in_the_main_thread_only() -> None:
    caught: list[Exception] = []

    def run() -> None:
        try:
            Supervisor(Config("main:app", workers=2)).run()
        except ConfigError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_importing_sees_the_parents_path_and_arguments(directory: Path) -> None:
    """A script in another directory can name a module beside itself."""
    script = directory / "serve.py"
    script.write_text(
        "import fastserve, sys\nfastserve.run('main:app', workers=2, port=0)\nprint('over')\n"
    )
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    with started([str(script), "--flag"], elsewhere, module="") as command:
        assert len(pids(command.url, 2)) == 2
        assert command.stop() == 0
        assert command.out.text.count("over") == 1
