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
    """A test of `carrier` runs on every version of HTTP, one of `carriage` on those that carry
    WebSockets."""
    if "carrier" in metafunc.fixturenames:
        from support.carriers import CARRIERS

        metafunc.parametrize("carrier", CARRIERS, ids=lambda each: each.name)
    if "carriage" in metafunc.fixturenames:
        from support.websocket_http2 import CARRIAGES

        metafunc.parametrize("carriage", CARRIAGES, ids=lambda each: each.name, indirect=True)


@pytest.fixture
def carriage(request: pytest.FixtureRequest) -> Iterator[Any]:
    """What carries the WebSockets of a test: HTTP/1.1, then HTTP/2."""
    from support import websocket_http2

    websocket_http2.carry(request.param)
    yield request.param
    websocket_http2.carry(websocket_http2.HTTP1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On HTTP/2 WebSockets are not tested with what is of HTTP/1.1 alone, nor with a second event
    loop: what loops differ in is the connection's affair, and below both versions."""
    items[:] = [item for item in items if not _needless(item)]


def _needless(item: pytest.Item) -> bool:
    parameters = getattr(item, "callspec", None)
    carriage = parameters and parameters.params.get("carriage")
    return bool(carriage and carriage.version == "2") and (
        parameters.params.get("loop") == "asyncio"
        or item.get_closest_marker("on_http1") is not None
    )


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
