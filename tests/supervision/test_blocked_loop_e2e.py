"""An event loop that stands still: where it stands is told, and the worker replaced if wanted."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from support.load import load
from support.service import serve

PROCESSES = pytest.mark.parametrize("workers", [None, 2], ids=["one process", "workers"])
WARN = ("--warn-blocked-loop", "0.3")

BLOCKS = """
@route
async def nap(scope, receive, send):
    note("blocking")
    while not is_there("release"):
        time.sleep(0.01)
    await answer(send, "rested")

def count_for_long():
    number = 0
    while number % 100_000 or not is_there("release"):
        number += 1

@route
async def busy(scope, receive, send):
    note("blocking")
    count_for_long()
    await answer(send, "rested")

@route
async def later(scope, receive, send):
    await asyncio.sleep(0)
    await nap(scope, receive, send)

@route
async def regex(scope, receive, send):
    note("blocking")
    re.match("(a+)+$", "a" * 60 + "b")
"""


@PROCESSES
@pytest.mark.parametrize(
    ("path", "standing"),
    [
        ("/nap", r"in nap\n\s+time\.sleep\(0\.01\)|in is_there"),
        ("/busy", r"in busy\n\s+count_for_long\(\)\n.*in (count_for_long|is_there)"),
        ("/later", r"in later\n\s+await nap\(.*in nap\n"),
    ],
)
def test_a_blocked_loop_is_told_with_its_request_and_stack(
    tmp_path: Path, workers: int | None, path: str, standing: str
) -> None:
    with serve(tmp_path, *WARN, workers=workers, more=BLOCKS) as service:
        with service.ask(path) as client:
            # A worker that keeps its interpreter busy may be too late to name the request itself.
            told = service.wait_for_log(
                rf"event loop .*is blocked for [\d.]+ s, (serving GET {path}|.*'GET {path}')"
            )
            assert "fastserve/" not in service.log[told.end() :]
            service.wait_for_log(rf"(?s){path}.*({standing})")
            service.touch("release")
            assert client.response().body == b"rested"
        service.stop()
        assert service.log.count("is blocked for") == 1, "each block is told once"


def test_a_worker_whose_interpreter_lock_is_kept_is_told_too(tmp_path: Path) -> None:
    with serve(tmp_path, *WARN, more=BLOCKS) as service, service.ask("/regex"):
        (pid,) = service.wait_for("blocking")
        service.wait_for_log(
            rf"(?s)\(pid {pid}\) is blocked for [\d.]+ s, native code holds the interpreter; "
            r"the last request begun was 'GET /regex.*in regex\n\s+re\.match\("
        )
        os.kill(pid, signal.SIGKILL)
        service.wait_for_log(" serves")
        service.stop(lost=[pid])


@pytest.mark.soak
def test_a_blocked_worker_is_replaced_before_it_is_ended(tmp_path: Path) -> None:
    options = (*WARN, "--timeout-blocked-loop", "0.6")
    bounds = ("--timeout-graceful-shutdown", "0.1", "--timeout-lifespan", "0.1")
    with serve(tmp_path, *options, *bounds, more=BLOCKS) as service:
        with service.ask("/nap"), load(service.url) as traffic:
            (pid,) = service.wait_for("blocking")
            service.wait_for_log(rf"\(pid {pid}\) does not stop: killed")
            service.wait_for_log(rf"\(pid {pid}\) has ended")
            traffic.wait_for(50)
            traffic.stop()
            # What the blocked worker had accepted just before is lost with it.
            assert len(traffic.failures) <= 4
        assert service.replaced_first("blocked") == 1
        service.stop(lost=[pid])


def test_a_replaced_worker_that_goes_on_finishes_its_request(tmp_path: Path) -> None:
    options = (*WARN, "--timeout-blocked-loop", "0.6")
    with serve(tmp_path, *options, more=BLOCKS) as service:
        with service.ask("/nap") as client:
            (pid,) = service.wait_for("blocking")
            service.wait_for_log(r"worker \d \(pid \d+\) serves")
            service.touch("release")
            assert client.response().body == b"rested"
            service.wait_for_log(rf"\(pid {pid}\) has ended")
        assert service.replaced_first("blocked") == 1
        service.stop()


SLOW_START = """
time.sleep(1.5)

first = lifespan

async def lifespan(receive, send):
    time.sleep(1.5)
    await first(receive, send)
"""


@pytest.mark.parametrize(
    "workers", [pytest.param(None, marks=pytest.mark.soak), 2], ids=["one process", "workers"]
)
def test_a_slow_start_is_no_blocked_loop(tmp_path: Path, workers: int | None) -> None:
    limit = ("--timeout-blocked-loop", "0.4") if workers else ()
    with serve(tmp_path, *WARN, *limit, workers=workers, more=SLOW_START) as service:
        with service.connect() as client:
            assert client.get("/").body == b"one"
        service.stop()
        assert "blocked" not in service.log
        assert len(service.events("up")) == (workers or 1)


def test_a_stopped_worker_is_not_taken_for_a_blocked_one(tmp_path: Path) -> None:
    options = (*WARN, "--timeout-blocked-loop", "0.6")
    with serve(tmp_path, *options, more=BLOCKS) as service, service.ask("/nap") as client:
        (blocked,) = service.wait_for("blocking")
        (stopped,) = set(service.wait_for("up", 2)) - {blocked}
        os.kill(stopped, signal.SIGSTOP)
        try:
            service.wait_for_log(rf"\(pid {stopped}\) is [\d.]+ s late: its process is stopped")
            service.wait_for_log(rf"\(pid {blocked}\) is to be replaced \(blocked\)")
            service.wait_for_log(" serves")
        finally:
            os.kill(stopped, signal.SIGCONT)
        service.touch("release")
        assert client.response().body == b"rested"
        with load(service.url, path="/pid") as traffic:
            traffic.wait_for_answer(str(stopped))
            traffic.stop()
            assert traffic.failures == []
        service.stop()
        assert not re.search(rf"\(pid {stopped}\) is (blocked|to be replaced)", service.log)
