"""Processes that are killed or die: who loses what, who takes their place, who stays behind."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from support.load import load
from support.process import PATIENCE, eventually, running
from support.service import Service, serve

WAYS = pytest.mark.parametrize("options", [(), ("--preload",)], ids=["spawned", "preloaded"])


def kill(service: Service, pid: int) -> None:
    """Kill a worker and wait until another serves in its place."""
    serving = service.log.count(" serves")
    os.kill(pid, signal.SIGKILL)
    service.wait_for_log(rf"\(pid {pid}\) died \(SIGKILL\); starting another")
    service.wait_for_log(r"worker \d+ \(pid \d+\) serves", serving + 1)


# -- a worker --------------------------------------------------------------------------


@WAYS
def test_only_connections_of_a_killed_worker_fail(tmp_path: Path, options: tuple[str]) -> None:
    with (
        serve(tmp_path, *options) as service,
        load(service.url, clients=16, keep_alive=True, path="/pid") as traffic,
    ):
        victim, other = service.wait_for("up", 2)
        for each in (victim, other):
            traffic.wait_for_answer(str(each))
        kill(service, victim)
        traffic.wait_for(100)
        traffic.stop()
        assert {each.before for each in traffic.failures} <= {str(victim)}
        assert str(victim) not in traffic.answers[-20:]
        service.stop(lost=[victim])


def test_new_connections_outlive_a_killed_worker(tmp_path: Path) -> None:
    with serve(tmp_path) as service, load(service.url, clients=4) as traffic:
        victim, _ = service.wait_for("up", 2)
        kill(service, victim)
        lost = len(traffic.failures)
        assert lost <= 4, "at most the one request that each client had open"
        assert "refused" not in str(traffic.failures)
        traffic.wait_for(100)
        traffic.stop()
        assert len(traffic.failures) == lost
        service.stop(lost=[victim])


def test_a_request_in_another_worker_is_answered(tmp_path: Path) -> None:
    with serve(tmp_path) as service, service.ask("/hold") as client:
        (holding,) = service.wait_for("holding")
        (victim,) = set(service.wait_for("up", 2)) - {holding}
        kill(service, victim)
        service.touch("release")
        assert client.response().body == b"one"
        service.stop(lost=[victim])


def test_a_worker_that_is_killed_while_it_starts_is_tried_again(tmp_path: Path) -> None:
    with serve(tmp_path) as service, load(service.url) as traffic:
        first, _ = service.wait_for("up", 2)
        service.touch("slow")
        os.kill(first, signal.SIGKILL)
        second = service.wait_for("starting", 3)[2]
        lost = len(traffic.failures)
        os.kill(second, signal.SIGKILL)
        service.wait_for_log(r"cannot start: it died during start-up \(SIGKILL\); the next try")
        service.remove("slow")
        service.wait_for_log(" serves")
        traffic.wait_for(50)
        traffic.stop()
        assert len(traffic.failures) == lost <= 4
        service.stop(lost=[first, second])


BAD = """
first = lifespan

async def lifespan(receive, send):
    # Whoever makes the file first is good; every other one dies as soon as it is up.
    try:
        with open(os.path.join(HERE, "good"), "x"):
            note("good")
    except FileExistsError:
        asyncio.get_running_loop().call_later(0.1, os._exit, 9)
    await first(receive, send)
"""


def test_a_worker_that_dies_again_and_again_does_not_stop_the_service(tmp_path: Path) -> None:
    pause = r"(?:next one starts|next try is) in ([\d.]+) s"
    with serve(tmp_path, more=BAD) as service, load(service.url) as traffic:
        service.wait_for_log(pause, 2)
        traffic.wait_for(50)
        traffic.stop()
        pauses = [float(each) for each in re.findall(pause, service.log)]
        assert pauses[0] < pauses[1]
        assert re.search(r"worker \d has died 3 times in a row, .* exit status 9", service.log)
        service.signal(signal.SIGTERM)
        service.command.exit()
        assert set(service.events("good")) <= set(service.events("down"))


# -- the supervisor --------------------------------------------------------------------


@WAYS
def test_workers_of_a_killed_supervisor_finish_what_they_have(
    tmp_path: Path, options: tuple[str]
) -> None:
    with (
        serve(tmp_path, *options) as service,
        load(service.url, keep_alive=True) as traffic,
        service.ask("/hold") as client,
    ):
        service.wait_for("holding")
        workers = service.wait_for("up", 2)
        service.signal(signal.SIGKILL)
        service.command.process.wait(PATIENCE)
        service.wait_for("down")  # the one that holds no request
        traffic.stop()
        assert {each.before for each in traffic.failures} <= {None}, "only new connections fail"
        service.touch("release")
        assert client.response().body == b"one"
        eventually(lambda: not any(map(running, workers)))
        service.assert_left_nothing()


BLOCK = """
@route
async def block(scope, receive, send):
    note("blocking")
    while True:
        pass
"""


def test_a_blocked_worker_of_a_killed_supervisor_is_ended(tmp_path: Path) -> None:
    bounds = ("--timeout-graceful-shutdown", "0.1", "--timeout-lifespan", "0.1")
    with serve(tmp_path, *bounds, more=BLOCK) as service, service.ask("/block"):
        (blocked,) = service.wait_for("blocking")
        workers = service.wait_for("up", 2)
        service.signal(signal.SIGKILL)
        service.command.process.wait(PATIENCE)
        eventually(lambda: not any(map(running, workers)))
        service.assert_left_nothing(lost=[blocked])
