"""What every test gets: the support package, log records, and the leak check."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

LEAK_PATIENCE = 10.0
# What ends by itself in so many seconds is not searched for in cycles, which takes longer.
LEAVE = 0.02
PASSED = pytest.StashKey[bool]()


def pytest_collection_finish() -> None:
    """What collecting has made stays to the end: no search for garbage need go through it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


def live_objects() -> dict[str, int]:
    """Native objects alive, by class.  Empty where the server core was never imported."""
    module = sys.modules.get("fastserve._native.service")
    if module is None:
        return {}
    return {name: count for name, count in module.live_objects().items() if count}


def lingering_threads(before: set[threading.Thread]) -> list[str]:
    """Threads begun since `before`, but for executors that live as long as the process."""
    server = sys.modules.get("support.server")
    shared = server.SHARED_THREADS if server else set()
    return [
        thread.name
        for thread in threading.enumerate()
        if thread not in before
        and thread not in shared
        and not thread.name.startswith(("ThreadPoolExecutor", "asgiref"))
    ]


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After a test that passed, no native object of it and no thread of it is left.

    A failed test's traceback holds its objects, so nothing is said of it; and the tracebacks
    that the test's log records hold are dropped first.
    """
    threads = set(threading.enumerate())
    live = live_objects()
    yield
    if not request.node.stash.get(PASSED, False):
        return
    for record in caplog.get_records("call"):
        record.exc_info = None
    begin = time.monotonic()
    while True:
        left = {name: n for name, n in live_objects().items() if n > live.get(name, 0)}
        lingering = lingering_threads(threads)
        if not left and not lingering:
            return
        waited = time.monotonic() - begin
        if waited > LEAK_PATIENCE:
            break
        if waited > LEAVE:
            gc.collect()
        time.sleep(0.001)
    raise AssertionError(f"left over: objects {left}, threads {lingering}")


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """The level that a test's server has set is not the next one's."""
    logger = logging.getLogger("fastserve")
    level = logger.level
    yield
    logger.setLevel(level)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of `carrier` runs on every version of HTTP."""
    if "carrier" in metafunc.fixturenames:
        from support.carriers import CARRIERS

        metafunc.parametrize("carrier", CARRIERS, ids=lambda each: each.name)


@pytest.fixture
def authority(tmp_path: Path) -> Any:
    """An authority that issues certificates into the test's directory."""
    from support.certificates import Authority

    return Authority(tmp_path)


@pytest.fixture
def logs() -> Iterator[Any]:
    """The records of the server's loggers, debug level included."""
    from support.logs import LogRecords

    logger = logging.getLogger("fastserve")
    handler, level = LogRecords(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)
