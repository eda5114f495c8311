"""One process without a supervisor: signals, pid file, service manager, metrics beside it."""

from __future__ import annotations

import signal
import socket
import tempfile
from pathlib import Path

import httpx
import pytest
from support.process import eventually, finished, started
from support.service import APP, Service, serve


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


# -- stopping --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_stops_the_command_with_status_0(
    tmp_path: Path, number: signal.Signals, loop: str
) -> None:
    with serve(tmp_path, "--loop", loop, workers=None) as service:
        with service.connect() as client:
            assert client.get("/").text == "one"
        service.signal(number)
        service.assert_ends()
        assert f"stopping ({number.name})" in service.log
        assert "Traceback" not in service.log


def test_further_signals_skip_ahead_and_the_lifespan_still_shuts_down(tmp_path: Path) -> None:
    with serve(tmp_path, workers=None) as service, service.ask("/hold"):
        service.wait_for("holding")
        service.signal(signal.SIGINT)
        service.wait_for_log("stopping")
        service.insist()
        assert "requests under way, now told to disconnect: 1" in service.log
        assert "Traceback" not in service.log


def test_in_a_thread_it_serves_and_leaves_signals_alone(directory: Path) -> None:
    code = (
        "import fastserve, signal, threading\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "options = {'port': 0, 'limit_max_requests': 1}\n"
        "thread = threading.Thread(target=fastserve.run, args=('main:app',), kwargs=options)\n"
        "thread.start()\n"
        "thread.join()\n"
        "print('the same' if signal.getsignal(signal.SIGTERM) is before else 'another')\n"
    )
    with started(["-c", code], directory, module="") as command:
        assert httpx.get(command.url).text == "one"
        assert command.exit() == 0
        assert command.out.text.endswith("the same\n")


# -- log files -------------------------------------------------------------------------


def test_the_access_log_is_complete_at_exit(directory: Path) -> None:
    with started(["main:app", "--port", "0"], directory) as command:
        for index in range(5):
            httpx.get(f"{command.url}/?page{index}")
        assert command.stop() == 0
        assert [f"?page{i} " in command.out.text for i in range(5)] == [True] * 5


@pytest.mark.parametrize("option", ["--no-access-log", "--log-level=warning"])
def test_no_access_log_and_a_level_above_info_write_nothing(directory: Path, option: str) -> None:
    with started(["main:app", "--uds", "s", option], directory) as command:
        path = str(directory / "s")
        wait_for_listener(path)
        with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
            assert client.get("http://x/").text == "one"
        assert command.stop() == 0
        assert command.out.text == ""


def wait_for_listener(path: str) -> None:
    """With the start-up message off, only connecting tells that the server listens."""

    def is_there() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(path) == 0

    eventually(is_there)


def test_log_files_that_were_renamed_are_written_anew_after_sigusr1(directory: Path) -> None:
    log, moved = directory / "access.log", directory / "access.log.1"
    with started(["main:app", "--port", "0", "--access-log-file", str(log)], directory) as command:
        httpx.get(f"{command.url}/?before")
        eventually(lambda: "?before" in log.read_text())
        log.rename(moved)
        command.signal(signal.SIGUSR1)
        eventually(log.exists)
        httpx.get(f"{command.url}/?after")
        assert command.stop() == 0
    assert ("?before" in moved.read_text(), "?after" in moved.read_text()) == (True, False)
    assert ("?before" in log.read_text(), "?after" in log.read_text()) == (False, True)


# -- signals that do not stop ----------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_signal_for_a_supervisor_is_told_and_survived(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serve(tmp_path, workers=None, start_new_session=True) as service:
        service.signal(number)
        service.wait_for_log("one process cannot replace itself")
        with service.connect() as client:
            assert client.get("/").text == "one"
        service.stop()


# -- the pid file ----------------------------------------------------------------------


def test_the_pid_file_is_there_while_it_runs_and_refuses_a_second_one(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with serve(tmp_path, "--pid-file", str(file), workers=None) as service:
        pid = service.command.process.pid
        assert file.read_text() == f"{pid}\n"
        status, text = finished(["main:app", "--port", "0", "--pid-file", str(file)], tmp_path)
        assert status == 3
        assert f"already running with pid {pid}" in text
        service.stop()
    assert not file.exists()


# -- the service manager ---------------------------------------------------------------


def test_the_service_manager_hears_that_it_serves_lives_and_stops(tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as short,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(f"{short}/notify")
        manager.settimeout(30)
        env = {"NOTIFY_SOCKET": f"{short}/notify", "WATCHDOG_USEC": "100000"}
        with serve(tmp_path, workers=None, env=env) as service:
            told = [manager.recv(4096).decode() for _ in range(3)]
            assert told == ["READY=1\nSTATUS=serving", "WATCHDOG=1", "WATCHDOG=1"]
            service.signal(signal.SIGTERM)
            while (said := manager.recv(4096).decode()) == "WATCHDOG=1":
                pass
            assert said == "STOPPING=1\nSTATUS=stopping"
            service.assert_ends()


def test_what_names_the_service_manager_is_not_left_to_child_processes(tmp_path: Path) -> None:
    more = '\nnote("manager" if "NOTIFY_SOCKET" in os.environ else "none")\n'
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with serve(tmp_path, workers=None, env=env, more=more) as service:
        assert service.events("none") == [service.command.process.pid]
        service.stop()


# -- metrics and health ----------------------------------------------------------------


def test_metrics_and_health_answer_beside_it_and_while_it_stops(tmp_path: Path) -> None:
    with serve(tmp_path, "--admin-bind", "127.0.0.1:0", workers=None) as service:
        admin = service.wait_for_log(r"metrics and health on (\S+)")[1]
        assert httpx.get(f"{admin}/readyz").status_code == 200
        with service.ask("/hold") as client:
            service.wait_for("holding")
            service.signal(signal.SIGTERM)
            service.wait_for_log("stopping")
            assert httpx.get(f"{admin}/readyz").status_code == 503
            assert httpx.get(f"{admin}/livez").status_code == 200
            service.touch("release")
            assert client.response().text == "one"
        service.assert_ends()


def test_metrics_answer_while_the_application_starts_and_shuts_down(tmp_path: Path) -> None:
    (tmp_path / "slow").touch()
    more = """
async def lifespan(receive, send):
    await receive()
    note("starting")
    while is_there("slow"):
        await asyncio.sleep(0.01)
    await send({"type": "lifespan.startup.complete"})
    note("up")
    await receive()
    note("ending")
    await until("release")
    note("down")
    await send({"type": "lifespan.shutdown.complete"})
"""
    (tmp_path / "main.py").write_text(APP + more)
    options = ["main:app", "--port", "0", "--admin-bind", "127.0.0.1:0"]
    with started(options, tmp_path) as command:
        admin = command.err.wait_for(r"metrics and health on (\S+)")[1]
        service = Service(command, tmp_path, APP)
        service.wait_for("starting")
        assert httpx.get(f"{admin}/readyz").status_code == 503
        service.remove("slow")
        assert command.url  # it listens
        assert httpx.get(f"{admin}/readyz").status_code == 200
        service.signal(signal.SIGTERM)
        service.wait_for("ending")
        assert httpx.get(f"{admin}/readyz").status_code == 503
        assert "fastserve_" in httpx.get(f"{admin}/metrics").text
        service.touch("release")
        service.assert_ends()


def test_an_address_for_metrics_that_is_taken_keeps_it_from_starting(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        status, text = finished(["main:app", "--port", "0", "--admin-bind", place], directory)
    assert status == 3
    assert text.splitlines()[-1].startswith(f"fastserve: cannot listen on {place}")
