"""Medians of the rounds, and the Markdown made from them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from . import machine as machines
from .servers import BY_NAME as SERVER
from .workloads import BY_NAME as WORKLOAD

BASE = {"compare": "uvicorn", "websocket": "uvicorn", "http2": "granian"}
FLOOR = "uvloop_ws_echo"  # what CPU per echo is compared with
SATURATED = 0.95
DISTURBED = 0.05
FULL, FOREIGN = "\u1d4d", "\u1da0"
NONE, TIMES = "\u2013", "\u00d7"


@dataclass
class Row:
    """One server under one workload: medians over the rounds, or the reason there are none."""

    server: str
    workload: str
    rounds: int
    values: dict[str, float]
    spread: float = 0.0  # (highest - lowest) / median of requests per second
    fails: str | None = None
    missing: str | None = None

    def get(self, key: str) -> float | None:
        return self.values.get(key)


def summarise(cells: list[dict[str, object]]) -> list[Row]:
    """One row per server and workload, in order of appearance."""
    groups: dict[tuple[str, str], list[dict[str, object]]] = {}
    for cell in cells:
        groups.setdefault((str(cell["workload"]), str(cell["server"])), []).append(cell)
    order = list(SERVER)
    rows = []
    for (workload, server), group in groups.items():
        last = group[-1]
        good = [cell for cell in group if "fails" not in cell and "missing" not in cell]
        row = Row(server, workload, len(good), {})
        row.fails, row.missing = last.get("fails"), last.get("missing")
        if good:
            row.values = medians(good)
            rates = [cell["requests_per_second"] for cell in good if "requests_per_second" in cell]
            if rates:
                row.spread = (max(rates) - min(rates)) / statistics.median(rates)
        rows.append(row)
    places = {name: place for place, name in enumerate(WORKLOAD)}
    return sorted(rows, key=lambda row: (places[row.workload], order.index(row.server)))


def medians(cells: list[dict[str, object]]) -> dict[str, float]:
    keys = [key for key, value in cells[0].items() if isinstance(value, int | float)]
    return {key: statistics.median(cell[key] for cell in cells) for key in keys if key != "round"}


def number(value: float | None, digits: int = 0) -> str:
    return NONE if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None, base: float | None) -> str:
    return NONE if not value or not base else f"{value / base:.2f}{TIMES}"


def milliseconds(micros: float | None) -> str:
    if micros is None:
        return NONE
    return f"{micros / 1000:.2f}" if micros < 10_000 else f"{micros / 1000:.0f}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, first column left-aligned, the others right-aligned."""
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|" + "|".join([":--"] + ["--:"] * (len(heads) - 1)) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def flags(row: Row) -> str:
    """Marks behind a rate: the generator was the limit, or another program took CPU time."""
    marks = ""
    if (row.get("generator_cpu") or 0) > SATURATED:
        marks += FULL
    if (row.get("foreign_cpu") or 0) > DISTURBED:
        marks += FOREIGN
    return marks


def summary_table(rows: list[Row]) -> str:
    """Requests per second, or bytes per idle connection, and the ratio to the base."""
    base = base_of(rows)
    workloads = list(dict.fromkeys(row.workload for row in rows))
    servers = [name for name in SERVER if any(row.server == name for row in rows)]
    at = {(row.workload, row.server): row for row in rows}
    body = []
    for workload in workloads:
        key = "bytes_per_connection" if WORKLOAD[workload].kind == "idle" else "requests_per_second"
        reference = at.get((workload, base))
        reference_value = reference.get(key) if reference else None
        cells = [WORKLOAD[workload].title + (" (bytes each)" if key.startswith("bytes") else "")]
        for server in servers:
            row = at.get((workload, server))
            cells.append(summary_cell(row, key, reference_value))
        body.append(cells)
    return table(["", *(SERVER[name].label for name in servers)], body)


def base_of(rows: list[Row]) -> str:
    """The server all are compared with."""
    return BASE[WORKLOAD[rows[0].workload].subject]


def summary_cell(row: Row | None, key: str, base: float | None) -> str:
    if row is None:
        return ""
    if row.missing:
        return "n/a" if row.missing.startswith("has no ") else "missing"
    if row.fails:
        return "fails"
    return f"{number(row.get(key))}{flags(row)}<br>{ratio(row.get(key), base)}"


