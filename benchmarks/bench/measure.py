"""One cell (a server under a workload, once) and the rounds over all of them."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import load, websocket
from .process import Failed, Running, core_busy, free_port
from .servers import APPS, Server, Unavailable, key_pair
from .workloads import BY_NAME as WORKLOAD
from .workloads import Workload

SERVER_CORE, GENERATOR_CORE = 0, 1
FOLDERS = re.compile(r"/(?:[^\s:=/]+/)+")
SETTLE = 0.3  # seconds an idle server gets before its memory is read


@dataclass
class Plan:
    """What a run measures. `seconds` is the length of one cell's load, whole seconds."""

    servers: list[Server]
    workloads: list[Workload]
    rounds: int
    seconds: int
    generator: str
    say: Callable[[str], None] = print


def applies(server: Server, workload: Workload) -> bool:
    """Limits have no settings and run no application, so some workloads say nothing of them."""
    if server.limit:
        return server.websockets == workload.websocket and workload.limit_body is not None
    return server.websockets or not workload.websocket


def shown(command: list[str]) -> list[str]:
    """The command with the interpreter and every path by their names alone."""
    return [FOLDERS.sub("", word) for word in command]


def run(plan: Plan) -> list[dict[str, object]]:
    """All rounds; one dictionary per cell. Each round starts with another server.

    A server that failed a cell is not tried again on that workload: its reason is the result.
    """
    cells: list[dict[str, object]] = []
    given_up: set[tuple[str, str]] = set()
    for number in range(plan.rounds):
        plan.say(f"round {number + 1} of {plan.rounds}")
        for workload in plan.workloads:
            for server in rotated(plan.servers, number):
                key = (server.name, workload.name)
                if key in given_up or not applies(server, workload):
                    continue
                cell = one_cell(server, workload, plan)
                cell["round"] = number + 1
                cells.append(cell)
                plan.say(describe(cell))
                if "fails" in cell or "missing" in cell:
                    given_up.add(key)
    return cells


def rotated(servers: list[Server], number: int) -> Iterator[Server]:
    start = number % len(servers)
    yield from servers[start:]
    yield from servers[:start]


def one_cell(server: Server, workload: Workload, plan: Plan) -> dict[str, object]:
    """Start, verify, load, read, stop. What goes wrong becomes the cell's `fails`."""
    cell: dict[str, object] = {"server": server.name, "workload": workload.name}
    port = free_port()
    app = workload.app
    answer = workload.answer
    if server.limit and workload.limit_body is not None:
        app, answer = workload.limit_body.decode(), workload.limit_body
    handle, name = tempfile.mkstemp(prefix="fastserve-bench-", suffix=".log")
    os.close(handle)
    log = Path(name)
    try:
        pair = key_pair() if workload.tls else None
        command = server.command(workload.profile, port, app, pair, workload.http2)
        cell["command"] = shown(command)
        with Running(command, port, SERVER_CORE, log, APPS) as running:
            running.wait_ready()
            measure = idle if workload.kind == "idle" else loaded
            if workload.websocket:
                measure = conversing
            cell.update(measure(running, workload, answer, plan))
            running.check_alive()
        cell["log_bytes"] = log.stat().st_size
    except Unavailable as reason:
        cell["missing"] = str(reason)
    except Failed as reason:
        cell["fails"] = with_log(str(reason), log)
    finally:
        log.unlink(missing_ok=True)
    return cell


def with_log(reason: str, log: Path) -> str:
    """The reason, and the last thing the server said unless it is an access line."""
    lines = log.read_text(errors="replace").strip().splitlines()
    last = lines[-1].strip()[:160] if lines else ""
    if not last or last in reason or "HTTP/" in last:
        return reason
    return f"{reason}; its last line: {last}"


