"""SIGTTIN and SIGTTOU under load: workers come and go, and no request fails."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest
from support.load import load
from support.process import eventually
from support.service import Service, serve


def scale(service: Service, number: int, *wanted: int) -> None:
    """Send a signal again and again: each time so many workers are wanted."""
    for count in wanted:
        before = service.log.count(f"workers wanted: {count}\n")
        service.signal(number)
        service.wait_for_log(f"workers wanted: {count}\n", before + 1)


@pytest.mark.parametrize(
    ("keep_alive", "kind"),
    [
        (False, "unix"),
        pytest.param(False, "tcp", marks=pytest.mark.soak),
        pytest.param(True, "unix", marks=pytest.mark.soak),
        (True, "tcp"),
    ],
    ids=["new connections-unix", "new connections-tcp", "keep-alive-unix", "keep-alive-tcp"],
)
def test_workers_come_and_go_and_no_request_fails(
    tmp_path: Path, keep_alive: bool, kind: str
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        places = ("--port", "0") if kind == "tcp" else ("--uds", f"{short}/s")
        with (
            serve(tmp_path, places=places) as service,
            load(service.url, keep_alive=keep_alive, path="/pid", clients=6) as traffic,
        ):
            scale(service, signal.SIGTTIN, 3, 4)
            service.wait_for_log(" serves", 2)
            scale(service, signal.SIGTTOU, 3, 2, 1)
            eventually(lambda: len(service.events("down")) == 3)
            service.signal(signal.SIGTTOU)
            service.wait_for_log("one worker stays")
            traffic.wait_for(50)
            assert len(set(traffic.answers[-20:])) == 1
            scale(service, signal.SIGTTIN, 2)
            service.wait_for_log(" serves", 3)
            traffic.wait_for(50)
            traffic.stop()
            assert traffic.failures == []
            assert len(service.events("up")) == 5
            service.stop()


def test_a_worker_that_is_wanted_again_before_it_has_gone_leaves_no_gap(tmp_path: Path) -> None:
    with serve(tmp_path) as service, load(service.url) as traffic:
        for _ in range(3):
            scale(service, signal.SIGTTOU, 1)
            scale(service, signal.SIGTTIN, 2)
        service.wait_for_log(" serves")
        traffic.wait_for(100)
        traffic.stop()
        assert traffic.failures == []
        service.stop()


def test_a_worker_that_is_scaled_away_finishes_its_request(tmp_path: Path) -> None:
    with serve(tmp_path, workers=1) as service:
        scale(service, signal.SIGTTIN, 2, 3, 4)
        service.wait_for_log(" serves", 3)
        clients = [service.ask("/hold") for _ in range(12)]
        service.wait_for("holding", 12)
        scale(service, signal.SIGTTOU, 3, 2, 1)
        service.touch("release")
        for client in clients:
            with client:
                assert client.response().body == b"one"
        service.wait_for_log(" has ended", 3)
        service.stop()


def test_a_new_worker_that_cannot_start_disturbs_nobody(tmp_path: Path) -> None:
    with serve(tmp_path) as service, load(service.url) as traffic:
        service.touch("refuse")
        scale(service, signal.SIGTTIN, 3)
        service.wait_for_log("worker 3 cannot start: .*no database; the next try", 2)
        scale(service, signal.SIGTTOU, 2)
        traffic.wait_for(50)
        traffic.stop()
        assert traffic.failures == []
        service.stop()
