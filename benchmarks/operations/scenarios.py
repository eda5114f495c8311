"""The scenarios by name, and the running of one for one server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import atrest, underload
from .outcome import Outcome
from .peers import Peer
from .running import Failed, Running

BOUND = 150


@dataclass(frozen=True)
class Scenario:
    """`needs`: the feature without which there is nothing to run. `pooled`: it mostly waits, so
    several run at once. `workers`: how many, if not the usual two."""

    name: str
    title: str
    run: Callable[[Running], Awaitable[Outcome]]
    needs: str | None = None
    pooled: bool = False
    workers: int | None = None

    def reason_against(self, peer: Peer) -> str | None:
        """Why this cannot be run for that server; None if it can."""
        if self.name in peer.lacks:
            return peer.lacks[self.name]
        return "no" if self.needs and self.needs not in peer.can else None


SCENARIOS = [
    Scenario("kill-worker", "SIGKILL to a worker", underload.kill_worker),
    Scenario("kill-main", "SIGKILL to the main process", underload.kill_main),
    Scenario("sighup", "new release, SIGHUP", underload.sighup, "sighup"),
    Scenario("upgrade", "new release, SIGUSR2", underload.upgrade, "upgrade"),
    Scenario("requests", "replacement after 400 requests", underload.requests, "requests"),
    Scenario("lifetime", "replacement by lifetime", underload.lifetime, "lifetime", pooled=True),
    Scenario("memory", "replacement by memory", underload.memory, "memory"),
    Scenario("scale", "SIGTTIN, SIGTTOU, SIGTTOU", underload.scale, "scale"),
    Scenario("drain", "SIGTERM under load", underload.drain),
    *(
        Scenario(f"stop-{name}", f"SIGTERM with {what}", atrest.stop_with(client), pooled=True)
        for name, what, client in (
            ("idle", "an idle connection", atrest.idle),
            ("request", "a request of 3 s", atrest.slow),
            ("stream", "a stream that only sends", atrest.events),
            ("listening", "a stream that asks for the disconnect", atrest.listening),
            ("upload", "a slow upload", atrest.upload),
        )
    ),
    Scenario("blocked", "event loop blocked for 8 s", atrest.blocked, pooled=True),
    Scenario("bad-deploy", "release that does not import", atrest.bad_deploy, "sighup", True),
    Scenario("reload", "--reload with an open stream", atrest.reload, "reload", True, 1),
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


async def cell(scenario: Scenario, peer: Peer, python: str, installed: bool) -> dict[str, Any]:
    """One scenario for one server, as it goes into the result."""
    result: dict[str, Any] = {"scenario": scenario.name, "server": peer.name}
    if not installed:
        return result | {"not_run": "not installed"}
    if reason := scenario.reason_against(peer):
        return result | {"not_run": reason}
    options = peer.can.get(scenario.name, ())
    running = Running(peer, python, *options, workers=scenario.workers)
    result["command"] = " ".join(Path(word).name for word in running.command)
    try:
        async with asyncio.timeout(BOUND), running as server:
            outcome = await scenario.run(server)
    except Failed as failed:
        return result | {"error": str(failed)}
    except TimeoutError:
        return result | {"error": f"not over in {BOUND} s"}
    return result | outcome.as_dict()
