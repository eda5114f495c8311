"""Workers that have had enough are replaced under load: the successor first, no request fails."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.client import Client
from support.load import load
from support.process import eventually
from support.service import Service, serve

CONNECTIONS = pytest.mark.parametrize(
    "keep_alive", [False, True], ids=["new connections", "keep-alive"]
)


@CONNECTIONS
def test_replacing_by_number_of_requests_fails_none(tmp_path: Path, keep_alive: bool) -> None:
    options = ("--limit-max-requests", "200", "--limit-max-requests-jitter", "100")
    with (
        serve(tmp_path, *options) as service,
        load(service.url, keep_alive=keep_alive, path="/pid") as traffic,
    ):
        eventually(lambda: service.replaced_first("requests") >= 3)
        traffic.stop()
        assert traffic.failures == []
        assert len(set(traffic.answers)) >= 4
        service.stop()


@pytest.mark.parametrize(
    "keep_alive",
    [pytest.param(False, marks=pytest.mark.soak), True],
    ids=["new connections", "keep-alive"],
)
def test_replacing_by_age_fails_no_request(tmp_path: Path, keep_alive: bool) -> None:
    with (
        serve(tmp_path, "--limit-worker-lifetime", "0.5") as service,
        load(service.url, keep_alive=keep_alive) as traffic,
    ):
        eventually(lambda: service.replaced_first("lifetime") >= 3)
        traffic.stop()
        assert traffic.failures == []
        service.stop()


GROW = """
KEPT = []

@route
async def grow(scope, receive, send):
    KEPT.append(bytearray(os.urandom(1 << 20)) * 16)
    await answer(send, str(os.getpid()))
"""


def grow(client: Client, service: Service) -> int:
    """Let one worker grow until it is to be replaced; its pid."""
    pid = 0
    while " is to be replaced (memory)" not in service.log:
        answer = client.get("/grow")
        pid = int(answer.body)
        if answer.header("connection") == "close":
            break
    service.wait_for_log(rf"\(pid {pid}\) is to be replaced \(memory\)")
    return pid


def test_replacing_by_memory_fails_no_request(tmp_path: Path) -> None:
    with (
        serve(tmp_path, "--limit-worker-memory", "200m", more=GROW) as service,
        load(service.url, keep_alive=True) as traffic,
    ):
        with service.connect() as client:
            pid = grow(client, service)
        service.wait_for_log(rf"\(pid {pid}\) has ended")
        assert service.replaced_first("memory") == 1
        traffic.wait_for(50)
        traffic.stop()
        assert traffic.failures == []
        assert pid in service.events("down")
        service.stop()


def test_a_worker_at_its_limit_stays_while_its_successor_cannot_start(tmp_path: Path) -> None:
    with (
        serve(tmp_path, "--limit-max-requests", "100", workers=1) as service,
        load(service.url, keep_alive=True) as traffic,
    ):
        service.wait_for("up")
        service.touch("refuse")
        service.wait_for_log("goes on serving: .*no database", 2)
        traffic.wait_for(100)
        service.remove("refuse")
        service.wait_for_log(" has ended")
        assert service.replaced_first("requests") == 1
        traffic.stop()
        assert traffic.failures == []
        service.stop()


def test_a_stop_while_a_worker_is_being_replaced_ends_both(tmp_path: Path) -> None:
    with serve(tmp_path, workers=1) as service:
        service.touch("slow")
        service.signal(signal.SIGHUP)
        service.wait_for("starting", 2)
        service.stop()