def loaded(running: Running, workload: Workload, answer: bytes, plan: Plan) -> dict[str, object]:
    """Throughput, CPU, latency and memory under the generator's load."""
    warm_up = 8 if len(workload.body) > 1 << 16 else 200 // workload.pipeline
    load.verify(workload, running.port, answer, warm_up)
    cores, cpu, begin = core_busy(), running.cpu(), time.monotonic()
    seen = load.GENERATORS[plan.generator](workload, running.port, plan.seconds, GENERATOR_CORE)
    wall = time.monotonic() - begin
    used = running.cpu() - cpu
    busy = core_busy()
    running.check_alive()
    if seen.errors + seen.bad_status > max(seen.requests, 1000) / 1000:
        raise Failed(f"{seen.errors} errors, {seen.bad_status} bad answers in {seen.requests}")
    total_busy = sum(busy[core] - cores[core] for core in (SERVER_CORE, GENERATOR_CORE))
    measured = figures(running, seen, used, wall, total_busy)
    if plan.generator == "h2load":
        p50, p99 = load.latencies(workload, running.port, GENERATOR_CORE)
        measured |= {"p50": p50, "p99": p99}
    return measured


def figures(
    running: Running, seen: load.Load, used: float, wall: float, busy: float
) -> dict[str, object]:
    """What is kept of a load: the server `used` so much CPU time, both cores were `busy`."""
    foreign = busy - used - seen.generator_cpu * wall
    return {
        **asdict(seen),
        "requests_per_second": seen.requests / seen.seconds,
        "cpu_us_per_request": used / seen.requests * 1e6,
        "server_cpu": used / wall,
        "foreign_cpu": max(foreign, 0.0) / wall,
        "peak_rss_kib": running.peak_rss(),
        "pss_kib": running.pss(),
    }


def conversing(
    running: Running, workload: Workload, answer: bytes, plan: Plan
) -> dict[str, object]:
    """The same figures for WebSocket messages; opening and closing are outside of them."""
    websocket.verify(workload, running.port, GENERATOR_CORE, 8 if workload.size > 1 << 16 else 200)
    with websocket.connected(
        workload, running.port, GENERATOR_CORE, seconds=plan.seconds
    ) as client:
        cores, cpu, begin = core_busy(), running.cpu(), time.monotonic()
        seen = client.run()
        wall = time.monotonic() - begin
        used = running.cpu() - cpu
        busy = core_busy()
        running.check_alive()
        total_busy = sum(busy[core] - cores[core] for core in (SERVER_CORE, GENERATOR_CORE))
        measured = figures(running, websocket.load_of(seen), used, wall, total_busy)
    kept = ("bytes", "wire_bytes", "checked", "compressed", "can_inflate", "max_us")
    return measured | {key: seen[key] for key in kept}


def idle(running: Running, workload: Workload, answer: bytes, plan: Plan) -> dict[str, object]:
    """Memory per connection that has made one request and is kept open."""
    load.verify(workload, running.port, answer, 200)
    time.sleep(SETTLE)
    rss, pss = running.rss(), running.pss()
    clients = load.hold_idle(workload, running.port, answer)
    try:
        time.sleep(SETTLE)
        full_rss, full_pss = running.rss(), running.pss()
        cpu, begin = running.cpu(), time.monotonic()
        time.sleep(1.0)
        idle_cpu = (running.cpu() - cpu) / (time.monotonic() - begin)
        alive = load.still_open(clients)
    finally:
        load.release(clients)
    if alive < len(clients):
        raise Failed(f"closed {len(clients) - alive} of {len(clients)} idle connections")
    count = len(clients)
    return {
        "bytes_per_connection": (full_rss - rss) * 1024 / count,
        "pss_bytes_per_connection": (
            (full_pss - pss) * 1024 / count if pss is not None and full_pss is not None else None
        ),
        "peak_rss_kib": running.peak_rss(),
        "pss_kib": full_pss,
        "idle_cpu": idle_cpu,
    }


def describe(cell: dict[str, object]) -> str:
    """One line of progress."""
    workload = WORKLOAD[cell["workload"]]
    name = f"  {workload.name:<15} {cell['server']:<16}"
    if "fails" in cell or "missing" in cell:
        return f"{name} {cell.get('fails') or cell.get('missing')}"
    if "bytes_per_connection" in cell:
        return f"{name} {cell['bytes_per_connection']:>9,.0f} bytes per connection"
    return (
        f"{name} {cell['requests_per_second']:>9,.0f} {workload.units}/s"
        f" {cell['cpu_us_per_request']:>8.1f} µs"
        f"  server {cell['server_cpu']:.0%} generator {cell['generator_cpu']:.0%}"
    )
