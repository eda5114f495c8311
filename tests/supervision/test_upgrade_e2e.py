"""SIGUSR2 under load: the supervisor becomes the new program, and nobody notices."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.load import Load, load
from support.process import eventually, running
from support.service import REPLACED, Service, serve


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def upgrade(service: Service, traffic: Load, version: str) -> None:
    """Upgrade, so that nothing but `version` is answered any more."""
    before = service.log.count(REPLACED)
    service.release(version)
    service.signal(signal.SIGUSR2)
    service.wait_for_log(REPLACED, before + 1)
    traffic.wait_for_answer(version, 50)
    assert set(traffic.answers[-20:]) == {version}


@pytest.mark.parametrize("keep_alive", [False, True], ids=["new connections", "keep-alive"])
def test_an_upgrade_keeps_pid_and_sockets_and_fails_no_request(
    tmp_path: Path, short: Path, keep_alive: bool
) -> None:
    path, pid_file = short / "s", short / "pid"
    places = ("--bind", "127.0.0.1:0", "--bind", f"unix:{path}")
    with (
        serve(tmp_path, "--pid-file", str(pid_file), places=places) as service,
        load(service.url, keep_alive=keep_alive) as traffic,
        load(f"unix:{path}", keep_alive=keep_alive, clients=2) as other,
    ):
        file = path.stat().st_ino
        for version in ("two", "three"):
            upgrade(service, traffic, version)
            other.wait_for_answer(version)
            assert service.command.process.poll() is None
            assert int(pid_file.read_text()) == service.command.process.pid
            assert path.stat().st_ino == file
        for each in (traffic, other):
            each.stop()
            assert each.failures == []
        service.stop()
    assert list(short.iterdir()) == []


def test_the_number_of_workers_follows_the_configuration(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"

    def want(workers: int) -> None:
        pyproject.write_text(f"[tool.fastserve]\nworkers = {workers}\n")

    want(2)
    with serve(tmp_path, workers=None) as service, load(service.url) as traffic:
        want(3)
        upgrade(service, traffic, "two")
        eventually(lambda: len(service.events("up")) == 5)
        want(1)
        upgrade(service, traffic, "three")
        eventually(lambda: len(service.events("down")) == 5)
        traffic.wait_for(50)
        traffic.stop()
        assert traffic.failures == []
        assert len(service.events("up")) == 6
        service.stop()


# -- new programs that do not start ----------------------------------------------------


def test_a_program_that_fails_its_trial_changes_nothing(tmp_path: Path) -> None:
    with serve(tmp_path) as service, load(service.url, keep_alive=True) as traffic:
        former = service.wait_for("up", 2)
        service.write("import no_such_module_anywhere\n")
        service.signal(signal.SIGUSR2)
        service.wait_for_log("upgrade is given up, the new program does not start")
        service.wait_for_log("No module named 'no_such_module_anywhere'")
        traffic.wait_for_answer("one", 50)
        assert service.events("up") == former
        assert service.events("down") == []
        upgrade(service, traffic, "two")
        traffic.stop()
        assert traffic.failures == []
        service.stop()


def test_the_old_workers_go_on_when_the_new_ones_do_not_start(tmp_path: Path) -> None:
    with serve(tmp_path) as service, load(service.url, keep_alive=True) as traffic:
        former = service.wait_for("up", 2)
        service.touch("refuse")
        service.signal(signal.SIGUSR2)
        service.wait_for_log("the upgrade is given up; 2 workers stay as they are")
        service.wait_for_log("goes on serving: .*no database")
        traffic.wait_for_answer("one", 50)
        assert service.events("up") == former
        service.remove("refuse")
        upgrade(service, traffic, "two")
        traffic.stop()
        assert traffic.failures == []
        service.stop()


# -- an upgrade and other orders -------------------------------------------------------


def test_a_stop_right_after_an_upgrade_leaves_nothing(tmp_path: Path, short: Path) -> None:
    options = ("--pid-file", str(short / "pid"))
    with serve(tmp_path, *options, places=("--uds", str(short / "s"))) as service:
        service.signal(signal.SIGUSR2)
        service.wait_for_log("upgraded: replacing the workers")
        service.stop()
    assert list(short.iterdir()) == []


def test_a_stop_during_the_trial_ends_the_trial_too(tmp_path: Path) -> None:
    waiting = "note('trying')\nwhile is_there('slow'):\n    time.sleep(0.01)\n"
    with serve(tmp_path) as service:
        service.touch("slow")
        service.write(service.source + waiting)
        service.signal(signal.SIGUSR2)
        (trial,) = service.wait_for("trying")
        service.stop()
        assert not running(trial)


STOP_WHEN_TRIED = """
import subprocess
if is_there("first"):
    os.unlink(os.path.join(HERE, "first"))
    subprocess.Popen(
        ["sh", "-c", f"while kill -0 {os.getpid()}; do :; done; kill -TERM {os.getppid()}"],
        stderr=subprocess.DEVNULL,
    )
"""


def test_a_stop_in_the_moment_of_the_exec_is_obeyed(tmp_path: Path) -> None:
    """The signal is sent as soon as the trial's end has been noticed."""
    with serve(tmp_path) as service:
        service.touch("first")
        service.write(service.source + STOP_WHEN_TRIED)
        service.signal(signal.SIGUSR2)
        service.assert_ends()
        assert not (tmp_path / "first").exists()


def test_a_retiring_worker_finishes_its_request_after_the_upgrade(tmp_path: Path) -> None:
    with serve(tmp_path) as service, service.ask("/hold") as client:
        (holding,) = service.wait_for("holding")
        service.release("two")
        service.signal(signal.SIGHUP)
        service.wait_for_log(REPLACED)
        with load(service.url) as traffic:
            upgrade(service, traffic, "three")
            traffic.stop()
            assert traffic.failures == []
        assert running(holding)
        service.touch("release")
        assert client.response().body == b"one"
        service.wait_for_log(rf"\(pid {holding}\) has ended")
        service.stop()
