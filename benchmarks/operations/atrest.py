"""Scenarios that mostly wait: stops with something open, a blocked loop, a bad deploy, reload."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable

from .client import Broken, Connection
from .outcome import Outcome
from .running import Running
from .underload import ended, light

NEVER = 45
PIECE = b"x" * 1024
Client = Callable[[Connection], Awaitable[str]]


async def idle(connection: Connection) -> str:
    """One request, then nothing."""
    await connection.get("/")
    while await connection.reader.read(4096):
        pass
    return "closed"


async def slow(connection: Connection) -> str:
    """A request that takes three seconds."""
    answer = await connection.get("/slow", NEVER + 5)
    return "answered" if answer.status == 200 else str(answer.status)


async def stream(connection: Connection, path: str) -> str:
    """Reads a stream to its end."""
    connection.writer.write(f"GET {path} HTTP/1.1\r\nHost: service\r\n\r\n".encode())
    tail = b""
    with contextlib.suppress(OSError):
        while data := await connection.reader.read(4096):
            tail = (tail + data)[-16:]
    return "ended whole" if tail.endswith(b"0\r\n\r\n") else "cut"


async def events(connection: Connection) -> str:
    return await stream(connection, "/events")


async def listening(connection: Connection) -> str:
    return await stream(connection, "/listening")


async def upload(connection: Connection) -> str:
    """A body that comes slowly and does not end."""
    head = b"POST /upload HTTP/1.1\r\nHost: service\r\nContent-Length: 100000000\r\n\r\n"
    connection.writer.write(head)
    reading = asyncio.create_task(connection.reader.read(4096))
    while not reading.done():
        connection.writer.write(PIECE)
        await asyncio.wait([reading], timeout=0.2)
    try:
        data = reading.result()
    except OSError:
        return "reset"
    return data.split()[1].decode() if data else "cut"


async def watched(server: Running, client: Client) -> tuple[str, float]:
    """What the client saw, and when (time.monotonic())."""
    try:
        connection = await Connection.open(server.port)
        with contextlib.closing(connection):
            saw = await client(connection)
    except Broken as broken:
        saw = broken.kind
    except OSError:
        saw = "reset"
    return saw, time.monotonic()


def stop_with(client: Client) -> Callable[[Running], Awaitable[Outcome]]:
    """The scenario: SIGTERM while `client` is at work."""

    async def run(server: Running) -> Outcome:
        before = server.workers
        work = asyncio.create_task(watched(server, client))
        await asyncio.sleep(1)
        at = time.monotonic()
        server.signal(signal.SIGTERM)
        took = await server.until(lambda: server.exit is not None, NEVER)
        done, _ = await asyncio.wait([work], timeout=1)
        saw, when = await work if done else ("still open", None)
        work.cancel()
        outcome = Outcome("exits" if took is not None else f"never (>{NEVER} s)", seconds=took)
        outcome.facts["client_saw"] = saw
        outcome.facts["client_saw_after"] = round(when - at, 2) if when else None
        outcome.facts["disconnect_told"] = bool(server.notes("disconnect"))
        outcome.shutdowns(server, before)
        whole = (len(before), len(before)) if server.peer.lifespan else None
        outcome.good = took is not None and outcome.lifespan == whole
        return await ended(server, outcome)

    return run


async def blocked(server: Running) -> Outcome:
    """A handler holds the event loop for eight seconds: is it told where, and is it replaced?"""
    before = server.workers
    async with light(server) as load:
        await asyncio.sleep(1)
        at = time.monotonic()
        asking = asyncio.create_task(server.ask("/block", 15))
        await server.until(lambda: server.notes("blocking"), 3)
        victims = {note.pid for note in server.notes("blocking")}
        took, told = await asyncio.gather(
            server.until(lambda: server.workers - before, 11),
            server.until(lambda: server.told("hold_the_loop"), 11),
        )
        try:
            saw = "answered" if (await asking).status == 200 else "5xx"
        except Broken as broken:
            saw = broken.kind
    outcome = Outcome("replaced" if took is not None else "not replaced", took is not None, took)
    outcome.facts |= {"told_after": told and round(told, 2), "client_saw": saw}
    outcome.count(load.records, at)
    outcome.shutdowns(server, victims)
    return await ended(server, outcome)


async def bad_deploy(server: Running) -> Outcome:
    """The new release does not import; SIGHUP."""
    async with light(server) as load:
        await asyncio.sleep(0.5)
        (server.code / "service.py").write_text("import a_module_that_nobody_wrote\n")
        at = time.monotonic()
        server.signal(signal.SIGHUP)
        took = await server.until(lambda: server.exit is not None, 10)
        await asyncio.sleep(1)
    seen = await server.releases()
    outcome = Outcome("goes on", seen == {"1"}, took)
    if server.exit is not None:
        outcome.said = "service ended"
    elif not outcome.good:
        outcome.said = "answers only in part" if "1" in seen else "no longer answers"
    outcome.facts["told"] = server.told("a_module_that_nobody_wrote")
    outcome.facts["workers_left"] = len(server.workers)
    outcome.count(load.records, at)
    return await ended(server, outcome)


async def reload(server: Running) -> Outcome:
    """A file changes while a stream is open."""
    before = server.workers
    work = asyncio.create_task(watched(server, events))
    await asyncio.sleep(1.5)
    at = time.monotonic()
    server.release("2")
    with (server.code / "service.py").open("a") as source:
        source.write("# changed\n")
    took = None
    while time.monotonic() < at + 20 and took is None:
        await server.until(lambda: server.workers - before, max(0, at + 20 - time.monotonic()))
        if await server.releases(1) == {"2"}:
            took = time.monotonic() - at
        else:
            await asyncio.sleep(0.05)
    outcome = Outcome("reloads" if took is not None else "not within 20 s", took is not None, took)
    await server.until(lambda: work.done() and not before & server.workers, 5)
    outcome.facts["client_saw"] = (await work)[0] if work.done() else "still open"
    work.cancel()
    outcome.shutdowns(server, before)
    return await ended(server, outcome)
