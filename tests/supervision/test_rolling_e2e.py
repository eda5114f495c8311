"""SIGHUP under load: every worker is replaced, no request fails, new code is served."""

from __future__ import annotations

import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.load import Http2Load, Load, load
from support.process import eventually
from support.service import REPLACED, Service, serve

CONNECTIONS = pytest.mark.parametrize(
    "keep_alive", [False, True], ids=["new connections", "keep-alive"]
)


class RestingLoad(Http2Load):
    def _ask(self, client: Any) -> None:
        super()._ask(client)
        while not self._ended.is_set() and client.comes(0.02):
            if client.step() is None:
                break


def reload(service: Service, traffic: Load, version: str) -> None:
    """Replace all workers, so that nothing but `version` is answered any more."""
    before = service.log.count(REPLACED)
    service.release(version)
    service.signal(signal.SIGHUP)
    service.wait_for_log(REPLACED, before + 1)
    traffic.wait_for_answer(version, 50)
    assert set(traffic.answers[-20:]) == {version}


@CONNECTIONS
def test_a_reload_serves_new_code_and_fails_no_request(tmp_path: Path, keep_alive: bool) -> None:
    with serve(tmp_path) as service, load(service.url, keep_alive=keep_alive) as traffic:
        former = service.wait_for("up", 2)
        reload(service, traffic, "two")
        assert sorted(service.wait_for("down", 2)) == sorted(former)
        reload(service, traffic, "three")
        traffic.stop()
        assert traffic.failures == []
        assert len(service.events("up")) == 6
        service.stop()


def test_a_reload_fails_no_stream_of_http_2(tmp_path: Path) -> None:
    """Neither of a client that is busy all the time, nor of one whose connection rests at times."""
    with (
        serve(tmp_path) as service,
        load(service.url, kind=Http2Load) as busy,
        load(service.url, kind=RestingLoad) as resting,
    ):
        former = service.wait_for("up", 2)
        for version in ("two", "three"):
            reload(service, busy, version)
            resting.wait_for_answer(version, 20)
        assert set(former) <= set(service.wait_for("down", 4))
        for each in (busy, resting):
            each.stop()
            assert each.failures == []
        service.stop()


def test_a_reload_of_workers_that_share_a_unix_socket_fails_no_request(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        path = Path(short, "s")
        with (
            serve(tmp_path, places=("--uds", str(path))) as service,
            load(service.url, keep_alive=True) as lasting,
            load(service.url) as fleeting,
        ):
            file = path.stat().st_ino
            reload(service, lasting, "two")
            fleeting.wait_for_answer("two", 50)
            for each in (lasting, fleeting):
                each.stop()
                assert each.failures == []
            assert path.stat().st_ino == file
            service.stop()
        assert not path.exists()


def test_a_reload_of_workers_that_share_an_inherited_socket_fails_no_request(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        fd = listener.fileno()
        with (
            serve(tmp_path, places=("--fd", str(fd)), pass_fds=[fd]) as service,
            load(service.url) as traffic,
        ):
            reload(service, traffic, "two")
            traffic.stop()
            assert traffic.failures == []
            service.stop()


def body_of(service: Service) -> bytes:
    with service.connect() as client:
        return client.get("/").body


def test_a_request_under_way_is_answered_by_the_old_code(tmp_path: Path) -> None:
    with serve(tmp_path) as service, service.ask("/hold") as client:
        (holding,) = service.wait_for("holding")
        service.release("two")
        service.signal(signal.SIGHUP)
        service.wait_for_log(REPLACED)
        # The old worker may still take a connection before it hears that it is replaced.
        eventually(lambda: body_of(service) == b"two")
        service.touch("release")
        assert client.response().body == b"one"
        service.wait_for_log(rf"\(pid {holding}\) has ended")
        service.stop()


# -- versions that do not start --------------------------------------------------------

DOES_NOT_IMPORT = "def no_such_thing(:\n"
DOES_NOT_START = """
async def lifespan(receive, send):
    await receive()
    raise RuntimeError("no database today")
"""


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (DOES_NOT_IMPORT, r"(?s)cannot import 'main': .*def no_such_thing\(:.*SyntaxError"),
        (DOES_NOT_START, r"(?s)Traceback .*RuntimeError: no database today"),
    ],
    ids=["import", "lifespan"],
)
def test_the_old_workers_go_on_when_the_new_version_is_broken(
    tmp_path: Path, broken: str, told: str
) -> None:
    with (
        serve(tmp_path, "--lifespan", "on") as service,
        load(service.url, keep_alive=True) as traffic,
    ):
        former = service.wait_for("up", 2)
        service.write(service.source.replace('"one"', '"broken"') + broken)
        service.signal(signal.SIGHUP)
        service.wait_for_log("the reload is given up; 2 workers stay as they are")
        service.wait_for_log(r"cannot start, the old one \(pid \d+\) goes on serving")
        service.wait_for_log(told)
        traffic.wait_for_answer("one", 50)
        assert service.events("up") == former
        reload(service, traffic, "two")
        traffic.stop()
        assert traffic.failures == []
        assert "broken" not in traffic.answers
        service.stop()


# -- reloads in quick succession -------------------------------------------------------


@CONNECTIONS
def test_a_reload_during_a_reload_ends_with_the_newest_code(
    tmp_path: Path, keep_alive: bool
) -> None:
    with serve(tmp_path) as service, load(service.url, keep_alive=keep_alive) as traffic:
        service.release("two")
        service.signal(signal.SIGHUP)
        service.wait_for("imported", 3)  # the first successor has the second version
        reload(service, traffic, "three")
        traffic.stop()
        assert traffic.failures == []
        service.stop()


def test_many_reloads_at_once_fail_no_request(tmp_path: Path) -> None:
    with serve(tmp_path) as service, load(service.url) as traffic:
        service.release("two")
        for count in range(1, 5):
            service.signal(signal.SIGHUP)
            service.wait_for_log("reloading", count)
        service.wait_for_log(REPLACED)
        traffic.wait_for_answer("two", 50)
        traffic.stop()
        assert traffic.failures == []
        service.stop()