def load_table(rows: list[Row], base: str) -> str:
    reference = next((row for row in rows if row.server == base), None)
    floor = next((row for row in rows if row.server == FLOOR), None)
    workload = WORKLOAD[rows[0].workload]
    heads = ["server", f"{workload.units}/s", f"to {SERVER[base].label}", f"CPU µs/{workload.unit}"]
    heads += [f"CPU to {SERVER[FLOOR].label}"] if floor else []
    heads += ["p50 ms", "p99 ms", "peak RSS MiB", "PSS MiB", "generator CPU", "spread"]
    body = []
    for row in rows:
        if row.fails or row.missing:
            body.append([SERVER[row.server].label, *[NONE] * (len(heads) - 1)])
            continue
        rate, cost = row.get("requests_per_second"), row.get("cpu_us_per_request")
        body.append(
            [
                SERVER[row.server].label,
                number(rate) + flags(row),
                ratio(rate, reference.get("requests_per_second") if reference else None),
                number(cost, 1),
                *([ratio(cost, floor.get("cpu_us_per_request"))] if floor else []),
                milliseconds(row.get("p50")),
                milliseconds(row.get("p99")),
                *memory(row),
                f"{row.get('generator_cpu'):.0%}",
                f"{row.spread:.0%}",
            ]
        )
    return table(heads, body) + reasons(rows)


def memory(row: Row) -> list[str]:
    values = (row.get("peak_rss_kib"), row.get("pss_kib"))
    return [number(value / 1024 if value is not None else None, 1) for value in values]


def idle_table(rows: list[Row], base: str) -> str:
    reference = next((row for row in rows if row.server == base), None)
    key = "bytes_per_connection"
    heads = ["server", "bytes/connection", f"to {SERVER[base].label}", "peak RSS MiB", "PSS MiB"]
    heads.append("CPU while idle")
    body = []
    for row in rows:
        if row.fails or row.missing:
            body.append([SERVER[row.server].label, *[NONE] * 5])
            continue
        compared = ratio(row.get(key), reference.get(key) if reference else None)
        idle_cpu = f"{row.get('idle_cpu'):.1%}"
        body.append(
            [SERVER[row.server].label, number(row.get(key)), compared, *memory(row), idle_cpu]
        )
    return table(heads, body) + reasons(rows)


def reasons(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        if row.missing:
            lines.append(f"- {SERVER[row.server].label}: not measured, {row.missing}")
        elif row.fails:
            lines.append(f"- {SERVER[row.server].label}: fails, {row.fails}")
    return "\n\n" + "\n".join(lines) if lines else ""


def describe_workload(name: str) -> str:
    workload = WORKLOAD[name]
    parts = [f"{workload.connections:,} connections", f"`{workload.app}`"]
    if workload.pipeline > 1:
        parts.append(
            f"{workload.pipeline} requests at once per connection (latency is that of the batch)"
        )
    if workload.websocket and workload.pipeline > 1:
        parts[-1] = f"{workload.pipeline} messages under way on each connection"
    if workload.http2 and workload.pipeline > 1:
        parts[-1] = f"{workload.pipeline} streams at once on each connection"
    if workload.kind == "broadcast":
        parts.append("the next message is published when everyone has the last")
    if workload.profile != "plain":
        parts.append(f"settings: {workload.profile}")
    return "; ".join(parts)


def heading(machine: dict[str, object], count: int, subject: str, base: str) -> list[str]:
    """Title and what the first table shows."""
    if subject == "http2":
        title = "# HTTP/2: fastserve beside other ASGI servers"
        counted = "Requests per second"
    elif subject == "websocket":
        title = "# WebSocket: fastserve beside other ASGI servers"
        counted = "WebSocket messages that came back (of a broadcast: copies that came) per second"
    else:
        title = "# fastserve beside other ASGI servers"
        counted = "Requests per second"
    return [
        title,
        f"{counted}, medians of {count} alternating rounds of "
        f"{machine['seconds']} s with {machine['generator']}; below each figure the ratio to "
        f"{SERVER[base].label}. Server on one core, load generator on another. "
        f"{FULL} the generator's core was full: the server can do more. "
        f"{FOREIGN} other programs used the two cores: measure again.",
    ]


def markdown(rows: list[Row], machine: dict[str, object]) -> str:
    """The whole report."""
    count = max((row.rounds for row in rows), default=0)
    base = base_of(rows)
    parts = heading(machine, count, WORKLOAD[rows[0].workload].subject, base)
    parts += [summary_table(rows), machines.sentence(machine)]
    for name in dict.fromkeys(row.workload for row in rows):
        group = [row for row in rows if row.workload == name]
        shown = idle_table if WORKLOAD[name].kind == "idle" else load_table
        parts += [f"## {WORKLOAD[name].title}", describe_workload(name), shown(group, base)]
        if any(row.get("can_inflate") == 0 and row.get("compressed") for row in group):
            parts.append("The content of compressed echoes was not compared: zlib.h was missing.")
    return "\n\n".join(parts) + "\n"
