"""Count user-space instructions per request under callgrind.

    python benchmarks/instructions.py
    python benchmarks/instructions.py --servers fastserve --repeat 3
    python benchmarks/instructions.py --websocket

Writes instructions.json and instructions.md, or both as websocket-instructions.
See benchmarks/README.md for the method.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
from pathlib import Path

from bench import counting, machine, process, report
from bench.arguments import names, subject_of
from bench.measure import applies
from bench.process import Failed
from bench.servers import BY_NAME as SERVERS
from bench.servers import ROOT, Unavailable
from bench.workloads import BY_NAME as WORKLOADS

USUAL_SERVERS = ("uvloop_constant", "uvloop_ws_echo", "fastserve", "uvicorn", "fastpysgi")
USUAL_WORKLOADS = ("hello", "browser", "defaults", "h2c-hello", "h2c-hello-32")
USUAL_MESSAGES = ("ws-echo-64", "ws-echo-16k")
TOOLS = {"valgrind": ["valgrind", "--version"]}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=names(SERVERS), default=USUAL_SERVERS)
    parser.add_argument("--workloads", type=names(WORKLOADS))
    parser.add_argument("--websocket", action="store_true", help="of a WebSocket echo")
    parser.add_argument("--short", type=int, default=200, help="requests of the short run")
    parser.add_argument("--long", type=int, default=1200, help="requests of the long run")
    parser.add_argument("--repeat", type=int, default=1, help="measurements of each figure")
    parser.add_argument("--output", type=Path, default=ROOT / "results", metavar="DIR")
    options = parser.parse_args()
    if not 0 < options.short < options.long:
        parser.error("--short must be positive and less than --long")
    if options.workloads is None:
        options.workloads = USUAL_MESSAGES if options.websocket else USUAL_WORKLOADS
    options.websocket = subject_of(parser, options.workloads, "compare", "http2") == "websocket"
    return options


def measure(server: str, workload: str, options: argparse.Namespace) -> dict[str, object]:
    """The figures of one server under one workload, or the reason there are none."""
    cell: dict[str, object] = {"server": server, "workload": workload}
    values: list[float] = []
    try:
        for _ in range(options.repeat):
            values.append(
                counting.per_request(
                    SERVERS[server], WORKLOADS[workload], options.short, options.long
                )
            )
            print(f"  {workload:<10} {server:<16} {values[-1]:>10,.0f}", flush=True)
    except (Failed, Unavailable) as reason:
        cell["fails"] = str(reason)
        print(f"  {workload:<10} {server:<16} {reason}", flush=True)
    if values:
        cell["instructions"] = round(statistics.median(values))
        cell["measurements"] = [round(value) for value in values]
        cell["spread"] = round((max(values) - min(values)) / statistics.median(values), 4)
    return cell


def markdown(cells: list[dict[str, object]], described: dict[str, object]) -> str:
    """The table, one column per workload."""
    servers = list(dict.fromkeys(cell["server"] for cell in cells))
    workloads = list(dict.fromkeys(cell["workload"] for cell in cells))
    at = {(cell["server"], cell["workload"]): cell for cell in cells}
    unit = WORKLOADS[workloads[0]]
    body = []
    for server in servers:
        found = [at.get((server, workload), {}) for workload in workloads]
        shown = [report.number(cell.get("instructions")) for cell in found]
        body.append([SERVERS[server].label, *shown])
    parts = [
        f"# User-space instructions per {unit.unit}",
        "Counted by callgrind as the difference of two runs, "
        f"{described['short']:,} and {described['long']:,} {unit.units} over one connection.",
        report.table(["server", *(WORKLOADS[name].title for name in workloads)], body),
    ]
    spreads = [cell["spread"] for cell in cells if "spread" in cell]
    if described["repeat"] > 1 and spreads:
        parts.append(
            f"Each figure is the median of {described['repeat']} measurements, which "
            f"differed by at most {max(spreads):.1%}."
        )
    wrong = [cell for cell in cells if "fails" in cell]
    if wrong:
        parts.append(
            "\n".join(
                f"- {SERVERS[cell['server']].label}, {WORKLOADS[cell['workload']].title}: "
                f"{cell['fails']}"
                for cell in wrong
            )
        )
    parts.append(machine.sentence(described))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    options = arguments()
    counting.require_tools()
    process.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if {0, 1} <= os.sched_getaffinity(0):
        os.sched_setaffinity(0, {1})
    described = machine.describe(TOOLS)
    described |= {"short": options.short, "long": options.long, "repeat": options.repeat}
    cells = []
    try:
        for workload in options.workloads:
            for server in options.servers:
                if applies(SERVERS[server], WORKLOADS[workload]):
                    cells.append(measure(server, workload, options))
    except KeyboardInterrupt:
        sys.exit("interrupted; every server was ended, nothing was written")
    options.output.mkdir(parents=True, exist_ok=True)
    result = {"machine": described, "cells": cells}
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    stem = "websocket-instructions" if options.websocket else "instructions"
    (options.output / f"{stem}.json").write_text(text)
    shown = markdown(cells, described)
    (options.output / f"{stem}.md").write_text(shown)
    print("\n" + shown)


if __name__ == "__main__":
    main()
