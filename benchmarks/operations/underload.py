"""Scenarios in which the load runs while something is done to the server.

Each is a coroutine that gets a server that has started and gives an Outcome. All waiting is
bounded.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from .client import Broken, Connection, Load
from .outcome import Outcome
from .running import Running

WARM = 1.0  # seconds of load before anything is done
AFTER = 1.5  # and after it is over


def light(server: Running) -> Load:
    """A load for scenarios of which several run at once."""
    return Load(server.port, rate=20, clients=4, interval=0.2)


async def ended(server: Running, outcome: Outcome) -> Outcome:
    """Complete an outcome where the main process may have ended: status, and what is left."""
    outcome.exit = server.exit
    if server.exit is not None:
        await server.until(lambda: not server.session(), 3)
        outcome.orphans = len(server.session())
    return outcome


async def kill_worker(server: Running) -> Outcome:
    """SIGKILL to one worker: is it replaced, and does the rest go on?"""
    before = server.workers
    victim = min(before)
    async with Load(server.port) as load:
        await asyncio.sleep(WARM)
        at = time.monotonic()
        server.signal(signal.SIGKILL, victim)
        took = await server.until(lambda: server.exit is not None or server.workers - before, 10)
        await asyncio.sleep(AFTER)
    outcome = Outcome("not replaced", False, took)
    if server.exit is not None:
        outcome.said = "service ended"
    elif took is not None:
        outcome.said, outcome.good = "replaced", True
    outcome.count(load.records, at)
    if before - {victim}:
        outcome.shutdowns(server, before - {victim})
    return await ended(server, outcome)


async def kill_main(server: Running) -> Outcome:
    """SIGKILL to the main process: do the workers end, and do they end well?"""
    before = server.workers
    async with Load(server.port) as load:
        await asyncio.sleep(WARM)
        at = time.monotonic()
        server.signal(signal.SIGKILL)
        took = await server.until(lambda: not server.session(), 15)
        serving = took is None and await server.releases(5) == {"1"}
        if took is None and not serving:  # they have turned away and may be about to end
            await server.until(lambda: not server.session(), 30)
            took = None if server.session() else time.monotonic() - at
    orphans = len(server.session())
    outcome = Outcome("workers ended", True, took, orphans=orphans)
    if took is None:
        state = "serve on" if serving else "hang on"
        outcome.said, outcome.good = f"{orphans} orphans {state}", False
    outcome.count(load.records, at)
    outcome.shutdowns(server, before)
    return outcome


def renewed(server: Running, before: set[int]) -> bool:
    """Whether all these workers have gone and as many others have started."""
    now = server.workers
    return not before & now and len(now) >= len(before)


async def replaced(
    server: Running, begin: Callable[[], object], bound: float, load: Load
) -> Outcome:
    """`begin` something after which every worker is to be another one; wait for that under load."""
    before = server.workers
    async with load:
        await asyncio.sleep(WARM)
        at = time.monotonic()
        begin()
        took = await server.until(lambda: server.exit is not None or renewed(server, before), bound)
        await asyncio.sleep(AFTER)
    outcome = Outcome("replaced", True, took)
    if took is None:
        left = len(before & server.workers)
        outcome.said, outcome.good = f"{left} of {len(before)} not replaced in {bound:.0f} s", False
    elif server.exit is not None:
        outcome.said, outcome.good = "service ended", False
    outcome.count(load.records, at)
    outcome.shutdowns(server, before)
    return await ended(server, outcome)


async def deployed(server: Running, outcome: Outcome) -> Outcome:
    """Add whether all new connections are answered by the second release."""
    seen = await server.releases()
    outcome.facts["releases_seen"] = sorted(seen)
    if outcome.good:
        outcome.good = seen == {"2"}
        outcome.said = "new code" if outcome.good else "old code still answers"
    return outcome


async def sighup(server: Running) -> Outcome:
    """A new release, then SIGHUP."""
    server.release("2")
    outcome = await replaced(server, lambda: server.signal(signal.SIGHUP), 30, Load(server.port))
    return await deployed(server, outcome)


async def upgrade(server: Running) -> Outcome:
    """A new release, then SIGUSR2.

    Gunicorn starts a second main process beside the first; the operator then ends that.
    """
    server.release("2")
    before = server.workers
    if server.peer.name != "gunicorn":
        outcome = await replaced(
            server, lambda: server.signal(signal.SIGUSR2), 30, Load(server.port)
        )
        outcome.facts["same_pid"] = server.exit is None
        return await deployed(server, outcome)
    async with Load(server.port) as load:
        await asyncio.sleep(WARM)
        at = time.monotonic()
        server.signal(signal.SIGUSR2)
        await server.until(lambda: len(server.workers - before) >= len(before), 15)
        server.signal(signal.SIGTERM)
        gone = await server.until(
            lambda: server.exit is not None and not before & server.workers, 35
        )
        took = time.monotonic() - at
        await asyncio.sleep(AFTER)
    outcome = Outcome("replaced", gone is not None, took if gone is not None else None)
    outcome.facts["same_pid"] = False
    outcome.count(load.records, at)
    outcome.shutdowns(server, before)
    outcome.exit = server.exit
    return await deployed(server, outcome)


async def requests(server: Running) -> Outcome:
    """Workers are replaced after so many requests, all at about the same time."""
    return await replaced(server, lambda: None, 30, Load(server.port))


async def lifetime(server: Running) -> Outcome:
    """Workers are replaced after so many seconds."""
    return await replaced(server, lambda: None, 90, light(server))


async def memory(server: Running) -> Outcome:
    """One worker takes more memory than it may."""
    before = server.workers
    async with Load(server.port) as load:
        await asyncio.sleep(WARM)
        at = time.monotonic()
        try:
            victim = int((await server.ask("/grow")).body.split()[1])
        except Broken as broken:
            return Outcome(f"the request for memory failed: {broken.kind}", False)
        took = await server.until(
            lambda: victim not in server.workers and server.workers - before, 20
        )
        await asyncio.sleep(AFTER)
    outcome = Outcome("replaced" if took is not None else "not replaced in 20 s", took is not None)
    outcome.seconds = took
    outcome.count(load.records, at)
    outcome.shutdowns(server, {victim})
    return await ended(server, outcome)


async def scale(server: Running) -> Outcome:
    """SIGTTIN to three workers, SIGTTOU twice to one."""
    before = server.workers
    seen = [len(before)]
    async with Load(server.port) as load:
        await asyncio.sleep(WARM)
        at = time.monotonic()
        for number, wanted in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)):
            server.signal(number)
            await server.until(lambda wanted=wanted: len(server.workers) == wanted, 15)
            seen.append(len(server.workers))
            await asyncio.sleep(0.5)
        took = time.monotonic() - at - 1.5
        await asyncio.sleep(AFTER)
    said = " → ".join(map(str, seen))
    outcome = Outcome(f"{said} workers", seen == [2, 3, 2, 1], took)
    outcome.count(load.records, at)
    outcome.shutdowns(server, server.started)
    return await ended(server, outcome)


async def unready(server: Running, since: float) -> float | None:
    """Seconds until the readiness endpoint says no; None if there is none or it never does."""
    while time.monotonic() < since + 5:
        try:
            connection = await Connection.open(server.admin)
            answer = await connection.get("/readyz", 2, b"Connection: close\r\n")
            connection.close()
        except Broken:
            return None
        if answer.status == 503:
            return time.monotonic() - since
        await asyncio.sleep(0.05)
    return None


async def drain(server: Running) -> Outcome:
    """SIGTERM under load: what becomes of open connections, and for two seconds of new ones."""
    before = server.workers
    async with Load(server.port) as load:
        await asyncio.sleep(WARM)
        at = time.monotonic()
        server.signal(signal.SIGTERM)
        ready = asyncio.create_task(unready(server, at))
        took = await server.until(lambda: server.exit is not None, 40)
        await asyncio.sleep(max(0, at + 2.2 - time.monotonic()))
    flipped = await ready
    old = [r for r in load.records if r.client == "kept" and r.opened <= at < r.ended]
    new = [r for r in load.records if r.client == "new" and at <= r.begun < at + 2]
    outcome = Outcome("ended" if took is not None else "never (>40 s)", took is not None, took)
    outcome.count(old + new, at)
    outcome.facts["readiness_false_after"] = None if flipped is None else round(flipped, 2)
    outcome.shutdowns(server, before)
    return await ended(server, outcome)
