"""What needs a server of its own: applications that fail, start-up and shutdown.

A file apart, so that no server that other tests share is alive meanwhile and hears the noise.
"""

from __future__ import annotations

from typing import Any

import pytest
from apps.marks import stage

# Starlette hands an exception on to the server after its own 500; the others log it themselves.
HANDED_ON = {"starlette": 1, "fastapi": 1}


def test_a_failing_view_is_a_500_and_logged_once(own_server: Any, framework: str) -> None:
    with own_server(framework) as (server, noise):
        assert server.get("/fail").status == 500
        assert server.get("/json?name=next").status == 200
    assert len(noise) == HANDED_ON.get(framework, 0)
    assert all("the application's own fault" in line for line in noise)


@pytest.mark.without("django", "flask")  # neither has lifespan events
def test_startup_and_shutdown_run_once_each(own_server: Any, framework: str) -> None:
    before = [stage.count(f"{framework}/{event}") for event in ("startup", "shutdown")]
    with own_server(framework):
        assert stage.count(f"{framework}/startup") == before[0] + 1
        assert stage.count(f"{framework}/shutdown") == before[1]
    assert stage.count(f"{framework}/startup") == before[0] + 1
    assert stage.count(f"{framework}/shutdown") == before[1] + 1
