"""Runs each framework's application under fastserve, and makes them importable as `apps.…`."""

from __future__ import annotations

import importlib
import logging
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.client import TIMEOUT
from support.server import Running, serve

sys.path.insert(0, str(Path(__file__).parent))

FRAMEWORKS = ("fastapi", "starlette", "django", "litestar", "quart", "flask")

Serve = Callable[[str], AbstractContextManager[tuple[Running, list[str]]]]


class Noise(logging.Handler):
    """What the server and its event loop log at warning level or above, a line a record."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self.lines.append(f"{record.name}: {record.getMessage()} ({cause!r})")


@contextmanager
def serve_framework(framework: str, **options: Any) -> Iterator[tuple[Running, list[str]]]:
    """The running server of the framework's application, and what it logs as noise."""
    app = importlib.import_module(f"apps.{framework}_app").app
    noise = Noise()
    loggers = [logging.getLogger(name) for name in ("fastserve", "asyncio")]
    for logger in loggers:
        logger.addHandler(noise)
    try:
        with serve(app, **options) as running:
            yield running, noise.lines
    finally:
        for logger in loggers:
            logger.removeHandler(noise)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "without(*frameworks): these lack what the test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test for every framework but those that `@pytest.mark.without(...)` names."""
    if "framework" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("without")
        lacking = marker.args if marker else ()
        names = [name for name in FRAMEWORKS if name not in lacking]
        metafunc.parametrize("framework", names, indirect=True, scope="module")


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(framework: str, loop: str) -> Iterator[Running]:
    """A server that the module's tests share.

    None of them makes the application fail, so nothing may have been logged when it has
    stopped: clients that leave in the middle are no error (ASGI.md, line 23).
    """
    with serve_framework(framework, loop=loop) as (running, noise):
        yield running
    assert noise == []


@pytest.fixture
def http(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
        yield client


@pytest.fixture
def own_server() -> Serve:
    """`serve_framework`, for a test that needs a server for itself."""
    return serve_framework


@pytest.fixture
def key(framework: str) -> str:
    """A name for one test's marks that no other test uses."""
    return f"{framework}-{uuid.uuid4().hex}"
